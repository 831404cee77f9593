/* SPDX-License-Identifier: MIT */
/* utrace run: from the options to a run. */
#include "cli/cmd_run.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wordexp.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "cache/cache.h"
#include "session/session.h"

/* ---- options from a file ------------------------------------------------------------------ */

/* $SYSTEMTAP_DIR/rc, by default ~/.systemtap/rc: words that stand before all others. */
static char *read_rc(void)
{
	char path[PATH_MAX];
	char *text;
	const char *dir = getenv("SYSTEMTAP_DIR"), *home = getenv("HOME");
	if (dir)
		snprintf(path, sizeof(path), "%s/rc", dir);
	else if (home)
		snprintf(path, sizeof(path), "%s/.systemtap/rc", home);
	else
		return NULL;
	return fd_read_file(path, &text, NULL) < 0 ? NULL : text;
}

static bool add_words(wordexp_t *words, char *text)
{
	bool any = false;
	char *save = NULL;
	for (char *line = strtok_r(text, "\n", &save); line;
		line = strtok_r(NULL, "\n", &save)) {
		if (line[strspn(line, " \t")] == '#')
			continue;
		int flags = WRDE_NOCMD | (any ? WRDE_APPEND : 0);
		if (wordexp(line, words, flags) == 0)
			any = true;
		else
			fprintf(stderr, "WARNING: cannot make words of '%s'\n", line);
	}
	return any;
}

/* The words of the command line after those of the file; *ret_words owns the latter. */
static char **join_words(int *argc, char **argv, wordexp_t *ret_words, bool *ret_any)
{
	CLEANUP(cleanup_free) char *text = read_rc();
	*ret_any = text && add_words(ret_words, text);
	size_t extra = *ret_any ? ret_words->we_wordc : 0;
	char **all = calloc((size_t)*argc + extra + 1, sizeof(*all));
	if (!all)
		abort();
	all[0] = argv[0];
	for (size_t i = 0; i < extra; i++)
		all[1 + i] = ret_words->we_wordv[i];
	for (int i = 1; i < *argc; i++)
		all[(size_t)i + extra] = argv[i];
	*argc += (int)extra;
	return all;
}

/* ---- the command -------------------------------------------------------------------------- */

static int read_script(const char *path, struct session_text *ret)
{
	char *text;
	bool is_stdin = strcmp(path, "-") == 0;
	struct error err = {0};
	ssize_t size = fd_read_file(is_stdin ? "/dev/stdin" : path, &text, &err);
	if (size == -ENOENT) {
		fprintf(stderr,
			"Input file '%s' is missing.\nPass 1: parse failed.  [man error::pass1]\n",
			path);
		return 1;
	}
	if (size < 0) {
		cli_error(&err);
		fprintf(stderr, "Pass 1: parse failed.  [man error::pass1]\n");
		return 1;
	}
	ret->name = is_stdin ? "<input>" : path;
	ret->text = text;
	ret->size = (size_t)size;
	return 0;
}

static int check_listing(
	const struct cli_command *command, const struct run_request *request)
{
	if (request->has_last_pass)
		return cli_usage_error(
			command, "Cannot specify -p with -l/-L/--dump-* switches.");
	if (request->script_text)
		return cli_usage_error(
			command, "Cannot specify a script with -l/-L/--dump-* switches.");
	return 0;
}

/* The script itself goes in front of those of -E. */
static struct session_text *push_first(struct session_options *o)
{
	vec_push(&o->scripts);
	memmove(o->scripts.items + 1, o->scripts.items,
		(o->scripts.count - 1) * sizeof(*o->scripts.items));
	o->scripts.items[0] = (struct session_text){0};
	return &o->scripts.items[0];
}

int run_request_finish(const struct cli_command *command, struct run_request *request,
	int argc, char **argv, int first)
{
	struct session_options *o = &request->session;
	if (o->command && o->pid)
		return cli_usage_error(command, "You can't specify -c and -x together.");
	if (o->guru && o->privilege && strcmp(o->privilege, "stapdev") != 0)
		return cli_usage_error(command,
			"You can't specify -g and --privilege=%s together.",
			o->privilege);
	if (o->flight_recorder && !o->output_path)
		return cli_usage_error(
			command, "-F needs -o FILE: nobody would see the output.");
	if (o->rotate_bytes && !o->output_path)
		return cli_usage_error(command, "-S needs -o FILE.");
	if (o->suppress_time_limits && !o->guru) {
		fprintf(stderr, "ERROR --suppress-time-limits requires guru mode (-g)\n");
		return 1;
	}
	if (request->listing) {
		/* `-l 'process(@1).mark("*")' PATH` */
		o->arguments = (const char *const *)&argv[first];
		o->argument_count = (uint32_t)(argc - first);
		return check_listing(command, request);
	}
	if (request->script_text) {
		struct session_text *text = push_first(o);
		text->name = "<input>";
		text->text = strdup(request->script_text);
		text->size = strlen(request->script_text);
	} else if (first < argc) {
		if (read_script(argv[first++], push_first(o)) != 0)
			return 1;
	} else if (!o->scripts.count && o->clean_cache) {
		return 0; /* it is all that is asked for */
	} else {
		return cli_usage_error(command, "A script must be specified.");
	}
	o->arguments = (const char *const *)&argv[first];
	o->argument_count = (uint32_t)(argc - first);
	return 0;
}

void run_request_free(struct run_request *request)
{
	struct session_options *o = &request->session;
	for (size_t i = 0; i < o->scripts.count; i++) {
		free((char *)(uintptr_t)o->scripts.items[i].text);
		free(o->scripts.items[i].own_name);
	}
	vec_free(&o->scripts);
	for (size_t i = 0; i < o->limits.count; i++)
		free((char *)(uintptr_t)o->limits.items[i].name);
	vec_free(&o->limits);
	for (size_t i = 0; i < o->globals.count; i++)
		free((char *)(uintptr_t)o->globals.items[i].name);
	vec_free(&o->globals);
	vec_free(&o->include_dirs);
}

static int run_list(struct run_request *request)
{
	switch (request->listing) {
	case RUN_LIST_TYPES:
		return session_dump_types(&request->session);
	case RUN_LIST_ALIASES:
		return session_dump_aliases(&request->session);
	case RUN_LIST_FUNCTIONS:
		return session_dump_functions(&request->session);
	case RUN_LIST_POINTS:
	case RUN_LIST_VARIABLES:
	case RUN_LIST_NOTHING:
		break;
	}
	return session_list(&request->session, request->list_point,
		request->listing == RUN_LIST_VARIABLES);
}

static int clean_cache(void)
{
	struct error err = {0};
	if (cache_clean(&err) == 0)
		return 0;
	fprintf(stderr, "ERROR: cannot clean the cache: %s\n", err.message);
	return 1;
}

static int run_request(const struct cli_command *command, struct run_request *request,
	int argc, char **argv)
{
	int first = 0;
	int status = cli_parse(command, argc, argv, request, &first);
	if (status)
		return status == CLI_HELP ? 0 : status;
	if (request->show_version) {
		cli_print_version();
		return 0;
	}
	status = run_request_finish(command, request, argc, argv, first);
	if (status)
		return status;
	if (!request->listing && !request->session.scripts.count)
		return clean_cache();
	return request->listing ? run_list(request) : session_run(&request->session);
}

static int run(const struct cli_command *command, int argc, char **argv)
{
	struct run_request request = {.session = {.last_pass = SESSION_PASSES}};
	wordexp_t words;
	bool any;
	char **all = join_words(&argc, argv, &words, &any);
	int status = run_request(command, &request, argc, all);
	run_request_free(&request);
	free(all);
	if (any)
		wordfree(&words);
	return status;
}

const struct cli_command cli_run = {
	.name = "run",
	.synopsis = "[OPTION...] SCRIPT.stp | -e TEXT [ARGUMENT...] [-c CMD | -x PID]",
	.summary = "run a SystemTap script inside the processes it probes",
	.options = run_options,
	.run = run,
	.is_stap = true,
};

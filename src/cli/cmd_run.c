/* SPDX-License-Identifier: MIT */
/* utrace run: stap's options, same letters, same meanings. */
#include "cli/cmd_run.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "session/session.h"

static struct session_options *session_of(void *data)
{
	return &((struct run_request *)data)->session;
}

/* ---- setters
 * --------------------------------------------------------------------------------------
 */

static int set_script(void *data, const char *value, struct error *err)
{
	struct run_request *r = data;
	if (r->script_text)
		return error_set(err, -EINVAL,
			"Only one script can be given on the command line.");
	r->script_text = value;
	return 0;
}

static int set_extra_script(void *data, const char *value, struct error *err)
{
	struct session_text *text = vec_push(&session_of(data)->scripts);
	text->name = "<input>";
	text->text = strdup(value);
	text->size = strlen(value);
	return 0;
}

int run_set_command(void *data, const char *value, struct error *err)
{
	if (!value[strspn(value, " \t\n")])
		return error_set(err, -EINVAL, "Empty CMD string invalid.");
	session_of(data)->command = value;
	return 0;
}

int run_set_pid(void *data, const char *value, struct error *err)
{
	long pid;
	if (!cli_number(value, 1, 0x7fffffff, &pid))
		return error_set(
			err, -EINVAL, "Invalid target process ID number: '%s'", value);
	session_of(data)->pid = (pid_t)pid;
	return 0;
}

int run_set_verbose(void *data, const char *value, struct error *err)
{
	session_of(data)->verbose++;
	return 0;
}

int run_set_include(void *data, const char *value, struct error *err)
{
	vec_append(&session_of(data)->include_dirs, value);
	return 0;
}

static int set_output(void *data, const char *value, struct error *err)
{
	session_of(data)->output_path = value;
	return 0;
}

static int set_module_name(void *data, const char *value, struct error *err)
{
	session_of(data)->module_name = value;
	return 0;
}

static int set_tapset(void *data, const char *value, struct error *err)
{
	session_of(data)->tapset_dir = value;
	return 0;
}

static int set_last_pass(void *data, const char *value, struct error *err)
{
	long pass;
	if (!cli_number(value, 1, 5, &pass))
		return error_set(err, -EINVAL, "Invalid pass number (should be 1-5).");
	session_of(data)->last_pass = (int)pass;
	return 0;
}

static int set_timeout(void *data, const char *value, struct error *err)
{
	long seconds;
	if (!cli_number(value, 1, 4000000, &seconds))
		return error_set(err, -EINVAL, "Invalid timeout interval.");
	session_of(data)->timeout_ms = (unsigned)seconds * 1000;
	return 0;
}

static int set_buffer(void *data, const char *value, struct error *err)
{
	long mb;
	if (!cli_number(value, 1, 4095, &mb))
		return error_set(err, -EINVAL, "Invalid buffer size (should be 1-4095).");
	session_of(data)->buffer_mb = (unsigned)mb;
	return 0;
}

static bool is_setting(const char *value, bool needs_value, const char *more)
{
	const char *p = value;
	if (!isalpha((unsigned char)*p) && *p != '_')
		return false;
	while (isalnum((unsigned char)*p) || *p == '_')
		p++;
	if (!*p)
		return !needs_value;
	if (*p++ != '=' || !*p)
		return false;
	for (; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr(more, *p))
			return false;
	return true;
}

static void add_setting(struct session_setting *to, const char *text)
{
	char *copy = strdup(text), *equals = copy ? strchr(copy, '=') : NULL;
	if (!copy)
		abort();
	if (equals)
		*equals = '\0';
	to->name = copy;
	to->value = equals ? equals + 1 : NULL;
}

static int set_limit(void *data, const char *value, struct error *err)
{
	if (!is_setting(value, false, "_-"))
		return error_set(err, -EINVAL,
			"invalid -D setting '%s': NAME or NAME=VALUE", value);
	struct session_setting *setting = vec_push(&session_of(data)->limits);
	add_setting(setting, value);
	if (!setting->value)
		setting->value = "1";
	return 0;
}

static int set_global(void *data, const char *value, struct error *err)
{
	if (!is_setting(value, true, "_.-"))
		return error_set(
			err, -EINVAL, "invalid -G setting '%s': NAME=VALUE", value);
	add_setting(vec_push(&session_of(data)->globals), value);
	return 0;
}

static int set_compatible(void *data, const char *value, struct error *err)
{
	session_of(data)->compatible = value;
	return 0;
}

static int set_list(void *data, const char *value, struct error *err)
{
	((struct run_request *)data)->list_point = value;
	return 0;
}

static int set_list_variables(void *data, const char *value, struct error *err)
{
	((struct run_request *)data)->list_variables = true;
	return set_list(data, value, err);
}

static int set_nothing(void *data, const char *value, struct error *err)
{
	return 0;
}

#define FLAG_SETTER(field)                                                       \
	static int set_##field(void *data, const char *value, struct error *err) \
	{                                                                        \
		session_of(data)->field = true;                                  \
		return 0;                                                        \
	}
FLAG_SETTER(guru)
FLAG_SETTER(unoptimized)
FLAG_SETTER(no_warnings)
FLAG_SETTER(warnings_are_errors)
FLAG_SETTER(skip_badvars)
FLAG_SETTER(suppress_handler_errors)
FLAG_SETTER(suppress_time_limits)
FLAG_SETTER(no_global_display)
FLAG_SETTER(dump_ir)
FLAG_SETTER(force)

static const struct cli_option run_options[] = {
	{'e', NULL, "SCRIPT", "run the script given here", set_script},
	{'E', NULL, "SCRIPT", "additional script text; may be repeated",
		set_extra_script},
	{'c', NULL, "CMD", "start CMD, probe it, end when it exits", run_set_command},
	{'x', NULL, "PID", "attach to the running process PID", run_set_pid},
	{'o', NULL, "FILE", "write the output to FILE", set_output},
	{'v', NULL, NULL, "tell what is being done; more with -vv", run_set_verbose},
	{'p', NULL, "N", "stop after pass N (1 parse ... 5 run)", set_last_pass},
	{'l', NULL, "POINT", "list the probe points matching POINT", set_list},
	{'L', NULL, "POINT", "the same with their variables", set_list_variables},
	{'g', NULL, NULL, "guru mode: unsafe constructs are allowed", set_guru},
	{'u', NULL, NULL, "keep what has no effect", set_unoptimized},
	{'w', NULL, NULL, "no warnings", set_no_warnings},
	{'W', NULL, NULL, "warnings are errors", set_warnings_are_errors},
	{'D', NULL, "NAME[=VALUE]", "set a limit: MAXACTION, MAXMAPENTRIES, ...",
		set_limit},
	{'G', NULL, "NAME=VALUE", "initial value of a global", set_global},
	{'I', NULL, "DIR", "look for library scripts in DIR too", run_set_include},
	{'m', NULL, "NAME", "what module_name() says", set_module_name},
	{'s', NULL, "MB", "output buffer of each thread", set_buffer},
	{'T', NULL, "SECONDS", "end after this time", set_timeout},
	{0, "skip-badvars", NULL, "context variables that cannot be found read as 0",
		set_skip_badvars},
	{0, "suppress-handler-errors", NULL, "script errors never end the run",
		set_suppress_handler_errors},
	{0, "suppress-time-limits", NULL, "no MAXACTION (needs -g)",
		set_suppress_time_limits},
	{0, "no-global-var-display", NULL, "do not print globals that are never read",
		set_no_global_display},
	{0, "compatible", "VERSION", "language version to follow", set_compatible},
	{0, "force", NULL, "inject although a seccomp filter might kill the target",
		set_force},
	{0, "tapset", "DIR", "the library scripts, instead of the installed ones",
		set_tapset},
	{0, "dump-ir", NULL, "print the code before it is compiled", set_dump_ir},
	/* stap's, with nothing to do here */
	{'d', NULL, "MODULE", NULL, set_nothing},
	{'k', NULL, NULL, NULL, set_nothing},
	{'P', NULL, NULL, NULL, set_nothing},
	{0, "ldd", NULL, NULL, set_nothing},
	{0, "all-modules", NULL, NULL, set_nothing},
	{0, "poison-cache", NULL, NULL, set_nothing},
	{0, "disable-cache", NULL, NULL, set_nothing},
	{0, "runtime", "NAME", NULL, set_nothing},
	{0, "dyninst", NULL, NULL, set_nothing},
	{0, "color", "[WHEN]", NULL, set_nothing},
	{0, "colour", "[WHEN]", NULL, set_nothing},
	{0},
};

/* ---- the command
 * -------------------------------------------------------------------------------------
 */

static int read_script(const char *path, struct session_text *ret, struct error *err)
{
	char *text;
	bool is_stdin = strcmp(path, "-") == 0;
	ssize_t size = fd_read_file(is_stdin ? "/dev/stdin" : path, &text, err);
	if (size < 0)
		return (int)size;
	ret->name = is_stdin ? "<input>" : path;
	ret->text = text;
	ret->size = (size_t)size;
	return 0;
}

int run_request_finish(const struct cli_command *command, struct run_request *request,
	int argc, char **argv, int first)
{
	struct session_options *o = &request->session;
	struct error err = {0};
	if (o->command && o->pid)
		return cli_usage_error(command, "You can't specify -c and -x together.");
	if (request->script_text) {
		struct session_text *text = vec_push(&o->scripts);
		text->name = "<input>";
		text->text = strdup(request->script_text);
		text->size = strlen(request->script_text);
	} else if (first < argc) {
		if (read_script(argv[first++], vec_push(&o->scripts), &err) < 0)
			return cli_error(&err);
	} else if (!request->list_point) {
		return cli_usage_error(command, "A script must be specified.");
	}
	o->arguments = (const char *const *)&argv[first];
	o->argument_count = (uint32_t)(argc - first);
	return 0;
}

void run_request_free(struct run_request *request)
{
	struct session_options *o = &request->session;
	for (size_t i = 0; i < o->scripts.count; i++)
		free((char *)(uintptr_t)o->scripts.items[i].text);
	vec_free(&o->scripts);
	for (size_t i = 0; i < o->limits.count; i++)
		free((char *)(uintptr_t)o->limits.items[i].name);
	vec_free(&o->limits);
	for (size_t i = 0; i < o->globals.count; i++)
		free((char *)(uintptr_t)o->globals.items[i].name);
	vec_free(&o->globals);
	vec_free(&o->include_dirs);
}

static int run(const struct cli_command *command, int argc, char **argv)
{
	struct run_request request = {.session = {.last_pass = 5}};
	int first = 0;
	int status = cli_parse(command, argc, argv, &request, &first);
	if (status == 0)
		status = run_request_finish(command, &request, argc, argv, first);
	if (status == 0 && request.session.suppress_time_limits && !request.session.guru)
		status = cli_usage_error(
			command, "--suppress-time-limits requires guru mode (-g)");
	if (status == 0 && request.list_point)
		status = session_list(
			&request.session, request.list_point, request.list_variables);
	else if (status == 0)
		status = session_run(&request.session);
	run_request_free(&request);
	return status == CLI_HELP ? 0 : status;
}

const struct cli_command cli_run = {
	.name = "run",
	.synopsis = "[OPTION...] SCRIPT.stp | -e TEXT [ARGUMENT...] [-c CMD | -x PID]",
	.summary = "run a SystemTap script inside the processes it probes",
	.options = run_options,
	.run = run,
};

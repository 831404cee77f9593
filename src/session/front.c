/* SPDX-License-Identifier: MIT */
#include "session/front.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "session/control_files.h"
#include "session/stap_target.h"
#include "stap/tapset.h"

/* ---- where the library scripts are ---------------------------------------------------------------- */

/* Next to the program when it runs from its build directory, else where it was installed. */
static const char *front_tapset_dir(struct session *s)
{
	if (s->options->tapset_dir)
		return s->options->tapset_dir;
	char exe[PATH_MAX];
	ssize_t size = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	if (size > 0) {
		exe[size] = '\0';
		char *slash = strrchr(exe, '/');
		if (slash)
			*slash = '\0';
		static const char *const places[] = {
			"../tapset", "../share/utrace/tapset"};
		for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
			char *dir = arena_printf(&s->arena, "%s/%s", exe, places[i]);
			if (access(dir, R_OK) == 0)
				return dir;
		}
	}
	return UTRACE_TAPSET_DIR;
}

/* Those of SystemTap itself are for the kernel, and define again what is here. */
static void front_data_dirs(struct session *s, struct front *f)
{
	const char *dirs = getenv("XDG_DATA_DIRS");
	char *rest = arena_strdup(&s->arena, dirs ? dirs : ""), *dir;
	while ((dir = strsep(&rest, ":"))) {
		const char *path = arena_printf(&s->arena, "%s/systemtap/tapset", dir);
		const char *known = arena_printf(&s->arena, "%s/linux/context.stp", path);
		if (*dir && access(path, R_OK) == 0 && access(known, F_OK) < 0)
			vec_append(&f->include, path);
	}
}

/* ---- pass 1 ------------------------------------------------------------------------------------------- */

static void front_render(struct session *s)
{
	struct strbuf text;
	strbuf_init(&text);
	stap_diagnostics_render(&s->diagnostics, s->options->verbose > 0, &text);
	fputs(text.data, stderr);
	strbuf_deinit(&text);
}

/* The count of what front_render() left out stands after the line about the pass. */
static void front_render_suppressed(struct session *s)
{
	struct strbuf text;
	if (s->options->verbose > 0)
		return;
	strbuf_init(&text);
	stap_diagnostics_render_suppressed(&s->diagnostics, &text);
	fputs(text.data, stderr);
	strbuf_deinit(&text);
}

static struct stap_source *front_source(
	struct session *s, const struct session_text *text)
{
	struct stap_source *source = arena_new(&s->arena, struct stap_source);
	source->name = text->name;
	source->text = text->text;
	source->size = text->size;
	return source;
}

static const char *plural(size_t count)
{
	return count == 1 ? "" : "s";
}

/* With -v, also of a pass that fails. */
static void report_parse(struct session *s, struct front *f)
{
	uint32_t count = stap_tapset_file_count(f->tapset);
	session_pass_end(s, &f->pass, 1, "parsed user script and %u library script%s",
		count, plural(count));
}

static void report_analysis(struct session *s, struct front *f)
{
	static const struct stap_program none;
	const struct stap_program *p = s->program ? s->program : &none;
	session_pass_end(s, &f->pass, 2,
		"analyzed script: %zu probe%s, %zu function%s, %zu embed%s, %zu global%s",
		p->probes.count, plural(p->probes.count), p->functions.count,
		plural(p->functions.count), p->embedded.count, plural(p->embedded.count),
		p->globals.count, plural(p->globals.count));
}

static int front_parse(struct session *s, struct front *f)
{
	struct strbuf summary;
	int result = 0;
	strbuf_init(&summary);
	for (size_t i = 0; i < s->options->scripts.count; i++) {
		const struct stap_source *source =
			front_source(s, &s->options->scripts.items[i]);
		struct stap_file *file =
			stap_parse(&s->arena, source, &f->parse, &s->diagnostics);
		vec_append(&f->user, file);
		if (!stap_parse_summary(file, &summary))
			result = -1;
	}
	if (stap_diagnostics_failed(&s->diagnostics))
		result = -1;
	/* a listing is silent about what it does not find, not about what it cannot read */
	if ((result < 0 || s->options->last_pass == 1) && (!f->silent || f->listing)) {
		front_render(s);
		if (result < 0) {
			fputs(summary.data, stderr);
			report_parse(s, f);
			fputs("Pass 1: parse failed.  [man error::pass1]\n", stderr);
		}
		front_render_suppressed(s);
	}
	strbuf_deinit(&summary);
	return result;
}

static void front_dump_parse(const struct front *f)
{
	struct strbuf text;
	strbuf_init(&text);
	strbuf_puts(&text, "# parse tree dump\n");
	for (size_t i = 0; i < f->user.count; i++) {
		strbuf_printf(&text, "# file %s\n", f->user.items[i]->source->name);
		stap_unparse(f->user.items[i], &text);
		strbuf_putc(&text, '\n');
	}
	fputs(text.data, stdout);
	strbuf_deinit(&text);
}

/* A file of the library is found by itself; as the script it would be there twice. */
static bool front_runs_library(const struct session *s, const struct front *f)
{
	for (size_t i = 0; i < s->options->scripts.count; i++) {
		const char *name = s->options->scripts.items[i].name;
		if (!stap_tapset_holds(f->tapset, name))
			continue;
		fprintf(stderr,
			"usage error: tapset file '%s' cannot be run directly as a session script.\n"
			"Pass 1: parse failed.  [man error::pass1]\n",
			name);
		return true;
	}
	return false;
}

int session_front_pass1(struct session *s, struct front *f)
{
	const struct session_options *o = s->options;
	session_pass_start(&f->pass);
	f->kernel_config.arena = &s->arena;
	s->diagnostics.no_warnings = o->no_warnings;
	s->diagnostics.warnings_are_errors = o->warnings_are_errors;
	f->parse = (struct stap_parse_options){
		.arguments = o->arguments,
		.argument_count = o->argument_count,
		.guru = o->guru,
		.compatible = o->compatible,
		.privilege = o->privilege,
		.runtime = o->runtime,
		.kernel_config = kernel_config_find,
		.kernel_config_data = &f->kernel_config,
		.argument_used = arena_array(&s->arena, bool, o->argument_count + 1),
	};
	vec_append(&f->include, front_tapset_dir(s));
	front_data_dirs(s, f);
	for (size_t i = 0; i < o->include_dirs.count; i++)
		vec_append(&f->include, o->include_dirs.items[i]);
	f->tapset = stap_tapset_load(&s->arena, f->include.items,
		(uint32_t)f->include.count, &f->parse, &s->diagnostics);
	f->parse.macros = stap_tapset_macros(f->tapset);
	if (!f->silent && front_runs_library(s, f))
		return -1;
	int r = front_parse(s, f);
	if (r == 0 && o->last_pass == 1)
		front_dump_parse(f);
	return r;
}

/* ---- pass 2 -------------------------------------------------------------------------------------------- */

static void front_warn(void *data, const char *text)
{
	struct session *s = data;
	stap_diagnose(&s->diagnostics, STAP_WARNING, NULL, "%s", text);
}

static void front_notice(void *data, const char *text)
{
	fprintf(stderr, "utrace: %s\n", text);
}

static int front_target(struct session *s, struct error *err)
{
	struct stap_target_config config = {.target_pid = s->options->pid,
		.warn = front_warn,
		.warn_data = s,
		.notice = front_notice,
		.cache = s->cache};
	char exe[PATH_MAX];
	if (s->options->pid) {
		int r = proc_read_exe(s->options->pid, exe, sizeof(exe));
		if (r < 0)
			return ptrace_explain(s->options->pid, r, err);
		config.target_path = arena_strdup(&s->arena, exe);
	} else if (s->options->command) {
		char **argv;
		int r = session_split_command(s, s->options->command, &argv, err);
		if (r < 0)
			return r;
		config.target_path = argv[0];
	}
	return stap_target_create(&config, &s->target, err);
}

static void front_warn_unused_arguments(struct session *s, const struct front *f)
{
	for (uint32_t i = 0; i < s->options->argument_count; i++)
		if (!f->parse.argument_used[i])
			stap_diagnose(&s->diagnostics, STAP_WARNING, NULL,
				"unused command line option $%u/@%u", i + 1, i + 1);
}

int session_front_pass2(struct session *s, struct front *f)
{
	const struct session_options *o = s->options;
	struct error err = {0};
	session_pass_start(&f->pass);
	if (front_target(s, &err) < 0) {
		fprintf(stderr, "error: %s\n", err.message);
		if (err.hint[0])
			fprintf(stderr, "hint: %s\n", err.hint);
		return -1;
	}
	struct stap_semantic_options options = {
		.user_files = (const struct stap_file *const *)f->user.items,
		.user_file_count = (uint32_t)f->user.count,
		.guru = o->guru,
		.privilege = o->privilege,
		.unoptimized = o->unoptimized,
		.suppress_warnings = o->no_warnings,
		.skip_badvars = o->skip_badvars,
		.has_target = o->command || o->pid,
		.listing = f->listing,
		.whole = f->whole,
		.argument_used = f->parse.argument_used,
		.argument_count = o->argument_count,
	};
	const char **preset = arena_array(&s->arena, const char *, o->globals.count + 1);
	for (size_t i = 0; i < o->globals.count; i++)
		preset[i] = o->globals.items[i].name;
	options.preset = preset;
	options.preset_count = (uint32_t)o->globals.count;
	options.library_files = stap_tapset_files(f->tapset, &options.library_file_count);
	s->program = stap_analyze(&s->arena, &options, &s->target, &s->diagnostics);
	front_warn_unused_arguments(s, f);
	if (stap_diagnostics_failed(&s->diagnostics))
		s->program = NULL;
	if (!f->silent) {
		front_render(s);
		if (!s->program) {
			report_analysis(s, f);
			fprintf(stderr, "Pass 2: analysis failed.  [man error::pass2]\n");
		}
		front_render_suppressed(s);
	}
	if (!s->program)
		return -1;
	if (o->last_pass == 2) {
		struct strbuf text;
		strbuf_init(&text);
		stap_program_dump(s->program, o->verbose > 0, &text);
		fputs(text.data, stdout);
		strbuf_deinit(&text);
	}
	return 0;
}

void session_front_free(struct front *f)
{
	for (size_t i = 0; i < f->user.count; i++)
		stap_file_deinit(f->user.items[i]);
	vec_free(&f->user);
	vec_free(&f->include);
	stap_tapset_free(f->tapset);
}

static void copy_options(struct session_options *to, const struct session_options *from)
{
	*to = *from;
	to->scripts.items = NULL;
	to->scripts.count = to->scripts.capacity = 0;
	for (size_t i = 0; i < from->scripts.count; i++)
		vec_append(&to->scripts, from->scripts.items[i]);
}

/* What is to be reset, and of what type it is, shows the script alone: it is analysed once more, with the probe. */
static int front_add_reset(struct session *s)
{
	const struct session_options *given = s->options;
	struct front f = {.silent = true};
	struct session_options options;
	struct session_text text = {.name = "<monitor>"};
	struct strbuf probe;
	strbuf_init(&probe);
	session_control_put_reset(s, &probe);
	text.text = arena_strdup(&s->arena, probe.data);
	text.size = probe.size;
	strbuf_deinit(&probe);
	copy_options(&options, given);
	vec_append(&options.scripts, text);
	options.no_warnings = true;
	s->options = &options;
	stap_target_destroy(&s->target);
	int r = session_front_pass1(s, &f);
	if (r == 0)
		r = session_front_pass2(s, &f);
	s->options = given;
	s->diagnostics.no_warnings = given->no_warnings;
	vec_free(&options.scripts);
	session_front_free(&f);
	return r;
}

int session_front(struct session *s)
{
	struct front f = {0};
	int r = session_front_pass1(s, &f);
	if (r == 0)
		report_parse(s, &f);
	if (r == 0 && s->options->last_pass >= 2) {
		r = session_front_pass2(s, &f);
		if (r == 0)
			report_analysis(s, &f);
	}
	session_front_free(&f);
	if (r == 0 && s->options->monitor_seconds &&
		s->options->last_pass == SESSION_PASSES)
		r = front_add_reset(s);
	return r;
}

/* ---- listing --------------------------------------------------------------------------------------------- */

int session_front_list(struct session *s, const char *point, bool with_variables)
{
	struct front f = {.silent = !s->options->explain && s->options->verbose < 2,
		.listing = true};
	struct session_options options;
	struct session_text text = {.name = "<input>"};
	text.text = arena_printf(&s->arena, "probe %s {}", point);
	text.size = strlen(text.text);
	copy_options(&options, s->options);
	vec_append(&options.scripts, text);
	options.unoptimized = options.no_warnings = true;
	options.last_pass = 0;
	s->options = &options;
	int r = session_front_pass1(s, &f);
	if (r == 0)
		r = session_front_pass2(s, &f);
	if (r == 0 && !session_list_print(s, with_variables))
		r = -1;
	vec_free(&options.scripts);
	session_front_free(&f);
	return r;
}

void session_front_deinit(struct session *s)
{
	stap_target_destroy(&s->target);
}

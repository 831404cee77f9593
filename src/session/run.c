/* SPDX-License-Identifier: MIT */
/*
 * The life of a script: pass 1 parse, pass 2 analyse, passes 3 and 4 translate and
 * compile, pass 5 run. Messages and exit statuses are SystemTap's.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/image.h"
#include "session/ask.h"
#include "session/background.h"
#include "session/control_files.h"
#include "session/front.h"
#include "session/monitor.h"
#include "session/perf_events.h"
#include "session/process.h"
#include "session/unwind.h"
#include "session/watch.h"

/* ---- messages
 * -------------------------------------------------------------------------------------
 */

static void print_error(const struct error *err)
{
	fprintf(stderr, "error: %s\n", err->message);
	if (err->hint[0])
		fprintf(stderr, "hint: %s\n", err->hint);
}

void session_pass_start(struct session_pass *p)
{
	clock_gettime(CLOCK_MONOTONIC, &p->real);
	getrusage(RUSAGE_SELF, &p->usage);
}

static long elapsed_ms(struct timeval from, struct timeval to)
{
	return (to.tv_sec - from.tv_sec) * 1000 + (to.tv_usec - from.tv_usec) / 1000;
}

/* Virtual, resident, shared and data memory, as SystemTap tells it. */
static void print_memory(void)
{
	unsigned long pages[6] = {0};
	FILE *f = fopen("/proc/self/statm", "re");
	if (!f)
		return;
	long kb = sysconf(_SC_PAGESIZE) / 1024;
	if (fscanf(f, "%lu %lu %lu %lu %lu %lu", &pages[0], &pages[1], &pages[2],
		    &pages[3], &pages[4], &pages[5]) == 6)
		fprintf(stderr, " using %luvirt/%lures/%lushr/%ludata kb,",
			pages[0] * (unsigned long)kb, pages[1] * (unsigned long)kb,
			pages[2] * (unsigned long)kb, pages[5] * (unsigned long)kb);
	fclose(f);
}

/* The harnesses of SystemTap's own users match these lines. */
void session_pass_end(
	const struct session *s, struct session_pass *p, int number, const char *fmt, ...)
{
	if (!s->options->pass_verbose[number - 1])
		return;
	struct timespec now;
	struct rusage usage;
	va_list ap;
	fprintf(stderr, "Pass %d: ", number);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	clock_gettime(CLOCK_MONOTONIC, &now);
	getrusage(RUSAGE_SELF, &usage);
	long real = (now.tv_sec - p->real.tv_sec) * 1000 +
		    (now.tv_nsec - p->real.tv_nsec) / 1000000;
	if (number < 4)
		print_memory();
	fprintf(stderr, " in %ldusr/%ldsys/%ldreal ms.\n",
		elapsed_ms(p->usage.ru_utime, usage.ru_utime),
		elapsed_ms(p->usage.ru_stime, usage.ru_stime), real);
}

static void session_tell_cache(const struct session *s)
{
	unsigned found, missed;
	cache_hits(s->cache, &found, &missed);
	if (s->cache && s->options->verbose > 1)
		fprintf(stderr, "Cache: %u found, %u not found.\n", found, missed);
}

/* ---- passes 1 to 4
 * ----------------------------------------------------------------------------------- */

void session_init(struct session *s, const struct session_options *options)
{
	*s = (struct session){.options = options,
		.guardian = -1,
		.background_fd = -1,
		.memory = {.fd = -1}};
	arena_init(&s->arena);
	s->diagnostics.arena = &s->arena;
	bool colored = options->color == SESSION_COLOR_ALWAYS ||
		       (options->color == SESSION_COLOR_AUTO && isatty(STDERR_FILENO));
	if (colored) {
		stap_colors_parse(&s->colors, getenv("SYSTEMTAP_COLORS"));
		s->diagnostics.colors = &s->colors;
	}
	session_clock_start(&s->clock);
}

/* Runs without a cache are as good, only slower: why there is none is told to who asks with -v. */
int session_open_cache(struct session *s)
{
	const struct session_options *o = s->options;
	struct cache_options options = {.is_write_only = o->poison_cache};
	struct error err = {0};
	if (o->clean_cache && cache_clean(&err) < 0) {
		print_error(&err);
		return -1;
	}
	if (o->disable_cache)
		return 0;
	s->cache = cache_open(&options, &err);
	if (!s->cache && o->verbose)
		fprintf(stderr, "Nothing is cached: %s\n", err.message);
	return 0;
}

static void *session_find_object(void *data, const char *key, size_t *ret_size)
{
	struct cache_blob blob = {0};
	void *copy = NULL;
	if (!cache_get(data, key, &blob))
		return NULL;
	copy = malloc(blob.size + 1);
	if (copy)
		memcpy(copy, blob.bytes, blob.size);
	*ret_size = blob.size;
	cache_blob_release(&blob);
	return copy;
}

static void session_keep_object(
	void *data, const char *key, const void *bytes, size_t size)
{
	cache_put(data, key, &(struct cache_part){bytes, size}, 1);
}

/* An error of the script that shows only when it is translated. */
static void print_blame(
	struct session *s, const struct stap_token *blamed, const struct error *err)
{
	struct stap_diagnostics diagnostics;
	struct strbuf text;
	stap_diagnostics_init(&diagnostics, &s->arena);
	diagnostics.colors = s->diagnostics.colors;
	stap_diagnose(&diagnostics, STAP_SEMANTIC_ERROR, blamed, "%s", err->message);
	strbuf_init(&text);
	stap_diagnostics_render(&diagnostics, true, &text);
	fputs(text.data, stderr);
	strbuf_deinit(&text);
	stap_diagnostics_deinit(&diagnostics);
}

/* ---- places of probes, before they are compiled: what is there decides which handlers are wanted
 * -------------------------------------------------------------------------------------------
 */

/* One site for each place of a handler. */
static void session_make_probe_sites(
	struct session *s, const struct stap_derived_probe *probe, bool is_entry_part)
{
	struct session_site site = {.probe = probe, .is_entry_part = is_entry_part};
	for (uint32_t i = 0; i < probe->location_count; i++) {
		site.location = probe->locations[i];
		site.link_address = site.location->link_address;
		if (site.location->event)
			vec_append(&s->event_sites, (uint32_t)s->sites.count);
		vec_append(&s->sites, site);
	}
	if (!probe->location_count)
		vec_append(&s->sites, site);
}

static void session_make_sites(struct session *s)
{
	for (size_t i = 0; i < s->program->probes.count; i++) {
		const struct stap_derived_probe *probe = s->program->probes.items[i];
		if (probe->kind == STAP_PROBE_NEVER)
			continue;
		if (probe->kind == STAP_PROBE_URETURN && probe->entry_values.count)
			session_make_probe_sites(s, probe, true);
		session_make_probe_sites(s, probe, false);
	}
}

/* Events of processes of any program are those of the target's. */
static int session_check_target(const struct session *s, struct error *err)
{
	if (s->options->command || s->options->pid)
		return 0;
	for (size_t i = 0; i < s->sites.count; i++) {
		const struct stap_location *location = s->sites.items[i].location;
		if (location && location->event != STAP_EVENT_NONE &&
			!location->module_path && !location->only_pid)
			return error_set(err, -EINVAL,
				"probe %s has no process to look at: name one with -c "
				"COMMAND or -x PID",
				location->pp);
	}
	return 0;
}

static void session_place(struct session *s)
{
	session_make_sites(s);
	s->placed = session_check_target(s, &s->place_error);
	if (s->placed == 0)
		s->placed = session_plan(s, &s->place_error);
}

/* ---- passes 3 and 4
 * -------------------------------------------------------------------------------------------
 */

static int session_translate(struct session *s)
{
	const struct session_options *o = s->options;
	struct session_pass clock;
	const struct stap_token *blamed = NULL;
	struct error err = {0};
	session_pass_start(&clock);
	const struct codegen_cache cache = {
		session_find_object, session_keep_object, s->cache};
	struct codegen_options options = {
		.cache = s->cache ? &cache : NULL,
		.max_string = session_limit(o, "MAXSTRINGLEN", 512),
		.max_map_entries = session_limit(o, "MAXMAPENTRIES", 2048),
		.max_action = session_limit(o, "MAXACTION", 1000),
		.max_nesting = session_limit(o, "MAXNESTING", 0),
		.hist_width = session_limit(o, "HIST_WIDTH", 50),
		.hist_elision = (int32_t)session_limit(o, "HIST_ELISION", 2),
		.suppress_time_limits = o->suppress_time_limits,
		.timing = o->timing || o->monitor_seconds,
		.dump_ir = o->dump_ir,
		.ret_blamed = &blamed,
	};
	options.max_action_interruptible =
		session_limit(o, "MAXACTION_INTERRUPTIBLE", options.max_action * 10);
	int r = codegen_compile(s->program, &options, utrace_agent_image,
		utrace_agent_image_size, &s->code, &err);
	if (r < 0) {
		/* it is the script that cannot be translated */
		if (r == -EINVAL)
			print_blame(s, blamed, &err);
		else
			print_error(&err);
		fprintf(stderr,
			r == -ENOEXEC
				? "Pass 4: compilation failed.  [man error::pass4]\n"
				: "Pass 3: translation failed.  [man error::pass3]\n");
		return -1;
	}
	session_pass_end(
		s, &clock, 3, "translated to %zu bytes of code", s->code.image_size);
	if (o->last_pass >= 4) {
		session_pass_start(&clock);
		session_pass_end(s, &clock, 4, "compiled into %u handler%s",
			s->code.handler_count, s->code.handler_count == 1 ? "" : "s");
	}
	return 0;
}

/* ---- pass 5
 * -------------------------------------------------------------------------------------------
 */

static int image_offset(
	const struct session *s, const char *symbol, int64_t *ret, struct error *err)
{
	*ret = codegen_symbol(&s->code, symbol);
	if (*ret < 0)
		return error_set(
			err, -ENOENT, "the agent image has no symbol %s", symbol);
	return 0;
}

static int session_fill_uprobes(struct session *s, struct error *err)
{
	struct uprobe_session *u = &s->uprobes;
	u->session_fd = s->memory.fd;
	u->session_memory = s->memory.base;
	u->session_size = s->memory.size;
	u->image = s->code.image;
	u->image_size = s->code.image_size;
	u->needs_signal_front = s->code.reads_user_memory;
	u->force = s->options->force;
	u->mode = s->options->mode;
	const struct {
		const char *name;
		int64_t *offset;
	} symbols[] = {
		{"agent_register_thread", &u->register_offset},
		{"agent_call_trap", &u->call_offset},
		{"agent_signal_front", &u->front_offset},
		{"agent_restorer", &u->restorer_offset},
		{"agent_read_start", &u->read_start_offset},
		{"agent_read_end", &u->read_end_offset},
		{"agent_read_fixup", &u->read_fixup_offset},
	};
	int r = 0;
	for (size_t i = 0; i < sizeof(symbols) / sizeof(*symbols) && r == 0; i++)
		r = image_offset(s, symbols[i].name, symbols[i].offset, err);
	return r;
}

static int session_set_global(struct session *s, const struct codegen_global *global,
	const struct session_setting *set, struct error *err)
{
	char *at = (char *)s->memory.base + global->offset, *end;
	const char *why = NULL;
	if (global->storage == CODEGEN_SCALAR_STRING) {
		snprintf(at, s->memory.header->max_string, "%s", set->value);
		return 0;
	}
	errno = 0;
	int64_t value = strtoll(set->value, &end, 0);
	if (global->storage != CODEGEN_SCALAR_LONG && global->storage != CODEGEN_COUNTER)
		why = "only scalars have initial values";
	else if (*end)
		why = "it holds numbers";
	else if (errno == ERANGE)
		why = "it does not fit 64 bits";
	if (why)
		return error_set(err, -EINVAL,
			"Invalid parameters: cannot set global %s to '%s': %s", set->name,
			set->value, why);
	memcpy(at, &value, sizeof(value)); /* a counter's base comes first */
	return 0;
}

static int session_apply_globals(struct session *s, struct error *err)
{
	int r = 0;
	for (size_t i = 0; i < s->options->globals.count && r == 0; i++) {
		const struct session_setting *set = &s->options->globals.items[i];
		bool is_known = false;
		for (uint32_t g = 0; g < s->code.global_count && r == 0; g++) {
			if (strcmp(s->code.globals[g].var->name, set->name) != 0)
				continue;
			is_known = true;
			r = session_set_global(s, &s->code.globals[g], set, err);
		}
		if (!is_known)
			session_warn(s, "-G %s: no such global is used", set->name);
	}
	s->is_of_globals = r < 0;
	return r;
}

/* What no pass before has looked at, as SystemTap finds it when it makes the global. */
static int session_check_histograms(struct session *s, struct error *err)
{
	enum {
		OUTER_BUCKETS = 2 /* what is below and what is above */
	};
	uint32_t max = session_limit(s->options, "STP_MAX_BUCKETS", 128);

	for (uint32_t g = 0; g < s->code.global_count; g++) {
		const struct abi_stat_desc *stat = &s->code.globals[g].stat;

		if (stat->hist != ABI_HIST_LINEAR ||
			(stat->bucket_count && stat->bucket_count <= max))
			continue;
		if (stat->width == 0)
			session_warn(s, "histogram: interval cannot be zero.");
		else
			session_warn(s,
				"histogram: Number of buckets must be between 1 and %u\n"
				"Number_of_buckets = (stop - start) / interval.\n"
				"Please adjust your start, stop, and interval values.",
				max - OUTER_BUCKETS);
		s->is_of_globals = true;
		return error_set(err, -ERANGE, "global variable '%s' allocation failed",
			s->code.globals[g].var->name);
	}
	return 0;
}

static int session_prepare(struct session *s, struct error *err)
{
	int r = s->placed;
	if (r < 0) {
		*err = s->place_error;
		return r;
	}
	r = session_check_histograms(s, err);
	if (r == 0)
		r = session_plan_bind(s, err);
	if (r == 0)
		r = session_memory_create(s, err);
	if (r == 0)
		r = session_apply_globals(s, err);
	if (r == 0)
		r = session_fill_uprobes(s, err);
	if (r == 0 && (s->modules.count || session_watch_is_any_wanted(s)))
		r = uprobe_guardian_start(
			s->memory.fd, s->memory.size, &s->guardian, err);
	if (r == 0)
		r = session_output_open(s, err);
	if (r == 0)
		r = session_monitor_open(s, err);
	if (r == 0)
		s->unwind = session_unwind_create(s);
	if (r == 0)
		r = session_host_create(s, err);
	if (r == 0)
		r = session_control_open(s, err);
	if (r == 0)
		r = session_perf_create(s, err);
	if (r == 0)
		r = session_watch_create(s, err);
	if (r == 0)
		r = session_ask_start(s, err);
	if (r == 0)
		session_clock_publish(&s->clock, s->memory.header);
	return r;
}

static void session_set_state(struct session *s, uint32_t from, uint32_t to)
{
	__atomic_compare_exchange_n(&s->memory.header->state, &from, to, false,
		__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static void session_say_verbose(const struct session *s)
{
	if (!s->options->verbose)
		return;
	struct uprobe_counts sum = {0}, one;
	for (const struct session_process *p = s->processes; p; p = p->next) {
		if (!p->space)
			continue;
		uprobe_space_counts(p->space, &one);
		sum.sites += one.sites;
		sum.jumps += one.jumps;
		sum.windows += one.windows;
		sum.shorts += one.shorts;
		sum.breakpoints += one.breakpoints;
		sum.refused += one.refused;
		sum.arena_bytes += one.arena_bytes;
	}
	fprintf(stderr,
		"utrace: %zu patches (%zu jumps, %zu windows, %zu short, %zu breakpoints, %zu refused), "
		"%" PRIu64 " kB of code, %" PRIu64 " kB of session memory reserved\n",
		sum.sites, sum.jumps, sum.windows, sum.shorts, sum.breakpoints,
		sum.refused, sum.arena_bytes / 1024, s->memory.size / 1024);
}

static void ignore_signal(int number)
{
}

/* switch_file() in a begin probe waits for the loop; in an end probe it is too late for it. */
static void expect_switch(bool is_blocked)
{
	struct sigaction action = {.sa_handler = ignore_signal, .sa_flags = SA_RESTART};
	sigset_t mask;
	if (is_blocked) {
		sigemptyset(&mask);
		sigaddset(&mask, SIGUSR2);
		sigprocmask(SIG_BLOCK, &mask, NULL);
	} else {
		sigaction(SIGUSR2, &action, NULL);
	}
}

static int session_trace(struct session *s, struct error *err)
{
	int r = session_targets_open(s, err);
	if (r < 0)
		return r;
	expect_switch(true);
	session_host_run(s, STAP_PROBE_BEGIN);
	session_output_drain(s, true);
	if (!session_is_running(s))
		return 0; /* the command runs all the same, unobserved */
	r = session_targets_start(s, err);
	if (r < 0)
		return r;
	/* whoever is told that the probes are in may end the run at once */
	sigset_t mask;
	session_block_signals(&mask);
	session_say_verbose(s);
	session_background_ready(s);
	session_set_state(s, ABI_STATE_STARTING, ABI_STATE_RUNNING);
	return session_loop(s, err);
}

static void session_finish(struct session *s)
{
	struct abi_session *h = s->memory.header;
	session_set_state(s, ABI_STATE_STARTING, ABI_STATE_STOPPING);
	session_set_state(s, ABI_STATE_RUNNING, ABI_STATE_STOPPING);
	session_targets_stop(s);
	session_output_drain(s, true);
	session_monitor_draw(s);
	session_monitor_close(s); /* what comes now is for the user to keep */
	bool error = __atomic_load_n(&h->state, __ATOMIC_ACQUIRE) == ABI_STATE_ERROR;
	session_host_run(s, error ? STAP_PROBE_ERROR : STAP_PROBE_END);
	session_output_drain(s, true);
	session_output_globals(s);
	session_output_timing(s);
	session_output_reports(s);
}

/*
 * The command outlives a script that ends first: wait for it as stap does.  That it fails counts whoever was
 * first, unless the user has ended both.
 */
static void session_wait_command(struct session *s)
{
	if (!s->command_pid || s->command_exited)
		return;
	int status;
	pid_t ended;
	while ((ended = waitpid(s->command_pid, &status, 0)) < 0 && errno == EINTR)
		;
	s->command_exited = ended == s->command_pid && !s->interrupted;
	s->command_status = s->command_exited ? status : 0;
}

static bool session_command_failed(const struct session *s)
{
	if (!s->command_exited || s->command_status == 0)
		return false;
	if (WIFSIGNALED(s->command_status))
		fprintf(stderr, "WARNING: Child process exited with signal %d (%s)\n",
			WTERMSIG(s->command_status),
			strsignal(WTERMSIG(s->command_status)));
	else
		fprintf(stderr, "WARNING: Child process exited with status %d\n",
			WEXITSTATUS(s->command_status));
	return true;
}

static int session_pass5(struct session *s)
{
	struct session_pass clock;
	struct error err = {0};
	session_pass_start(&clock);
	if (s->options->pass_verbose[4])
		fprintf(stderr, "Pass 5: starting run.\n");
	expect_switch(false);
	int r = session_prepare(s, &err);
	if (r == 0) {
		r = session_trace(s, &err);
		if (r < 0)
			session_targets_stop(s);
		else
			session_finish(s);
	}
	if (s->guardian >= 0)
		uprobe_guardian_dismiss(s->guardian);
	if (s->options->pass_verbose[4] && s->code.walks_stacks)
		fprintf(stderr, "Pass 5: %llu stacks were left to the tracer.\n",
			(unsigned long long)session_ask_stacks(s));
	/* what SystemTap's module says of them begins with ERROR */
	if (s->is_of_globals)
		fprintf(stderr, "ERROR: %s\n", err.message);
	else if (r < 0)
		print_error(&err);
	bool failed = r < 0;
	if (session_output_close(s) < 0)
		failed = true;
	if (s->memory.header && s->memory.header->error_count &&
		!s->options->suppress_handler_errors)
		failed = true;
	if (s->memory.header && session_skipped_too_many(s))
		failed = true;
	if (r == 0)
		session_wait_command(s);
	if (session_command_failed(s))
		failed = true;
	session_pass_end(s, &clock, 5, "run completed");
	if (failed)
		fprintf(stderr, "Pass 5: run failed.  [man error::pass5]\n");
	return failed ? 1 : 0;
}

void session_deinit(struct session *s)
{
	session_targets_free(s);
	session_ask_stop(s);
	session_perf_destroy(s);
	session_watch_destroy(s);
	session_unwind_destroy(s->unwind);
	session_control_close(s);
	session_monitor_close(s);
	session_host_destroy(s);
	session_memory_destroy(s);
	session_plan_free(s);
	codegen_result_free(&s->code);
	session_front_deinit(s);
	cache_close(s->cache);
	vec_free(&s->sites);
	vec_free(&s->event_sites);
	vec_free(&s->diagnostics.list);
	arena_deinit(&s->arena);
	session_output_free(s);
}

/* false: a child does */
static bool session_goes_on(struct session *s, int *ret_status)
{
	struct error err = {0};
	int r = s->options->flight_recorder
			? session_background_start(s, ret_status, &err)
			: 0;
	if (r < 0) {
		print_error(&err);
		*ret_status = 1;
	}
	return r == 0;
}

int session_run(const struct session_options *options)
{
	struct session s;
	int status = 1;
	session_init(&s, options);
	if (session_open_cache(&s) < 0 || session_front(&s) < 0)
		goto out;
	status = 0;
	if (options->last_pass < 3)
		goto out;
	if (options->last_pass >= 5)
		session_place(&s);
	status = session_translate(&s) < 0 ? 1 : 0;
	if (status || options->last_pass < 5 || !session_goes_on(&s, &status))
		goto out;
	status = session_pass5(&s);
out:
	session_tell_cache(&s);
	session_deinit(&s);
	return status;
}

int session_list(
	const struct session_options *options, const char *point, bool with_variables)
{
	struct session s;
	session_init(&s, options);
	int status = session_open_cache(&s) < 0 ||
				     session_front_list(&s, point, with_variables) < 0
			     ? 1
			     : 0;
	session_deinit(&s);
	return status;
}

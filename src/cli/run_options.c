/* SPDX-License-Identifier: MIT */
/*
 * utrace run: all of stap's options, same letters, same meanings, same complaints.
 * docs/stap-options.md and utrace-run(1) say the same; a test compares them.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "cli/cmd_run.h"
#include "stap/parser.h"

static struct session_options *session_of(void *data)
{
	return &((struct run_request *)data)->session;
}

static int bad(struct error *err, const char *fmt, const char *value)
{
	char text[400];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(text, sizeof(text), fmt, value);
#pragma GCC diagnostic pop
	return error_set(err, -EINVAL, "%s", text);
}

/* What reaches a compiler or a shell there is checked by patterns, which users know. */
static int check_pattern(
	const char *option, const char *value, const char *pattern, struct error *err)
{
	if (cli_matches(value, pattern))
		return 0;
	return error_set(err, -EINVAL,
		"ERROR: Safety pattern mismatch for %s parameter ('%s' vs. '%s') rc=1",
		option, value, pattern);
}

/* ---- scripts and what they run on --------------------------------------------------------- */

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
	struct session_options *o = session_of(data);
	struct session_text *text = vec_push(&o->scripts);
	char name[32];
	snprintf(name, sizeof(name), "<input%zu>", o->scripts.count);
	text->name = text->own_name = strdup(name);
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
		return error_set(err, -EINVAL, "Invalid target process ID number.");
	session_of(data)->pid = (pid_t)pid;
	return 0;
}

int run_set_include(void *data, const char *value, struct error *err)
{
	vec_append(&session_of(data)->include_dirs, value);
	return 0;
}

static int set_tapset(void *data, const char *value, struct error *err)
{
	session_of(data)->tapset_dir = value;
	return 0;
}

/* ---- passes ------------------------------------------------------------------------------- */

int run_set_verbose(void *data, const char *value, struct error *err)
{
	struct session_options *o = session_of(data);
	o->verbose++;
	for (int i = 0; i < SESSION_PASSES; i++)
		o->pass_verbose[i]++;
	return 0;
}

static int set_pass_verbose(void *data, const char *value, struct error *err)
{
	if (!cli_matches(value, "^[0-9]{1,5}$"))
		return error_set(
			err, -EINVAL, "Invalid --vp argument: it takes 1 to 5 digits.");
	for (int i = 0; value[i]; i++)
		session_of(data)->pass_verbose[i] += value[i] - '0';
	return 0;
}

static int set_last_pass(void *data, const char *value, struct error *err)
{
	long pass;
	if (!cli_number(value, 1, SESSION_PASSES, &pass))
		return error_set(err, -EINVAL, "Invalid pass number (should be 1-5).");
	session_of(data)->last_pass = (int)pass;
	((struct run_request *)data)->has_last_pass = true;
	return 0;
}

static int set_listing(struct run_request *r, enum run_listing listing, const char *point,
	struct error *err)
{
	if (r->listing)
		return error_set(err, -EINVAL,
			"ERROR: only one of the -l/-L/--dump-* switches may be specified");
	r->listing = listing;
	r->list_point = point;
	return 0;
}

static int set_list(void *data, const char *value, struct error *err)
{
	return set_listing(data, RUN_LIST_POINTS, value, err);
}

static int set_list_variables(void *data, const char *value, struct error *err)
{
	return set_listing(data, RUN_LIST_VARIABLES, value, err);
}

static int set_dump_types(void *data, const char *value, struct error *err)
{
	return set_listing(data, RUN_LIST_TYPES, NULL, err);
}

static int set_dump_aliases(void *data, const char *value, struct error *err)
{
	return set_listing(data, RUN_LIST_ALIASES, NULL, err);
}

static int set_dump_functions(void *data, const char *value, struct error *err)
{
	return set_listing(data, RUN_LIST_FUNCTIONS, NULL, err);
}

/* ---- settings ----------------------------------------------------------------------------- */

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

/* What can be had of each limit; others are counts from 0 on. */
static int check_limit(const char *name, const char *value, struct error *err)
{
	static const struct {
		const char *name;
		long long low, high;
	} ranges[] = {
		/* a handler keeps several texts in the 96 KiB of its thread's scratch area */
		{"MAXSTRINGLEN", 2, 16384},
		{"MAXMAPENTRIES", 1, 1 << 24},
		{"MAXNESTING", 1, 1000},
		{"MAXBACKTRACE", 1, 4096},
	};
	long long low = 0, high = INT32_MAX;
	char *end;
	errno = 0;
	long long number = strtoll(value, &end, 0);

	if (*end)
		return error_set(
			err, -EINVAL, "-D %s: '%s' is not a number", name, value);
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		if (strcmp(ranges[i].name, name) != 0)
			continue;
		low = ranges[i].low;
		high = ranges[i].high;
	}
	if (errno || number < low || number > high)
		return error_set(err, -ERANGE, "-D %s: %s is not from %lld to %lld", name,
			value, low, high);
	return 0;
}

static int set_limit(void *data, const char *value, struct error *err)
{
	int r = check_pattern("-D", value, "^[a-z_][a-z_0-9]*(=-?[a-z_0-9]+)?$", err);
	if (r < 0)
		return r;
	struct session_setting *setting = vec_push(&session_of(data)->limits);
	add_setting(setting, value);
	if (!setting->value)
		setting->value = "1";
	return strncmp(setting->name, "MAX", 3) == 0
		       ? check_limit(setting->name, setting->value, err)
		       : 0;
}

static int set_global(void *data, const char *value, struct error *err)
{
	int r = check_pattern("-G", value, "^[a-z_][a-z0-9_]*=[a-z0-9_.-]+$", err);
	if (r == 0)
		add_setting(vec_push(&session_of(data)->globals), value);
	return r;
}

static int set_module_name(void *data, const char *value, struct error *err)
{
	struct session_options *o = session_of(data);
	enum {
		NAME_MAX_LENGTH = sizeof(o->module_name) - 1
	};
	size_t length = strlen(value);
	bool has_suffix = length >= 3 && (strcmp(value + length - 3, ".ko") == 0 ||
						 strcmp(value + length - 3, ".so") == 0);
	if (has_suffix)
		length -= 3;
	if (length == 0)
		return error_set(err, -EINVAL, "Module name cannot be empty.");
	bool is_cut = length > NAME_MAX_LENGTH;
	snprintf(o->module_name, sizeof(o->module_name), "%.*s", (int)length, value);
	if (has_suffix || is_cut)
		fprintf(stderr, "Truncating module name to '%s'\n", o->module_name);
	return check_pattern("-m", o->module_name, "^[a-z0-9_]+$", err);
}

static int set_compatible(void *data, const char *value, struct error *err)
{
	if (strverscmp(value, STAP_LANGUAGE_VERSION) > 0)
		return bad(err,
			"ERROR: systemtap version " STAP_LANGUAGE_VERSION
			" cannot be compatible with future version %s",
			value);
	session_of(data)->compatible = value;
	return 0;
}

static int set_privilege(void *data, const char *value, struct error *err)
{
	if (strcmp(value, "stapusr") != 0 && strcmp(value, "stapsys") != 0 &&
		strcmp(value, "stapdev") != 0)
		return bad(err, "Invalid argument '%s' for --privilege.", value);
	const char *earlier = session_of(data)->privilege;
	if (earlier && strcmp(earlier, value) != 0)
		return error_set(err, -EINVAL, "Privilege level may be set only once.");
	session_of(data)->privilege = value;
	return 0;
}

static int set_unprivileged(void *data, const char *value, struct error *err)
{
	return set_privilege(data, "stapusr", err);
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
FLAG_SETTER(disable_cache)
FLAG_SETTER(poison_cache)
FLAG_SETTER(clean_cache)
FLAG_SETTER(force)

static int set_mode(void *data, const char *value, struct error *err)
{
	static const char *const names[] = {"auto", "inject", "ptrace"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(value, names[i]) == 0) {
			session_of(data)->mode = (enum uprobe_mode)i;
			return 0;
		}
	return bad(
		err, "ERROR: Invalid mode '%s': expected auto, inject or ptrace.", value);
}
FLAG_SETTER(timing)
FLAG_SETTER(flight_recorder)

static int set_show_version(void *data, const char *value, struct error *err)
{
	((struct run_request *)data)->show_version = true;
	return 0;
}

/* ---- output ------------------------------------------------------------------------------- */

static int set_output(void *data, const char *value, struct error *err)
{
	session_of(data)->output_path = value;
	return 0;
}

static int set_rotation(void *data, const char *value, struct error *err)
{
	struct session_options *o = session_of(data);
	int r = check_pattern("-S", value, "^[0-9]+(,[0-9]+)?$", err);
	if (r < 0)
		return r;
	char *end;
	o->rotate_bytes = strtoull(value, &end, 10) << 20;
	o->rotate_files = *end == ',' ? (unsigned)strtoul(end + 1, NULL, 10) : 0;
	return 0;
}

static int set_timeout(void *data, const char *value, struct error *err)
{
	char *end;
	double ms = strtod(value, &end) * 1000;
	if (*end || !(ms >= 1 && ms < 4e9))
		return error_set(err, -EINVAL, "Invalid timeout interval.");
	session_of(data)->timeout_ms = (unsigned)ms;
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

static int set_monitor(void *data, const char *value, struct error *err)
{
	long seconds = 1;
	if (value && !cli_number(value, 1, INT_MAX, &seconds))
		return error_set(err, -EINVAL, "Invalid monitor interval.");
	session_of(data)->monitor_seconds = (unsigned)seconds;
	return 0;
}

static int set_color(void *data, const char *value, struct error *err)
{
	struct session_options *o = session_of(data);
	if (!value || strcmp(value, "always") == 0)
		o->color = SESSION_COLOR_ALWAYS;
	else if (strcmp(value, "never") == 0)
		o->color = SESSION_COLOR_NEVER;
	else if (strcmp(value, "auto") == 0)
		o->color = SESSION_COLOR_AUTO;
	else
		return bad(err, "Invalid argument '%s' for --color.", value);
	return 0;
}

/* ---- values that are only checked --------------------------------------------------------- */

static int check_prologue(void *data, const char *value, struct error *err)
{
	if (!value || strcmp(value, "always") == 0 || strcmp(value, "never") == 0 ||
		strcmp(value, "auto") == 0)
		return 0;
	return bad(err, "Invalid argument '%s' for --prologue-searching.", value);
}

static int set_runtime(void *data, const char *value, struct error *err)
{
	if (strcmp(value, "kernel") == 0 || strcmp(value, "dyninst") == 0 ||
		strcmp(value, "bpf") == 0) {
		session_of(data)->runtime = value;
		return 0;
	}
	return bad(err, "ERROR: %s is an invalid argument for --runtime", value);
}

static int check_modinfo(void *data, const char *value, struct error *err)
{
	return check_pattern("--modinfo", value, "^[a-z_][a-z0-9_]*=.+$", err);
}

static int check_namespaces(void *data, const char *value, struct error *err)
{
	long pid;
	if (cli_number(value, 1, 0x7fffffff, &pid))
		return 0;
	return error_set(
		err, -EINVAL, "Invalid process ID number for target namespaces.");
}

static int check_sysroot(void *data, const char *value, struct error *err)
{
	struct run_request *r = data;
	struct stat info;
	if (r->has_sysroot)
		return error_set(
			err, -EINVAL, "ERROR: multiple --sysroot options not supported");
	if (stat(value, &info) < 0 || !S_ISDIR(info.st_mode))
		return bad(err, "ERROR: %s is an invalid directory for --sysroot", value);
	r->has_sysroot = true;
	return 0;
}

static int check_sysenv(void *data, const char *value, struct error *err)
{
	if (!((struct run_request *)data)->has_sysroot)
		return error_set(err, -EINVAL, "ERROR: --sysenv must follow --sysroot");
	if (!strchr(value, '='))
		return bad(err, "ERROR: %s is an invalid argument for --sysenv", value);
	return 0;
}

static int check_architecture(void *data, const char *value, struct error *err)
{
	struct utsname machine;
	int r = check_pattern("-a", value, "^[a-z0-9_-]+$", err);
	if (r < 0 || uname(&machine) < 0 || strcmp(value, machine.machine) == 0)
		return r;
	return error_set(err, -EINVAL,
		"ERROR: -a %s is not available: code is made for this machine alone, %s",
		value, machine.machine);
}

/* elfutils asks the servers in DEBUGINFOD_URLS by itself. */
static int set_download(void *data, const char *value, struct error *err)
{
	if (value && strcmp(value, "no") == 0)
		unsetenv("DEBUGINFOD_URLS");
	else if (value && cli_matches(value, "^[0-9]+$"))
		setenv("DEBUGINFOD_TIMEOUT", value, 1);
	else if (value && strcmp(value, "yes") != 0 && strcmp(value, "ask") != 0)
		return bad(err,
			"ERROR: %s is not a valid value. Use 'yes', 'no', 'ask' or a timeout value.",
			value);
	return 0;
}

static int set_resource(
	int resource, const char *name, const char *value, struct error *err)
{
	char *end;
	errno = 0;
	struct rlimit limit;
	limit.rlim_cur = limit.rlim_max = strtoull(value, &end, 0);
	if (!*value)
		return error_set(
			err, -EINVAL, "An --%s option value must be specified.", name);
	bool is_number = !errno && !*end;
	if (!is_number && resource == RLIMIT_AS)
		return error_set(err, -EINVAL,
			"Unable to convert %s resource limit '%s'.", name, value);
	if (!is_number)
		return error_set(err, -EINVAL,
			"Unable to convert resource limit '%s' for %s", value, name);
	if (setrlimit(resource, &limit) < 0)
		return error_set(err, -errno, "Unable to set resource limits for %s: %s",
			name, strerror(errno));
	return 0;
}

#define RESOURCE_SETTER(name, resource)                                                \
	static int set_rlimit_##name(void *data, const char *value, struct error *err) \
	{                                                                              \
		return set_resource(resource, "rlimit-" #name, value, err);            \
	}
RESOURCE_SETTER(as, RLIMIT_AS)
RESOURCE_SETTER(cpu, RLIMIT_CPU)
RESOURCE_SETTER(nproc, RLIMIT_NPROC)
RESOURCE_SETTER(stack, RLIMIT_STACK)
RESOURCE_SETTER(fsize, RLIMIT_FSIZE)

/* ---- the table ---------------------------------------------------------------------------- */

/* clang-format off */
const struct cli_option run_options[] = {
	{'e', NULL, "SCRIPT", "run the script given here", set_script, 0},
	{'E', NULL, "SCRIPT", "additional script text; may be repeated", set_extra_script, 0},
	{'c', NULL, "CMD", "start CMD, probe it, end when it exits", run_set_command, 0},
	{'x', NULL, "PID", "attach to the running process PID", run_set_pid, 0},
	{'p', NULL, "N", "stop after pass N (1 parse ... 5 run)", set_last_pass, 0},
	{'l', NULL, "POINT", "list the probe points matching POINT", set_list, 0},
	{'L', NULL, "POINT", "the same with their variables", set_list_variables, 0},
	{0, "dump-probe-types", NULL, "list the kinds of probe points", set_dump_types, 0},
	{0, "dump-probe-aliases", NULL, "list the aliases of the library", set_dump_aliases, 0},
	{0, "dump-functions", NULL, "list the functions of the library", set_dump_functions, 0},
	{'v', NULL, NULL, "tell what is being done; more with -vv", run_set_verbose, 0},
	{0, "vp", "DIGITS", "the same for each pass: 00002 for the fifth", set_pass_verbose, 0},
	{'o', NULL, "FILE", "write the output to FILE; % as in strftime(3)", set_output, 0},
	{'S', NULL, "MB[,N]", "begin a new output file after MB megabytes, keep N", set_rotation, 0},
	{'F', NULL, NULL, "go on in the background (flight recorder)", set_flight_recorder, 0},
	{'s', NULL, "MB", "output buffer of each thread", set_buffer, 0},
	{'T', NULL, "SECONDS", "end after this time", set_timeout, 0},
	{'t', NULL, NULL, "report at the end how often and how long each probe ran", set_timing, 0},
	{0, "monitor", "[SECONDS]", "show globals and probes while it runs", set_monitor, 0},
	{'g', NULL, NULL, "guru mode: unsafe constructs are allowed", set_guru, 0},
	{'u', NULL, NULL, "keep what has no effect", set_unoptimized, 0},
	{'w', NULL, NULL, "no warnings", set_no_warnings, 0},
	{'W', NULL, NULL, "warnings are errors", set_warnings_are_errors, 0},
	{'D', NULL, "NAME[=VALUE]", "set a limit: MAXACTION, MAXMAPENTRIES, ...", set_limit, 0},
	{'G', NULL, "NAME=VALUE", "initial value of a global", set_global, 0},
	{'I', NULL, "DIR", "look for library scripts in DIR too", run_set_include, 0},
	{'m', NULL, "NAME", "what module_name() says", set_module_name, 0},
	{0, "skip-badvars", NULL, "context variables that cannot be found read as 0", set_skip_badvars, 0},
	{0, "suppress-handler-errors", NULL, "script errors never end the run", set_suppress_handler_errors, 0},
	{0, "suppress-time-limits", NULL, "no MAXACTION, no MAXTRYLOCK (needs -g)", set_suppress_time_limits, 0},
	{0, "no-global-var-display", NULL, "do not print globals that are never read", set_no_global_display, 0},
	{0, "compatible", "VERSION", "language version to follow", set_compatible, 0},
	{0, "privilege", "LEVEL", "stapusr, stapsys or stapdev: what the script may do", set_privilege, 0},
	{0, "unprivileged", NULL, "the same as --privilege=stapusr", set_unprivileged, 0},
	{0, "color", "[WHEN]", "colored messages: always, never, auto", set_color, 0},
	{0, "colour", "[WHEN]", "the same", set_color, 0},
	{0, "download-debuginfo", "[HOW]", "yes, no or seconds to wait for debuginfod", set_download, 0},
	{0, "rlimit-as", "N", "limit the tracer's address space, in bytes", set_rlimit_as, 0},
	{0, "rlimit-cpu", "N", "limit its processor time, in seconds", set_rlimit_cpu, 0},
	{0, "rlimit-nproc", "N", "limit its number of processes", set_rlimit_nproc, 0},
	{0, "rlimit-stack", "N", "limit its stack, in bytes", set_rlimit_stack, 0},
	{0, "rlimit-fsize", "N", "limit the size of its files, in bytes", set_rlimit_fsize, 0},
	{0, "mode", "auto|inject|ptrace", "where handlers run: in the target, or in utrace at a breakpoint",
		set_mode, 0},
	{0, "force", NULL, "inject although a seccomp filter might kill the target", set_force, 0},
	{0, "tapset", "DIR", "the library scripts, instead of the installed ones", set_tapset, 0},
	{0, "disable-cache", NULL, "neither use what earlier runs found out, nor keep it", set_disable_cache, 0},
	{0, "poison-cache", NULL, "find all out anew, and keep it", set_poison_cache, 0},
	{0, "clean-cache", NULL, "forget what earlier runs found out; needs no script", set_clean_cache, 0},
	{0, "dump-ir", NULL, "print the code before it is compiled", set_dump_ir, 0},
	{'V', "version", NULL, "show the version", set_show_version, 0},

	{'d', NULL, "OBJECT", "symbols and unwind tables are read where they are", NULL, CLI_NOTHING},
	{0, "ldd", NULL, "the same for libraries", NULL, CLI_NOTHING},
	{0, "all-modules", NULL, "the same for the kernel's modules", NULL, CLI_NOTHING},
	{'k', NULL, NULL, "no temporary files are made", NULL, CLI_NOTHING},
	{0, "tmpdir", "DIR", "no temporary files are made", NULL, CLI_NOTHING},
	{'P', NULL, NULL, "prologues are looked through where needed", NULL, CLI_NOTHING},
	{0, "prologue-searching", "[WHEN]", "the same", check_prologue, CLI_NOTHING},
	{0, "runtime", "MODE", "what scripts ask for: kernel, dyninst (without it), bpf", set_runtime, 0},
	{0, "dyninst", NULL, "handlers run in the program anyway", NULL, CLI_NOTHING},
	{0, "bpf", NULL, "the same", NULL, CLI_NOTHING},
	{'j', NULL, NULL, "an option of the bpf runtime", NULL, CLI_NOTHING},
	{'J', NULL, NULL, "an option of the bpf runtime", NULL, CLI_NOTHING},
	{'r', NULL, "RELEASE", "no kernel is involved", NULL, CLI_NOTHING},
	{'a', NULL, "ARCH", "code is made for this machine alone", check_architecture, CLI_NOTHING},
	{'R', NULL, "DIR", "the runtime is part of the program", NULL, CLI_NOTHING},
	{'B', NULL, "NAME=VALUE", "nothing is made with make", NULL, CLI_NOTHING},
	{0, "modinfo", "NAME=VALUE", "no kernel module is built", check_modinfo, CLI_NOTHING},
	{0, "debug", NULL, "no kernel module is built", NULL, CLI_NOTHING},
	{0, "sign-module", NULL, "no kernel module is built", NULL, CLI_NOTHING},
	{0, "save-module", NULL, "no kernel module is built", NULL, CLI_NOTHING},
	{0, "save-uprobes", NULL, "no kernel module is built", NULL, CLI_NOTHING},
	{0, "check-version", NULL, "all versions of the language are understood", NULL, CLI_NOTHING},
	{0, "use-server-on-error", "[HOW]", "no compile server is needed", NULL, CLI_NOTHING},
	{0, "remote-prefix", NULL, "output comes from this machine", NULL, CLI_NOTHING},
	{0, "target-namespaces", "PID", "ns_pid() and others tell what the tracer sees", check_namespaces, CLI_NOTHING},
	{0, "sysenv", "VAR=VALUE", "variables are those of the processes", check_sysenv, CLI_NOTHING},

	{'b', NULL, NULL, "output is one stream, in order of time", NULL, CLI_WARNS},
	{'q', NULL, NULL, "there is no report of tapset coverage", NULL, CLI_WARNS},
	{0, "use-server", "[SERVER]", "no compile server is needed", NULL, CLI_WARNS},
	{0, "sysroot", "DIR", "files are found where processes have them", check_sysroot, CLI_WARNS},
	{0, "semantic-keep-going", NULL, "all errors that can be told are told", NULL, CLI_WARNS},

	{'i', "interactive", NULL, "scripts are written in an editor; see utrace lsp", NULL, CLI_REFUSED},
	{0, "language-server", NULL, "start utrace lsp", NULL, CLI_REFUSED},
	{0, "remote", "URL", "run it there: ssh HOST utrace run ...", NULL, CLI_REFUSED},
	{0, "list-servers", "[WHICH]", "there are no compile servers", NULL, CLI_REFUSED},
	{0, "trust-servers", "[HOW]", "there are no compile servers", NULL, CLI_REFUSED},
	{0},
};
/* clang-format on */

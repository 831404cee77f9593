/* SPDX-License-Identifier: MIT */
/* The parts of a running session and who owns them; only for the files of this folder. */
#pragma once

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <time.h>

#include "abi/context.h"
#include "abi/session.h"
#include "agent/agent.h"
#include "arch/arch.h"
#include "base/arena.h"
#include "base/strbuf.h"
#include "cache/cache.h"
#include "elf/module.h"
#include "ptrace/ptrace.h"
#include "session/clock.h"
#include "session/options.h"
#include "session/session.h"
#include "stap/codegen/codegen.h"
#include "stap/semantic.h"
#include "uprobes/uprobes.h"
#include "utrace/utrace.h"

/* ---- memory.c: session memory as the tracer maps it
 * ------------------------------------------ */

enum {
	SESSION_CONTEXTS = 1024, /* where the address space is not limited */
	SESSION_TRACER_RING = 1024 * 1024,
};

/* A probe of the script at one place: what abi_site is made from. */
struct session_site {
	const struct stap_derived_probe *probe;
	const struct stap_location *location; /* NULL: begin, end, timer */
	uint64_t
		link_address; /* of the instruction: the location's, or one exit of the function */
	bool is_entry_part, is_paired; /* as of codegen_handler */
	uint32_t pair_group; /* is_paired: no other function's, nor that of a probe */
	bool is_keeper; /* rt_entered(): registers are kept for places in the function */
	const struct codegen_handler *handler; /* NULL until the program is compiled */
};

struct session_memory {
	int fd;
	void *base;
	uint64_t size;
	struct abi_session *header;
	struct abi_journal *journal;
	/* as in the header, which targets can write */
	uint64_t unwind_offset, unwind_size;
	uint32_t context_count;
};

/* ---- room.c: how much of the address space session memory takes
 * --------------------------------------- */

/** the parts of session memory whose size is a matter of choice */
struct session_room {
	uint32_t context_count, ring_size, pair_size;
	uint64_t unwind_size;
	uint32_t
		patches; /* of the undo journal: each process that is forked has its own */
};
struct session;
/**
 * session_room_choose() - as much as the tracer and its targets have room for
 * @fixed: bytes of all else; of the undo journal what stands before its patches
 * @shards: bytes of a context without its pairs
 */
must_check int session_room_choose(const struct session *s, uint64_t fixed,
	uint32_t shards, struct session_room *ret, struct error *err);

/* ---- host.c: running handlers in the tracer
 * --------------------------------------------------- */

struct session_host {
	unsigned char *block; /* arena page and image, mapped executable */
	size_t size;
	struct abi_context *context; /* slot 0 */
};

/* ---- output.c
 * -------------------------------------------------------------------------------------
 */

struct session_output {
	FILE *file;
	VEC(char *) files; /* written to, the oldest first */
	unsigned file_number;
	uint64_t file_size;
	bool line_ended; /* what was written last */
	bool failed;     /* disk full, pipe closed: the run ends */
	int error;
	uint64_t lost;  /* records that did not fit their ring */
	void *warnings; /* printed already: a tree of tsearch(3) */
	struct strbuf line;
	unsigned char *record; /* host copy of the record being printed */
	struct session_ring *rings;
	char *text;
};

/* ---- targets.c
 * ---------------------------------------------------------------------------------------
 */

/* All that is planned in one ELF file, before any process is touched. */
struct session_patch {
	struct arch_plan plan;
	uint64_t function_start, function_end;
	VEC(struct arch_handler_call) handlers; /* runtime_address: offset in the image */
};

struct session_module {
	const char *path;
	uint64_t device_inode;  /* as struct proc_map has it */
	struct elf_module *elf; /* borrowed from the target */
	struct arch_text *text;
	struct arch_call *calls; /* of stubs; once has_calls */
	size_t call_count;
	bool has_calls;
	bool is_library; /* mapped by programs other than itself */
	bool is_for_all; /* some point means every process that maps it, else: */
	VEC(const struct stap_location *) meant; /* one for each kind of process */
	VEC(struct session_patch) patches;
	VEC(uint64_t) semaphores; /* link-time addresses: raised while patches are in */
	size_t refused;
	struct kept_plans *kept; /* kept_plans.h; NULL: nothing was asked */
};

/** session_stub_calls() - all calls of, and jumps to, a stub of .plt; stub_calls.c */
const struct arch_call *session_stub_calls(struct session *s, struct session_module *m,
	const struct stap_location *stub, size_t *ret_count);

/** session_plan_lodge() - lodge.c: once all patches are known; hosts are added, which have no handlers */
void session_plan_lodge(struct session_module *m);

struct session_process; /* process.h */

struct session {
	const struct session_options *options;
	struct arena arena;
	struct stap_diagnostics diagnostics;
	struct stap_colors colors; /* of all messages, when diagnostics.colors says so */
	struct stap_program *program;
	struct codegen_result code;
	struct cache *cache; /* NULL: none */
	struct stap_target target;
	struct session_target_state *target_state;
	struct session_newcomers *newcomers; /* NULL: none were looked for */

	VEC(struct session_site) sites;
	VEC(uint32_t) event_sites; /* those of events, of perhaps very many */
	struct session_memory memory;
	struct session_host host;
	struct session_clock clock;
	struct session_output output;
	struct monitor *monitor;             /* monitor.h; NULL: none */
	struct control_files *control_files; /* control_files.h; NULL: none */
	struct session_asker *asker;         /* ask.h; NULL: no target asks anything */
	struct session_unwind *unwind; /* unwind.h; NULL: no handler looks at stacks */

	struct session_perf *perf;   /* perf_events.h; NULL: no probe asks for any */
	struct session_watch *watch; /* watch.h; likewise */

	struct utrace *utrace;
	struct uprobe_session uprobes;
	VEC(struct session_module) modules;
	struct session_process *processes;
	struct uprobe_ghosts ghosts;          /* process_of_orphan() */
	struct remote_thread *remote_threads; /* remote.c */
	int guardian;
	int background_fd; /* background.h; -1: in the foreground */

	pid_t command_pid; /* -c child, 0: none */
	bool command_exited;
	int command_status; /* wait status */
	bool interrupted;   /* by a signal */
	bool stopping;      /* the loop ends */
	bool attaching;     /* errors of single processes are fatal for the run */
	bool poll_modules;  /* some probed library is not mapped everywhere yet */
	struct codegen_handler keeper; /* of sites that are one */
	size_t uprobe_count;           /* places the script probes */
	int placed;                    /* what planning gave; told when the run starts */
	struct error place_error;
	bool is_of_globals; /* why the run cannot start */
};

/* ---- run.c: how long the passes take, for -v ------------------------------------------------------ */

struct session_pass {
	struct timespec real;
	struct rusage usage;
};
void session_pass_start(struct session_pass *pass);
/** "Pass N: ... in XusrYsysZreal ms." when that pass is to be told of */
void session_pass_end(const struct session *s, struct session_pass *pass, int number,
	const char *fmt, ...) printf_like(4, 5);

void session_init(struct session *s, const struct session_options *options);
void session_deinit(struct session *s);

must_check int session_memory_create(struct session *s, struct error *err);
void session_memory_destroy(struct session *s);
uint32_t session_limit(
	const struct session_options *options, const char *name, uint32_t standard);
/** contexts from here on were never handed out */
uint32_t session_context_limit(const struct session *s);
struct abi_context *session_context(const struct session *s, uint32_t slot);

must_check int session_host_create(struct session *s, struct error *err);
void session_host_destroy(struct session *s);
/** run every handler of a kind in priority order, until one asks for the end (unless
 * @all) */
void session_host_run(struct session *s, enum stap_probe_kind kind);
void session_host_call(struct session *s, uint32_t site);
struct host_call {
	uint32_t site;
	struct abi_regs *regs;
	uint64_t sp, ip;
};
/** a handler in the tracer on a context that stands for a stopped thread; see remote.h */
void session_host_run_handler(
	struct session *s, struct abi_context *c, const struct host_call *call);
void session_remote_enable(struct agent_arena *arena);

must_check int session_output_open(struct session *s, struct error *err);
/** print what is complete; @final: everything, whatever its age.  true: some ring was
 * filling up */
bool session_output_drain(struct session *s, bool final);
void session_output_text(struct session *s, const char *text, size_t size);
void session_output_globals(struct session *s);
/** every global of the user's script, as at the end of a run */
void session_put_globals(struct session *s, struct strbuf *out);
void session_output_reports(struct session *s);
/** -t: how often and how long each probe ran */
void session_output_timing(struct session *s);
/** what one probe did in all its places */
struct session_timing {
	uint64_t hits, cycles, cycles_min, cycles_max, cycles_variance;
};
/** what session memory has of s->sites, at the same indexes */
struct abi_site *session_abi_sites(const struct session *s);
/** what a probe is called in reports: one that matches many places as the script says it */
const char *session_probe_name(const struct stap_derived_probe *probe);
void session_probe_timing(const struct session *s, const struct stap_derived_probe *probe,
	struct session_timing *ret);
void session_put_timing(const struct session *s, const struct stap_derived_probe *probe,
	struct strbuf *out);
int session_output_close(struct session *s);
void session_output_free(
	struct session *s); /* of the texts of warnings, which may come without output */
/** run a command for system() with the user's own rights; its output goes to our standard
 * output */
void session_system(struct session *s, const char *command);
/** "WARNING: text" on standard error, each text once */
void session_warn(struct session *s, const char *fmt, ...) printf_like(2, 3);
/** session_error() - "ERROR: " and the text */
void session_error(struct session *s, const char *text);
/** session_skipped_too_many() - did more handlers find no lock than MAXSKIPPED allows */
bool session_skipped_too_many(const struct session *s);

/**
 * session_plan() - plan all patches of the program's uprobes; refusals are warned about
 * Before the program is compiled: it tells which returns take a hidden handler at the entry.
 */
must_check int session_plan(struct session *s, struct error *err);
/** session_plan_bind() - to the handlers, once they are there */
must_check int session_plan_bind(struct session *s, struct error *err);
/** session_plan_module() - the file of a place, made at need */
struct session_module *session_plan_module(
	struct session *s, const struct stap_location *location);
/** session_plan_keepers() - what the first sites want kept from entries of functions; keepers.c */
void session_plan_keepers(struct session *s, size_t site_count);
void session_plan_free(struct session *s);
/** how a place would be patched, and why not better: a line for each patch */
void session_plan_describe(
	struct session *s, const struct stap_location *location, struct strbuf *out);
/** the cache as the options want it; none is no failure */
must_check int session_open_cache(struct session *s);
/** "$n:int", a line for each variable of the analysed program's probes */
void session_list_variables(struct session *s, struct strbuf *out);
/** print the points of the analysed program; how many there are */
size_t session_list_print(struct session *s, bool with_variables);
/** start the command, held at its exec; before any probe runs, which may ask for target() */
must_check int session_targets_open(struct session *s, struct error *err);
/** patch the command, or attach; the command is left stopped before its first instruction */
must_check int session_targets_start(struct session *s, struct error *err);
/** what callbacks left to do; from the loop, after utrace_dispatch() */
void session_targets_work(struct session *s);
must_check int session_split_command(
	struct session *s, const char *command, char ***ret, struct error *err);
void session_targets_release(struct session *s); /* let the launched command run */
/** the threads that run are to run a profile probe's handler */
void session_targets_sample(struct session *s, uint32_t site);
void session_targets_settle(struct session *s); /* threads whose signals are held back */
/** attach to a process, and patch what it maps */
must_check int session_targets_attach(struct session *s, pid_t pid, struct error *err);
/** does a process run, or has it mapped, what is probed? */
bool session_targets_wants(struct session *s, pid_t pid);
/** can any process be wanted? */
bool session_targets_wants_any(const struct session *s);
void session_newcomers_look(struct session *s); /* newcomers.c */
void session_newcomers_free(struct session *s);
void session_targets_poll(struct session *s); /* newly mapped libraries */
void session_targets_stop(struct session *s); /* take everything out, detach */
void session_targets_free(struct session *s);

must_check int session_loop(struct session *s, struct error *err);
/** from here on they wait for the loop, which ends the run in order; after the command is launched,
 * which would inherit it */
void session_block_signals(sigset_t *ret_mask);
bool session_is_running(const struct session *s);

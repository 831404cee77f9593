/* SPDX-License-Identifier: MIT */
/*
 * The inside of a struct uprobe_space: one patched address space.  Only uprobes/ includes
 * this.
 *
 * Sites are kept sorted by address and never leave the table while the space lives: a
 * thread may have run into a transient breakpoint whose signal is reported long after the
 * site was taken out, and somebody must still be able to say "that one was ours".
 */
#pragma once

#include <signal.h>

#include "abi/session.h"
#include "base/step.h"
#include "base/vec.h"
#include "uprobes/journal.h"
#include "uprobes/uprobes.h"

enum {
	BREAKPOINT = 0xcc,
	BREAKPOINT_SIZE = 1,
	TRAP_FLAG = 0x100, /* of eflags: the processor steps */
	SITE_PATCH_MAX = 10,
	SITE_PADDING = 5,
	BARE_SLOT_MAX = 64, /* a displaced copy in padding */
	TEXT_PAGE = 4096
};

enum uprobe_site_state {
	SITE_PENDING,   /* being inserted; the text is untouched */
	SITE_TRANSIENT, /* the text is partly patched */
	SITE_LIVE,
	SITE_REMOVED, /* the text is the program's own; only late signals are of interest
		       */
};

struct uprobe_site {
	uint64_t address, trampoline;
	/* of the mapping: another file, or another part of it, may come to the same place */
	uint64_t device_inode, file_bias;
	uint64_t padding; /* where the second jump of ARCH_PATCH_JUMP_SHORT goes; 0: none
			   */
	struct uprobe_request *request; /* only while being inserted */
	const void *notice;
	enum uprobe_site_state state;
	enum arch_patch_form form;
	uint32_t journal, padding_journal; /* record indexes; JOURNAL_NONE */
	uint16_t trampoline_size;
	uint8_t size, window;
	bool is_lodged;   /* its padding is inside the patch of a host */
	bool is_host;     /* as long as there are lodgers it stays in */
	bool is_emulated; /* a breakpoint that has no copy anywhere */
	bool is_kept;     /* not among those being taken out */
	uint8_t insn_count, map_count;
	uint8_t insn_offset[ARCH_MAX_INSNS];
	uint8_t original[ARCH_MAX_WINDOW];
	uint8_t patch[SITE_PATCH_MAX];
	uint8_t padding_original[SITE_PADDING], padding_patch[SITE_PADDING];
	struct arch_pc_map_entry map[ARCH_MAX_INSNS];
};

struct uprobe_arena {
	uint64_t address, size, used;
	uint32_t journal;
	bool is_padding; /* of a module's text, not mapped by us: bare.c */
};

struct blocked_thread { /* had SIGTRAP, SIGSEGV or SIGBUS blocked when last looked at */
	pid_t tid;
	uint64_t mask;
};

/* Raised by the thread's own instructions; forcing a blocked one would reset its disposition. */
#define SIGNAL_BIT(signal) (1ull << ((signal)-1))
#define SIGNALS_SYNCHRONOUS                                              \
	(SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGILL) | \
		SIGNAL_BIT(SIGFPE) | SIGNAL_BIT(SIGTRAP) | SIGNAL_BIT(SIGSYS))

/* of a thread that is being stepped out of our code: defer.c */
struct deferred_signal {
	pid_t tid;
	uint32_t journal;
	unsigned int steps, steps_seen;
	bool at_pushf;
	uint64_t mask; /* the program's own */
	siginfo_t info;
};

struct trap_table { /* struct agent_site_entry[capacity] in an arena */
	uint64_t address;
	size_t capacity;
};

struct uprobe_space {
	struct uprobe_session session;
	struct inject *inject; /* NULL in a fork child that nothing was asked of yet */
	bool by_ptrace;        /* handlers run in the tracer */
	bool is_bare;          /* no calls can be made in the process: bare.c */
	bool is_filtered; /* nor any more: it has put a filter on. To be removed only */
	struct error refused_injection; /* why by_ptrace */
	struct journal journal;
	pid_t pid;
	char *program;   /* what it runs, canonical; NULL: unknown */
	int memory_fd;   /* /proc/PID/mem */
	bool is_silent;  /* it is known to have put a filter on: handlers make no call */
	pid_t looked_at; /* the thread whose filters were looked at last */
	bool inserting;  /* transient sites are on their way in, not out */
	uint64_t session_address, null_context;
	uint32_t session_journal, null_journal, victim_journal;
	VEC(struct uprobe_site) sites;
	VEC(struct uprobe_arena) arenas;
	VEC(struct blocked_thread) blocked;
	VEC(struct deferred_signal) deferred;
	VEC(struct uprobe_semaphore) semaphores; /* raised by us */
	struct trap_table traps[2]; /* the one not in use is written, then published */
	int traps_current;
	uint64_t front_signals; /* signals whose action is the agent's front now */
	uint64_t front_lost; /* of those: the kernel may have reset the action to default
			      */
	size_t refused;
};

/* ---- life (space.c)
 * -------------------------------------------------------------------------- */

/** make sure a victim is held; *ret_taken: it was not before, and has to be released */
must_check int space_take_victim(
	struct uprobe_space *space, bool *ret_taken, struct error *err);
must_check int space_release_victim(struct uprobe_space *space, struct error *err);
/** with all threads held: they will run what is in memory now */
must_check int space_sync_stopped(struct uprobe_space *space, struct error *err);
/**
 * space_is_filtered() - a filter has been put on: no call may be made any more
 * Nor may a thread be woken from a call that it has begun before: the call would be made again, and the
 * filter asked.
 */
bool space_is_filtered(struct uprobe_space *space);
/** space_note_filter() - a thread is under a filter: if it may end it, handlers make no call any more */
void space_note_filter(struct uprobe_space *space, pid_t tid);
/** the held victim is the only thread */
bool space_is_single_stopped(struct uprobe_space *space);
/** space_alloc() - nothing is mapped or patched yet */
must_check int space_alloc(const struct uprobe_session *session, pid_t pid,
	struct uprobe_space **ret, struct error *err);
void space_free(struct uprobe_space *space);
/** the process is gone: nothing to undo; children of it may still be given bookkeeping by uprobe_space_fork() */
void space_bury(struct uprobe_space *space);

/* ---- sites (site.c)
 * -------------------------------------------------------------------------- */

/** the site whose replaced or displaced bytes hold @address, NULL when there is none */
struct uprobe_site *site_find(struct uprobe_space *space, uint64_t address);
/** bytes of instruction starts behind the head that a patch overwrites */
bool site_has_interior(const struct uprobe_site *site);
bool site_is_insn_start(const struct uprobe_site *site, size_t offset);
/**
 * site_redirect() - where a thread at @pc strictly inside the window has to go on
 * A pc one past a `syscall` of the window is inside too: the kernel restarts a call by pc
 * -= 2.
 */
bool site_redirect(const struct uprobe_site *site, uint64_t pc, uint64_t *ret);
/** the inverse: the program's own pc for one in the site's trampoline, where there is one
 */
bool site_home(const struct uprobe_site *site, uint64_t pc, uint64_t *ret);
/** has it padding of its own to write? */
bool site_has_padding(const struct uprobe_site *site);
/** the site whose patch holds the lodger's long jump; NULL: it is not among those that are in or coming */
struct uprobe_site *site_host(
	struct uprobe_space *space, const struct uprobe_site *lodger);
/** where a thread goes on that ran into a breakpoint of the site at @address */
uint64_t site_trap_target(const struct uprobe_site *site, uint64_t address);

/* ---- arenas (arena.c)
 * -------------------------------------------------------------------------- */

must_check int arena_map(struct uprobe_space *space, uint64_t low, uint64_t high,
	uint64_t room, struct error *err);
struct uprobe_arena *arena_find(
	struct uprobe_space *space, uint64_t low, uint64_t high, uint64_t room);
bool arena_contains(const struct uprobe_space *space, uint64_t address);
/** ... in a copy of the image: agent and handlers */
bool arena_image_contains(const struct uprobe_space *space, uint64_t address);
static inline uint64_t arena_image(
	const struct uprobe_space *space, const struct uprobe_arena *arena)
{
	return arena->address - (uint64_t)space->session.arena_block_offset;
}
/** let the signal front know all sites, transient breakpoints included */
must_check int arena_publish_traps(struct uprobe_space *space, struct error *err);
/** the front stays, in a process that has put a filter on: it is to make no call */
must_check int arena_forbid_calls(int memory_fd, uint64_t address);
/** threads have SIGTRAP blocked: they register by system calls */
must_check int arena_register_itself(struct uprobe_space *space, struct error *err);
/** install the front for @signals / give them back; need a victim */
must_check int front_install(
	struct uprobe_space *space, uint64_t signals, struct error *err);
must_check int front_remove(
	struct uprobe_space *space, uint64_t signals, struct error *err);
/** install it again where the kernel, forcing a blocked signal, has reset the action */
must_check int front_repair(struct uprobe_space *space, struct error *err);
bool front_available(const struct uprobe_space *space);

/* ---- the dynamic linker (loader.c, entry.c) -------------------------------- */

/** a breakpoint whose report gives the notice; 0, or why not */
must_check int space_insert_notice(struct uprobe_space *space, uint64_t address,
	const void *notice, struct error *err);
/** what the notice of the breakpoint at the entry point points to */
extern const char entry_notice;

/* ---- without any call in the process (bare.c)
 * -------------------------------------------------------------------------- */

must_check int bare_check_signals(struct uprobe_space *space, struct error *err);
/** make padding of a module in [low, high) an arena; -ENOSPC */
must_check int bare_map(
	struct uprobe_space *space, uint64_t low, uint64_t high, struct error *err);
bool bare_can_emulate(const struct uprobe_site *site);
must_check int bare_insert(struct uprobe_space *space, struct error *err);
/** padding as it was: zeros */
must_check int bare_clear(int memory_fd, uint64_t address, uint64_t size);
must_check int bare_clear_all(struct uprobe_space *space);

/* ---- semaphores of marks (semaphore.c)
 * ----------------------------------------------------------- */

/** a fork child has raised ones from birth */
must_check int semaphores_copy(
	struct uprobe_space *space, const struct uprobe_space *parent);
void semaphores_forget_unmapped(struct uprobe_space *space, const struct proc_maps *maps);
void semaphores_lower(struct uprobe_space *space);

/* ---- signals (signal.c), and those held back (defer.c)
 * ------------------------------------------ */

/** resolve what our breakpoints and safe reads raise; see uprobe_report_signal() for both */
bool signal_resolve(struct uprobe_space *space, struct utrace_task *task,
	struct user_regs_struct *regs, const siginfo_t *info, const void **ret_notice);
bool deferred_has(const struct uprobe_space *space, pid_t tid);
/** send again what is still held, to threads that are stopped; the space goes away */
void deferred_give_back(struct uprobe_space *space);
/** send a signal that had been held back, as near to what it was as the kernel lets us */
void deferred_send(pid_t pid, pid_t tid, siginfo_t info);

/* ---- calls of the tracer (call.c)
 * -------------------------------------------------------------------------- */

/** is the breakpoint that the thread has run into the agent's call? */
bool call_is_trap(const struct uprobe_space *space, const struct user_regs_struct *regs);
/** the same by what stands behind the breakpoint, at @pc */
bool call_is_at(int memory_fd, uint64_t pc);
void call_answer(struct uprobe_space *space, struct utrace_task *task,
	struct user_regs_struct *regs);

/* ---- planning an insertion (place.c)
 * -------------------------------------------------------------- */

/** turn requests into pending sites; refuses what clashes or differs from the plan */
must_check int place_admit(struct uprobe_space *space, struct uprobe_request *requests,
	size_t count, struct error *err);
/** record what the site's text was, in the process's own name */
must_check int site_journal(struct uprobe_space *space, struct uprobe_site *site);
/** pending ones whose host was refused */
void place_refuse_lodgers(struct uprobe_space *space);
/** give each pending site a trampoline and a journal record */
must_check int place_trampolines(struct uprobe_space *space, struct error *err);
must_check int place_journal(struct uprobe_space *space, struct error *err);
/** the site will not be inserted; text untouched */
void site_refuse(
	struct uprobe_space *space, struct uprobe_site *site, const struct error *why);

/* ---- text (poke.c)
 * ----------------------------------------------------------------------------- */

/** remote text read page by page; for runs of ascending addresses */
struct text_reader {
	int fd;
	bool valid;
	uint64_t page;
	uint8_t bytes[TEXT_PAGE];
};
void text_reader_init(struct text_reader *reader, int fd);
must_check int text_read(
	struct text_reader *reader, uint64_t address, uint8_t *ret, size_t size);

/** one change of text; an array of them is sorted by address */
struct text_change {
	uint64_t address;
	const uint8_t *bytes;
	size_t size;
};
/** text_write_stopped() - with no thread running: one write per page that has changes */
must_check int text_write_stopped(
	int fd, const struct text_change *changes, size_t count);

/* The protocol for running threads; each ends with cores synchronised.  A victim is held.
 */
must_check int poke_insert_live(struct uprobe_space *space, struct error *err);
must_check int poke_insert_stopped(struct uprobe_space *space, struct error *err);
/** removal; *ret_foreign counts sites somebody else has written to: they are left alone
 */
must_check int poke_remove_live(
	struct uprobe_space *space, size_t *ret_foreign, struct error *err);
must_check int poke_remove_stopped(
	struct uprobe_space *space, size_t *ret_foreign, struct error *err);

/* ---- threads (threads.c)
 * ------------------------------------------------------------------------- */

struct held_thread {
	pid_t tid;
	struct utrace_engine *engine;
};
struct left_thread { /* to be left in the call that it is blocked in */
	pid_t tid;
	uint64_t pc, sp;
};
struct held_threads {
	VEC(struct held_thread) threads;
	VEC(struct left_thread) left;
	VEC(pid_t) ended;
};

/** every core has run something that serialises since; made by the tracer itself, and slow */
void threads_sync_cores(void);

/** iterate over all tasks that run in the address space, vfork children included */
struct utrace_task *space_first_task(struct utrace *utrace, pid_t pid);
struct utrace_task *space_next_task(struct utrace_task *task, pid_t pid);

/**
 * threads_stop() - stop every thread, new ones included
 * Those that are in a call, and under a filter that may not let it pass again, are left there: @ret->left.
 */
must_check int threads_stop(
	struct utrace *utrace, pid_t pid, struct held_threads *ret, struct error *err);
void threads_resume(struct held_threads *held);
must_check int thread_stop(
	struct utrace_task *task, struct held_thread *ret, struct error *err);
/** let it run a little, then stop it again */
must_check int thread_run_on(struct held_thread *thread, unsigned int usec);
void thread_resume(struct held_thread *thread);
/** -ESRCH when it is gone */
must_check int thread_regs(
	const struct held_thread *thread, struct user_regs_struct *ret);
must_check int thread_set_regs(
	const struct held_thread *thread, const struct user_regs_struct *regs);

/** threads_run_on() - serve the threads, which run, for a while */
must_check int threads_run_on(
	struct uprobe_space *space, unsigned int ms, struct error *err);
/**
 * threads_evacuate() - let threads run until none is inside, for a bounded time
 * @is_inside: true while the stopped thread has business with us that only running
 * settles Return: number of threads that are inside still
 */
typedef bool (*thread_inside_fn)(const struct held_thread *thread, void *data);
size_t threads_evacuate(
	struct held_threads *held, thread_inside_fn is_inside, void *data);

/** threads_drop_watch_signals() - those that still wait, of data that is watched no more, are forgotten */
void threads_drop_watch_signals(struct held_threads *held);

/** with transient breakpoints in place: no thread is left inside a pending window */
must_check int threads_leave_interiors(struct uprobe_space *space, struct error *err);
/** the same for stopped threads */
void thread_leave_interior(
	struct uprobe_space *space, const struct held_thread *thread, struct error *err);
/** note who has synchronous signals blocked, so that a forced one can be undone */
void threads_note_blocked(struct uprobe_space *space);
/** of those noted: a breakpoint would end the process should the tracer die before its report */
bool threads_have_trap_blocked(const struct uprobe_space *space);
/** see the signals of all breakpoints hit so far; false: some thread does not get to its own */
bool threads_settle_traps(struct uprobe_space *space);
/** is a SIGTRAP pending that has not been reported yet? */
bool thread_has_pending_trap(pid_t tid);

/* SPDX-License-Identifier: MIT */
/*
 * Session memory: one memfd per tracing run, mapped shared into the tracer and into every
 * traced process (at different addresses).  Everything in it is an offset from the start
 * of the mapping, of fixed width, never a pointer, except the few fields marked "address
 * in the owning process".
 *
 *   0                    struct abi_session
 *   ABI_GLOBALS_OFFSET   script globals: scalars, maps, unsharded statistics (codegen
 * lays them out) site_offset          struct abi_site[site_count] string_offset
 * NUL-terminated texts the sites refer to (pp(), ppfunc(), ...) journal_offset struct
 * abi_journal (what a guardian needs to undo everything) context_offset context_count
 * blocks of context_size bytes: struct abi_context + tail ring_offset context_count rings
 * of ring_size bytes, ring i belongs to context i
 *
 * The file is sparse: only touched pages cost memory.  A traced process can write all of
 * it, so the tracer treats every value read back as untrusted.
 */
#pragma once

#include <stdint.h>

#define ABI_MAGIC   0x3145434152545521ull /* "!UTRACE1" little endian */
#define ABI_VERSION 6u

#define ABI_GLOBALS_OFFSET 4096u

enum abi_state {
	ABI_STATE_STARTING =
		0, /* begin probes run in the tracer; target handlers do nothing yet */
	ABI_STATE_RUNNING = 1,
	ABI_STATE_STOPPING = 2, /* exit() or the end of the run: no new handler starts */
	ABI_STATE_ERROR =
		3, /* more errors than MAXERRORS: as STOPPING, then error probes */
	ABI_STATE_DEAD = 4, /* the tracer is gone: set by the guardian */
};

enum abi_session_flag {
	ABI_FLAG_TSC_UNUSABLE = 1u << 0, /* use clock_gettime() instead of rdtsc */
	/* some process has put a seccomp filter on and rings no bell: the tracer looks by itself; atomic */
	ABI_FLAG_SILENT = 1u << 1,
	ABI_FLAG_NO_SYSCALLS =
		1u << 2, /* a seccomp filter is on: the runtime makes no system call */
	ABI_FLAG_SUPPRESS_ERRORS = 1u << 3, /* --suppress-handler-errors */
	ABI_FLAG_FORCE =
		1u << 4, /* --force: a seccomp filter is no reason to make no call */
};

/* Wall clock from TSC: ns = wall_base + ((tsc - tsc_base) * mult >> 32).  The tracer
 * refreshes it under a sequence count: odd while being written. */
struct abi_clock {
	uint32_t sequence;
	uint32_t reserved;
	uint64_t tsc_base;
	uint64_t wall_base; /* CLOCK_REALTIME ns at tsc_base */
	uint64_t mono_base; /* CLOCK_MONOTONIC ns at tsc_base */
	uint64_t mult;      /* ns per tick, 32.32 fixed point */
};

struct abi_session {
	uint64_t magic;
	uint32_t version;
	uint32_t flags; /* enum abi_session_flag */
	uint64_t total_size;

	uint32_t state;       /* enum abi_state; atomic */
	uint32_t error_count; /* uncaught script errors; atomic */
	uint32_t max_errors;
	uint32_t max_string; /* MAXSTRINGLEN: bytes of a string including its NUL */
	uint32_t max_skipped;
	uint32_t max_action;  /* statements per handler run in a target */
	uint32_t max_trylock; /* rounds of waiting for a global's lock before the handler
				 is skipped */
	uint32_t target_pid;  /* target() */

	uint64_t site_offset, string_offset, journal_offset;
	uint64_t context_offset, ring_offset;
	uint32_t site_count, context_count;
	uint32_t context_size, ring_size; /* ring_size is a power of two */
	uint32_t lock_count;              /* locks live at ABI_GLOBALS_OFFSET: struct
					     abi_lock[lock_count] */
	uint32_t hertz;                   /* jiffies per second */

	uint64_t register_failures; /* hits dropped because no context was free; atomic */
	uint64_t pairs_lost;        /* returns whose entry values had no room; atomic */
	struct abi_clock clock;

	/* An unregistered thread's %gs:NULL_CONTEXT reads as zero; see uprobes/. */
	int32_t tz_offset_seconds; /* west of Greenwich */
	uint32_t context_high; /* contexts from here on were never claimed; atomic, only
				  grows */
	uint32_t context_hint; /* a slot that was released lately, 0: none; atomic */
	uint32_t ask_bell;     /* futex: counts the questions to the tracer (abi/ask.h) */

	uint32_t tracer_pid, tracer_uid;
	uint32_t module_name, time_zone; /* texts, offsets from string_offset */
	uint32_t max_backtrace;          /* MAXBACKTRACE */
	uint32_t native_count;           /* of struct abi_native, one for each site */
	uint64_t native_offset, shared_offset, shared_size;
	uint64_t
		unwind_offset; /* struct abi_unwind_process[], tables behind (abi/unwind.h); 0: none */
	uint32_t skipped_count; /* handlers that found no lock in time; atomic */
	uint32_t pair_offset;   /* in a context, behind its shards */
	uint32_t pair_size;     /* at most ABI_CONTEXT_PAIR_MAX */
	uint32_t reserved;
};
_Static_assert(
	sizeof(struct abi_session) <= ABI_GLOBALS_OFFSET, "session header fits its page");

/* Reader/writer lock of one global.  value: 0 free; 0x80000000|slot held for writing by
 * context slot; otherwise the number of readers. */
struct abi_lock {
	uint32_t value;
	uint32_t contended;   /* times a handler had to wait */
	uint64_t reserved[7]; /* one cache line each */
};

/* One probe point of the script at one place. The index in the array is the site id that
 * a trampoline passes to its handler. */
struct abi_site {
	uint64_t link_address;   /* of the probed instruction in its ELF file */
	uint32_t pp, pn, ppfunc; /* offsets from string_offset */
	uint32_t flags;          /* enum abi_site_flag */
	uint64_t skipped; /* handlers not run: lock not free, out of context; atomic */
	uint64_t missed;  /* nested hits: the thread was inside a handler already */
	/* with -t only, all atomic: handlers that ran, and their TSC cycles */
	uint64_t hits, cycles, cycles_min, cycles_max; /* cycles_min: 0 none yet */
	uint64_t squares_low, squares_high; /* sum of the squares of cycles, 128 bits */
	/* whose pairs: of one function, where others leave by the same exits */
	uint64_t pair_group;
};

enum abi_site_flag {
	ABI_SITE_RETURN = 1u << 0,
	ABI_SITE_ENTRY =
		1u
		<< 1, /* at a function's first instruction: arguments are in registers */
	ABI_SITE_EDGE =
		1u << 2, /* the stack is that of the function's first instruction */
	ABI_SITE_OFF =
		1u << 3, /* switched off for now; timed handlers (-t, --monitor) only */
	ABI_SITE_TYPE_SHIFT = 8, /* enum abi_site_type from here on */
};

/* What probe_type() says. */
enum abi_site_type {
	ABI_SITE_TYPE_BEGIN_END = 0,
	ABI_SITE_TYPE_TIMER = 1, /* of jiffies */
	ABI_SITE_TYPE_HRTIMER = 2,
	ABI_SITE_TYPE_PROFILE = 3,
	ABI_SITE_TYPE_UPROBE = 4,
	ABI_SITE_TYPE_URETPROBE = 5,
	ABI_SITE_TYPE_PROCESS = 6, /* begin, end of processes and threads */
	ABI_SITE_TYPE_SYSCALL = 7,
	ABI_SITE_TYPE_CONTROL_FILE = 8,
	ABI_SITE_TYPE_PERF = 9,
	ABI_SITE_TYPE_DATA = 10,
	ABI_SITE_TYPES
};

/* A function that was not made from a script: agent_call_native() calls it for the site. */
struct abi_native {
	uint64_t code_offset; /* in the image */
	uint64_t cookie;      /* its consumer's */
	/* a return through exits that others share: the number of the record that the entry leaves; 0: none */
	uint32_t pair;
	uint32_t
		is_entry; /* ... whose site this is: it keeps the return address, and calls nothing */
};

/*
 * Undo journal.  The guardian and `utrace heal` restore text from it after the tracer
 * died.  Each record is complete before its first byte of text is changed; `count` is
 * stored last (release).
 */
struct abi_journal_patch {
	uint64_t address; /* runtime address in the process */
	uint8_t size;     /* 1..16 */
	uint8_t live;     /* 1 while the text may differ from original[] */
	uint8_t kind;     /* enum abi_journal_kind */
	uint8_t reserved[5];
	uint8_t original[16];
	uint32_t pid;        /* the process whose text it is; fork children have their own
			 records */
	int32_t site_offset; /* of a jump in padding: where the patch is that leads to it,
				relative to address; else 0 */
};

enum abi_journal_kind {
	ABI_JOURNAL_TEXT = 0,
	/* A 16-bit counter, raised by one; original: its value before, then the folded inode its page
	 * came from.  live: ABI_JOURNAL_INTENT until it has been written. */
	ABI_JOURNAL_SEMAPHORE = 1,
};

struct abi_journal_area {
	uint64_t address, size; /* our mapping in the process */
	uint32_t pid, live;     /* enum abi_journal_live */
};

enum abi_journal_live {
	ABI_JOURNAL_DEAD = 0,
	ABI_JOURNAL_LIVE = 1,
	ABI_JOURNAL_INTENT = 2, /* about to be mapped, somewhere at or above address */
	ABI_JOURNAL_PADDING =
		3, /* not mapped by us: zeros behind a module's text, to be zeros again */
};

/* A thread that makes system calls for the tracer: its signals are blocked meanwhile, and padding
 * of the text holds the code it calls from.  Or, with a stub_size of 0, a thread that is being stepped
 * out of our code before a signal (a siginfo_t in stub_original) is delivered to it. */
struct abi_journal_victim {
	uint64_t mask; /* the program's own */
	uint32_t pid, tid;
	uint64_t stub_address;
	uint32_t stub_size, live;
	uint8_t stub_original[192];
};

enum {
	ABI_JOURNAL_AREAS = 4096,
	ABI_JOURNAL_PATCHES_MAX = 1 << 22,
	ABI_JOURNAL_VICTIMS = 64
};

struct abi_journal {
	uint32_t patch_count, patch_capacity;
	uint32_t area_count, reserved;
	struct abi_journal_victim victims[ABI_JOURNAL_VICTIMS];
	struct abi_journal_area areas[ABI_JOURNAL_AREAS];
	struct abi_journal_patch patches[];
};

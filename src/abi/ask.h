/* SPDX-License-Identifier: MIT */
/*
 * Questions that a handler puts to the tracer: facts that only files in /proc or the ELF files
 * tell.  Opening those in the traced process would change its file descriptors, so the handler
 * writes what it wants to know into its context, rings session.ask_bell and waits on `state`.
 *
 * Everything in it can be written by the traced process: the tracer copies a question before it
 * looks at it.
 *
 * Memory: `state` is stored with release after the fields that belong to it, and loaded with
 * acquire before they are read.
 */
#pragma once

#include <stdint.h>

enum abi_ask_state {
	ABI_ASK_IDLE = 0,
	ABI_ASK_ASKED = 1, /* by the handler */
	ABI_ASK_BUSY = 2,  /* the tracer is at it */
	ABI_ASK_ANSWERED = 3,
};

enum abi_ask_kind {
	ABI_ASK_TASK_NUMBER = 1,  /* thread id, enum abi_task_number, index: result */
	ABI_ASK_TASK_TEXT = 2,    /* thread id, enum abi_task_text, index: text */
	ABI_ASK_ARGUMENTS = 3,    /* first, last (< 0: all), text: delimiter: text */
	ABI_ASK_ENVIRONMENT = 4,  /* text: name: text */
	ABI_ASK_SYMBOL = 5,       /* address, enum abi_symbol_style: text */
	ABI_ASK_MODULE = 6,       /* address, enum abi_module_fact: result, text */
	ABI_ASK_KERNEL_LOG = 7,   /* level, text */
	ABI_ASK_DESCENDANT = 8,   /* process id: result: whether the target's */
	ABI_ASK_FILE_VALUE = 9,   /* of a control file: text */
	ABI_ASK_FILE_SET = 10,    /* text */
	ABI_ASK_FILE_APPEND = 11, /* text */
	/* program counter, stack pointer, limit, text: rbx rbp r12..r15: result: how many
	 * frames, text: their program counters */
	ABI_ASK_UNWIND = 12,
	ABI_ASK_BIAS =
		13, /* text: path of a file: result: runtime less link-time addresses */
	ABI_ASK_COUNTER = 14, /* thread id, text: of @perf: result */
};

/* 0 where the thread does not exist */
enum abi_task_number {
	ABI_TASK_EXISTS = 0,
	ABI_TASK_PID = 1,
	ABI_TASK_PARENT = 2, /* process id */
	ABI_TASK_STATE = 3,  /* TASK_* of the kernel */
	ABI_TASK_PRIORITY = 4,
	ABI_TASK_NICE = 5,
	ABI_TASK_CPU = 6,
	ABI_TASK_UID = 7,
	ABI_TASK_EUID = 8,
	ABI_TASK_GID = 9,
	ABI_TASK_EGID = 10,
	ABI_TASK_OPEN_FILES = 11,
	ABI_TASK_MAX_FILES = 12,
	ABI_TASK_USER_TIME = 13,   /* ns */
	ABI_TASK_SYSTEM_TIME = 14, /* ns */
	ABI_TASK_START_TIME = 15,  /* ns since boot */
	ABI_TASK_LIMIT = 16,       /* index: RLIMIT_*; -1: none */
	ABI_TASK_MEMORY_SIZE = 17, /* pages, as in /proc/PID/statm */
	ABI_TASK_MEMORY_RSS = 18,
	ABI_TASK_MEMORY_SHARED = 19,
	ABI_TASK_MEMORY_TEXT = 20,
	ABI_TASK_MEMORY_DATA = 21,
	ABI_TASK_FILE_EXISTS = 22, /* index: file descriptor */
	ABI_TASK_SIGNALS_BLOCKED = 23,
};

enum abi_task_text {
	ABI_TASK_NAME = 0,
	ABI_TASK_EXECUTABLE = 1, /* path */
	ABI_TASK_DIRECTORY = 2,  /* path */
	ABI_TASK_FILE = 3,       /* index: file descriptor: path */
};

enum abi_symbol_style {
	ABI_SYMBOL_NAME = 0,   /* foo */
	ABI_SYMBOL_DATA = 1,   /* foo+0x1/0x20 [/path] */
	ABI_SYMBOL_BRIEF = 2,  /* foo+0x1 */
	ABI_SYMBOL_SIMPLE = 3, /* foo+0x1 [file] */
	ABI_SYMBOL_FULL = 4,   /* 0x401136 : foo+0x1/0x20 [/path] */
	ABI_SYMBOL_FULLER = 5, /* ... at file.c:12 [/path] */
	ABI_SYMBOL_FILE = 6,
	ABI_SYMBOL_LINE = 7,
	ABI_SYMBOL_FILE_LINE = 8, /* file.c:12 */
	ABI_SYMBOL_STYLES
};

enum abi_module_fact {
	ABI_MODULE_PATH = 0,
	ABI_MODULE_BUILD_ID = 1,
	ABI_MODULE_OFFSET = 2, /* result: address less the start of its mapping */
};

enum {
	ABI_ASK_TEXT_SIZE = 4096,
	ABI_ASK_ARGUMENTS_MAX = 3
};

struct abi_ask {
	uint32_t state; /* futex */
	uint32_t kind;
	int64_t arguments[ABI_ASK_ARGUMENTS_MAX];
	int64_t result;
	uint32_t failed; /* the answer is: there is no such thing */
	uint32_t reserved;
	char text[ABI_ASK_TEXT_SIZE];
};

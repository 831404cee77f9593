/* SPDX-License-Identifier: MIT */
/*
 * How the front end sees programs: through an ops table given by the session, so that it can be
 * tested and fuzzed without ELF files.
 */
#pragma once

#include "stap/ast.h"

struct stap_access;

/* What happens to a process or a thread; handlers run in the tracer while the thread is stopped. */
enum stap_event {
	STAP_EVENT_NONE,
	STAP_EVENT_PROCESS_BEGIN,
	STAP_EVENT_PROCESS_END,
	STAP_EVENT_THREAD_BEGIN,
	STAP_EVENT_THREAD_END,
	STAP_EVENT_SYSCALL,
	STAP_EVENT_SYSCALL_RETURN,
	STAP_EVENT_PROFILE, /* every interval_ns of its probe, where the thread runs */
	STAP_EVENT_PERF,    /* of its probe's `perf` so many have been counted */
	STAP_EVENT_DATA,    /* a thread has written to, or read from, what is watched */
};

/* One place in one ELF file where a probe point applies.  Produced by expand(); the session knows
 * what `opaque` is. */
struct stap_location {
	/* canonical; of an event: NULL for processes of any program */
	const char *module_path;
	enum stap_event event; /* not a place in a file, but one of these */
	/* Not every process of the file is meant: this one, or those that run this program. */
	int64_t only_pid;         /* 0: any */
	const char *only_program; /* canonical; NULL: any */
	const char *function;     /* name as matched */
	uint64_t
		link_address; /* probed instruction (entry) in the file's address space */
	uint64_t function_start, function_end;
	bool is_return;
	/* of a stub that is left by a jump: not its exits, but where the calls of it return to */
	bool is_behind_calls;
	bool has_debug_info;
	bool is_go; /* of a goroutine, which may return on another thread */
	/* STAP_EVENT_DATA: that many bytes at link_address, which is the process's own where nothing of the file is there */
	uint32_t data_size;
	bool data_is_absolute;
	bool data_is_read; /* reads are meant as well */
	const char *name,
		*provider; /* $$name and $$provider of marks and .plt; else NULL */
	uint64_t
		semaphore; /* of a mark: counter that is raised while it is probed; 0: none */
	bool mid_function; /* not the first instruction: red zone and flags are live */
	/* A condition of the place itself, tested before the script's: callees run their handler only
	 * when called from the caller.  NULL: none. */
	struct stap_access *guard;
	const char *pp;     /* process("/opt/t2").function("foo@/opt/t2.c:11") */
	const char *ppfunc; /* foo */
	void *opaque;
};

/** stap_location_name() - pn(): of a point that is no alias as it was resolved; @location may be NULL */
const char *stap_location_name(
	const struct stap_derived_probe *probe, const struct stap_location *location);

/* A value computed from registers and memory: a little stack machine that codegen compiles. */
enum stap_access_op_kind {
	STAP_ACCESS_REG, /* push DWARF register `value`: 0 rax 1 rdx 2 rcx 3 rbx 4 rsi 5 rdi 6 rbp 7 rsp 8..15, 16 rip */
	STAP_ACCESS_CONST,  /* push value */
	STAP_ACCESS_STATIC, /* push link-time address `value` + load bias of the module */
	STAP_ACCESS_OPERAND, /* push expression operands[value] (array index, @cast pointer) */
	STAP_ACCESS_ADD,
	STAP_ACCESS_SUB,
	STAP_ACCESS_MUL,
	STAP_ACCESS_DIV,
	STAP_ACCESS_MOD,
	STAP_ACCESS_AND,
	STAP_ACCESS_OR,
	STAP_ACCESS_XOR,
	STAP_ACCESS_SHL,
	STAP_ACCESS_SHR,
	STAP_ACCESS_SHRA,
	STAP_ACCESS_NEG,
	STAP_ACCESS_NOT,
	STAP_ACCESS_EQ,
	STAP_ACCESS_NE,
	STAP_ACCESS_LT,
	STAP_ACCESS_LE,
	STAP_ACCESS_GT,
	STAP_ACCESS_GE,
	STAP_ACCESS_DUP,
	STAP_ACCESS_DROP,
	STAP_ACCESS_SWAP,
	STAP_ACCESS_OVER,
	STAP_ACCESS_PICK,
	STAP_ACCESS_ROT,
	STAP_ACCESS_DEREF, /* pop address, push `value` bytes (1,2,4,8) zero-extended; may fault */
	STAP_ACCESS_SIGN_EXTEND, /* from `value` bits */
	STAP_ACCESS_ZERO_EXTEND, /* from `value` bits */
	STAP_ACCESS_VECTOR, /* push half of xmm register value / 2: the low one, of odd values the high one */
	STAP_ACCESS_THREAD, /* push the thread pointer; may fail */
	/* pop the address of a function's entry, and what the stack pointer was there; push what DWARF register `value`
	 * was; may fail.  The address comes from a STATIC just before: a hidden probe there keeps the registers */
	STAP_ACCESS_ENTRY,
};

struct stap_access_op {
	enum stap_access_op_kind kind;
	int64_t value;
};

enum stap_value_class {
	STAP_VALUE_SIGNED,
	STAP_VALUE_UNSIGNED,
	STAP_VALUE_BOOL,
	STAP_VALUE_CHAR,
	STAP_VALUE_POINTER,
	STAP_VALUE_STRING_POINTER /* char * */,
	STAP_VALUE_ENUM,
	STAP_VALUE_FLOAT,
	STAP_VALUE_AGGREGATE,
	STAP_VALUE_ARRAY,
	STAP_VALUE_CHAR_ARRAY,
	STAP_VALUE_VOID,
};

struct stap_access {
	struct stap_access_op *ops;
	uint32_t op_count;
	struct stap_expr **operands; /* borrowed from the target expression */
	uint32_t operand_count;
	enum stap_value_class value_class;
	const char *type_name; /* as C writes it: "char const*" */
	const char *module;    /* that has the type; NULL: nobody knows */
	const char *
		static_module; /* path of the file that STATIC is about; NULL: the probed one */
	uint32_t size;         /* of the value in bytes */
	bool needs_callee_saved; /* reads rbx, rbp, r12..r15 */
	bool needs_static;
};

/* Where a value would be stored; see stap_access_place(). */
struct stap_place {
	uint32_t op_count; /* these operations give the address */
	bool is_register;
	int register_number;
	uint32_t size;                 /* bytes to load and store */
	uint32_t bit_offset, bit_size; /* of a bit-field; bit_size 0: the whole */
};

/**
 * stap_access_place() - where a value would be stored
 * @is_member: there are -> or [] behind the variable
 * Return: false: the value is computed, or is none that can be stored
 */
bool stap_access_place(
	const struct stap_access *access, bool is_member, struct stap_place *ret);

struct stap_variable_info {
	const char *name;
	const char *label; /* how $$vars calls it; NULL: as its name */
	const char *type_name;
	bool is_parameter;
	bool is_available; /* it has a value at this place */
};

enum stap_member_kind {
	STAP_MEMBER_OWN,
	STAP_MEMBER_DISCRIMINANT,   /* tells which of the variants is there */
	STAP_MEMBER_VARIANT,        /* there when the discriminant is `value` */
	STAP_MEMBER_DEFAULT_VARIANT /* there when no other variant is */
};

struct stap_member_info {
	const char *name; /* NULL: array element `index` */
	uint64_t index;
	enum stap_member_kind kind;
	int64_t value;
};

struct stap_enumerator {
	const char *name;
	int64_t value;
};

struct stap_enumerator_query {
	const char *type;   /* all of this type; NULL: of any */
	const char *name;   /* this one; NULL: all */
	const char *module; /* NULL: the probed one */
};

struct stap_target_ops {
	/**
	 * expand() - all locations of process(...)... points
	 * @point: all components, `process` with its path or pid first; the front end has checked
	 *         their names and argument types
	 * @ret:   malloc'ed by the callee through vec_push; locations live in @arena
	 * Return: 0 (also when nothing matched: then @err->message is SystemTap's text, e.g.
	 *         "no match (similar functions: foo, bar)", and ret is empty); -errno with @err else.
	 */
	int (*expand)(void *data, const struct stap_point *point, struct arena *arena,
		struct stap_location ***ret, uint32_t *ret_count, struct error *err);
	/**
	 * access() - compile $x->a[i], @cast, @var at a location
	 * @location: NULL in functions and in begin, end and timer handlers, where only @cast and
	 *            @var that name their module can be resolved
	 * @at_entry: for a return probe: evaluated at the function's entry
	 * Return: 0, or negative with SystemTap's text in @err ("unable to find local 'x', ...")
	 */
	int (*access)(void *data, const struct stap_location *location,
		const struct stap_expr *target, bool at_entry, struct arena *arena,
		struct stap_access **ret, struct error *err);
	/** variables() - what $$parms/$$locals/$$vars list; -L uses it too */
	int (*variables)(void *data, const struct stap_location *location,
		bool parameters, bool locals, struct arena *arena,
		struct stap_variable_info **ret, uint32_t *ret_count, struct error *err);
	/**
	 * members() - what `$x$` prints of a struct, union, class or array
	 * @target: the expression without its `$` suffix
	 * May be NULL: then only scalars can be pretty-printed.
	 */
	int (*members)(void *data, const struct stap_location *location,
		const struct stap_expr *target, bool at_entry, struct arena *arena,
		struct stap_member_info **ret, uint32_t *ret_count, struct error *err);
	/** enumerators() - for @enum and @enumname; may be NULL */
	int (*enumerators)(void *data, const struct stap_location *location,
		const struct stap_enumerator_query *query, struct arena *arena,
		struct stap_enumerator **ret, uint32_t *ret_count, struct error *err);
	/** can_count() - is there this event, for this user; negative with the reason.  May be NULL */
	int (*can_count)(void *data, uint32_t type, uint64_t config, struct error *err);
};

struct stap_target {
	const struct stap_target_ops *ops;
	void *data;
};

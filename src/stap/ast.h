/* SPDX-License-Identifier: MIT */
/*
 * The tree of a script.  The parser builds it, the semantic pass resolves names, fills `type` and
 * the `resolved` members and produces struct stap_program; codegen only reads it.  All nodes live
 * in the compilation's arena; nothing is freed alone.
 *
 * A node is a kind plus a union of named structs; constructors are in ast.c.  Bodies that are
 * compiled more than once (aliases, several places with different variables) are deep copies.
 */
#pragma once

#include "stap/source.h"

enum stap_type {
	STAP_TYPE_UNKNOWN,
	STAP_TYPE_LONG,
	STAP_TYPE_STRING,
	STAP_TYPE_STATS
};

struct format; /* runtime/format.h */
struct stap_expr;
struct stap_stmt;
struct stap_function;
struct stap_intrinsic;
struct stap_access; /* stap/target.h */

enum {
	STAP_MAX_KEYS = 9
};

/* ---- variables ------------------------------------------------------------------------------ */

enum stap_stat_op {
	STAP_STAT_COUNT,
	STAP_STAT_SUM,
	STAP_STAT_MIN,
	STAP_STAT_MAX,
	STAP_STAT_AVG,
	STAP_STAT_VARIANCE,
	STAP_STAT_HIST_LOG,
	STAP_STAT_HIST_LINEAR,
};

enum stap_var_use {
	/* How handlers that run inside a target use a global (functions they call included). */
	STAP_USE_READ = 1u << 0,  /* value looked at */
	STAP_USE_WRITE = 1u << 1, /* anything but the two below */
	STAP_USE_INCREMENT =
		1u << 2, /* scalar long, value unused: x++, ++x, x += E, x--, x -= E */
	STAP_USE_ACCUMULATE = 1u << 3, /* x <<< E */
};

/* The type a pointer points to. */
struct stap_cast {
	const char *type, *module;
};

struct stap_var {
	const char *name;
	const struct stap_token *token;
	enum stap_type type; /* of the value; STATS for statistics and arrays of them */
	int arity;           /* -1 unknown, 0 scalar, else number of keys */
	enum stap_type key_types[STAP_MAX_KEYS];
	bool is_global, is_private, is_parameter;
	bool is_wrapping;       /* declared with % */
	int64_t size_limit;     /* [N], 0: none given */
	struct stap_expr *init; /* NUMBER or STRING, or NULL */
	bool is_library;        /* declared in a tapset file */
	const char *alias_name; /* unmangled name for output when renamed */

	/* filled by the semantic pass */
	uint32_t
		index; /* globals: position in stap_program.globals; locals: in their owner */
	bool is_named;            /* globals: something in use names it */
	bool is_read, is_written; /* anywhere in the script */
	unsigned target_use; /* enum stap_var_use, in handlers that run inside a target */
	unsigned tracer_use; /* the same for begin/end/timer handlers */
	unsigned stat_ops;   /* 1 << enum stap_stat_op for every extractor used on it */
	int64_t hist_params[3]; /* linear: low, high, width */
	int64_t variance_shift;
	const struct stap_token *hist_token;
	bool is_value_used; /* some value of it matters: else it is only written (x++ alone) */
	/* where arity, type and key types were first inferred */
	const struct stap_token *arity_token, *type_token, *key_tokens[STAP_MAX_KEYS];
	const struct stap_cast *cast; /* semantic pass: what its values point to */
};

/* ---- expressions ---------------------------------------------------------------------------- */

enum stap_expr_kind {
	STAP_EXPR_NUMBER,
	STAP_EXPR_STRING,
	STAP_EXPR_VAR,     /* name */
	STAP_EXPR_INDEX,   /* name[keys] */
	STAP_EXPR_IN,      /* [keys] in name */
	STAP_EXPR_UNARY,   /* + - ! ~ */
	STAP_EXPR_BINARY,  /* arithmetic, bits, shifts, comparisons, `.` */
	STAP_EXPR_LOGICAL, /* && || */
	STAP_EXPR_TERNARY,
	STAP_EXPR_ASSIGN,   /* = += ... <<< .= */
	STAP_EXPR_CRREMENT, /* ++ --, pre and post */
	STAP_EXPR_CALL, /* @const @uregister @kregister @uderef @kderef @probewrite @enum @enumname, too */
	STAP_EXPR_PRINT, /* print family; type STRING for the sprint half, else no value */
	STAP_EXPR_STAT,  /* @count(x) ... */
	STAP_EXPR_HIST, /* @hist_log(x), @hist_linear(x, l, h, w): print argument, or indexed */
	STAP_EXPR_REGEX,       /* =~ !~ */
	STAP_EXPR_TARGET,      /* $x->a[i], @cast(...)->..., @var(...)->... */
	STAP_EXPR_DEFINED,     /* @defined(E) */
	STAP_EXPR_ENTRY,       /* @entry(E) */
	STAP_EXPR_ENTRY_VALUE, /* semantic pass: value number saved at entry */
	STAP_EXPR_PERF,        /* @perf("x") */
	STAP_EXPR_EMBEDDED,    /* %{ %} */
};

enum stap_op {
	STAP_OP_NONE,
	STAP_OP_ADD,
	STAP_OP_SUB,
	STAP_OP_MUL,
	STAP_OP_DIV,
	STAP_OP_MOD,
	STAP_OP_AND,
	STAP_OP_OR,
	STAP_OP_XOR,
	STAP_OP_SHL,
	STAP_OP_SHR,
	STAP_OP_USHR,
	STAP_OP_LT,
	STAP_OP_LE,
	STAP_OP_GT,
	STAP_OP_GE,
	STAP_OP_EQ,
	STAP_OP_NE,
	STAP_OP_CONCAT,
	STAP_OP_LOGICAL_AND,
	STAP_OP_LOGICAL_OR,
	STAP_OP_PLUS,
	STAP_OP_MINUS,
	STAP_OP_NOT,
	STAP_OP_COMPLEMENT,
	STAP_OP_ASSIGN, /* plain =; compound assignments name their operator: ADD, CONCAT, ... */
	STAP_OP_ACCUMULATE, /* <<< */
	STAP_OP_INC,
	STAP_OP_DEC,
	STAP_OP_MATCH,
	STAP_OP_NOT_MATCH,
};

struct stap_expr_list {
	struct stap_expr *
		*items; /* an item may be NULL where the grammar has `*` (slices) */
	uint32_t count;
};

enum stap_target_base {
	STAP_TARGET_VAR, /* $x */
	STAP_TARGET_CAST,
	STAP_TARGET_ATVAR,
	STAP_TARGET_AUTOCAST, /* operand->m, operand[i], &operand: the type comes from the operand */
};

struct stap_target_component {
	const struct stap_token *token;
	const char *member;      /* ->member, or NULL */
	struct stap_expr *index; /* [index], or NULL */
};

struct stap_expr {
	enum stap_expr_kind kind;
	enum stap_type type;
	uint16_t
		depth; /* of the tree; bounded by the parser so that passes may recurse */
	const struct stap_token *token;
	union {
		int64_t number;
		const char *string;
		struct {
			const char *name;
			struct stap_var *resolved;
		} var; /* VAR */
		struct {
			const char *name;
			struct stap_expr_list
				keys; /* NULL items only for slices (IN, delete, foreach) */
			struct stap_var *resolved;
			struct stap_expr
				*hist; /* @hist_x(...)[i]: then name is NULL, one key */
			const struct stap_token *array; /* IN: where the name stands */
		} index;                                /* INDEX, IN */
		struct {
			enum stap_op op;
			struct stap_expr *left, *right; /* UNARY: left only */
		} binary; /* UNARY, BINARY, LOGICAL, REGEX (right is a STRING) */
		struct {
			struct stap_expr *condition, *then, *otherwise;
		} ternary;
		struct {
			enum stap_op op;
			struct stap_expr *target, *value;
			bool value_used; /* semantic pass */
		} assign;
		struct {
			enum stap_op op; /* INC, DEC */
			bool is_post;
			struct stap_expr *target;
			bool value_used; /* semantic pass */
		} crrement;
		struct {
			const char *name;
			struct stap_expr_list args;
			/* exactly one of the two is set by the semantic pass */
			struct stap_function *function;
			const struct stap_intrinsic *intrinsic;
		} call;
		struct {
			const char *name; /* "printf", "sprint", "println", ... */
			bool to_string;   /* sprint* */
			bool is_guarded;  /* "ERROR" when an argument cannot be read */
			bool has_format;  /* *printf: the literal is `format_text` */
			bool has_delimiter, has_newline, is_char;
			const char *format_text, *delimiter;
			struct stap_expr_list
				args; /* histograms may stand in print/println/printd */
			const struct format
				*format; /* semantic pass: for every one of the family */
		} print;
		struct {
			enum stap_stat_op op;
			struct stap_expr
				*target; /* VAR or INDEX; the parser lets anything pass */
			int64_t params[3];
			int param_count;
		} stat; /* STAT, HIST */
		struct {
			enum stap_target_base base;
			const char
				*name; /* "$x" without $; ATVAR: its text; "" for casts */
			struct stap_expr *operand; /* CAST, AUTOCAST: the pointer */
			const char *type_name,
				*module; /* CAST: type; CAST, ATVAR: module or NULL */
			struct stap_target_component *components;
			uint32_t component_count;
			int pretty; /* 0; 1 for `$`, 2 for `$$` at the end */
			bool address_of;
			struct stap_access *access; /* semantic pass */
			const char *error; /* semantic pass: why there is no access */
			const struct stap_token *error_token; /* where; NULL: the whole */
		} target;
		struct {
			struct stap_expr *operand;
		} wrap; /* DEFINED, ENTRY */
		struct {
			uint32_t index; /* into stap_derived_probe.entry_values */
		} entry_value;
		struct {
			const char *name;
		} perf;
	};
};

/* ---- statements ----------------------------------------------------------------------------- */

enum stap_stmt_kind {
	STAP_STMT_NULL,
	STAP_STMT_EXPR,
	STAP_STMT_BLOCK,
	STAP_STMT_IF,
	STAP_STMT_FOR, /* while has only a condition */
	STAP_STMT_FOREACH,
	STAP_STMT_BREAK,
	STAP_STMT_CONTINUE,
	STAP_STMT_NEXT,
	STAP_STMT_RETURN,
	STAP_STMT_DELETE,
	STAP_STMT_TRY,
};

struct stap_stmt {
	enum stap_stmt_kind kind;
	const struct stap_token *token;
	union {
		struct stap_expr *
			expr; /* EXPR; RETURN (or NULL); DELETE (VAR, or INDEX with NULLs for `*`) */
		struct {
			struct stap_stmt **items;
			uint32_t count;
		} block;
		struct {
			struct stap_expr *condition;
			struct stap_stmt *then, *otherwise;
		} branch;
		struct {
			struct stap_expr *init, *condition, *step; /* each may be NULL */
			struct stap_stmt *body;
		} loop;
		struct {
			struct stap_expr **keys; /* VAR nodes */
			uint32_t key_count;
			struct stap_expr *value; /* VAR node or NULL */
			struct stap_expr *array; /* VAR node, or HIST */
			struct stap_expr_list
				slice;      /* count 0: none; NULL items are `*` */
			int sort_direction; /* 0 none, 1 ascending, -1 descending */
			int sort_column;    /* 0: the value, else key number from 1 */
			bool sort_has_op;
			enum stap_stat_op
				sort_op; /* statistics by value: default count */
			struct stap_expr *limit;
			struct stap_stmt *body;
		} foreach;
		struct {
			struct stap_stmt *body, *handler;
			struct stap_expr *variable; /* VAR node or NULL */
		} try;
	};
};

/* ---- top level ------------------------------------------------------------------------------ */

struct stap_component {
	const char *name; /* may hold * and ** */
	const struct stap_token *token;
	bool has_argument;
	struct stap_expr *argument; /* NUMBER or STRING */
};

struct stap_point {
	const struct stap_token *token;
	struct stap_component *components;
	uint32_t component_count;
	bool optional, sufficient;
	struct stap_expr *condition; /* if (...) or NULL */
};

struct stap_probe {
	const struct stap_token *token;
	struct stap_point **points;
	uint32_t point_count;
	struct stap_stmt *body;
	const struct stap_source *source;
	/* alias definitions only */
	struct stap_point *alias;   /* the name, NULL for a plain probe */
	bool alias_epilogue;        /* += */
	struct stap_stmt *epilogue; /* `= points {pro}, {epi}` */
};

/* pragma:read:NAME or pragma:write:NAME in embedded C */
struct stap_touch {
	struct stap_var *var;
	bool is_read, is_written;
};

struct stap_function {
	const char *name;
	const struct stap_token *token;
	struct stap_var **params;
	uint32_t param_count;
	VEC(struct stap_var *) locals; /* semantic pass; parameters not included */
	enum stap_type
		type; /* of the result; UNKNOWN after the semantic pass: no value */
	bool has_declared_type, is_private, is_library;
	bool is_called; /* semantic pass: by something in use */
	bool is_placed; /* ... its target expressions have been looked up for the one probe that calls it */
	int64_t priority;
	struct stap_stmt *body; /* NULL: embedded C */
	const struct stap_token *embedded;
	bool is_embedded_expr;      /* `embedded` is an expression, not a body */
	bool is_pure, calls_next;   /* of embedded C, as its text says */
	struct stap_touch *touches; /* globals that embedded C may use */
	uint32_t touch_count;
	uint32_t index;                      /* in stap_program.functions */
	struct stap_function *next_overload; /* tried when the body executes `next` */
	bool is_recursive;                   /* semantic pass */
	const struct stap_token
		*type_token;          /* where the result type was first inferred */
	uint32_t mark, usage_mark;    /* semantic pass: last traversals that came here */
	const struct stap_cast *cast; /* what its results point to */
};

struct stap_file {
	const struct stap_source *source;
	uint32_t error_count;                    /* parse errors */
	bool is_empty;                           /* no item at all, which is an error */
	bool has_tokens;                         /* before preprocessing */
	VEC(const struct stap_token *) embedded; /* %{ %} at top level */
	VEC(struct stap_probe *) probes, aliases;
	VEC(struct stap_function *) functions;
	VEC(struct stap_var *) globals;
	const bool
		*argument_used; /* of a library file: those of the script that it uses */
};

/* ---- result of the semantic pass --------------------------------------------------------------- */

enum stap_probe_kind {
	STAP_PROBE_BEGIN,
	STAP_PROBE_END,
	STAP_PROBE_ERROR,
	STAP_PROBE_NEVER,
	STAP_PROBE_TIMER,
	STAP_PROBE_UPROBE,       /* process(...).function(...) and friends, at entry */
	STAP_PROBE_URETURN,      /* .return */
	STAP_PROBE_CONTROL_FILE, /* procfs(...).read, .write */
};

/* What the processor or the kernel counts in a thread, perf_event_open(2). */
struct stap_perf {
	uint32_t type;
	uint64_t config;
	uint64_t interval; /* events from one sample to the next; 0: it is only counted */
	bool is_frequency; /* interval: samples a second */
	const char *counter; /* what @perf() calls it; NULL: it is sampled */
};

struct stap_derived_probe {
	enum stap_probe_kind kind;
	const struct stap_token *token;
	const struct stap_probe *origin;
	struct stap_stmt *body;      /* own copy, resolved */
	struct stap_expr *condition; /* or NULL */
	VEC(struct stap_var *) locals;
	int64_t priority;     /* BEGIN, END, ERROR */
	uint64_t interval_ns; /* TIMER */
	uint64_t randomize_ns;
	const struct stap_perf *perf; /* of STAP_EVENT_PERF */
	const char *pn;               /* as written after alias and wildcard expansion */
	const char *
		pp; /* the resolved point; NULL for UPROBE, URETURN: see their locations */
	/* UPROBE, URETURN: all places that run this same body */
	struct stap_location **locations; /* stap/target.h */
	uint32_t location_count;
	/* URETURN: evaluated at entry, in a hidden handler on the same functions; the body refers to
	 * them by STAP_EXPR_ENTRY_VALUE. */
	VEC(struct stap_expr *) entry_values;
	/* of a system call's return: assignments that a hidden probe at its entry makes */
	VEC(struct stap_expr *) call_entries;
	uint32_t index;         /* in stap_program.probes */
	bool uses_return_value; /* $return, returnval(): tail-call exits cannot give it */
	/* URETURN, told by the session before it is compiled: at some places, or at all of them, there is a hidden
	 * handler at the entry anyway, and returns count only with the return address that it saw */
	bool is_paired_somewhere, is_paired_everywhere;
	/* CONTROL_FILE */
	const char *file_path;
	bool file_is_read; /* by others: the handler gives the text; else they wrote it */
	uint32_t file_umask;
	int64_t file_max; /* bytes; 0: as other strings */
};

struct stap_program {
	struct arena *arena;
	VEC(struct stap_var *) globals;        /* used ones only */
	VEC(struct stap_function *) functions; /* used ones only */
	VEC(struct stap_derived_probe *) probes;
	VEC(const struct stap_token *) embedded; /* %{ %} at top level, in order */
	VEC(struct stap_var *)
	unread_globals; /* to print at the end, in declaration order */
};

/* constructors and helpers, ast.c */
struct stap_expr *stap_expr_new(
	struct arena *arena, enum stap_expr_kind kind, const struct stap_token *token);
struct stap_stmt *stap_stmt_new(
	struct arena *arena, enum stap_stmt_kind kind, const struct stap_token *token);
struct stap_expr *stap_expr_copy(struct arena *arena, const struct stap_expr *expr);
struct stap_stmt *stap_stmt_copy(struct arena *arena, const struct stap_stmt *stmt);
/** stap_walk() - call fn on every expression below a statement, innermost last; false stops */
bool stap_walk(struct stap_stmt *stmt, bool (*fn)(struct stap_expr *expr, void *data),
	void *data);
bool stap_walk_expr(struct stap_expr *expr,
	bool (*fn)(struct stap_expr *expr, void *data), void *data);
const char *stap_type_name(
	enum stap_type type); /* "long", "string", "stats", "unknown" */

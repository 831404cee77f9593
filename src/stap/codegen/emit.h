/* SPDX-License-Identifier: MIT */
/*
 * The parts of code generation and what they share; only for the files of this folder.
 *
 *   use.c       which globals, functions and registers each handler uses; statement costs
 *   layout.c    where each global lives, which lock guards it          (no LLVM)
 *   module.c    the LLVM module: types, runtime declarations, passes, object code
 *   object.c    objects that are kept from one run to the next
 *   record.c    calls of LLVM, written down
 *   load.c      LLVM itself
 *   body.c      one function being emitted: frame, errors, small helpers
 *   variable.c  globals and locals as places to load from and store to
 *   expr.c text.c array.c stat.c print.c access.c stmt.c   the language
 *   handler.c   handlers and script functions around their bodies
 *   fast.c      the usual course of runtime functions, inline
 *   cell.c      counting by key
 *   embedded.c  C in the script
 *   link.c      agent image + object = flat image                      (no LLVM)
 *
 * Values: a long is an i64; a string is a pointer to NUL-terminated bytes (struct
 * emit_text). Strings live in rodata (literals), in session memory (globals, map
 * elements) or in the frame: a piece of the context's scratch area with a size known at
 * compile time, so that nothing but spilled registers goes to the traced program's stack.
 *
 * Errors: the first problem is recorded with emit_fail(); emission goes on with undefined
 * values, so that no caller has to test for it, and the module is thrown away at the end.
 */
#pragma once

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>
#include <stddef.h>

#include "abi/context.h"
#include "base/vec.h"
#include "runtime/runtime.h"
#include "stap/codegen/codegen.h"
#include "stap/semantic.h"
#include "stap/target.h"

/* ---- use.c
 * ------------------------------------------------------------------------------------ */

enum {
	EMIT_COST_UNBOUNDED = 1 << 30
};

/* What a handler or function does, its callees included after emit_use_close(). */
struct emit_use {
	uint8_t *globals;                  /* enum stap_var_use per global */
	uint8_t *functions;                /* 1 per function it may call */
	const struct stap_function *owner; /* NULL in a handler */
	uint64_t written_params; /* bit per parameter of the owner that it assigns to */
	bool needs_callee_saved, reads_user_memory, wants_groups, asks_symbols,
		walks_stacks;
};

struct emit;

void emit_use_program(struct emit *e);
/** emit_cost() - statements run at most, callees included; EMIT_COST_UNBOUNDED with a
 * loop in it */
uint32_t emit_cost_stmt(struct emit *e, const struct stap_stmt *stmt);
uint32_t emit_cost_expr(struct emit *e, const struct stap_expr *expr);
/** emit_has_effects() - may evaluating it change a variable? */
bool emit_has_effects(const struct stap_expr *expr);

/* ---- layout.c
 * --------------------------------------------------------------------------------- */

must_check int emit_layout(struct emit *e, struct error *err);
struct codegen_global *emit_global(struct emit *e, const struct stap_var *var);

/* ---- module.c
 * --------------------------------------------------------------------------------- */

/*
 * Runtime functions that generated code calls: name, result and arguments as in
 * runtime.h. p pointer, l 64 bits, i 32 bits, b bool, v nothing.
 */
#define EMIT_RUNTIME(X)                       \
	X(rt_enter, "b", "pplli")             \
	X(rt_leave, "v", "p")                 \
	X(rt_enter_timed, "b", "pplli")       \
	X(rt_leave_timed, "v", "p")           \
	X(rt_lock, "b", "pii")                \
	X(rt_error, "v", "pp")                \
	X(rt_error_uncatchable, "v", "pp")    \
	X(rt_error_caller, "v", "pi")         \
	X(rt_catch, "v", "pp")                \
	X(rt_record_reserve, "p", "piii")     \
	X(rt_record_commit, "v", "p")         \
	X(rt_record_string_size, "i", "p")    \
	X(rt_record_string, "p", "pp")        \
	X(rt_record_bytes, "p", "ppi")        \
	X(rt_string_copy, "v", "ppp")         \
	X(rt_string_concat, "v", "pppp")      \
	X(rt_string_append, "v", "ppp")       \
	X(rt_string_compare, "i", "pp")       \
	X(rt_sprintf, "v", "pppp")            \
	X(rt_memory_hex, "v", "ppll")         \
	X(rt_histogram_text, "v", "ppppii")   \
	X(rt_regex_match, "l", "ppp")         \
	X(rt_map_find, "p", "ppp")            \
	X(rt_map_insert, "p", "ppp")          \
	X(rt_map_find1, "p", "ppl")           \
	X(rt_map_insert1, "p", "ppl")         \
	X(rt_map_delete, "v", "ppp")          \
	X(rt_map_clear, "v", "pp")            \
	X(rt_map_match, "b", "ppipi")         \
	X(rt_map_delete_slice, "v", "pppi")   \
	X(rt_map_contains_slice, "b", "pppi") \
	X(rt_map_first, "i", "p")             \
	X(rt_map_next, "i", "pi")             \
	X(rt_map_key, "l", "pii")             \
	X(rt_map_value, "p", "pi")            \
	X(rt_map_sort, "v", "ppii")           \
	X(rt_stat_add, "v", "ppl")            \
	X(rt_stat_add_shard, "v", "ppipl")    \
	X(rt_stat_merge, "v", "ppipp")        \
	X(rt_stat_clear_shards, "v", "pp")    \
	X(rt_stat_read, "l", "ppi")           \
	X(rt_hist_read, "l", "pppl")          \
	X(rt_counter_read, "l", "ppi")        \
	X(rt_counter_write, "v", "ppil")      \
	X(rt_pair_push, "p", "pili")          \
	X(rt_pair_pop, "p", "pil")            \
	X(rt_pair_push_go, "p", "pili")       \
	X(rt_pair_pop_go, "p", "pil")         \
	X(rt_cell_add, "b", "pppl")           \
	X(rt_cell_add1, "b", "ppll")          \
	X(rt_cell_add2, "b", "pplll")         \
	X(rt_cell_accumulate, "b", "pppl")    \
	X(rt_cells_collect, "v", "pp")        \
	X(rt_cells_unlink, "v", "pp")         \
	X(rt_user_read, "l", "pli")           \
	X(rt_vector_read, "l", "pi")          \
	X(rt_thread_pointer, "l", "p")        \
	X(rt_module_bias, "l", "pp")          \
	X(rt_regs, "p", "p")                  \
	X(rt_entry_register, "l", "plli")     \
	X(rt_user_write, "v", "plli")

#define EMIT_RUNTIME_ID(name, result, arguments) EMIT_##name,
enum emit_runtime {
	EMIT_RUNTIME(EMIT_RUNTIME_ID) EMIT_RUNTIME_COUNT
};
#undef EMIT_RUNTIME_ID

struct emit_callee {
	LLVMValueRef function; /* NULL until first used */
	LLVMTypeRef type;
};

struct emit_function {
	const struct stap_function *function;
	struct emit_use use;
	struct emit_callee callee;
	uint32_t cost; /* 0: not computed yet */
	bool cost_running;
};

/* One compilation. */
struct emit {
	const struct stap_program *program;
	const struct codegen_options *options;
	struct codegen_result *result;
	struct error *error;
	int failed; /* first negative errno */

	struct emit_function *functions;
	struct emit_use *handlers; /* two per probe: the handler, its entry part */
	uint32_t max_nesting;
	bool wants_groups; /* something asks which part of a text matched what */
	bool counts_nesting;
	/* second attempt: locals in the frame, nothing inlined, when a stack frame was
	 * too big */
	bool is_lean;
	bool stack_exceeded;
	/* with many handlers, what they have in common is called: there is time to compile either many of
	 * them or fast ones */
	bool is_compact;
	/* ... and where none of them is on a program's path, compiled without much ado */
	bool is_quick;
	bool is_recording; /* nothing is made, the calls of LLVM are written down (record.c) */

	VEC(struct codegen_location) locations;
	VEC(struct codegen_format) formats;
	VEC(struct codegen_handler) handlers_out;

	LLVMContextRef context;
	LLVMModuleRef module;
	LLVMBuilderRef builder, alloca_builder;
	LLVMTargetMachineRef machine;
	LLVMTypeRef i8, i16, i32, i64, ptr, none;
	unsigned prof_kind, invariant_kind;
	LLVMValueRef cold_weights;
	struct emit_callee runtime[EMIT_RUNTIME_COUNT];
	LLVMValueRef empty_string;
	LLVMValueRef *stat_desc, *cells_desc; /* per global */
};

int emit_fail(struct emit *e, int code, const struct stap_token *token, const char *fmt,
	...) printf_like(4, 5);

must_check int emit_module_open(struct emit *e);
void emit_module_close(struct emit *e);
struct emit_blob {
	void *bytes; /* malloc'ed */
	size_t size;
};
/** emit_module_object() - verify, optimise, generate; -EAGAIN: it has to be lean */
must_check int emit_module_object(struct emit *e, struct emit_blob *ret);
struct emit_callee emit_runtime(struct emit *e, enum emit_runtime which);
struct emit_callee emit_intrinsic(struct emit *e, const struct stap_intrinsic *intrinsic);
/** emit_declare() - a function that is linked in */
struct emit_callee emit_declare(struct emit *e, const char *name, LLVMTypeRef result,
	LLVMTypeRef *args, unsigned count);
LLVMValueRef emit_function_new(struct emit *e, const char *name, LLVMTypeRef type,
	bool is_handler, bool limits_stack);
LLVMValueRef emit_bytes(
	struct emit *e, const void *bytes, size_t size, unsigned align, const char *name);
LLVMValueRef emit_literal(struct emit *e, const char *text);

/* ---- object.c
 * --------------------------------------------------------------------------------- */

/** emit_object_find() - what these calls gave when they were made last; -EAGAIN: it has to be lean; 1: nobody
 * knows */
must_check int emit_object_find(
	struct emit *e, const struct emit_blob *calls, struct emit_blob *ret);
/** emit_object_keep() - @object is empty when it has to be lean */
void emit_object_keep(
	struct emit *e, const struct emit_blob *calls, const struct emit_blob *object);

/* ---- body.c: a function being emitted
 * --------------------------------------------------------- */

struct emit_text {
	LLVMValueRef at;
	bool is_stable; /* a literal or temporary: nothing evaluated later can change it
			 */
};

struct emit_body {
	struct emit *e;
	const struct stap_derived_probe *probe; /* NULL in a function */
	const struct stap_function *function;   /* NULL in a handler */
	bool is_entry_part;
	bool is_paired;   /* as codegen_handler.is_paired */
	bool is_target;   /* runs inside traced programs (handlers only) */
	bool is_counting; /* charges statements to the action budget */
	/* stmt.c: statements since the last charge; all of them are charged already */
	uint32_t uncharged;
	bool is_charged;

	LLVMValueRef fn, c, regs, sp, ip, site;
	LLVMValueRef session, frame;
	LLVMValueRef pair;             /* return probe: the values saved at entry */
	LLVMValueRef result;           /* function: i64 alloca, or the caller's string */
	LLVMBasicBlockRef entry;       /* allocas; falls into `start` */
	LLVMBasicBlockRef exit;        /* leaves the function; c->error tells why */
	LLVMBasicBlockRef catch_block; /* where errors go: innermost catch, else exit */
	/* body.c: where checks go that fail, and what it is good for */
	LLVMBasicBlockRef failed_block, failed_catch;
	LLVMValueRef failed_location;
	LLVMBasicBlockRef passed_block, passed_catch; /* for errors of script functions */
	LLVMValueRef passed_location;
	LLVMBasicBlockRef next_block; /* `next` */
	LLVMBasicBlockRef break_block, continue_block;
	LLVMValueRef keys;             /* u64[STAP_MAX_KEYS] in the frame, or NULL */
	uint32_t frame_top, frame_max; /* bytes */

	struct stap_var *const *params;
	uint32_t param_count;
	struct stap_var *const *locals;
	uint32_t local_count;
	LLVMValueRef *param_at, *local_at; /* storage of each */
	uint32_t *local_offset;            /* of lean code: where in the frame */
};

LLVMValueRef emit_const(struct emit_body *b, int64_t value);
LLVMValueRef emit_const32(struct emit_body *b, uint32_t value);
LLVMValueRef emit_call(struct emit_body *b, enum emit_runtime which, LLVMValueRef *args);
#define EMIT_CALL(b, which, ...) \
	emit_call((b), EMIT_##which, (LLVMValueRef[]){__VA_ARGS__})
/** emit_at() - pointer @offset bytes after @base */
LLVMValueRef emit_at(
	struct emit_body *b, LLVMValueRef base, uint64_t offset, const char *name);
LLVMValueRef emit_load(
	struct emit_body *b, LLVMTypeRef type, LLVMValueRef at, const char *name);
void emit_store(struct emit_body *b, LLVMValueRef value, LLVMValueRef at);
LLVMValueRef emit_is_true(struct emit_body *b, LLVMValueRef value); /* i64 or i8 to i1 */
LLVMValueRef emit_from_bool(struct emit_body *b, LLVMValueRef value); /* i1 to i64 */
LLVMValueRef emit_is_null(struct emit_body *b, LLVMValueRef pointer);

LLVMBasicBlockRef emit_block(struct emit_body *b, const char *name);
void emit_enter(struct emit_body *b, LLVMBasicBlockRef block);
void emit_go(
	struct emit_body *b, LLVMBasicBlockRef block); /* br, then a dead block follows */
void emit_branch(struct emit_body *b, LLVMValueRef condition, LLVMBasicBlockRef then,
	LLVMBasicBlockRef otherwise);
/** emit_cold_branch() - a branch that is taken almost never */
void emit_cold_branch(struct emit_body *b, LLVMValueRef condition, LLVMBasicBlockRef cold,
	LLVMBasicBlockRef otherwise);

/* i64 variable of the function: a register if it can be, else a place in the frame */
LLVMValueRef emit_alloca(struct emit_body *b, const char *name);
/** emit_frame() - @size bytes of the frame, until frame_top is set back */
LLVMValueRef emit_frame(struct emit_body *b, uint32_t size, const char *name);
LLVMValueRef emit_frame_string(struct emit_body *b);

/** emit_raise() - end the block with an error */
void emit_raise(struct emit_body *b, const struct stap_token *token, const char *text);
/** emit_raise_if() - go to the catch with an error when @condition holds */
void emit_raise_if(struct emit_body *b, LLVMValueRef condition,
	const struct stap_token *token, const char *text);
/** emit_check() - go to the catch when @failed: the runtime has set the error */
void emit_check(struct emit_body *b, LLVMValueRef failed, const struct stap_token *token);
void emit_check_error(struct emit_body *b, const struct stap_token *token);
/** emit_check_call() - the same behind the call of a script function, which has told where */
void emit_check_call(struct emit_body *b, const struct stap_token *token);
/** emit_charge() - take @count statements from the action budget */
void emit_charge(struct emit_body *b, uint32_t count, const struct stap_token *token);

/* ---- variable.c
 * ------------------------------------------------------------------------------- */

LLVMValueRef emit_global_at(struct emit_body *b, const struct stap_var *var);
LLVMValueRef emit_local_at(struct emit_body *b, const struct stap_var *var);
LLVMValueRef emit_variable_long(struct emit_body *b, const struct stap_var *var);
struct emit_text emit_variable_text(struct emit_body *b, const struct stap_var *var);
void emit_variable_set_long(
	struct emit_body *b, const struct stap_var *var, LLVMValueRef value);
void emit_variable_set_text(
	struct emit_body *b, const struct stap_var *var, LLVMValueRef at);
/** emit_variable_add() - x += value where nobody looks at the result */
void emit_variable_add(
	struct emit_body *b, const struct stap_var *var, LLVMValueRef value);
void emit_variable_reset(struct emit_body *b, const struct stap_var *var);

/* ---- expr.c
 * ----------------------------------------------------------------------------------- */

LLVMValueRef emit_long(struct emit_body *b, const struct stap_expr *expr);
LLVMValueRef emit_condition(struct emit_body *b, const struct stap_expr *expr);
/** emit_effect() - evaluate for side effects only */
void emit_effect(struct emit_body *b, const struct stap_expr *expr);
/** emit_operands() - evaluate left to right; no value changes under a later one's side
 * effects */
struct emit_operands {
	struct stap_expr *const *exprs; /* NULL items are skipped */
	uint32_t count;
	bool effects_follow; /* something with side effects is evaluated before they are
				used */
	bool for_call;       /* the user may change globals */
	bool in_frame;       /* each is also stored there, as 8 bytes, when it is known */
	uint32_t frame_offset;
};
void emit_operands(
	struct emit_body *b, const struct emit_operands *operands, LLVMValueRef *ret);
LLVMValueRef emit_arithmetic(struct emit_body *b, enum stap_op op, LLVMValueRef left,
	LLVMValueRef right, const struct stap_token *token);
/** emit_script_call() - call a function of the script; returns its long, or 0 / the text
 * in dst */
LLVMValueRef emit_script_call(
	struct emit_body *b, const struct stap_expr *expr, LLVMValueRef dst);
LLVMValueRef emit_intrinsic_call(
	struct emit_body *b, const struct stap_expr *expr, LLVMValueRef dst);

/* ---- text.c
 * ----------------------------------------------------------------------------------- */

struct emit_text emit_text(struct emit_body *b, const struct stap_expr *expr);
LLVMValueRef emit_text_stable(struct emit_body *b, const struct stap_expr *expr);
LLVMValueRef emit_text_copy(struct emit_body *b, LLVMValueRef at);

/* ---- assign.c
 * --------------------------------------------------------------------------------- */

/* value of an assignment; only the member of its type is meaningful, and only if @used */
struct emit_value {
	LLVMValueRef number;
	struct emit_text text;
};

struct emit_value emit_assign(
	struct emit_body *b, const struct stap_expr *expr, bool used);
LLVMValueRef emit_crrement(struct emit_body *b, const struct stap_expr *expr, bool used);

/* ---- array.c
 * ---------------------------------------------------------------------------------- */

/* Evaluated keys of an element. */
struct emit_keys {
	const struct stap_var *var;
	const struct stap_token *token;
	LLVMValueRef map;
	LLVMValueRef values[STAP_MAX_KEYS];
	uint32_t count, wild;
};

struct emit_keys emit_keys(struct emit_body *b, const struct stap_expr *element,
	bool effects_follow, bool inserts);
/** emit_find(), emit_insert() - pointer to the value; find: NULL when there is none */
LLVMValueRef emit_find(struct emit_body *b, const struct emit_keys *keys);
LLVMValueRef emit_insert(struct emit_body *b, const struct emit_keys *keys);
/** emit_store_keys() - the keys as the runtime wants them, at @at or the function's key
 * array */
LLVMValueRef emit_store_keys(
	struct emit_body *b, const struct emit_keys *keys, LLVMValueRef at);
LLVMValueRef emit_element_long(struct emit_body *b, const struct stap_expr *expr);
struct emit_text emit_element_text(struct emit_body *b, const struct stap_expr *expr);
LLVMValueRef emit_in(struct emit_body *b, const struct stap_expr *expr);
void emit_delete(struct emit_body *b, const struct stap_expr *expr);
void emit_foreach(struct emit_body *b, const struct stap_stmt *stmt);

/* ---- stat.c
 * ----------------------------------------------------------------------------------- */

LLVMValueRef emit_stat_desc(struct emit_body *b, const struct stap_var *var);
void emit_accumulate(struct emit_body *b, const struct stap_expr *target,
	const struct stap_expr *value);
/** emit_stat() - pointer to the merged struct abi_stat that an extractor works on, never
 * NULL */
LLVMValueRef emit_stat(struct emit_body *b, const struct stap_expr *target);
LLVMValueRef emit_stat_value(struct emit_body *b, const struct stap_expr *expr);
LLVMValueRef emit_bucket(struct emit_body *b, const struct stap_expr *expr);
const struct stap_var *emit_stat_var(const struct stap_expr *target);
/** emit_histogram() - as emit_stat(), an error when it is empty */
LLVMValueRef emit_histogram(struct emit_body *b, const struct stap_expr *expr);
void emit_foreach_bucket(struct emit_body *b, const struct stap_stmt *stmt);

/* ---- access.c: a variable of the program to write to
 * ----------------------------------------- */

struct emit_target {
	const struct stap_expr *expr;
	struct stap_place place;
	LLVMValueRef address; /* in memory */
};
struct emit_target emit_target_open(struct emit_body *b, const struct stap_expr *expr);
LLVMValueRef emit_target_load(struct emit_body *b, const struct emit_target *target);
void emit_target_store(
	struct emit_body *b, const struct emit_target *target, LLVMValueRef value);

/* ---- print.c, access.c, stmt.c
 * ---------------------------------------------------------------- */

void emit_print(struct emit_body *b, const struct stap_expr *expr);
LLVMValueRef emit_sprint(struct emit_body *b, const struct stap_expr *expr);
/** emit_site_word() - 64 bits of the handler's struct abi_site */
LLVMValueRef emit_site_word(struct emit_body *b, size_t field, const char *name);
LLVMValueRef emit_access(struct emit_body *b, const struct stap_expr *expr);
/** emit_catch() - what was raised is over, its text in dst unless that is NULL; MAXACTION and
 * abort() go on to outer */
void emit_catch(struct emit_body *b, LLVMBasicBlockRef outer, LLVMValueRef dst);
void emit_stmt(struct emit_body *b, const struct stap_stmt *stmt);
/** emit_whole() - the body of a handler or function; what is too much without loops does not begin */
void emit_whole(struct emit_body *b, const struct stap_stmt *body);
/** emit_before_loop(), emit_round() - what loops take from the action budget, and their body */
void emit_before_loop(struct emit_body *b, const struct stap_stmt *loop);
void emit_round(
	struct emit_body *b, const struct stap_stmt *loop, const struct stap_stmt *body);

/* ---- handler.c
 * -------------------------------------------------------------------------------- */

void emit_functions(struct emit *e);
void emit_handlers(struct emit *e);

/* ---- fast.c
 * ----------------------------------------------------------------------------------- */

/** emit_is_fast() - is the usual course inline?  Not where code has to be small. */
bool emit_is_fast(const struct emit_body *b);

void emit_fast_enter(struct emit_body *b, const struct emit_use *use,
	LLVMBasicBlockRef entered, LLVMBasicBlockRef refused);
/** emit_fast_leave() - @lock: the only one the handler takes, for writing; -1: it takes none */
void emit_fast_leave(struct emit_body *b, int lock);
/** emit_fast_lock() - as rt_lock() for writing, of a handler that takes no other */
LLVMValueRef emit_fast_lock(struct emit_body *b, uint32_t lock);
/** emit_fast_clock() - false: not a function that reads a clock */
bool emit_fast_clock(
	struct emit_body *b, const struct stap_intrinsic *intrinsic, LLVMValueRef *ret);
/** emit_fast_reserve() - @payload: 32 bits, a multiple of 8 */
LLVMValueRef emit_fast_reserve(
	struct emit_body *b, uint32_t kind, uint32_t id, LLVMValueRef payload);
void emit_fast_commit(struct emit_body *b);
LLVMValueRef emit_fast_pair_push(struct emit_body *b, LLVMValueRef group, uint32_t size);
/** emit_fast_pair_pop() - @size as it was pushed with */
LLVMValueRef emit_fast_pair_pop(struct emit_body *b, LLVMValueRef group, uint32_t size);
/** emit_fast_stat_add() - to a statistic that has values already */
void emit_fast_stat_add(struct emit_body *b, const struct stap_var *var,
	LLVMValueRef stat, LLVMValueRef value);
bool emit_fast_stat_fits(struct emit_body *b, const struct stap_var *var);
void emit_fast_stat(struct emit_body *b, const struct stap_var *var, LLVMValueRef desc,
	LLVMValueRef value);

/* ---- cell.c
 * ----------------------------------------------------------------------------------- */

/** emit_is_celled() - does the code being emitted count this array without its lock? */
bool emit_is_celled(const struct emit_body *b, const struct stap_var *var);
/** emit_cell_add() - element += by, or element <<< by */
void emit_cell_add(struct emit_body *b, const struct emit_keys *keys, LLVMValueRef by);
/** emit_cells_collect(), emit_cells_unlink() - before the tracer looks at it; before it deletes */
void emit_cells_collect(struct emit_body *b, const struct stap_var *var);
void emit_cells_unlink(struct emit_body *b, const struct stap_var *var);

/* ---- embedded.c
 * ------------------------------------------------------------------------------- */

bool emit_embedded_any(const struct emit *e);
/** emit_embedded_open() - before anything is emitted */
void emit_embedded_open(struct emit *e);
/** emit_embedded_call() - the body of a function in C */
void emit_embedded_call(struct emit_body *b);
/** emit_embedded_compile() - all C of the script, as an object; *ret is malloc'ed.  -ENOEXEC: the compiler */
must_check int emit_embedded_compile(struct emit *e, char **ret, size_t *ret_size);

/* ---- link.c
 * ----------------------------------------------------------------------------------- */

/* Agent ELF file + relocatable object -> flat image.  @names: symbols of the object whose
 * offsets in the image are wanted. */
struct link_request {
	const void *agent;
	size_t agent_size;
	const struct stap_program *program;
	const void *embedded; /* object of the script's C; NULL: none */
	size_t embedded_size;
	const void *object;
	size_t object_size;
};

must_check int link_image(const struct link_request *request,
	struct codegen_result *result, struct error *err);
/** link_symbol() - offset in the image, of script and agent symbols; -ENOENT */
int64_t link_symbol(const struct codegen_result *result, const char *name);

/* SPDX-License-Identifier: MIT */
/*
 * What the files of the semantic pass share.  The steps, in the order stap_analyze() runs them:
 *
 *   points.c          probe points matched against the patterns, aliases expanded
 *   derive.c          one derived probe per place or group of places, bodies copied
 *   target_symbols.c  $x, @cast, @var, @defined, @entry in a copied body
 *   context_function.c  functions that name $x, copied for the probe that calls them
 *   perf.c            points of perf.*, and @perf
 *   symbols.c         names bound to variables and functions; pulls in library files
 *   embedded.c        what C in the script says of itself
 *   autocast.c        p->x after p = $pointer
 *   fold.c, elide.c   constants, dead branches, unused things, with their warnings
 *   types.c           inference to a fixed point
 *   check.c           what needs types: iteration, loops, statistics, formats
 *   usage.c           how handlers use globals; lists and indexes of the result
 *
 * Nodes are rewritten in place (`*expr = ...`), so that pointers into a tree, such as the operands
 * of an access, stay good.
 */
#pragma once

#include "stap/semantic.h"

struct sema_pattern;

/* @perf("name"), where names are known only when all points have been looked at. */
struct sema_counter_use {
	const char *name;
	const struct stap_token *token;
};

struct sema {
	struct arena *arena;
	const struct stap_semantic_options *options;
	const struct stap_target *target;
	struct stap_diagnostics *diag;
	struct stap_program *program;
	VEC(const struct stap_file *)
	files; /* the user's, then library files as needed */
	VEC(struct stap_function *) functions; /* of those files */
	VEC(struct stap_var *) globals;
	VEC(struct stap_var *) hidden_globals; /* declared nowhere */
	struct sema_pattern *patterns;
	VEC(struct sema_counter_use) counter_uses;
	bool uses_groups; /* something asks what =~ has matched */
	/* of the latest traversal, see struct stap_function; usage_mark: those of usage.c */
	uint32_t mark, usage_mark;
};

/* The function or probe whose body is being looked at. */
struct sema_owner {
	struct stap_function *function; /* one of the two */
	struct stap_derived_probe *probe;
};

/* Arena-backed push: results outlive the pass and nothing frees them one by one. */
void *sema_grow(struct arena *arena, void *items, size_t count, size_t *capacity,
	size_t item_size);
#define sema_push(sema, vec, value)                                          \
	((vec)->items = sema_grow((sema)->arena, (vec)->items, (vec)->count, \
		 &(vec)->capacity, sizeof(*(vec)->items)),                   \
		(void)((vec)->items[(vec)->count++] = (value)))

/* ---- visit.c -------------------------------------------------------------------------------- */

typedef bool (*sema_expr_fn)(struct stap_expr *expr, void *data);
typedef bool (*sema_stmt_fn)(struct stap_stmt *stmt, void *data);

/* The direct children only; a callback recurses by itself.  False from it stops and is returned. */
bool sema_each_operand(struct stap_expr *expr, sema_expr_fn fn, void *data);
bool sema_each_expr(struct stap_stmt *stmt, sema_expr_fn fn, void *data);
bool sema_each_stmt(struct stap_stmt *stmt, sema_stmt_fn fn, void *data);
/** sema_each_root() - condition and entry values of a probe */
bool sema_each_root(struct stap_derived_probe *probe, sema_expr_fn fn, void *data);
/** sema_stmt_any() - does fn hold for any statement below (and including) this one */
bool sema_stmt_any(struct stap_stmt *stmt, sema_stmt_fn fn, void *data);

struct stap_expr *sema_number(
	struct sema *sema, int64_t value, const struct stap_token *token);
struct stap_expr *sema_string(
	struct sema *sema, const char *text, const struct stap_token *token);
bool sema_is_lvalue_op(const struct stap_expr *expr);
/** sema_lvalue_var() - the variable an assignment or crrement changes; NULL for targets */
struct stap_var *sema_lvalue_var(const struct stap_expr *expr);
void sema_point_text(const struct stap_point *point, struct strbuf *out);
void sema_target_text(const struct stap_expr *expr, struct strbuf *out);

/* ---- suggest.c ------------------------------------------------------------------------------- */

struct sema_names {
	struct arena *arena;
	const char **items;
	size_t count, capacity;
};
void sema_names_add(struct sema_names *names, const char *name);
/** sema_similar() - " (similar: a, b)" of at most five, or "" */
const char *sema_similar(struct sema_names *names, const char *name);

/* ---- diagnostics, semantic.c ------------------------------------------------------------------- */

/* An error that is not yet printed, because the point may be optional. */
struct sema_error {
	const char *message;
	const struct stap_token *token;
};
/* A macro, so that messages are told apart by their formats (see stap_diagnose()). */
#define sema_error(sema, token, ...) \
	stap_diagnose((sema)->diag, STAP_SEMANTIC_ERROR, (token), __VA_ARGS__)
#define sema_cause(sema, diagnostic, token, ...) \
	stap_diagnose_cause((sema)->diag, (diagnostic), (token), __VA_ARGS__)
/** sema_error_because() - "while ...", then the reason */
void sema_error_because(struct sema *sema, const struct stap_token *token,
	const char *message, const struct stap_token *cause_token, const char *cause);
void sema_warn(struct sema *sema, const struct stap_token *token, const char *fmt, ...)
	printf_like(3, 4);
bool sema_is_user_token(const struct stap_token *token);

/* ---- the steps -------------------------------------------------------------------------------- */

void sema_patterns_build(struct sema *sema);
/** sema_derive_probe() - all derived probes of one written probe, appended to the program */
void sema_derive_probe(struct sema *sema, const struct stap_probe *probe);

/* A fully expanded point on its way to derived probes. */
struct sema_candidate {
	const struct stap_probe *origin;
	struct stap_stmt *body; /* composed with alias bodies; shared, to be copied */
	struct stap_expr *condition;
	const struct stap_point *point; /* literal, all components */
	const char *pn;
	bool may_miss; /* the user has put up with its not being there */
};
enum sema_point_kind {
	SEMA_POINT_BEGIN,
	SEMA_POINT_END,
	SEMA_POINT_ERROR,
	SEMA_POINT_NEVER,
	SEMA_POINT_TIMER,
	SEMA_POINT_PROFILE,
	SEMA_POINT_PERF,
	SEMA_POINT_PROCESS,
	SEMA_POINT_CONTROL_FILE,
	SEMA_POINT_UNAVAILABLE,
};
bool sema_build_candidate(struct sema *sema, const struct sema_candidate *candidate,
	enum sema_point_kind kind, struct sema_error *err);

/**
 * sema_lower_targets() - resolve target expressions of a copied body
 * @location: NULL in functions and handlers that are not in a target
 * @signature: text that is equal for places that can share the body; may be NULL
 */
void sema_lower_targets(struct sema *sema, struct sema_owner owner,
	const struct stap_location *location, struct strbuf *signature);
/**
 * sema_call_entry_probe() - the hidden probe that a body with call_entries needs
 * @written: the body before its target expressions were resolved
 *
 * Return: NULL where none is needed.
 */
struct stap_derived_probe *sema_call_entry_probe(struct sema *sema,
	struct stap_derived_probe *probe, const struct stap_stmt *written);
/** sema_enum_value() - @enum("NAME"); the reason where there is none, else NULL */
const char *sema_enum_value(struct sema *sema, const struct stap_location *location,
	const char *name, int64_t *ret);
/** sema_enum_table() - values and names as rt_fn_enum_name() takes them; NULL with @ret_error */
const char *sema_enum_table(struct sema *sema, const struct stap_location *location,
	const struct stap_enumerator_query *query, const char **ret_error);
/** sema_control_file() - what the point of a procfs probe says; false with @err: nonsense */
bool sema_control_file(struct sema *sema, struct stap_derived_probe *probe,
	const struct stap_point *point, struct sema_error *err);
/** sema_perf_point() - what a point of perf.* counts, once the machine can count it */
bool sema_perf_point(struct sema *sema, const struct stap_point *point,
	const struct stap_perf **ret, struct sema_error *err);
/** sema_perf_locations() - the processes that it means */
bool sema_perf_locations(struct sema *sema, const struct stap_point *point,
	const struct stap_perf *perf, struct stap_location ***ret, uint32_t *ret_count,
	struct sema_error *err);
/** sema_lower_perf() - @perf("name") becomes a call; false: not in this kind of probe */
bool sema_lower_perf(struct sema *sema, const struct stap_location *location,
	struct stap_expr *expr, struct strbuf *signature);
/** sema_check_counters() - has somebody defined what @perf names */
void sema_check_counters(struct sema *sema);
/** sema_lower_file_value() - $value in its body */
void sema_lower_file_value(struct sema *sema, struct stap_derived_probe *probe);
/** sema_autocast() - the types of pointers follow them through variables and functions */
void sema_autocast(struct sema *sema);
/** sema_lower_cast() - p->x, where p turned out to point to a type, as @cast(p, TYPE, MODULE)->x */
void sema_lower_cast(struct sema *sema, struct sema_owner owner, struct stap_expr *expr,
	const struct stap_cast *cast);
/** sema_is_resolved() - can every target expression in it be evaluated */
bool sema_is_resolved(struct stap_expr *expr);
bool sema_body_has_targets(struct stap_stmt *body, struct stap_expr *condition);
/** sema_calls_context() - does it speak of the program itself, or call functions that do */
bool sema_calls_context(struct sema *sema, struct stap_stmt *body);

void sema_activate_file(struct sema *sema, const struct stap_file *file);
void sema_resolve_function(struct sema *sema, struct stap_function *function);
void sema_resolve_probe(struct sema *sema, struct stap_derived_probe *probe);

/** sema_embedded() - what a function in C says of itself */
void sema_embedded(struct sema *sema, struct stap_function *function);
/** sema_embedded_expr() - C as an expression becomes a call */
void sema_embedded_expr(struct sema *sema, struct stap_expr *expr);
/** sema_embedded_const() - @const("C") likewise, without effects */
void sema_embedded_const(struct sema *sema, struct stap_expr *expr);
/** sema_global_find() - a global that is visible there; NULL */
struct stap_var *sema_global_find(
	struct sema *sema, const char *name, const struct stap_token *token);

bool sema_fold_expr(struct stap_expr *expr);
/** sema_fold() - constants and dead branches; true when something changed */
bool sema_fold(struct sema *sema, struct stap_stmt **body);

/** sema_collect_uses() - is_read, is_written, is_value_used of all variables reached from probes */
void sema_collect_uses(struct sema *sema);
/** sema_has_effect() - would anybody notice that an expression is not evaluated */
bool sema_has_effect(struct sema *sema, struct stap_expr *expr);
void sema_elide(struct sema *sema);
/**
 * sema_learn_types() - types from all that was written, branches that are never taken included
 *
 * What contradicts itself is reported; what stays untyped is not: it may be elided.
 */
void sema_learn_types(struct sema *sema);
void sema_infer_types(struct sema *sema);
void sema_check(struct sema *sema);
void sema_usage(struct sema *sema);

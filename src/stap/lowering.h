/* SPDX-License-Identifier: MIT */
/* What the files share that resolve target expressions; see stap/target_symbols.c. */
#pragma once

#include "stap/sema.h"

struct lowering {
	struct sema *sema;
	struct sema_owner owner;
	const struct stap_location *location;
	struct strbuf *signature; /* may be NULL */
	bool at_entry;            /* inside @entry or a value saved at entry */
	bool trying;              /* inside @defined: no warnings, no entry values kept */
	bool in_return; /* in a function that a return probe calls, or in that */
	struct lowering_copy *
		*copies; /* of functions, for this probe; context_function.c */
};

bool lowering_is_return(struct lowering *lower);
/** lowering_sign() - bodies with the same signature are one function */
void lowering_sign(struct lowering *lower, const char *text);

/** lowering_access() - NULL with the reason when the place has no such value */
struct stap_access *lowering_access(
	struct lowering *lower, const struct stap_expr *expr, const char **ret_error);
/** lowering_set_access() - keep the access, or the reason for there being none, in the node */
void lowering_set_access(struct lowering *lower, struct stap_expr *expr);
/** lowering_failing_component() - the first that something is wrong with; NULL: the variable itself */
const struct stap_token *lowering_failing_component(
	struct lowering *lower, const struct stap_expr *expr);
bool lowering_is_array(const struct stap_access *access);
/** lowering_variable() - $name */
struct stap_expr *lowering_variable(
	struct lowering *lower, const char *name, const struct stap_token *token);
/** lowering_plain() - a copy that is not pretty-printed */
struct stap_expr *lowering_plain(struct lowering *lower, const struct stap_expr *expr);

/** lowering_function() - target expressions of a function that is called from there */
void lowering_function(struct lowering *lower, struct stap_function *function);

/* ---- context_function.c ------------------------------------------------------------------------------ */

/** lowering_call() - a function that speaks of the program becomes one of this place */
void lowering_call(struct lowering *lower, struct stap_expr *call);

/* ---- call_entry.c ------------------------------------------------------------------------------------ */

/** lowering_is_call_return() - is it a probe where system calls return */
bool lowering_is_call_return(const struct lowering *lower);
/** lowering_call_entry() - @entry() there becomes what the hidden probe has saved */
void lowering_call_entry(struct lowering *lower, struct stap_expr *expr);

/* ---- target_pretty.c --------------------------------------------------------------------------------- */

/** lowering_pretty() - `$x$` becomes a sprintf() */
void lowering_pretty(struct lowering *lower, struct stap_expr *expr);
/** $$vars, $$parms, $$locals, $$return */
bool lowering_is_context_list(const struct stap_expr *expr);
void lowering_context_list(struct lowering *lower, struct stap_expr *expr);

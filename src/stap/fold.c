/* SPDX-License-Identifier: MIT */
/* Constant expressions, and statements whose condition is constant. */
#include <string.h>

#include "stap/regex.h"
#include "stap/sema.h"

static bool is_number(const struct stap_expr *expr)
{
	return expr->kind == STAP_EXPR_NUMBER;
}

static bool is_string(const struct stap_expr *expr)
{
	return expr->kind == STAP_EXPR_STRING;
}

static bool become_number(struct stap_expr *expr, int64_t value)
{
	const struct stap_token *token = expr->token;

	memset(expr, 0, sizeof(*expr));
	expr->kind = STAP_EXPR_NUMBER;
	expr->type = STAP_TYPE_LONG;
	expr->token = token;
	expr->number = value;
	return true;
}

/* Two's complement wrap is wanted, so the sums are unsigned.  Division by zero is left for run
 * time, where it is an error of the handler. */
static bool arithmetic(enum stap_op op, int64_t left, int64_t right, int64_t *ret)
{
	uint64_t a = (uint64_t)left, b = (uint64_t)right;
	/* here SystemTap does not shift at all; while a script runs, the count is taken modulo 64 */
	unsigned shift = b < 64 ? (unsigned)b : 0;

	switch ((int)op) {
	case STAP_OP_ADD:
		*ret = (int64_t)(a + b);
		return true;
	case STAP_OP_SUB:
		*ret = (int64_t)(a - b);
		return true;
	case STAP_OP_MUL:
		*ret = (int64_t)(a * b);
		return true;
	case STAP_OP_DIV:
		if (right)
			*ret = right == -1 ? (int64_t)(0 - a) : left / right;
		return right != 0;
	case STAP_OP_MOD:
		if (right)
			*ret = right == -1 ? 0 : left % right;
		return right != 0;
	case STAP_OP_AND:
		*ret = left & right;
		return true;
	case STAP_OP_OR:
		*ret = left | right;
		return true;
	case STAP_OP_XOR:
		*ret = left ^ right;
		return true;
	case STAP_OP_SHL:
		*ret = (int64_t)(a << shift);
		return true;
	case STAP_OP_SHR:
		*ret = left >> shift;
		return true;
	case STAP_OP_USHR:
		*ret = (int64_t)(a >> shift);
		return true;
	default:
		return false;
	}
}

static bool comparison(enum stap_op op, int order, int64_t *ret)
{
	switch ((int)op) {
	case STAP_OP_LT:
		*ret = order < 0;
		return true;
	case STAP_OP_LE:
		*ret = order <= 0;
		return true;
	case STAP_OP_GT:
		*ret = order > 0;
		return true;
	case STAP_OP_GE:
		*ret = order >= 0;
		return true;
	case STAP_OP_EQ:
		*ret = order == 0;
		return true;
	case STAP_OP_NE:
		*ret = order != 0;
		return true;
	default:
		return false;
	}
}

static bool fold_binary(struct sema *sema, struct stap_expr *expr)
{
	const struct stap_expr *left = expr->binary.left, *right = expr->binary.right;
	int64_t value = 0;

	if (is_number(left) && is_number(right)) {
		int order = left->number < right->number    ? -1
			    : left->number == right->number ? 0
							    : 1;

		return (arithmetic(
				expr->binary.op, left->number, right->number, &value) ||
			       comparison(expr->binary.op, order, &value)) &&
		       become_number(expr, value);
	}
	if (!is_string(left) || !is_string(right))
		return false;
	if (expr->binary.op == STAP_OP_CONCAT && sema) {
		const char *text =
			arena_printf(sema->arena, "%s%s", left->string, right->string);

		*expr = *sema_string(sema, text, expr->token);
		return true;
	}
	return comparison(expr->binary.op, strcmp(left->string, right->string), &value) &&
	       become_number(expr, value);
}

static bool fold_unary(struct stap_expr *expr)
{
	int64_t value;

	if (!is_number(expr->binary.left))
		return false;
	value = expr->binary.left->number;
	switch ((int)expr->binary.op) {
	case STAP_OP_PLUS:
		return become_number(expr, value);
	case STAP_OP_MINUS:
		return become_number(expr, (int64_t)(0 - (uint64_t)value));
	case STAP_OP_NOT:
		return become_number(expr, !value);
	case STAP_OP_COMPLEMENT:
		return become_number(expr, ~value);
	default:
		return false;
	}
}

static bool fold_logical(struct stap_expr *expr)
{
	const struct stap_expr *left = expr->binary.left, *right = expr->binary.right;
	bool is_and = expr->binary.op == STAP_OP_LOGICAL_AND;

	if (!is_number(left))
		return false;
	if (is_and && !left->number)
		return become_number(expr, 0);
	if (!is_and && left->number)
		return become_number(expr, 1);
	return is_number(right) && become_number(expr, right->number != 0);
}

static bool fold_ternary(struct stap_expr *expr)
{
	const struct stap_expr *condition = expr->ternary.condition;

	if (!is_number(condition))
		return false;
	*expr = condition->number ? *expr->ternary.then : *expr->ternary.otherwise;
	return true;
}

struct folding {
	struct sema *sema; /* NULL: no arena at hand, texts are not joined */
	bool changed;
};

/* What a match leaves behind for matched() is not thrown away. */
static bool fold_regex(struct sema *sema, struct stap_expr *expr)
{
	int found;

	if (!sema || !is_string(expr->binary.left) || !is_string(expr->binary.right) ||
		sema->uses_groups)
		return false;
	found = stap_regex_try(
		sema->arena, expr->binary.right->string, expr->binary.left->string);
	return found >= 0 &&
	       become_number(expr, found ^ (expr->binary.op != STAP_OP_MATCH));
}

static bool fold_one(struct stap_expr *expr, void *data)
{
	struct folding *folding = data;
	bool changed = false;

	sema_each_operand(expr, fold_one, data);
	switch ((int)expr->kind) {
	case STAP_EXPR_BINARY:
		changed = fold_binary(folding->sema, expr);
		break;
	case STAP_EXPR_UNARY:
		changed = fold_unary(expr);
		break;
	case STAP_EXPR_LOGICAL:
		changed = fold_logical(expr);
		break;
	case STAP_EXPR_TERNARY:
		changed = fold_ternary(expr);
		break;
	case STAP_EXPR_REGEX:
		changed = fold_regex(folding->sema, expr);
		break;
	default:
		break;
	}
	folding->changed |= changed;
	return true;
}

bool sema_fold_expr(struct stap_expr *expr)
{
	struct folding folding = {0};

	fold_one(expr, &folding);
	return folding.changed;
}

static void become_null(struct stap_stmt *stmt)
{
	const struct stap_token *token = stmt->token;

	memset(stmt, 0, sizeof(*stmt));
	stmt->kind = STAP_STMT_NULL;
	stmt->token = token;
}

static void become_expr(struct stap_stmt *stmt, struct stap_expr *expr)
{
	become_null(stmt);
	stmt->kind = STAP_STMT_EXPR;
	stmt->token = expr->token;
	stmt->expr = expr;
}

static bool fold_stmt(struct stap_stmt *stmt, void *data)
{
	struct folding *folding = data;

	sema_each_expr(stmt, fold_one, data);
	if (stmt->kind == STAP_STMT_IF && is_number(stmt->branch.condition)) {
		const struct stap_stmt *live = stmt->branch.condition->number
						       ? stmt->branch.then
						       : stmt->branch.otherwise;

		folding->changed = true;
		if (!live) {
			become_null(stmt);
			return true;
		}
		*stmt = *live;
		return fold_stmt(stmt, data);
	}
	if (stmt->kind == STAP_STMT_FOR && stmt->loop.condition &&
		is_number(stmt->loop.condition) && !stmt->loop.condition->number) {
		folding->changed = true;
		if (stmt->loop.init)
			become_expr(stmt, stmt->loop.init);
		else
			become_null(stmt);
		return true;
	}
	if (stmt->kind == STAP_STMT_FOREACH && stmt->foreach.limit &&
		is_number(stmt->foreach.limit) && stmt->foreach.limit->number <= 0) {
		folding->changed = true;
		become_null(stmt);
		return true;
	}
	return sema_each_stmt(stmt, fold_stmt, data);
}

bool sema_fold(struct sema *sema, struct stap_stmt **body)
{
	struct folding folding = {.sema = sema};

	fold_stmt(*body, &folding);
	return folding.changed;
}

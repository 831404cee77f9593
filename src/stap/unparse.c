/* SPDX-License-Identifier: MIT */
/*
 * A file back to text that parses to the same tree.  Every operator is in parentheses, so precedence
 * does not matter; statements end in semicolons, so a line can never continue into the next.
 */
#include <inttypes.h>
#include <string.h>

#include "stap/parser_internal.h"

struct unparser {
	struct strbuf *out;
	unsigned indent;
};

static void put_expr(struct unparser *u, const struct stap_expr *expr);
static void put_stmt(struct unparser *u, const struct stap_stmt *stmt);

static void put(struct unparser *u, const char *text)
{
	strbuf_puts(u->out, text);
}

/* Octal escapes of three digits cannot run into the next character. */
static void put_string(struct unparser *u, const char *text)
{
	strbuf_putc(u->out, '"');
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if (c == '\n')
			put(u, "\\n");
		else if (c == '\t')
			put(u, "\\t");
		else if (c == '"' || c == '\\')
			strbuf_printf(u->out, "\\%c", c);
		else if (c < ' ' || c == 0x7f)
			strbuf_printf(u->out, "\\%03o", c);
		else
			strbuf_putc(u->out, (char)c);
	}
	strbuf_putc(u->out, '"');
}

static const char *op_text(enum stap_op op)
{
	static const char *const texts[] = {
		[STAP_OP_NONE] = "",
		[STAP_OP_ADD] = "+",
		[STAP_OP_SUB] = "-",
		[STAP_OP_MUL] = "*",
		[STAP_OP_DIV] = "/",
		[STAP_OP_MOD] = "%",
		[STAP_OP_AND] = "&",
		[STAP_OP_OR] = "|",
		[STAP_OP_XOR] = "^",
		[STAP_OP_SHL] = "<<",
		[STAP_OP_SHR] = ">>",
		[STAP_OP_USHR] = ">>>",
		[STAP_OP_LT] = "<",
		[STAP_OP_LE] = "<=",
		[STAP_OP_GT] = ">",
		[STAP_OP_GE] = ">=",
		[STAP_OP_EQ] = "==",
		[STAP_OP_NE] = "!=",
		[STAP_OP_CONCAT] = ".",
		[STAP_OP_LOGICAL_AND] = "&&",
		[STAP_OP_LOGICAL_OR] = "||",
		[STAP_OP_PLUS] = "+",
		[STAP_OP_MINUS] = "-",
		[STAP_OP_NOT] = "!",
		[STAP_OP_COMPLEMENT] = "~",
		[STAP_OP_ASSIGN] = "",
		[STAP_OP_ACCUMULATE] = "<<<",
		[STAP_OP_INC] = "++",
		[STAP_OP_DEC] = "--",
		[STAP_OP_MATCH] = "=~",
		[STAP_OP_NOT_MATCH] = "!~",
	};
	return texts[op];
}

/* ---- expressions --------------------------------------------------------------------------------- */

static void put_wrapped(struct unparser *u, const struct stap_expr *expr)
{
	put(u, "(");
	put_expr(u, expr);
	put(u, ")");
}

static void put_list(struct unparser *u, struct stap_expr_list list)
{
	for (uint32_t i = 0; i < list.count; i++) {
		if (i)
			put(u, ", ");
		if (list.items[i])
			put_expr(u, list.items[i]);
		else
			put(u, "*");
	}
}

/* In front of `in` stand expressions no looser than comparisons. */
static void put_in_keys(struct unparser *u, struct stap_expr_list list)
{
	for (uint32_t i = 0; i < list.count; i++) {
		if (i)
			put(u, ", ");
		if (list.items[i])
			put_wrapped(u, list.items[i]);
		else
			put(u, "*");
	}
}

static void put_stat(struct unparser *u, const struct stap_expr *expr)
{
	put(u, stap_stat_op_name(expr->stat.op));
	put(u, "(");
	put_expr(u, expr->stat.target);
	for (int i = 0; i < expr->stat.param_count; i++)
		strbuf_printf(u->out, ", %" PRId64, expr->stat.params[i]);
	put(u, ")");
}

static void put_indexed(struct unparser *u, const struct stap_expr *expr)
{
	if (expr->index.hist)
		put_stat(u, expr->index.hist);
	else
		put(u, expr->index.name);
}

static void put_print(struct unparser *u, const struct stap_expr *expr)
{
	const char *literal =
		expr->print.has_format ? expr->print.format_text : expr->print.delimiter;
	strbuf_printf(u->out, "%s(", expr->print.name);
	if (literal) {
		put_string(u, literal);
		if (expr->print.args.count)
			put(u, ", ");
	}
	put_list(u, expr->print.args);
	put(u, ")");
}

static void put_target_base(struct unparser *u, const struct stap_expr *expr)
{
	switch (expr->target.base) {
	case STAP_TARGET_VAR:
		strbuf_printf(u->out, "$%s", expr->target.name);
		return;
	case STAP_TARGET_CAST:
		put(u, "@cast(");
		put_expr(u, expr->target.operand);
		put(u, ", ");
		put_string(u, expr->target.type_name);
		break;
	case STAP_TARGET_ATVAR:
		put(u, "@var(");
		put_string(u, expr->target.name);
		break;
	case STAP_TARGET_AUTOCAST:
		put_wrapped(u, expr->target.operand);
		return;
	}
	if (expr->target.module) {
		put(u, ", ");
		put_string(u, expr->target.module);
	}
	put(u, ")");
}

static void put_target(struct unparser *u, const struct stap_expr *expr)
{
	if (expr->target.address_of)
		put(u, "&");
	put_target_base(u, expr);
	for (uint32_t i = 0; i < expr->target.component_count; i++) {
		const struct stap_target_component *component =
			&expr->target.components[i];
		if (component->member) {
			strbuf_printf(u->out, "->%s", component->member);
			continue;
		}
		put(u, "[");
		put_expr(u, component->index);
		put(u, "]");
	}
	if (expr->target.pretty) {
		/* "$x$" or "->m$" as one word, else "->$"; "$$" is a name */
		bool word =
			expr->target.component_count
				? !!expr->target
					    .components[expr->target.component_count - 1]
					    .member
				: expr->target.base == STAP_TARGET_VAR &&
					  expr->target
						  .name[strspn(expr->target.name, "$")];
		put(u, word ? "" : "->");
		put(u, expr->target.pretty == 1 ? "$" : "$$");
	}
}

static void put_ternary(struct unparser *u, const struct stap_expr *expr)
{
	put_wrapped(u, expr->ternary.condition);
	put(u, " ? ");
	put_wrapped(u, expr->ternary.then);
	put(u, " : ");
	put_wrapped(u, expr->ternary.otherwise);
}

static void put_assign(struct unparser *u, const struct stap_expr *expr)
{
	put_wrapped(u, expr->assign.target);
	strbuf_printf(u->out, " %s%s ", op_text(expr->assign.op),
		expr->assign.op == STAP_OP_ACCUMULATE ? "" : "=");
	put_wrapped(u, expr->assign.value);
}

static void put_crrement(struct unparser *u, const struct stap_expr *expr)
{
	if (!expr->crrement.is_post)
		put(u, op_text(expr->crrement.op));
	put_wrapped(u, expr->crrement.target);
	if (expr->crrement.is_post)
		put(u, op_text(expr->crrement.op));
}

static void put_binary(struct unparser *u, const struct stap_expr *expr)
{
	put_wrapped(u, expr->binary.left);
	strbuf_printf(u->out, " %s ", op_text(expr->binary.op));
	if (expr->kind == STAP_EXPR_REGEX)
		put_string(u, expr->binary.right->string);
	else
		put_wrapped(u, expr->binary.right);
}

static void put_expr(struct unparser *u, const struct stap_expr *expr)
{
	switch (expr->kind) {
	case STAP_EXPR_NUMBER:
		strbuf_printf(u->out, "%" PRIu64, (uint64_t)expr->number);
		return;
	case STAP_EXPR_STRING:
		put_string(u, expr->string);
		return;
	case STAP_EXPR_VAR:
		put(u, expr->var.name);
		return;
	case STAP_EXPR_INDEX:
		put_indexed(u, expr);
		put(u, "[");
		put_list(u, expr->index.keys);
		put(u, "]");
		return;
	case STAP_EXPR_IN:
		put(u, "[");
		put_in_keys(u, expr->index.keys);
		put(u, "] in ");
		put_indexed(u, expr);
		return;
	case STAP_EXPR_CALL:
		strbuf_printf(u->out, "%s(", expr->call.name);
		put_list(u, expr->call.args);
		put(u, ")");
		return;
	case STAP_EXPR_PRINT:
		put_print(u, expr);
		return;
	case STAP_EXPR_STAT:
	case STAP_EXPR_HIST:
		put_stat(u, expr);
		return;
	case STAP_EXPR_TARGET:
		put_target(u, expr);
		return;
	case STAP_EXPR_DEFINED:
	case STAP_EXPR_ENTRY:
		put(u, expr->kind == STAP_EXPR_DEFINED ? "@defined" : "@entry");
		put_wrapped(u, expr->wrap.operand);
		return;
	case STAP_EXPR_ENTRY_VALUE: /* not of the parser: for dumps */
		strbuf_printf(u->out, "@entry_value(%u)", expr->entry_value.index);
		return;
	case STAP_EXPR_PERF:
		put(u, "@perf(");
		put_string(u, expr->perf.name);
		put(u, ")");
		return;
	case STAP_EXPR_EMBEDDED:
		strbuf_printf(u->out, "%%{%s%%}", expr->string);
		return;
	case STAP_EXPR_UNARY:
		put(u, op_text(expr->binary.op));
		put_wrapped(u, expr->binary.left);
		return;
	case STAP_EXPR_BINARY:
	case STAP_EXPR_LOGICAL:
	case STAP_EXPR_REGEX:
		put_binary(u, expr);
		return;
	case STAP_EXPR_TERNARY:
		put_ternary(u, expr);
		return;
	case STAP_EXPR_ASSIGN:
		put_assign(u, expr);
		return;
	case STAP_EXPR_CRREMENT:
		put_crrement(u, expr);
		return;
	}
}

/* ---- statements ---------------------------------------------------------------------------------- */

static void put_line(struct unparser *u)
{
	strbuf_putc(u->out, '\n');
	strbuf_fill(u->out, '\t', u->indent);
}

static void put_block(struct unparser *u, const struct stap_stmt *stmt)
{
	put(u, "{");
	u->indent++;
	for (uint32_t i = 0; i < stmt->block.count; i++) {
		put_line(u);
		put_stmt(u, stmt->block.items[i]);
	}
	u->indent--;
	put_line(u);
	put(u, "}");
}

static void put_body(struct unparser *u, const struct stap_stmt *stmt)
{
	put(u, " ");
	put_stmt(u, stmt);
}

static void put_if(struct unparser *u, const struct stap_stmt *stmt)
{
	put(u, "if ");
	put_wrapped(u, stmt->branch.condition);
	put_body(u, stmt->branch.then);
	if (stmt->branch.otherwise) {
		put_line(u);
		put(u, "else");
		put_body(u, stmt->branch.otherwise);
	}
}

static void put_for(struct unparser *u, const struct stap_stmt *stmt)
{
	const struct stap_expr *parts[] = {
		stmt->loop.init, stmt->loop.condition, stmt->loop.step};
	put(u, "for (");
	for (int i = 0; i < 3; i++) {
		if (parts[i])
			put_expr(u, parts[i]);
		if (i < 2)
			put(u, "; ");
	}
	put(u, ")");
	put_body(u, stmt->loop.body);
}

static void put_sort(struct unparser *u, const struct stap_stmt *stmt, int column)
{
	if (stmt->foreach.sort_direction && stmt->foreach.sort_column == column)
		put(u, stmt->foreach.sort_direction > 0 ? "+" : "-");
}

static void put_foreach(struct unparser *u, const struct stap_stmt *stmt)
{
	put(u, "foreach (");
	if (stmt->foreach.value)
		strbuf_printf(u->out, "%s = ", stmt->foreach.value->var.name);
	put(u, "[");
	for (uint32_t i = 0; i < stmt->foreach.key_count; i++) {
		strbuf_printf(
			u->out, "%s%s", i ? ", " : "", stmt->foreach.keys[i]->var.name);
		put_sort(u, stmt, (int)i + 1);
	}
	put(u, "] in ");
	put_expr(u, stmt->foreach.array);
	if (stmt->foreach.slice.count) {
		put(u, "[");
		put_list(u, stmt->foreach.slice);
		put(u, "]");
	}
	if (stmt->foreach.sort_has_op)
		strbuf_printf(u->out, " %s", stap_stat_op_name(stmt->foreach.sort_op));
	put_sort(u, stmt, 0);
	if (stmt->foreach.limit) {
		put(u, " limit ");
		put_expr(u, stmt->foreach.limit);
	}
	put(u, ")");
	put_body(u, stmt->foreach.body);
}

static void put_try(struct unparser *u, const struct stap_stmt *stmt)
{
	put(u, "try");
	put_body(u, stmt->try.body);
	put(u, " catch");
	if (stmt->try.variable)
		strbuf_printf(u->out, " (%s)", stmt->try.variable->var.name);
	put_body(u, stmt->try.handler);
}

static void put_stmt(struct unparser *u, const struct stap_stmt *stmt)
{
	switch (stmt->kind) {
	case STAP_STMT_NULL:
		put(u, ";");
		return;
	case STAP_STMT_EXPR:
		put_expr(u, stmt->expr);
		put(u, ";");
		return;
	case STAP_STMT_BLOCK:
		put_block(u, stmt);
		return;
	case STAP_STMT_IF:
		put_if(u, stmt);
		return;
	case STAP_STMT_FOR:
		put_for(u, stmt);
		return;
	case STAP_STMT_FOREACH:
		put_foreach(u, stmt);
		return;
	case STAP_STMT_BREAK:
		put(u, "break;");
		return;
	case STAP_STMT_CONTINUE:
		put(u, "continue;");
		return;
	case STAP_STMT_NEXT:
		put(u, "next;");
		return;
	case STAP_STMT_RETURN:
		put(u, stmt->expr ? "return " : "return");
		if (stmt->expr)
			put_expr(u, stmt->expr);
		put(u, ";");
		return;
	case STAP_STMT_DELETE:
		put(u, "delete ");
		put_expr(u, stmt->expr);
		put(u, ";");
		return;
	case STAP_STMT_TRY:
		put_try(u, stmt);
		return;
	}
}

/* ---- top level ----------------------------------------------------------------------------------- */

static void put_global(struct unparser *u, const struct stap_var *var)
{
	strbuf_printf(
		u->out, "%sglobal %s", var->is_private ? "private " : "", var->name);
	if (var->is_wrapping)
		put(u, "%");
	if (var->size_limit)
		strbuf_printf(u->out, "[%" PRId64 "]", var->size_limit);
	if (var->init) {
		put(u, " = ");
		put_expr(u, var->init);
	}
	put(u, "\n");
}

static void put_function(struct unparser *u, const struct stap_function *function)
{
	strbuf_printf(u->out, "%sfunction %s", function->is_private ? "private " : "",
		function->name);
	if (function->has_declared_type)
		strbuf_printf(u->out, ":%s", stap_type_name(function->type));
	put(u, "(");
	for (uint32_t i = 0; i < function->param_count; i++) {
		const struct stap_var *var = function->params[i];
		strbuf_printf(u->out, "%s%s", i ? ", " : "", var->name);
		if (var->type != STAP_TYPE_UNKNOWN)
			strbuf_printf(u->out, ":%s", stap_type_name(var->type));
	}
	put(u, ")");
	if (function->priority != function->is_library)
		strbuf_printf(u->out, " :%" PRId64, function->priority);
	put(u, " ");
	if (!function->embedded)
		put_block(u, function->body);
	else
		strbuf_printf(u->out, "%%{%s%%}", function->embedded->text);
	put(u, "\n");
}

static void put_point(struct unparser *u, const struct stap_point *point)
{
	for (uint32_t i = 0; i < point->component_count; i++) {
		const struct stap_component *component = &point->components[i];
		strbuf_printf(u->out, "%s%s", i ? "." : "", component->name);
		if (!component->has_argument)
			continue;
		if (component->argument->kind == STAP_EXPR_NUMBER) {
			strbuf_printf(
				u->out, "(%" PRId64 ")", component->argument->number);
			continue;
		}
		put_wrapped(u, component->argument);
	}
	if (point->optional)
		put(u, point->sufficient ? "!" : "?");
	if (point->condition) {
		put(u, " if ");
		put_wrapped(u, point->condition);
	}
}

static void put_probe(struct unparser *u, const struct stap_probe *probe)
{
	put(u, "probe ");
	if (probe->alias) {
		put_point(u, probe->alias);
		put(u, probe->alias_epilogue ? " += " : " = ");
	}
	for (uint32_t i = 0; i < probe->point_count; i++) {
		if (i)
			put(u, ",");
		put_point(u, probe->points[i]);
	}
	put(u, " ");
	put_block(u, probe->body);
	if (probe->epilogue) {
		put(u, ", ");
		put_block(u, probe->epilogue);
	}
	put(u, "\n");
}

void stap_unparse_expr(const struct stap_expr *expr, struct strbuf *out)
{
	struct unparser u = {.out = out};
	put_expr(&u, expr);
}

void stap_unparse_body(const struct stap_stmt *stmt, struct strbuf *out)
{
	struct unparser u = {.out = out};
	put_stmt(&u, stmt);
}

void stap_unparse(const struct stap_file *file, struct strbuf *out)
{
	struct unparser u = {.out = out};
	for (size_t i = 0; i < file->embedded.count; i++)
		strbuf_printf(out, "%%{%s%%}\n", file->embedded.items[i]->text);
	for (size_t i = 0; i < file->globals.count; i++)
		put_global(&u, file->globals.items[i]);
	for (size_t i = 0; i < file->functions.count; i++)
		put_function(&u, file->functions.items[i]);
	for (size_t i = 0; i < file->aliases.count; i++)
		put_probe(&u, file->aliases.items[i]);
	for (size_t i = 0; i < file->probes.count; i++)
		put_probe(&u, file->probes.items[i]);
}

/* SPDX-License-Identifier: MIT */
/* The listing of -p2. */
#include <stdlib.h>
#include <string.h>

#include "stap/sema.h"

static void dump_var(const struct stap_var *var, struct strbuf *out)
{
	strbuf_printf(out, "%s%s", var->name, var->is_wrapping ? "%" : "");
	if (var->size_limit)
		strbuf_printf(out, "[%lld]", (long long)var->size_limit);
	strbuf_printf(out, ":%s", stap_type_name(var->type));
	for (int i = 0; i < var->arity; i++)
		strbuf_printf(
			out, "%s%s", i ? ", " : " [", stap_type_name(var->key_types[i]));
	if (var->arity > 0)
		strbuf_putc(out, ']');
}

static void dump_locals(struct stap_var *const *locals, size_t count, struct strbuf *out)
{
	if (count)
		strbuf_puts(out, "  # locals\n");
	for (size_t i = 0; i < count; i++) {
		strbuf_puts(out, "  ");
		dump_var(locals[i], out);
		strbuf_putc(out, '\n');
	}
}

static void dump_init(const struct stap_expr *init, struct strbuf *out)
{
	if (init->kind == STAP_EXPR_STRING)
		strbuf_printf(out, " = \"%s\"",
			init->token->raw ? init->token->raw : init->string);
	else
		strbuf_printf(out, " = %lld", (long long)init->number);
}

static void dump_body(const struct stap_stmt *body, struct strbuf *out)
{
	stap_unparse_body(body, out);
	strbuf_putc(out, '\n');
}

static void dump_function(
	const struct stap_function *function, bool with_body, struct strbuf *out)
{
	strbuf_printf(out, "%s:%s (", function->name, stap_type_name(function->type));
	for (uint32_t i = 0; i < function->param_count; i++) {
		strbuf_puts(out, i ? ", " : "");
		dump_var(function->params[i], out);
	}
	strbuf_puts(out, ")\n");
	dump_locals(function->locals.items, function->locals.count, out);
	if (with_body && function->embedded)
		strbuf_printf(out, "%%{%s%%}\n", function->embedded->text);
	else if (with_body)
		dump_body(function->body, out);
}

static void dump_probe(
	const struct stap_derived_probe *probe, bool with_body, struct strbuf *out)
{
	for (uint32_t i = 0; i < probe->location_count; i++) {
		const struct stap_location *location = probe->locations[i];

		strbuf_puts(out, location->pp ? location->pp : location->function);
		if (location->event == STAP_EVENT_NONE)
			strbuf_printf(out, " /* pc=.absolute+%#llx */",
				(unsigned long long)location->link_address);
		strbuf_printf(out, " /* <- %s */\n", stap_location_name(probe, location));
	}
	if (!probe->location_count)
		strbuf_printf(out, "%s /* <- %s */\n", probe->pp, probe->pn);
	dump_locals(probe->locals.items, probe->locals.count, out);
	if (with_body)
		dump_body(probe->body, out);
}

static int compare_functions(const void *a, const void *b)
{
	const struct stap_function *const *x = a, *const *y = b;
	int order = strcmp((*x)->name, (*y)->name);

	return order ? order : (*x)->index < (*y)->index ? -1 : 1;
}

/* By name, as SystemTap lists them. */
static void dump_functions(
	const struct stap_program *program, bool with_bodies, struct strbuf *out)
{
	VEC(struct stap_function *) sorted = {0};

	for (size_t i = 0; i < program->functions.count; i++)
		vec_append(&sorted, program->functions.items[i]);
	if (sorted.count)
		qsort(sorted.items, sorted.count, sizeof(*sorted.items),
			compare_functions);
	for (size_t i = 0; i < sorted.count; i++)
		dump_function(sorted.items[i], with_bodies, out);
	vec_free(&sorted);
}

void stap_program_dump(
	const struct stap_program *program, bool with_bodies, struct strbuf *out)
{
	if (program->globals.count)
		strbuf_puts(out, "# globals\n");
	for (size_t i = 0; i < program->globals.count; i++) {
		dump_var(program->globals.items[i], out);
		if (with_bodies && program->globals.items[i]->init)
			dump_init(program->globals.items[i]->init, out);
		strbuf_putc(out, '\n');
	}
	if (program->functions.count)
		strbuf_puts(out, "# functions\n");
	dump_functions(program, with_bodies, out);
	if (program->probes.count)
		strbuf_puts(out, "# probes\n");
	for (size_t i = 0; i < program->probes.count; i++)
		dump_probe(program->probes.items[i], with_bodies, out);
}

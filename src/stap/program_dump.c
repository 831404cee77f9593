/* SPDX-License-Identifier: MIT */
/* The listing of -p2. */
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

static void dump_function(const struct stap_function *function, struct strbuf *out)
{
	strbuf_printf(out, "%s:%s (", function->name, stap_type_name(function->type));
	for (uint32_t i = 0; i < function->param_count; i++) {
		strbuf_puts(out, i ? ", " : "");
		dump_var(function->params[i], out);
	}
	strbuf_puts(out, ")\n");
	dump_locals(function->locals.items, function->locals.count, out);
}

static void dump_probe(const struct stap_derived_probe *probe, struct strbuf *out)
{
	for (uint32_t i = 0; i < probe->location_count; i++) {
		const struct stap_location *location = probe->locations[i];

		strbuf_printf(out, "%s /* pc=.absolute+%#llx */ /* <- %s */\n",
			location->pp ? location->pp : location->function,
			(unsigned long long)location->link_address, probe->pn);
	}
	if (!probe->location_count)
		strbuf_printf(out, "%s /* <- %s */\n", probe->pp, probe->pn);
	dump_locals(probe->locals.items, probe->locals.count, out);
}

void stap_program_dump(const struct stap_program *program, struct strbuf *out)
{
	if (program->globals.count)
		strbuf_puts(out, "# globals\n");
	for (size_t i = 0; i < program->globals.count; i++) {
		dump_var(program->globals.items[i], out);
		strbuf_putc(out, '\n');
	}
	if (program->functions.count)
		strbuf_puts(out, "# functions\n");
	for (size_t i = 0; i < program->functions.count; i++)
		dump_function(program->functions.items[i], out);
	if (program->probes.count)
		strbuf_puts(out, "# probes\n");
	for (size_t i = 0; i < program->probes.count; i++)
		dump_probe(program->probes.items[i], out);
}

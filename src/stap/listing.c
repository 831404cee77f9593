/* SPDX-License-Identifier: MIT */
/* What the library offers: --dump-probe-aliases, --dump-functions. */
#include <string.h>

#include "stap/sema.h"

static bool is_hidden(const char *name)
{
	return name[0] == '_';
}

static void put_points(const struct stap_probe *alias, struct strbuf *out)
{
	for (uint32_t i = 0; i < alias->point_count; i++) {
		const struct stap_point *point = alias->points[i];

		strbuf_puts(out, i ? ", " : "");
		sema_point_text(point, out);
		if (point->optional)
			strbuf_putc(out, point->sufficient ? '!' : '?');
	}
}

void stap_dump_aliases(
	const struct stap_file *const *files, uint32_t count, struct strbuf *out)
{
	for (uint32_t i = 0; i < count; i++) {
		for (size_t j = 0; j < files[i]->aliases.count; j++) {
			const struct stap_probe *alias = files[i]->aliases.items[j];

			if (is_hidden(alias->alias->components[0].name))
				continue;
			sema_point_text(alias->alias, out);
			strbuf_puts(out, alias->alias_epilogue ? " += " : " = ");
			put_points(alias, out);
			strbuf_putc(out, '\n');
		}
	}
}

static void put_intrinsic(const struct stap_intrinsic *intrinsic, struct strbuf *out)
{
	const char *name = intrinsic->argument_names;

	strbuf_printf(out, "%s:%s (", intrinsic->name, stap_type_name(intrinsic->result));
	for (const char *type = intrinsic->arguments; *type; type++) {
		size_t size = strcspn(name, ",");

		strbuf_printf(out, "%s%.*s:%s", type == intrinsic->arguments ? "" : ", ",
			(int)size, name, *type == 'S' ? "string" : "long");
		name += size + (name[size] == ',');
	}
	strbuf_printf(out, ")%s\n",
		intrinsic->flags & STAP_INTRINSIC_GURU ? " /* guru */" : "");
}

static void put_function(const struct stap_function *function, struct strbuf *out)
{
	strbuf_printf(out, "%s:%s (", function->name, stap_type_name(function->type));
	for (uint32_t i = 0; i < function->param_count; i++)
		strbuf_printf(out, "%s%s:%s", i ? ", " : "", function->params[i]->name,
			stap_type_name(function->params[i]->type));
	strbuf_puts(out, ")\n");
}

void stap_dump_functions(const struct stap_program *program, struct strbuf *out)
{
	const struct stap_intrinsic *intrinsic;

	for (size_t i = 0; i < program->functions.count; i++) {
		const struct stap_function *function = program->functions.items[i];

		if (!function->is_private && !is_hidden(function->name))
			put_function(function, out);
	}
	for (uint32_t i = 0; (intrinsic = stap_intrinsic_at(i)); i++)
		if (!is_hidden(intrinsic->name))
			put_intrinsic(intrinsic, out);
}

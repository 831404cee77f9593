/* SPDX-License-Identifier: MIT */
/* Enumerators of the program: @enum("NAME"), and the tables of @enumname(). */
#include "stap/sema.h"

static const struct stap_enumerator *find(struct sema *sema,
	const struct stap_location *location, const struct stap_enumerator_query *query,
	uint32_t *ret_count, const char **ret_error)
{
	const struct stap_target *target = sema->target;
	struct stap_enumerator *found = NULL;
	struct error why = {0};

	*ret_error = "unresolved enumerator";
	if (!target || !target->ops->enumerators || (!location && !query->module))
		return NULL;
	if (target->ops->enumerators(target->data, location, query, sema->arena, &found,
		    ret_count, &why) == 0)
		return found;
	*ret_error = arena_strdup(sema->arena, why.message);
	return NULL;
}

const char *sema_enum_value(struct sema *sema, const struct stap_location *location,
	const char *name, int64_t *ret)
{
	const struct stap_enumerator_query query = {.name = name};
	uint32_t count = 0;
	const char *error;
	const struct stap_enumerator *found =
		find(sema, location, &query, &count, &error);

	if (!found || !count)
		return error;
	*ret = found->value;
	return NULL;
}

const char *sema_enum_table(struct sema *sema, const struct stap_location *location,
	const struct stap_enumerator_query *query, const char **ret_error)
{
	struct strbuf table;
	uint32_t count = 0;
	const struct stap_enumerator *found =
		find(sema, location, query, &count, ret_error);
	const char *text;

	if (!found)
		return NULL;
	strbuf_init(&table);
	for (uint32_t i = 0; i < count; i++)
		strbuf_printf(
			&table, "%lld %s\n", (long long)found[i].value, found[i].name);
	text = arena_strdup(sema->arena, table.data);
	strbuf_deinit(&table);
	return text;
}

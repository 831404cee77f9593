/* SPDX-License-Identifier: MIT */
/*
 * What `utrace list` prints: points one a line, each once, in order; with -L the variables that all
 * places of a point have; with -v how each place would be patched.
 */
#include <string.h>

#include "session/internal.h"

struct list_variable {
	const char *text; /* " $name:type" */
	size_t places;    /* that have it */
};

struct list_point {
	const char *text;
	VEC(struct list_variable) variables;
	VEC(const struct stap_location *) locations;
	size_t places; /* whose variables were looked at */
};

struct listing {
	struct session *session;
	bool with_variables;
	VEC(struct list_point) points;
};

static void point_add_variable(struct list_point *point, const char *text)
{
	for (size_t i = 0; i < point->variables.count; i++) {
		if (strcmp(point->variables.items[i].text, text) != 0)
			continue;
		point->variables.items[i].places++;
		return;
	}
	vec_append(&point->variables, ((struct list_variable){text, 1}));
}

/* Void functions, and values that scripts cannot read, have no $return. */
static void add_return_value(struct listing *list, struct list_point *point,
	const struct stap_location *location)
{
	struct session *s = list->session;
	struct stap_expr *expr = stap_expr_new(&s->arena, STAP_EXPR_TARGET, NULL);
	struct stap_access *access = NULL;
	expr->target.base = STAP_TARGET_VAR;
	expr->target.name = "return";
	if (location->is_return && s->target.ops->access(s->target.data, location, expr,
					   false, &s->arena, &access, NULL) == 0)
		point_add_variable(
			point, arena_printf(&s->arena, " $return:%s", access->type_name));
}

static void add_variables(struct listing *list, struct list_point *point,
	const struct stap_location *location)
{
	struct session *s = list->session;
	struct stap_variable_info *variables = NULL;
	uint32_t count = 0;
	point->places++;
	if (location->event == STAP_EVENT_SYSCALL ||
		location->event == STAP_EVENT_SYSCALL_RETURN)
		point_add_variable(point, " $syscall:long");
	else
		add_return_value(list, point, location);
	if (s->target.ops->variables(s->target.data, location, true, !location->is_return,
		    &s->arena, &variables, &count, NULL) < 0)
		return;
	for (uint32_t i = 0; i < count; i++) {
		if (variables[i].is_available)
			point_add_variable(point,
				arena_printf(&s->arena, " $%s:%s", variables[i].name,
					variables[i].type_name));
	}
}

/* What the prologue of an alias sets. */
static void add_convenience(struct listing *list, struct list_point *point,
	const struct stap_derived_probe *probe)
{
	point->places++;
	for (size_t i = 0; i < probe->locals.count; i++) {
		const struct stap_var *var = probe->locals.items[i];
		const char *type = var->type == STAP_TYPE_LONG     ? "long"
				   : var->type == STAP_TYPE_STRING ? "string"
								   : NULL;
		if (type)
			point_add_variable(point, arena_printf(&list->session->arena,
							  " %s:%s", var->name, type));
	}
}

static struct list_point *point_get(struct listing *list, const char *text)
{
	/* places of one point mostly come together */
	for (size_t i = list->points.count; i-- > 0;) {
		if (strcmp(list->points.items[i].text, text) == 0)
			return &list->points.items[i];
		if (list->points.count - i > 8)
			break;
	}
	struct list_point *point = vec_push(&list->points);
	point->text = text;
	return point;
}

static bool is_alias(const struct stap_derived_probe *probe)
{
	return strncmp(probe->pn, "process", 7) != 0;
}

static void add_probe(struct listing *list, const struct stap_derived_probe *probe)
{
	if (!probe->location_count || is_alias(probe)) {
		struct list_point *point = point_get(list, probe->pn);
		if (list->with_variables)
			add_convenience(list, point, probe);
		for (uint32_t i = 0; i < probe->location_count; i++)
			vec_append(&point->locations, probe->locations[i]);
		return;
	}
	for (uint32_t i = 0; i < probe->location_count; i++) {
		const struct stap_location *location = probe->locations[i];
		struct list_point *point = point_get(list, location->pp);
		if (list->with_variables)
			add_variables(list, point, location);
		vec_append(&point->locations, location);
	}
}

static int compare_points(const void *a, const void *b)
{
	return strcmp(((const struct list_point *)a)->text,
		((const struct list_point *)b)->text);
}

static void merge_points(struct list_point *into, struct list_point *from)
{
	for (size_t i = 0; i < from->locations.count; i++)
		vec_append(&into->locations, from->locations.items[i]);
	for (size_t i = 0; i < from->variables.count; i++) {
		const struct list_variable *variable = &from->variables.items[i];
		point_add_variable(into, variable->text);
		for (size_t k = 0; k < into->variables.count; k++) {
			if (strcmp(into->variables.items[k].text, variable->text) == 0)
				into->variables.items[k].places += variable->places - 1;
		}
	}
	into->places += from->places;
	from->text = NULL;
}

static void print_point(struct listing *list, const struct list_point *point)
{
	struct session *s = list->session;
	struct strbuf out;
	strbuf_init(&out);
	strbuf_puts(&out, point->text);
	for (size_t i = 0; i < point->variables.count; i++) {
		if (point->variables.items[i].places == point->places)
			strbuf_puts(&out, point->variables.items[i].text);
	}
	strbuf_putc(&out, '\n');
	for (size_t i = 0; i < point->locations.count && s->options->verbose; i++)
		session_plan_describe(s, point->locations.items[i], &out);
	fputs(out.data, stdout);
	strbuf_deinit(&out);
}

void session_list_variables(struct session *s, struct strbuf *out)
{
	struct listing list = {.session = s, .with_variables = true};
	for (size_t i = 0; i < s->program->probes.count; i++) {
		const struct stap_derived_probe *probe = s->program->probes.items[i];
		struct list_point *point = point_get(&list, probe->pn);
		if (is_alias(probe))
			add_convenience(&list, point, probe);
		for (uint32_t k = 0; k < probe->location_count; k++)
			add_variables(&list, point, probe->locations[k]);
	}
	for (size_t i = 0; i < list.points.count; i++) {
		struct list_point *point = &list.points.items[i];
		for (size_t k = 0; k < point->variables.count; k++)
			strbuf_printf(out, "%s\n", point->variables.items[k].text + 1);
		vec_free(&point->variables);
		vec_free(&point->locations);
	}
	vec_free(&list.points);
}

size_t session_list_print(struct session *s, bool with_variables)
{
	struct listing list = {.session = s, .with_variables = with_variables};
	struct list_point *last = NULL;
	for (size_t i = 0; i < s->program->probes.count; i++)
		add_probe(&list, s->program->probes.items[i]);
	if (list.points.count)
		qsort(list.points.items, list.points.count, sizeof(*list.points.items),
			compare_points);
	for (size_t i = 0; i < list.points.count; i++) {
		struct list_point *point = &list.points.items[i];
		if (last && strcmp(last->text, point->text) == 0)
			merge_points(last, point);
		else
			last = point;
	}
	for (size_t i = 0; i < list.points.count; i++) {
		struct list_point *point = &list.points.items[i];
		if (point->text)
			print_point(&list, point);
		vec_free(&point->variables);
		vec_free(&point->locations);
	}
	size_t count = list.points.count;
	vec_free(&list.points);
	return count;
}

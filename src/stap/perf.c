/* SPDX-License-Identifier: MIT */
/* Points of perf.*: what is counted, in which processes, and who reads the counters. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stap/sema.h"

enum {
	STANDARD_INTERVAL = 1000000
};

static bool fail(
	struct sema_error *err, const struct stap_token *token, const char *message)
{
	*err = (struct sema_error){message, token};
	return false;
}

static const struct stap_component *find_component(
	const struct stap_point *point, const char *name)
{
	for (uint32_t i = 1; i < point->component_count; i++)
		if (!strcmp(point->components[i].name, name))
			return &point->components[i];
	return NULL;
}

static const struct stap_derived_probe *find_counter(
	const struct sema *sema, const char *name)
{
	for (size_t i = 0; i < sema->program->probes.count; i++) {
		const struct stap_derived_probe *probe = sema->program->probes.items[i];

		if (probe->perf && probe->perf->counter &&
			!strcmp(probe->perf->counter, name))
			return probe;
	}
	return NULL;
}

static bool read_interval(const struct stap_component *component, struct stap_perf *perf,
	struct sema_error *err)
{
	int64_t value = component->argument->number;

	if (value < 1)
		return fail(err, component->token,
			"a sample needs at least one event, and one a second");
	perf->interval = (uint64_t)value;
	perf->is_frequency = !strcmp(component->name, "hz");
	return true;
}

static bool read_counter(struct sema *sema, const struct stap_component *component,
	struct stap_perf *perf, struct sema_error *err)
{
	const char *name = component->argument->string;

	if (!*name)
		return fail(err, component->token, "a perf counter needs a name");
	if (strpbrk(name, "*?["))
		return fail(err, component->token,
			"the name of a perf counter cannot have wildcards");
	if (find_counter(sema, name))
		return fail(err, component->token,
			arena_printf(sema->arena, "there is a perf counter '%s' already",
				name));
	perf->counter = name;
	perf->interval = 0;
	return true;
}

bool sema_perf_point(struct sema *sema, const struct stap_point *point,
	const struct stap_perf **ret, struct sema_error *err)
{
	struct stap_perf *perf = arena_new(sema->arena, struct stap_perf);
	const struct stap_target_ops *ops = sema->target ? sema->target->ops : NULL;
	struct error why = {0};

	*perf = (struct stap_perf){.interval = STANDARD_INTERVAL};
	for (uint32_t i = 1; i < point->component_count; i++) {
		const struct stap_component *component = &point->components[i];
		bool ok = true;

		if (!strcmp(component->name, "type"))
			perf->type = (uint32_t)component->argument->number;
		else if (!strcmp(component->name, "config"))
			perf->config = (uint64_t)component->argument->number;
		else if (!strcmp(component->name, "counter"))
			ok = read_counter(sema, component, perf, err);
		else if (strcmp(component->name, "process") != 0)
			ok = read_interval(component, perf, err);
		if (!ok)
			return false;
	}
	if (ops && ops->can_count &&
		ops->can_count(sema->target->data, perf->type, perf->config, &why) < 0)
		return fail(err, point->components[0].token,
			arena_strdup(sema->arena, why.message));
	*ret = perf;
	return true;
}

/* The processes are those of process("PATH").begin. */
static struct stap_point *begin_point(
	struct sema *sema, const struct stap_component *process)
{
	struct stap_point *point = arena_new(sema->arena, struct stap_point);

	point->token = process->token;
	point->component_count = 2;
	point->components = arena_array(sema->arena, struct stap_component, 2);
	point->components[0] = *process;
	point->components[0].name = "process";
	if (strcmp(process->name, "process") != 0)
		point->components[0].has_argument = false;
	point->components[1] =
		(struct stap_component){.name = "begin", .token = process->token};
	return point;
}

static const char *location_text(struct sema *sema, const struct stap_perf *perf,
	const struct stap_location *location, bool has_process)
{
	struct strbuf text;
	const char *ret;

	strbuf_init(&text);
	strbuf_printf(
		&text, "perf.type(%u).config(%lld)", perf->type, (long long)perf->config);
	if (!perf->counter)
		strbuf_printf(&text, ".%s(%llu)", perf->is_frequency ? "hz" : "sample",
			(unsigned long long)perf->interval);
	if (location->only_program)
		strbuf_printf(&text, ".process(\"%s\")", location->only_program);
	else if (has_process)
		strbuf_puts(&text, ".process");
	if (perf->counter)
		strbuf_printf(&text, ".counter(\"%s\")", perf->counter);
	ret = arena_strdup(sema->arena, text.data);
	strbuf_deinit(&text);
	return ret;
}

bool sema_perf_locations(struct sema *sema, const struct stap_point *point,
	const struct stap_perf *perf, struct stap_location ***ret, uint32_t *ret_count,
	struct sema_error *err)
{
	const struct stap_component *process = find_component(point, "process");
	const struct stap_target_ops *ops = sema->target ? sema->target->ops : NULL;
	struct stap_location **found = NULL;
	struct error why = {0};
	uint32_t count = 0;

	if (!ops)
		return fail(err, point->components[0].token,
			"perf probes are not available here");
	int code = ops->expand(sema->target->data,
		begin_point(sema, process ? process : &point->components[0]), sema->arena,
		&found, &count, &why);
	*ret = arena_array(sema->arena, struct stap_location *, count + 1);
	*ret_count = count;
	for (uint32_t i = 0; i < count; i++) {
		(*ret)[i] = found[i];
		found[i]->event = STAP_EVENT_PERF;
		found[i]->pp = location_text(sema, perf, found[i], process != NULL);
	}
	free(found);
	if (code < 0 || !count)
		return fail(err, point->components[0].token,
			why.message[0] ? arena_strdup(sema->arena, why.message)
				       : "no match");
	return true;
}

bool sema_lower_perf(struct sema *sema, const struct stap_location *location,
	struct stap_expr *expr, struct strbuf *signature)
{
	const char *name = expr->perf.name;

	if (!location || location->event == STAP_EVENT_PERF)
		return false;
	sema_push(sema, &sema->counter_uses,
		((struct sema_counter_use){name, expr->token}));
	struct stap_expr *call = stap_expr_new(sema->arena, STAP_EXPR_CALL, expr->token);
	call->call.name = "__rt_perf_counter";
	call->call.args.items = arena_array(sema->arena, struct stap_expr *, 1);
	call->call.args.items[call->call.args.count++] =
		sema_string(sema, name, expr->token);
	*expr = *call;
	if (signature)
		strbuf_printf(signature, "%s;", name);
	return true;
}

void sema_check_counters(struct sema *sema)
{
	for (size_t i = 0; i < sema->counter_uses.count; i++) {
		const struct sema_counter_use *use = &sema->counter_uses.items[i];

		if (!find_counter(sema, use->name))
			sema_error(sema, use->token, "there is no perf counter '%s'",
				use->name);
	}
}

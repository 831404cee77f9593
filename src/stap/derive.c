/* SPDX-License-Identifier: MIT */
/* From fully expanded probe points to derived probes with a body of their own. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "stap/sema.h"

static const struct {
	const char *unit;
	uint64_t ns;
	int64_t low, high;
} timer_units[] = {
	{"s", 1000000000, 1, 86400},
	{"sec", 1000000000, 1, 86400},
	{"ms", 1000000, 1, 86400000},
	{"msec", 1000000, 1, 86400000},
	{"us", 1000, 100, 86400000000},
	{"usec", 1000, 100, 86400000000},
	{"ns", 1, 100000, 86400000000000},
	{"nsec", 1, 100000, 86400000000000},
};

static bool fail(
	struct sema_error *err, const struct stap_token *token, const char *message)
{
	*err = (struct sema_error){message, token};
	return false;
}

static int64_t argument_number(const struct stap_component *component, int64_t otherwise)
{
	return component->has_argument ? component->argument->number : otherwise;
}

static struct stap_derived_probe *probe_new(struct sema *sema,
	const struct sema_candidate *candidate, enum stap_probe_kind kind)
{
	struct stap_derived_probe *probe =
		arena_new(sema->arena, struct stap_derived_probe);

	probe->kind = kind;
	probe->token = candidate->origin->token;
	probe->origin = candidate->origin;
	probe->body = stap_stmt_copy(sema->arena, candidate->body);
	if (candidate->condition)
		probe->condition = stap_expr_copy(sema->arena, candidate->condition);
	probe->pn = candidate->pn;
	return probe;
}

/* Session probes have no location to give their text. */
static void probe_name(struct sema *sema, struct stap_derived_probe *probe,
	const struct stap_point *point)
{
	struct strbuf text;

	strbuf_init(&text);
	sema_point_text(point, &text);
	probe->pp = arena_strdup(sema->arena, text.data);
	strbuf_deinit(&text);
}

static void probe_add(struct sema *sema, struct stap_derived_probe *probe)
{
	probe->index = (uint32_t)sema->program->probes.count;
	sema_push(sema, &sema->program->probes, probe);
}

static bool build_session_probe(struct sema *sema, const struct sema_candidate *candidate,
	enum stap_probe_kind kind)
{
	struct stap_derived_probe *probe = probe_new(sema, candidate, kind);

	probe_name(sema, probe, candidate->point);
	probe->priority = argument_number(&candidate->point->components[0], 0);
	sema_lower_targets(sema, (struct sema_owner){.probe = probe}, NULL, NULL);
	probe_add(sema, probe);
	return true;
}

static bool build_control_file(
	struct sema *sema, const struct sema_candidate *candidate, struct sema_error *err)
{
	struct stap_derived_probe *probe =
		probe_new(sema, candidate, STAP_PROBE_CONTROL_FILE);

	probe_name(sema, probe, candidate->point);
	if (!sema_control_file(sema, probe, candidate->point, err))
		return false;
	sema_lower_file_value(sema, probe);
	sema_lower_targets(sema, (struct sema_owner){.probe = probe}, NULL, NULL);
	probe_add(sema, probe);
	return true;
}

enum {
	INTERVAL_MIN_NS = 100000
};

static bool timer_interval(struct sema *sema, const struct stap_component *component,
	struct stap_derived_probe *probe, uint64_t *ret_unit, struct sema_error *err)
{
	int64_t value = component->argument->number;

	if (!strcmp(component->name, "hz")) {
		if (value <= 0)
			return fail(err, component->token,
				"frequency must be greater than 0");
		if (value > 1000000000 / INTERVAL_MIN_NS)
			return fail(err, component->token,
				"interval value out of range (100000, 86400000000000)");
		probe->interval_ns = 1000000000u / (uint64_t)value;
		return true;
	}
	if (!strcmp(component->name, "jiffies")) {
		if (value < 1 || value > 1000000)
			return fail(err, component->token,
				"invalid interval for jiffies timer");
		*ret_unit = 1000000000u / STAP_JIFFIES_HZ;
		probe->interval_ns = (uint64_t)value * *ret_unit;
		return true;
	}
	for (size_t i = 0; i < sizeof(timer_units) / sizeof(timer_units[0]); i++) {
		if (strcmp(timer_units[i].unit, component->name) != 0)
			continue;
		if (value < timer_units[i].low || value > timer_units[i].high) {
			err->message = arena_printf(sema->arena,
				"interval value out of range (%lld, %lld)",
				(long long)timer_units[i].low,
				(long long)timer_units[i].high);
			err->token = component->token;
			return false;
		}
		*ret_unit = timer_units[i].ns;
		probe->interval_ns = (uint64_t)value * *ret_unit;
		return true;
	}
	return fail(err, component->token, "unknown timer unit");
}

static bool build_timer(
	struct sema *sema, const struct sema_candidate *candidate, struct sema_error *err)
{
	const struct stap_point *point = candidate->point;
	const struct stap_component *unit = &point->components[1];
	struct stap_derived_probe *probe = probe_new(sema, candidate, STAP_PROBE_TIMER);
	uint64_t unit_ns = 1;

	probe_name(sema, probe, point);
	if (!timer_interval(sema, unit, probe, &unit_ns, err))
		return false;
	if (point->component_count > 2) {
		const struct stap_component *randomize = &point->components[2];
		int64_t value = randomize->argument->number;

		if (value < 0 || value > unit->argument->number)
			return fail(err, randomize->token,
				"randomization value out of range");
		probe->randomize_ns = (uint64_t)value * unit_ns;
	}
	sema_lower_targets(sema, (struct sema_owner){.probe = probe}, NULL, NULL);
	probe_add(sema, probe);
	return true;
}

static bool point_is_return(const struct stap_point *point)
{
	return !strcmp(point->components[point->component_count - 1].name, "return");
}

static struct stap_expr *binary_new(struct sema *sema, enum stap_expr_kind kind,
	enum stap_op op, struct stap_expr *left, struct stap_expr *right)
{
	struct stap_expr *expr = stap_expr_new(sema->arena, kind, left->token);

	expr->binary.op = op;
	expr->binary.left = left;
	expr->binary.right = right;
	expr->type = STAP_TYPE_LONG;
	return expr;
}

static void condition_add(
	struct sema *sema, struct stap_derived_probe *probe, struct stap_expr *first)
{
	probe->condition =
		!probe->condition ? first
				  : binary_new(sema, STAP_EXPR_LOGICAL,
					    STAP_OP_LOGICAL_AND, first, probe->condition);
}

/* The place's own condition in front of the script's. */
static void guard_add(struct sema *sema, struct stap_derived_probe *probe,
	const struct stap_location *location, struct strbuf *signature)
{
	struct stap_expr *guard;

	if (!location->guard)
		return;
	guard = stap_expr_new(sema->arena, STAP_EXPR_TARGET, probe->token);
	guard->target.base = STAP_TARGET_VAR;
	guard->target.name = "called_from";
	guard->target.access = location->guard;
	guard->type = STAP_TYPE_LONG;
	for (uint32_t i = 0; signature && i < location->guard->op_count; i++)
		strbuf_printf(
			signature, "%lld,", (long long)location->guard->ops[i].value);
	condition_add(sema, probe, guard);
}

static struct stap_expr *place_value(struct sema *sema, const struct stap_token *token,
	const struct stap_access_op *ops, uint32_t count)
{
	struct stap_access *access = arena_new(sema->arena, struct stap_access);
	struct stap_expr *expr = stap_expr_new(sema->arena, STAP_EXPR_TARGET, token);

	access->ops = arena_array(sema->arena, struct stap_access_op, count);
	memcpy(access->ops, ops, count * sizeof(*ops));
	access->op_count = count;
	access->value_class = STAP_VALUE_UNSIGNED;
	access->type_name = "unsigned long";
	access->size = 8;
	expr->target.base = STAP_TARGET_VAR;
	expr->target.name = "return_address";
	expr->target.access = access;
	expr->type = STAP_TYPE_LONG;
	return expr;
}

/*
 * Other ways lead to the place behind a call: loops, and the landing pads of exceptions.  So the call must be
 * one that was seen to begin with this return address, and has not been returned from; and the address must
 * still stand below the stack, where the last return has taken it from.
 */
static void behind_calls_add(struct sema *sema, struct stap_derived_probe *probe)
{
	static const struct stap_access_op at_entry[] = {
		{STAP_ACCESS_REG, 7}, {STAP_ACCESS_DEREF, 8}};
	static const struct stap_access_op here[] = {{STAP_ACCESS_REG, 16}};
	static const struct stap_access_op below[] = {{STAP_ACCESS_REG, 7},
		{STAP_ACCESS_CONST, 8}, {STAP_ACCESS_SUB, 0}, {STAP_ACCESS_DEREF, 8}};
	struct stap_expr *called =
		stap_expr_new(sema->arena, STAP_EXPR_ENTRY_VALUE, probe->token);

	called->type = STAP_TYPE_LONG;
	called->entry_value.index = (uint32_t)probe->entry_values.count;
	sema_push(
		sema, &probe->entry_values, place_value(sema, probe->token, at_entry, 2));
	condition_add(sema, probe,
		binary_new(sema, STAP_EXPR_BINARY, STAP_OP_EQ, called,
			place_value(sema, probe->token, here, 1)));
	condition_add(sema, probe,
		binary_new(sema, STAP_EXPR_BINARY, STAP_OP_EQ,
			place_value(sema, probe->token, below, 4),
			place_value(sema, probe->token, here, 1)));
}

static struct stap_derived_probe *location_probe(struct sema *sema,
	const struct sema_candidate *candidate, const struct stap_location *location,
	struct strbuf *signature)
{
	struct stap_derived_probe *probe = probe_new(sema, candidate,
		point_is_return(candidate->point) && !location->event
			? STAP_PROBE_URETURN
			: STAP_PROBE_UPROBE);

	guard_add(sema, probe, location, signature);
	if (location->is_behind_calls)
		behind_calls_add(sema, probe);
	sema_lower_targets(
		sema, (struct sema_owner){.probe = probe}, location, signature);
	return probe;
}

/* Places whose target expressions compile to the same accesses share one body. */
struct location_group {
	char *signature;
	struct stap_derived_probe *probe;
	VEC(struct stap_location *) locations;
	UT_hash_handle hh;
};

static struct location_group *group_new(
	struct sema *sema, struct stap_derived_probe *probe, const char *signature)
{
	struct location_group *group = arena_new(sema->arena, struct location_group);

	group->signature = arena_strdup(sema->arena, signature);
	group->probe = probe;
	probe_add(sema, probe);
	return group;
}

static void locations_group(struct sema *sema, const struct sema_candidate *candidate,
	struct stap_location **locations, uint32_t count)
{
	struct location_group *groups = NULL, *group, *next;
	struct stap_derived_probe *entry;
	struct strbuf signature;

	strbuf_init(&signature);
	for (uint32_t i = 0; i < count; i++) {
		struct stap_derived_probe *probe;

		strbuf_clear(&signature);
		probe = location_probe(sema, candidate, locations[i], &signature);
		HASH_FIND_STR(groups, signature.data, group);
		if (!group) {
			group = group_new(sema, probe, signature.data);
			HASH_ADD_KEYPTR(hh, groups, group->signature,
				strlen(group->signature), group);
		}
		sema_push(sema, &group->locations, locations[i]);
	}
	HASH_ITER(hh, groups, group, next)
	{
		group->probe->locations = group->locations.items;
		group->probe->location_count = (uint32_t)group->locations.count;
		if ((entry = sema_call_entry_probe(sema, group->probe, candidate->body)))
			probe_add(sema, entry);
		HASH_DEL(groups, group);
	}
	strbuf_deinit(&signature);
}

/* Events of processes need none to be understood: who runs the script without one is told then. */
static bool can_see_processes(const struct sema *sema)
{
	return sema->options->has_target || sema->options->listing;
}

static bool is_event(const struct stap_point *point)
{
	static const char *const events[] = {"begin", "end", "thread", "syscall"};
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		if (point->component_count > 1 &&
			!strcmp(point->components[1].name, events[i]))
			return true;
	}
	return false;
}

/* timer.profile: no place, but the threads of the target wherever they run. */
static bool build_profile(
	struct sema *sema, const struct sema_candidate *candidate, struct sema_error *err)
{
	enum {
		HZ_MAX = 1000 /* each sample stops a thread */
	};
	const struct stap_point *point = candidate->point;
	const struct stap_component *last =
		&point->components[point->component_count - 1];
	int64_t hz = argument_number(last, STAP_JIFFIES_HZ);
	struct stap_location *location;
	struct stap_derived_probe *probe;

	if (hz < 1 || hz > HZ_MAX)
		return fail(err, last->token,
			hz < 1 ? "frequency must be greater than 0"
			       : "frequency out of range (1, 1000)");
	if (candidate->may_miss && !can_see_processes(sema))
		return fail(err, point->components[0].token,
			"timer.profile looks at the threads of a target: name one with -c "
			"COMMAND or -x PID");
	location = arena_new(sema->arena, struct stap_location);
	location->event = STAP_EVENT_PROFILE;
	location->mid_function = true;
	location->ppfunc = "";
	probe = location_probe(sema, candidate, location, NULL);
	probe_name(sema, probe, point);
	location->pp = probe->pp;
	probe->interval_ns = 1000000000u / (uint64_t)hz;
	probe->locations = arena_array(sema->arena, struct stap_location *, 1);
	probe->locations[0] = location;
	probe->location_count = 1;
	probe_add(sema, probe);
	return true;
}

static void add_places(struct sema *sema, const struct sema_candidate *candidate,
	struct stap_location **locations, uint32_t count, const struct stap_perf *perf)
{
	struct stap_derived_probe *probe =
		location_probe(sema, candidate, locations[0], NULL);

	probe->locations = arena_array(sema->arena, struct stap_location *, count);
	memcpy(probe->locations, locations, count * sizeof(*locations));
	probe->location_count = count;
	probe->perf = perf;
	probe_add(sema, probe);
}

/* A counter has no handler: who writes one may expect it to run. */
static struct stap_stmt *counter_body(
	struct sema *sema, const struct sema_candidate *candidate)
{
	const struct stap_stmt *written = candidate->origin->body;

	if (written->kind != STAP_STMT_BLOCK || written->block.count)
		sema_warn(sema, candidate->origin->token,
			"the handler of a perf counter is never run");
	return stap_stmt_new(sema->arena, STAP_STMT_NULL, candidate->origin->token);
}

static bool build_perf(
	struct sema *sema, const struct sema_candidate *candidate, struct sema_error *err)
{
	const struct stap_point *point = candidate->point;
	struct sema_candidate counter = *candidate;
	const struct stap_perf *perf;
	struct stap_location **locations;
	uint32_t count;

	if (!sema_perf_point(sema, point, &perf, err) ||
		!sema_perf_locations(sema, point, perf, &locations, &count, err))
		return false;
	if (candidate->may_miss && !can_see_processes(sema) &&
		!locations[0]->only_program)
		return fail(err, point->components[0].token,
			"perf probes look at the threads of a target: name one with -c "
			"COMMAND or -x PID");
	if (perf->counter) {
		counter.body = counter_body(sema, candidate);
		candidate = &counter;
	}
	add_places(sema, candidate, locations, count, perf);
	return true;
}

static bool has_guards(struct stap_location **locations, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (locations[i]->guard)
			return true;
	}
	return false;
}

/*
 * .function("f@x.c:LINE") means all functions f of x.c, as in SystemTap, which says so where the line is not that of
 * the declaration, as it stands in the resolved point.
 */
static void warn_of_line(struct sema *sema, const struct sema_candidate *candidate,
	struct stap_location **locations, uint32_t count)
{
	const char *file = NULL, *line;

	for (uint32_t i = 1; i < candidate->point->component_count; i++) {
		const struct stap_component *component = &candidate->point->components[i];

		if (!strcmp(component->name, "function") && component->has_argument &&
			component->argument->kind == STAP_EXPR_STRING)
			file = strchr(component->argument->string, '@');
	}
	line = file ? strrchr(file, ':') : NULL;
	if (!strcmp(candidate->point->components[candidate->point->component_count - 1]
			    .name,
		    "label"))
		return; /* the line is the label's */
	for (uint32_t i = 0; line && i < count; i++) {
		const char *declared =
			arena_printf(sema->arena, ":%u\"", (unsigned)atoi(line + 1));

		if (strstr(locations[i]->pp, declared))
			continue;
		sema_warn(sema, candidate->origin->token,
			"For probing a particular line, use a .statement() probe, not "
			".function()");
		return;
	}
}

static bool build_process(
	struct sema *sema, const struct sema_candidate *candidate, struct sema_error *err)
{
	const struct stap_component *process = &candidate->point->components[0];
	const struct stap_target_ops *ops = sema->target ? sema->target->ops : NULL;
	struct stap_location **locations = NULL;
	struct error why = {0};
	uint32_t count = 0;
	int code;

	if (!process->has_argument && !can_see_processes(sema) &&
		(candidate->may_miss || !is_event(candidate->point)))
		return fail(err, process->token,
			"unspecified process probe is invalid without a -c COMMAND or -x "
			"PID [man stapprobes]");
	if (process->has_argument && process->argument->kind == STAP_EXPR_NUMBER &&
		process->argument->number < 1)
		return fail(err, NULL,
			arena_printf(sema->arena, "cannot probe pid %lld: Invalid pid",
				(long long)process->argument->number));
	if (!ops)
		return fail(err, process->token, "process probes are not available here");
	code = ops->expand(sema->target->data, candidate->point, sema->arena, &locations,
		&count, &why);
	if (code < 0 || !count) {
		free(locations);
		return fail(err, NULL,
			why.message[0] ? arena_strdup(sema->arena, why.message)
				       : "no match");
	}
	warn_of_line(sema, candidate, locations, count);
	if (sema_body_has_targets(candidate->body, candidate->condition) ||
		sema_calls_context(sema, candidate->body) ||
		has_guards(locations, count)) {
		locations_group(sema, candidate, locations, count);
	} else {
		add_places(sema, candidate, locations, count, NULL);
	}
	free(locations);
	return true;
}

static bool fail_unavailable(
	struct sema *sema, const struct stap_point *point, struct sema_error *err)
{
	const struct stap_component *component = &point->components[0];
	uint32_t last = point->component_count - 1;

	if (!strcmp(component->name, "process") || !strcmp(component->name, "timer")) {
		bool is_timer = component->name[0] == 't';
		uint32_t at = is_timer && last > 1 ? 1 : last;

		/* name what is missing, not the suffix after it */
		while (at > 1 && (!strcmp(point->components[at].name, "return") ||
					 !strcmp(point->components[at].name, "call")))
			at--;
		component = &point->components[at];
		bool is_step = !strcmp(component->name, "insn") ||
			       !strcmp(component->name, "block");
		err->message = arena_printf(sema->arena,
			"%s.%s probes are not available yet%s",
			is_timer ? "timer" : "process(...)", component->name,
			is_step ? ": a process that is stepped would not outlive a "
				  "tracer that is killed"
				: "");
	} else if (!strcmp(component->name, "kernel") ||
		   !strcmp(component->name, "module") ||
		   !strcmp(component->name, "kprobe") ||
		   !strcmp(component->name, "netfilter") ||
		   !strcmp(component->name, "lsm")) {
		err->message = arena_printf(sema->arena,
			"%s probes need the kernel; only processes can be probed",
			component->name);
	} else {
		err->message = arena_printf(
			sema->arena, "%s probes are not available yet", component->name);
	}
	err->token = component->token;
	return false;
}

/* What stapusr may not name is refused, as there, whatever the system would allow. */
static bool is_permitted(const struct sema *sema, enum sema_point_kind kind)
{
	const char *privilege = sema->options->privilege;

	return !privilege || strcmp(privilege, "stapusr") != 0 ||
	       (kind != SEMA_POINT_PROFILE && kind != SEMA_POINT_PERF &&
		       kind != SEMA_POINT_CONTROL_FILE && kind != SEMA_POINT_UNAVAILABLE);
}

bool sema_build_candidate(struct sema *sema, const struct sema_candidate *candidate,
	enum sema_point_kind kind, struct sema_error *err)
{
	if (!is_permitted(sema, kind))
		return fail(err, candidate->point->components[0].token,
			"probe point is not allowed for --privilege=stapusr");
	switch (kind) {
	case SEMA_POINT_BEGIN:
		return build_session_probe(sema, candidate, STAP_PROBE_BEGIN);
	case SEMA_POINT_END:
		return build_session_probe(sema, candidate, STAP_PROBE_END);
	case SEMA_POINT_ERROR:
		return build_session_probe(sema, candidate, STAP_PROBE_ERROR);
	case SEMA_POINT_NEVER:
		return build_session_probe(sema, candidate, STAP_PROBE_NEVER);
	case SEMA_POINT_TIMER:
		return build_timer(sema, candidate, err);
	case SEMA_POINT_PROFILE:
		return build_profile(sema, candidate, err);
	case SEMA_POINT_PERF:
		return build_perf(sema, candidate, err);
	case SEMA_POINT_PROCESS:
		return build_process(sema, candidate, err);
	case SEMA_POINT_CONTROL_FILE:
		return build_control_file(sema, candidate, err);
	case SEMA_POINT_UNAVAILABLE:
		return fail_unavailable(sema, candidate->point, err);
	}
	return fail(err, candidate->point->token, "unknown probe point");
}

/* SPDX-License-Identifier: MIT */
/*
 * Probe points against the tree of known patterns.  A node stands for a prefix of components; a
 * component is a name and the kind of its argument.  Aliases hang at the node of their name.  What
 * SystemTap knows and this program does not yet run has its pattern too, so that it fails with a
 * reason, like any point that cannot be resolved, and `?` and `!` work.
 */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "stap/kernel.h"
#include "stap/sema.h"

enum {
	ALIAS_DEPTH_LIMIT = 64
};

struct sema_pattern {
	const char *name;
	char argument; /* 0, 'N' or 'S' */
	bool is_end, takes_anything;
	enum sema_point_kind kind;
	VEC(struct sema_pattern *) children;
	VEC(const struct stap_probe *) aliases;
};

/* A probe on its way through aliases. */
struct derivation {
	const struct derivation *parent; /* the use of an alias this one comes from */
	const struct stap_probe *alias;  /* that alias */
	const struct stap_probe *origin;
	struct stap_stmt *body;
	struct stap_expr *condition;
	const char *pn; /* set at the outermost level once its wildcards are expanded */
	bool optional;
	bool may_miss;           /* of those, the user's: '?' and '!', no wildcards */
	struct sema_error *lost; /* below a wildcard: the first reason why not */
};

struct matching {
	struct sema *sema;
	const struct derivation *derivation;
	const struct stap_point *point;
};

static const struct {
	const char *text;
	enum sema_point_kind kind;
} known_points[] = {
	{"begin", SEMA_POINT_BEGIN},
	{"begin(N)", SEMA_POINT_BEGIN},
	{"end", SEMA_POINT_END},
	{"end(N)", SEMA_POINT_END},
	{"error", SEMA_POINT_ERROR},
	{"error(N)", SEMA_POINT_ERROR},
	{"never", SEMA_POINT_NEVER},
	{"timer.profile", SEMA_POINT_PROFILE},
	{"timer.profile.tick", SEMA_POINT_PROFILE},
	{"timer.profile.freq.hz(N)", SEMA_POINT_PROFILE},
	{"timer.hz(N)", SEMA_POINT_TIMER},
	{"kernel.**", SEMA_POINT_UNAVAILABLE},
	{"module(S).**", SEMA_POINT_UNAVAILABLE},
	{"kprobe.**", SEMA_POINT_UNAVAILABLE},
	{"netfilter.**", SEMA_POINT_UNAVAILABLE},
	{"lsm.**", SEMA_POINT_UNAVAILABLE},
	{"procfs.read", SEMA_POINT_CONTROL_FILE},
	{"procfs.read.maxsize(N)", SEMA_POINT_CONTROL_FILE},
	{"procfs.umask(N).read", SEMA_POINT_CONTROL_FILE},
	{"procfs.umask(N).read.maxsize(N)", SEMA_POINT_CONTROL_FILE},
	{"procfs.write", SEMA_POINT_CONTROL_FILE},
	{"procfs.umask(N).write", SEMA_POINT_CONTROL_FILE},
	{"procfs(S).read", SEMA_POINT_CONTROL_FILE},
	{"procfs(S).read.maxsize(N)", SEMA_POINT_CONTROL_FILE},
	{"procfs(S).umask(N).read", SEMA_POINT_CONTROL_FILE},
	{"procfs(S).umask(N).read.maxsize(N)", SEMA_POINT_CONTROL_FILE},
	{"procfs(S).write", SEMA_POINT_CONTROL_FILE},
	{"procfs(S).umask(N).write", SEMA_POINT_CONTROL_FILE},
	{"debuginfod.**", SEMA_POINT_UNAVAILABLE},
	{"java(S).**", SEMA_POINT_UNAVAILABLE},
	{"java(N).**", SEMA_POINT_UNAVAILABLE},
	{"python3.**", SEMA_POINT_UNAVAILABLE},
};

static const char *const perf_samplings[] = {"", ".sample(N)", ".hz(N)"};
static const char *const perf_processes[] = {"", ".process", ".process(S)"};
static const char *const timer_units[] = {
	"s", "sec", "ms", "msec", "us", "usec", "ns", "nsec", "jiffies"};
static const char *const process_bases[] = {"process", "process(S)", "process(N)"};

static const struct {
	const char *text;
	enum sema_point_kind kind;
} process_points[] = {
	{".function(S)", SEMA_POINT_PROCESS},
	{".function(S).call", SEMA_POINT_PROCESS},
	{".function(S).return", SEMA_POINT_PROCESS},
	{".function(S).inline", SEMA_POINT_PROCESS},
	{".function(S).exported", SEMA_POINT_PROCESS},
	{".function(S).exported.return", SEMA_POINT_PROCESS},
	{".function(S).label(S)", SEMA_POINT_PROCESS},
	{".function(S).callee(S)", SEMA_POINT_PROCESS},
	{".function(S).callee(S).call", SEMA_POINT_PROCESS},
	{".function(S).callee(S).return", SEMA_POINT_PROCESS},
	{".function(S).callees", SEMA_POINT_PROCESS},
	{".function(S).callees(N)", SEMA_POINT_PROCESS},
	{".function(N)", SEMA_POINT_PROCESS},
	{".function(N).call", SEMA_POINT_PROCESS},
	{".function(N).return", SEMA_POINT_PROCESS},
	{".function(N).inline", SEMA_POINT_PROCESS},
	{".function(N).exported", SEMA_POINT_PROCESS},
	{".statement(S)", SEMA_POINT_PROCESS},
	{".statement(S).nearest", SEMA_POINT_PROCESS},
	{".statement(N)", SEMA_POINT_PROCESS},
	{".statement(N).absolute", SEMA_POINT_PROCESS},
	{".statement(N).absolute.return", SEMA_POINT_PROCESS},
	{".mark(S)", SEMA_POINT_PROCESS},
	{".provider(S).mark(S)", SEMA_POINT_PROCESS},
	{".plt", SEMA_POINT_PROCESS},
	{".plt.return", SEMA_POINT_PROCESS},
	{".plt(S)", SEMA_POINT_PROCESS},
	{".plt(S).return", SEMA_POINT_PROCESS},
	{".data(N).write", SEMA_POINT_PROCESS},
	{".data(N).rw", SEMA_POINT_PROCESS},
	{".data(N).length(N).write", SEMA_POINT_PROCESS},
	{".data(N).length(N).rw", SEMA_POINT_PROCESS},
	{".data(S).write", SEMA_POINT_PROCESS},
	{".data(S).rw", SEMA_POINT_PROCESS},
	{".data(S).length(N).write", SEMA_POINT_PROCESS},
	{".data(S).length(N).rw", SEMA_POINT_PROCESS},
};

static const char *const process_events[] = {
	".begin", ".end", ".thread.begin", ".thread.end", ".syscall", ".syscall.return"};
static const char *const process_unavailable[] = {".insn", ".insn.block"};

/* ---- building the tree ---------------------------------------------------------------- */

static struct sema_pattern *child_find(
	const struct sema_pattern *node, const char *name, size_t size, char argument)
{
	for (size_t i = 0; i < node->children.count; i++) {
		struct sema_pattern *child = node->children.items[i];

		if (child->argument == argument && strlen(child->name) == size &&
			!memcmp(child->name, name, size))
			return child;
	}
	return NULL;
}

static struct sema_pattern *child_get(struct sema *sema, struct sema_pattern *node,
	const char *name, size_t size, char argument)
{
	struct sema_pattern *child = child_find(node, name, size, argument);

	if (child)
		return child;
	child = arena_new(sema->arena, struct sema_pattern);
	child->name = arena_strndup(sema->arena, name, size);
	child->argument = argument;
	sema_push(sema, &node->children, child);
	return child;
}

/* name ( "(N)" | "(S)" )?, joined by dots; a last "**" accepts whatever follows */
static struct sema_pattern *pattern_add(struct sema *sema, struct sema_pattern *node,
	const char *text, enum sema_point_kind kind)
{
	while (*text) {
		size_t size = strcspn(text, ".(");
		char argument = text[size] == '(' ? text[size + 1] : 0;

		if (!strcmp(text, "**")) {
			node->takes_anything = true;
			break;
		}
		if (size)
			node = child_get(sema, node, text, size, argument);
		text += size + (argument ? 3 : 0);
		text += *text == '.';
	}
	node->kind = kind;
	node->is_end = !node->takes_anything;
	return node;
}

static void process_patterns_add(struct sema *sema, struct sema_pattern *root)
{
	for (size_t i = 0; i < sizeof(process_bases) / sizeof(process_bases[0]); i++) {
		struct sema_pattern *base =
			pattern_add(sema, root, process_bases[i], SEMA_POINT_UNAVAILABLE);
		struct sema_pattern *library =
			pattern_add(sema, base, "library(S)", SEMA_POINT_UNAVAILABLE);

		base->is_end = library->is_end = false;
		for (size_t j = 0; j < sizeof(process_points) / sizeof(process_points[0]);
			j++) {
			pattern_add(sema, base, process_points[j].text,
				process_points[j].kind);
			pattern_add(sema, library, process_points[j].text,
				process_points[j].kind);
		}
		for (size_t j = 0; j < sizeof(process_events) / sizeof(process_events[0]);
			j++)
			pattern_add(sema, base, process_events[j], SEMA_POINT_PROCESS);
		for (size_t j = 0;
			j < sizeof(process_unavailable) / sizeof(process_unavailable[0]);
			j++)
			pattern_add(sema, base, process_unavailable[j],
				SEMA_POINT_UNAVAILABLE);
	}
}

static void perf_patterns_add(struct sema *sema, struct sema_pattern *root)
{
	struct sema_pattern *event =
		pattern_add(sema, root, "perf.type(N).config(N)", SEMA_POINT_PERF);
	size_t processes = sizeof(perf_processes) / sizeof(perf_processes[0]);

	for (size_t i = 0; i < sizeof(perf_samplings) / sizeof(perf_samplings[0]); i++) {
		struct sema_pattern *sampled =
			pattern_add(sema, event, perf_samplings[i], SEMA_POINT_PERF);

		for (size_t j = 0; j < processes; j++)
			pattern_add(sema, sampled, perf_processes[j], SEMA_POINT_PERF);
	}
	for (size_t j = 0; j < processes; j++)
		pattern_add(sema,
			pattern_add(sema, event, perf_processes[j], SEMA_POINT_PERF),
			"counter(S)", SEMA_POINT_PERF);
}

static void alias_add(struct sema *sema, const struct stap_probe *alias)
{
	struct sema_pattern *node = sema->patterns;
	const struct stap_point *name = alias->alias;

	for (uint32_t i = 0; i < name->component_count; i++) {
		const struct stap_component *component = &name->components[i];

		if (component->has_argument) {
			sema_error_because(sema, alias->token,
				"while registering probe alias", component->token,
				arena_printf(sema->arena,
					"alias component %s contains illegal parameter",
					component->name));
			return;
		}
		if (strchr(component->name, '*')) {
			sema_error_because(sema, alias->token,
				"while registering probe alias", component->token,
				"invalid use of wildcard probe point component");
			return;
		}
		node = child_get(sema, node, component->name, strlen(component->name), 0);
	}
	sema_push(sema, &node->aliases, alias);
}

void sema_patterns_build(struct sema *sema)
{
	const struct stap_semantic_options *options = sema->options;
	struct sema_pattern *root = arena_new(sema->arena, struct sema_pattern);
	struct sema_pattern *timer;

	sema->patterns = root;
	for (size_t i = 0; i < sizeof(known_points) / sizeof(known_points[0]); i++)
		pattern_add(sema, root, known_points[i].text, known_points[i].kind);
	timer = child_get(sema, root, "timer", 5, 0);
	for (size_t i = 0; i < sizeof(timer_units) / sizeof(timer_units[0]); i++) {
		struct sema_pattern *unit = child_get(
			sema, timer, timer_units[i], strlen(timer_units[i]), 'N');

		unit->is_end = true;
		unit->kind = SEMA_POINT_TIMER;
		pattern_add(sema, unit, "randomize(N)", SEMA_POINT_TIMER);
	}
	process_patterns_add(sema, root);
	perf_patterns_add(sema, root);
	for (uint32_t i = 0; i < options->library_file_count; i++) {
		for (size_t j = 0; j < options->library_files[i]->aliases.count; j++)
			alias_add(sema, options->library_files[i]->aliases.items[j]);
	}
	for (uint32_t i = 0; i < options->user_file_count; i++) {
		for (size_t j = 0; j < options->user_files[i]->aliases.count; j++)
			alias_add(sema, options->user_files[i]->aliases.items[j]);
	}
}

/* ---- matching ------------------------------------------------------------------------- */

static bool match(const struct matching *matching, const struct sema_pattern *node,
	uint32_t position, struct sema_error *err);
static bool derive_points(struct sema *sema, const struct derivation *derivation,
	struct stap_point *const *points, uint32_t count, bool rethrow,
	struct sema_error *err);

static bool fail(
	struct sema_error *err, const struct stap_token *token, const char *message)
{
	*err = (struct sema_error){message, token};
	return false;
}

static char component_argument(const struct stap_component *component)
{
	if (!component->has_argument)
		return 0;
	return component->argument->kind == STAP_EXPR_STRING ? 'S' : 'N';
}

static struct stap_expr *condition_join(
	struct sema *sema, struct stap_expr *outer, struct stap_expr *inner)
{
	struct stap_expr *both;

	if (!outer || !inner)
		return outer ? outer : inner;
	both = stap_expr_new(sema->arena, STAP_EXPR_LOGICAL, outer->token);
	both->binary.op = STAP_OP_LOGICAL_AND;
	both->binary.left = outer;
	both->binary.right = inner;
	return both;
}

static struct stap_stmt *block_of(struct sema *sema, const struct stap_token *token,
	struct stap_stmt *first, struct stap_stmt *second, struct stap_stmt *third)
{
	struct stap_stmt *block = stap_stmt_new(sema->arena, STAP_STMT_BLOCK, token);

	block->block.items = arena_array(sema->arena, struct stap_stmt *, 3);
	block->block.items[block->block.count++] = first;
	block->block.items[block->block.count++] = second;
	if (third)
		block->block.items[block->block.count++] = third;
	return block;
}

static struct stap_stmt *alias_body(
	struct sema *sema, const struct stap_probe *alias, struct stap_stmt *body)
{
	if (alias->alias_epilogue)
		return block_of(sema, alias->token, body, alias->body, NULL);
	return block_of(sema, alias->token, alias->body, body, alias->epilogue);
}

static const char *matching_pn(const struct matching *matching)
{
	struct strbuf text;
	const char *pn;

	if (matching->derivation->pn)
		return matching->derivation->pn;
	strbuf_init(&text);
	sema_point_text(matching->point, &text);
	pn = arena_strdup(matching->sema->arena, text.data);
	strbuf_deinit(&text);
	return pn;
}

static bool alias_is_recursive(
	const struct derivation *derivation, const struct stap_probe *alias)
{
	uint32_t depth = 0;

	for (; derivation; derivation = derivation->parent) {
		if (derivation->alias == alias || ++depth > ALIAS_DEPTH_LIMIT)
			return true;
	}
	return false;
}

/* Where the library's alias came into use, its functions and globals do too. */
static void alias_file_activate(struct sema *sema, const struct stap_probe *alias)
{
	const struct stap_semantic_options *options = sema->options;

	for (uint32_t i = 0; i < options->library_file_count; i++) {
		if (options->library_files[i]->source == alias->token->source)
			sema_activate_file(sema, options->library_files[i]);
	}
}

static bool alias_expand(const struct matching *matching, const struct stap_probe *alias,
	uint32_t position, struct sema_error *err)
{
	struct sema *sema = matching->sema;
	const struct stap_point *use = matching->point;
	uint32_t suffix = use->component_count - position;
	size_t before = sema->program->probes.count;
	struct derivation inner = *matching->derivation;
	struct stap_point **points;

	if (alias_is_recursive(matching->derivation, alias)) {
		struct strbuf text;

		const struct stap_token *token = use->components[0].token;
		strbuf_init(&text);
		sema_point_text(use, &text);
		err->message = arena_printf(sema->arena,
			"recursive loop in alias expansion of %s at %s:%u:%u", text.data,
			token->source->name, token->line, token->column);
		err->token = NULL;
		strbuf_deinit(&text);
		return false;
	}
	inner.parent = matching->derivation;
	inner.alias = alias;
	inner.pn = matching_pn(matching);
	inner.optional =
		matching->derivation->optional || use->optional || use->sufficient;
	inner.may_miss =
		matching->derivation->may_miss || use->optional || use->sufficient;
	inner.body = alias_body(sema, alias, matching->derivation->body);
	inner.condition =
		condition_join(sema, matching->derivation->condition, use->condition);
	points = arena_array(sema->arena, struct stap_point *, alias->point_count);
	for (uint32_t i = 0; i < alias->point_count; i++) {
		const struct stap_point *from = alias->points[i];
		struct stap_point *point = arena_new(sema->arena, struct stap_point);
		uint32_t count = from->component_count;

		*point = *from;
		point->component_count = count + suffix;
		point->components =
			arena_array(sema->arena, struct stap_component, count + suffix);
		memcpy(point->components, from->components,
			count * sizeof(*point->components));
		if (suffix)
			memcpy(point->components + count, use->components + position,
				suffix * sizeof(*point->components));
		points[i] = point;
	}
	if (!derive_points(sema, &inner, points, alias->point_count, suffix > 0, err))
		return false;
	if (sema->program->probes.count > before)
		alias_file_activate(sema, alias);
	return true;
}

static bool build(const struct matching *matching, const struct sema_pattern *node,
	struct sema_error *err)
{
	struct sema_candidate candidate = {
		.origin = matching->derivation->origin,
		.body = matching->derivation->body,
		.condition = condition_join(matching->sema,
			matching->derivation->condition, matching->point->condition),
		.point = matching->point,
		.pn = matching_pn(matching),
		.may_miss = matching->derivation->may_miss || matching->point->optional ||
			    matching->point->sufficient,
	};

	return sema_build_candidate(matching->sema, &candidate, node->kind, err);
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What may come next, in order of the alphabet: " a b(number)" */
static void follow_text(
	struct sema *sema, const struct sema_pattern *node, struct strbuf *out)
{
	const char **texts =
		arena_array(sema->arena, const char *, node->children.count + 1);

	for (size_t i = 0; i < node->children.count; i++) {
		const struct sema_pattern *child = node->children.items[i];

		texts[i] = arena_printf(sema->arena, "%s%s", child->name,
			!child->argument         ? ""
			: child->argument == 'S' ? "(string)"
						 : "(number)");
	}
	qsort(texts, node->children.count, sizeof(*texts), compare_texts);
	for (size_t i = 0; i < node->children.count; i++)
		strbuf_printf(out, " %s", texts[i]);
}

static bool match_end(const struct matching *matching, const struct sema_pattern *node,
	struct sema_error *err)
{
	const struct stap_point *point = matching->point;
	struct strbuf follow;

	for (size_t i = 0; i < node->aliases.count; i++) {
		if (!alias_expand(matching, node->aliases.items[i],
			    point->component_count, err))
			return false;
	}
	if (node->is_end || node->takes_anything)
		return build(matching, node, err);
	if (node->aliases.count)
		return true;
	strbuf_init(&follow);
	follow_text(matching->sema, node, &follow);
	err->message = arena_printf(
		matching->sema->arena, "probe point truncated (follow: %s)", follow.data);
	err->token = point->components[point->component_count - 1].token;
	strbuf_deinit(&follow);
	return false;
}

/* The point with one component's name replaced. */
static struct stap_point *point_with(
	const struct matching *matching, uint32_t position, const char *name)
{
	struct arena *arena = matching->sema->arena;
	struct stap_point *point = arena_new(arena, struct stap_point);
	size_t count = matching->point->component_count;

	*point = *matching->point;
	point->components = arena_array(arena, struct stap_component, count);
	memcpy(point->components, matching->point->components,
		count * sizeof(*point->components));
	point->components[position].name = name;
	return point;
}

/* The point with `name` put in front of component `position`. */
static struct stap_point *point_insert(const struct matching *matching, uint32_t position,
	const char *name, const char *rest)
{
	struct arena *arena = matching->sema->arena;
	struct stap_point *point = arena_new(arena, struct stap_point);
	const struct stap_component *from = matching->point->components;
	uint32_t count = matching->point->component_count;

	*point = *matching->point;
	point->component_count = count + 1;
	point->components = arena_array(arena, struct stap_component, count + 1);
	memcpy(point->components, from, position * sizeof(*from));
	point->components[position] =
		(struct stap_component){.name = name, .token = from[position].token};
	memcpy(point->components + position + 1, from + position,
		(count - position) * sizeof(*from));
	point->components[position + 1].name = rest;
	return point;
}

static bool match_similar(const struct matching *matching,
	const struct sema_pattern *node, uint32_t position, const char *message,
	struct sema_error *err)
{
	const struct stap_component *component = &matching->point->components[position];
	struct sema_names names = {.arena = matching->sema->arena};
	const char *star = strchr(component->name, '*');
	const char *name = star && star != component->name
				   ? arena_strndup(names.arena, component->name,
					     (size_t)(star - component->name))
				   : component->name;

	for (size_t i = 0; i < node->children.count; i++)
		sema_names_add(&names, node->children.items[i]->name);
	err->message = arena_printf(names.arena, "%s%s", message,
		star == component->name ? "" : sema_similar(&names, name));
	err->token = component->token;
	return false;
}

static bool match_suffix(const struct matching *matching, const struct sema_pattern *node,
	uint32_t position, struct sema_error *err)
{
	for (size_t i = 0; i < node->aliases.count; i++) {
		if (!alias_expand(matching, node->aliases.items[i], position, err)) {
			/* the alias is right, what follows it here is not */
			err->token = matching->point->components[position].token;
			return false;
		}
	}
	return true;
}

/* What cannot be resolved is no match of a wildcard, the points of aliases included. */
static struct derivation wild_derivation(
	const struct matching *matching, struct sema_error *lost)
{
	struct derivation derivation = *matching->derivation;

	derivation.optional = true;
	derivation.lost = lost;
	return derivation;
}

/* `**` also matches across dots: "a**b" is "a*b" here, or "a*" here and "**b" below. */
static void match_deep(const struct matching *matching, const struct sema_pattern *node,
	uint32_t position, struct sema_error *lost)
{
	const struct stap_component *component = &matching->point->components[position];
	const char *stars = strstr(component->name, "**");
	struct arena *arena = matching->sema->arena;
	size_t head = (size_t)(stars - component->name);
	const char *whole =
		arena_printf(arena, "%.*s*%s", (int)head, component->name, stars + 2);
	const char *prefix = arena_printf(arena, "%.*s*", (int)head, component->name);
	const char *rest = arena_printf(arena, "**%s", stars + 2);
	struct derivation lenient = wild_derivation(matching, lost);
	struct sema_error ignored;

	for (size_t i = 0; i < node->children.count; i++) {
		const struct sema_pattern *child = node->children.items[i];
		struct matching inner = {matching->sema, &lenient, NULL};

		if (child->argument == component_argument(component) &&
			!fnmatch(whole, child->name, 0)) {
			inner.point = point_with(matching, position, child->name);
			match(&inner, child, position + 1, &ignored);
		}
		if (!child->argument && !fnmatch(prefix, child->name, 0)) {
			inner.point = point_insert(matching, position, child->name, rest);
			match(&inner, child, position + 1, &ignored);
		}
	}
}

/* Another name for a neighbour, `probe a.b = a.c {}`: a wildcard means each thing once. */
static bool is_synonym(const struct matching *matching, const struct sema_pattern *node,
	uint32_t position)
{
	const struct stap_probe *alias =
		node->aliases.count == 1 ? node->aliases.items[0] : NULL;
	const struct stap_point *point = alias ? alias->points[0] : NULL;

	if (!alias || alias->point_count != 1 || point->component_count != position + 1 ||
		alias->body->kind != STAP_STMT_BLOCK || alias->body->block.count)
		return false;
	for (uint32_t i = 0; i < position; i++)
		if (strcmp(point->components[i].name,
			    matching->point->components[i].name) != 0)
			return false;
	return true;
}

static void match_wild(const struct matching *matching, const struct sema_pattern *node,
	uint32_t position, struct sema_error *lost)
{
	const struct stap_component *component = &matching->point->components[position];
	struct derivation lenient = wild_derivation(matching, lost);

	for (size_t i = 0; i < node->children.count; i++) {
		const struct sema_pattern *child = node->children.items[i];
		struct matching inner = {matching->sema, &lenient, NULL};
		struct sema_error ignored;

		if (child->argument != component_argument(component) ||
			fnmatch(component->name, child->name, 0) ||
			is_synonym(matching, child, position))
			continue;
		inner.point = point_with(matching, position, child->name);
		match(&inner, child, position + 1, &ignored);
	}
}

static bool match(const struct matching *matching, const struct sema_pattern *node,
	uint32_t position, struct sema_error *err)
{
	struct sema *sema = matching->sema;
	const struct stap_point *point = matching->point;
	size_t before = sema->program->probes.count;
	const struct stap_component *component;
	const struct sema_pattern *child;
	struct sema_error lost = {0};
	bool wild;

	if (position == point->component_count)
		return match_end(matching, node, err);
	component = &point->components[position];
	wild = strchr(component->name, '*');
	if (node->takes_anything)
		return build(matching, node, err);
	if (wild) {
		if (strstr(component->name, "**"))
			match_deep(matching, node, position, &lost);
		else
			match_wild(matching, node, position, &lost);
		if (sema->program->probes.count > before)
			return true;
		if (lost.message) {
			*err = lost;
			return false;
		}
	} else {
		child = child_find(node, component->name, strlen(component->name),
			component_argument(component));
		if (child)
			return match(matching, child, position + 1, err);
	}
	if (node->aliases.count) {
		if (!match_suffix(matching, node, position, err))
			return false;
		if (sema->program->probes.count > before || point->optional)
			return true;
	} else if (node->is_end && !wild) {
		return fail(err, component->token, "invalid suffix for probe");
	}
	if (position == 0 && stap_is_kernel_family(component->name))
		return fail(err, component->token,
			arena_printf(sema->arena,
				"%s probes need the kernel; only processes can be probed",
				component->name));
	return match_similar(matching, node, position,
		wild ? "probe point mismatch: didn't find any wildcard matches"
		     : "probe point mismatch",
		err);
}

static void point_error_report(
	struct sema *sema, const struct stap_point *point, const struct sema_error *err)
{
	sema_error_because(sema, point->components[0].token,
		"while resolving probe point", err->token, err->message);
}

/* Errors of optional points: they matter only beside one that cannot do without. */
struct tolerated {
	const struct stap_point *point;
	struct sema_error error;
};
struct tolerated_list {
	struct tolerated *items;
	size_t count, capacity;
};

static void tolerated_report(struct sema *sema, struct tolerated_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		point_error_report(sema, list->items[i].point, &list->items[i].error);
	list->count = 0;
}

static bool derive_points(struct sema *sema, const struct derivation *derivation,
	struct stap_point *const *points, uint32_t count, bool rethrow,
	struct sema_error *err)
{
	struct tolerated_list tolerated = {0};

	for (uint32_t i = 0; i < count; i++) {
		const struct stap_point *point = points[i];
		struct matching matching = {sema, derivation, point};
		bool optional =
			point->optional || point->sufficient || derivation->optional;
		size_t before = sema->program->probes.count;
		struct sema_error own = {0};
		bool ok = match(&matching, sema->patterns, 0, &own);

		if (ok && !optional && sema->program->probes.count == before) {
			/* an alias whose own points reported their errors, or are optional */
			ok = fail(&own, NULL, "no match");
		}
		if (ok && point->sufficient && sema->program->probes.count > before)
			return true;
		if (!ok && derivation->lost && !derivation->lost->message &&
			!point->optional && !point->sufficient)
			*derivation->lost = own;
		if (!ok && optional)
			sema_push(sema, &tolerated, ((struct tolerated){point, own}));
		if (ok || optional)
			continue;
		if (rethrow) {
			*err = own;
			return false;
		}
		point_error_report(sema, point, &own);
		tolerated_report(sema, &tolerated);
	}
	return true;
}

void sema_derive_probe(struct sema *sema, const struct stap_probe *probe)
{
	struct derivation derivation = {
		.origin = probe,
		.body = probe->body,
	};
	struct sema_error unused;

	derive_points(
		sema, &derivation, probe->points, probe->point_count, false, &unused);
}

/* ---- listing ------------------------------------------------------------------------------ */

static void pattern_dump(
	const struct sema_pattern *node, struct strbuf *prefix, struct strbuf *out)
{
	size_t size = prefix->size;

	if (node->name) {
		strbuf_printf(prefix, "%s%s%s", size ? "." : "", node->name,
			node->argument == 'N'   ? "(number)"
			: node->argument == 'S' ? "(string)"
						: "");
		if (node->is_end && node->kind != SEMA_POINT_UNAVAILABLE)
			strbuf_printf(out, "%s\n", prefix->data);
	}
	for (size_t i = 0; i < node->children.count; i++)
		pattern_dump(node->children.items[i], prefix, out);
	prefix->size = size;
	prefix->data[size] = '\0';
}

void stap_dump_probe_types(struct arena *arena, struct strbuf *out)
{
	static const struct stap_semantic_options nothing;
	struct sema sema = {.arena = arena, .options = &nothing};
	struct strbuf prefix;

	strbuf_init(&prefix);
	sema_patterns_build(&sema);
	pattern_dump(sema.patterns, &prefix, out);
	strbuf_deinit(&prefix);
}

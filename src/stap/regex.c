/* SPDX-License-Identifier: MIT */
/* Pattern to tree, tree to program. */
#include "stap/regex.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "runtime/runtime.h"

enum {
	MAX_CLOSURES = 20,       /* on one factor */
	MAX_DEPTH = 200,         /* groups inside groups */
	MAX_REPETITIONS = 12345, /* SystemTap's: an error from here on */
	MAX_INSTRUCTIONS = 1 << 14,
};

enum node_kind {
	NODE_EMPTY,
	NODE_SET,
	NODE_ANCHOR,
	NODE_GROUP,
	NODE_SEQUENCE,
	NODE_CHOICE,
	NODE_REPEAT,
};

struct node {
	enum node_kind kind;
	struct node *child, *next; /* first of its own; the one after it in its parent */
	uint8_t *set;
	uint32_t number; /* of a group; byte of an anchor */
	int min, max;    /* max < 0: any number */
};

struct compiling {
	struct arena *arena;
	const char *pattern, *at;
	uint32_t depth, groups;
	const char *message; /* of the first error */
	int position;
	VEC(struct rt_regex_instruction) code;
	VEC(const uint8_t *) classes;
	bool is_too_large;
};

static struct node *new_node(struct compiling *c, enum node_kind kind)
{
	struct node *node = arena_new(c->arena, struct node);

	node->kind = kind;
	return node;
}

static void fail_at(struct compiling *c, const char *at, const char *message)
{
	if (c->message)
		return;
	c->message = message;
	c->position = at ? (int)(at - c->pattern) : -1;
}

static bool is_closure(char byte)
{
	return byte == '*' || byte == '+' || byte == '?' || byte == '{';
}

static bool ends_term(const struct compiling *c)
{
	return c->message || !*c->at || *c->at == '|' || *c->at == ')';
}

/* ---- sets ------------------------------------------------------------------------------- */

static void set_range(uint8_t *set, unsigned first, unsigned last)
{
	for (unsigned byte = first; byte <= last; byte++)
		set[byte >> 3] |= (uint8_t)(1u << (byte & 7));
}

static struct node *new_set(struct compiling *c)
{
	struct node *node = new_node(c, NODE_SET);

	node->set = arena_array(c->arena, uint8_t, RT_REGEX_CLASS_SIZE);
	return node;
}

static const char *named_class(const char *name, size_t size)
{
	/* ranges, as pairs */
	static const struct {
		const char *name, *ranges;
	} classes[] = {
		{"alpha", "AZaz"},
		{"alnum", "AZaz09"},
		{"blank", "  \t\t"},
		{"cntrl", "\x01\x1f\x7f\x7f"},
		{"d", "09"},
		{"digit", "09"},
		{"xdigit", "09afAF"},
		{"graph", "\x21\x7e"},
		{"l", "az"},
		{"lower", "az"},
		{"print", "\x20\x7e"},
		{"punct", "!/:@[`{~"},
		{"s", "  \t\r"},
		{"space", "  \t\r"},
		{"u", "AZ"},
		{"upper", "AZ"},
	};

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (strlen(classes[i].name) == size &&
			!memcmp(classes[i].name, name, size))
			return classes[i].ranges;
	return NULL;
}

/* After "[:" */
static void parse_named_class(struct compiling *c, uint8_t *set)
{
	const char *name = c->at, *end = strstr(name, ":]");

	if (!end) {
		int size = (int)strlen(name);

		fail_at(c, name + size,
			arena_printf(c->arena, "unclosed character class '[:%.*s'",
				size ? size - 1 : 0, name));
		return;
	}
	const char *ranges = named_class(name, (size_t)(end - name));
	if (!ranges)
		fail_at(c, NULL,
			arena_printf(c->arena, "unknown character class '%.*s'",
				(int)(end - name), name));
	for (; ranges && *ranges; ranges += 2)
		set_range(set, (unsigned char)ranges[0], (unsigned char)ranges[1]);
	c->at = end + 2;
}

static unsigned class_byte(struct compiling *c)
{
	if (*c->at == '\\' && c->at[1])
		c->at++;
	return *c->at ? (unsigned char)*c->at++ : 0;
}

/* After "[" */
static struct node *parse_class(struct compiling *c)
{
	struct node *node = new_set(c);
	bool inverted = *c->at == '^';

	c->at += inverted;
	for (bool is_first = true; is_first || *c->at != ']'; is_first = false) {
		if (!*c->at) {
			fail_at(c, c->at - 1, "unclosed character class");
			return node;
		}
		if (c->at[0] == '[' && c->at[1] == ':') {
			c->at += 2;
			parse_named_class(c, node->set);
			if (c->message)
				return node;
			continue;
		}
		unsigned first = class_byte(c), last = first;
		if (c->at[0] == '-' && c->at[1] && c->at[1] != ']') {
			c->at++;
			last = class_byte(c);
			if (last < first)
				fail_at(c, c->at,
					arena_printf(c->arena,
						"Inverted character range %c-%c",
						(int)first, (int)last));
		}
		if (c->message)
			return node;
		set_range(node->set, first, last);
	}
	c->at++;
	for (int i = 0; inverted && i < RT_REGEX_CLASS_SIZE; i++)
		node->set[i] ^= 0xff;
	node->set[0] &= 0xfe; /* texts end at a NUL */
	return node;
}

/* ---- structure --------------------------------------------------------------------------- */

static struct node *parse_pattern(struct compiling *c);

static struct node *parse_group(struct compiling *c)
{
	bool is_counted = strncmp(c->at, "?:", 2) != 0;
	struct node *node = new_node(c, is_counted ? NODE_GROUP : NODE_SEQUENCE);

	if (is_counted)
		node->number = c->groups++;
	else
		c->at += 2;
	if (++c->depth > MAX_DEPTH)
		fail_at(c, c->at, "groups are nested too deeply");
	else
		node->child = parse_pattern(c);
	c->depth--;
	if (*c->at == ')')
		c->at++;
	else
		fail_at(c, c->at - 1, "expected ), found end of regex");
	return node;
}

static struct node *parse_atom(struct compiling *c)
{
	char byte = *c->at++;
	struct node *node;

	switch (byte) {
	case '.':
		node = new_set(c);
		set_range(node->set, 1, 255);
		return node;
	case '[':
		return parse_class(c);
	case '(':
		return parse_group(c);
	case '^':
	case '$':
		node = new_node(c, NODE_ANCHOR);
		node->number = (unsigned char)byte;
		return node;
	case '\\':
		byte = *c->at;
		if (!byte)
			fail_at(c, c->at, "unexpected end of regex");
		else
			c->at++;
		break;
	default:
		break;
	}
	node = new_set(c);
	set_range(node->set, (unsigned char)byte, (unsigned char)byte);
	return node;
}

/* SystemTap has taken the byte that is wrong, where there is one. */
static const char *after(const struct compiling *c)
{
	return *c->at ? c->at + 1 : c->at;
}

static int parse_number(struct compiling *c)
{
	const char *start = c->at;
	int value = 0;

	if (!isdigit((unsigned char)*c->at))
		fail_at(c, after(c), "expected number");
	for (; isdigit((unsigned char)*c->at); c->at++)
		if (value < MAX_REPETITIONS)
			value = value * 10 + (*c->at - '0');
	if (value >= MAX_REPETITIONS)
		fail_at(c, after(c),
			arena_printf(c->arena, "%.*s is too large", (int)(c->at - start),
				start));
	return value;
}

/* After "{" */
static void parse_bounds(struct compiling *c, struct node *node)
{
	node->min = node->max = parse_number(c);
	if (c->message)
		return;
	if (*c->at == ',') {
		c->at++;
		if (*c->at == '}')
			node->max = -1;
		else if (isdigit((unsigned char)*c->at))
			node->max = parse_number(c);
		else
			fail_at(c, after(c), "expected '}' or number");
	} else if (*c->at != '}') {
		fail_at(c, after(c),
			*c->at ? "expected ',' or '}'" : "unexpected end of regex");
	}
	if (*c->at == '}')
		c->at++;
	else
		fail_at(c, c->at,
			*c->at ? "expected }" : "expected }, found end of regex");
	if (node->max >= 0 && node->max < node->min)
		fail_at(c, c->at - 1, "repetition bounds are in the wrong order");
}

static struct node *parse_factor(struct compiling *c)
{
	if (is_closure(*c->at)) {
		fail_at(c, c->at, arena_printf(c->arena, "unexpected '%c'", *c->at));
		return new_node(c, NODE_EMPTY);
	}
	struct node *node = parse_atom(c);
	while (!c->message && is_closure(*c->at)) {
		char closure = *c->at++;
		struct node *repeat = new_node(c, NODE_REPEAT);
		if (node->kind == NODE_ANCHOR)
			fail_at(c, c->at - 1,
				arena_printf(c->arena,
					"postfix closure '%c' applied to anchoring operator",
					closure));
		/* a closure of a closure nests as a group does */
		repeat->number = node->kind == NODE_REPEAT ? node->number + 1 : 0;
		if (repeat->number > MAX_CLOSURES)
			fail_at(c, c->at, "too many closures of one factor");
		repeat->child = node;
		repeat->min = closure == '+';
		repeat->max = closure == '?' ? 1 : -1;
		if (closure == '{')
			parse_bounds(c, repeat);
		node = repeat;
	}
	return node;
}

static struct node *parse_term(struct compiling *c)
{
	struct node *term = new_node(c, NODE_SEQUENCE), **end = &term->child;

	while (!ends_term(c)) {
		*end = parse_factor(c);
		end = &(*end)->next;
	}
	return term;
}

static struct node *parse_pattern(struct compiling *c)
{
	struct node *choice = new_node(c, NODE_CHOICE), **end = &choice->child;

	for (;;) {
		*end = parse_term(c);
		end = &(*end)->next;
		if (c->message || *c->at != '|')
			return choice;
		c->at++;
	}
}

/* ---- program -------------------------------------------------------------------------------- */

static uint16_t emit(struct compiling *c, enum rt_regex_op op, uint32_t x)
{
	if (c->code.count >= MAX_INSTRUCTIONS) {
		c->is_too_large = true;
		return 0;
	}
	struct rt_regex_instruction *i = vec_push(&c->code);
	i->op = op;
	i->x = (uint16_t)x;
	return (uint16_t)(c->code.count - 1);
}

static uint16_t here(const struct compiling *c)
{
	return (uint16_t)c->code.count;
}

static void emit_node(struct compiling *c, const struct node *node);

static void emit_set(struct compiling *c, const struct node *node)
{
	int count = 0, byte = 0;
	size_t i = 0;

	for (int b = 0; b < 256; b++) {
		if (rt_regex_class_has(node->set, (unsigned char)b)) {
			byte = b;
			count++;
		}
	}
	if (count == 1) {
		emit(c, RT_REGEX_BYTE, (uint32_t)byte);
		return;
	}
	while (i < c->classes.count &&
		memcmp(c->classes.items[i], node->set, RT_REGEX_CLASS_SIZE) != 0)
		i++;
	if (i == c->classes.count)
		vec_append(&c->classes, node->set);
	emit(c, RT_REGEX_CLASS, (uint32_t)i);
}

static void emit_choice(struct compiling *c, const struct node *node)
{
	VEC(uint16_t) jumps = {0};

	for (const struct node *arm = node->child; arm; arm = arm->next) {
		uint16_t split = 0;
		if (arm->next)
			split = emit(c, RT_REGEX_SPLIT, here(c) + 1u);
		emit_node(c, arm);
		if (!arm->next || c->is_too_large)
			break;
		vec_append(&jumps, emit(c, RT_REGEX_JUMP, 0));
		c->code.items[split].y = here(c);
	}
	for (size_t i = 0; i < jumps.count; i++)
		c->code.items[jumps.items[i]].x = here(c);
	vec_free(&jumps);
}

static void emit_any_number(struct compiling *c, const struct node *node)
{
	uint16_t split = emit(c, RT_REGEX_SPLIT, here(c) + 1u);

	emit_node(c, node->child);
	emit(c, RT_REGEX_JUMP, split);
	if (!c->is_too_large)
		c->code.items[split].y = here(c);
}

static void emit_repeat(struct compiling *c, const struct node *node)
{
	VEC(uint16_t) splits = {0};
	uint16_t last = here(c);

	for (int i = 0; i < node->min && !c->is_too_large; i++) {
		last = here(c);
		emit_node(c, node->child);
	}
	if (node->max < 0 && node->min > 0) {
		uint16_t split = emit(c, RT_REGEX_SPLIT, last);
		if (!c->is_too_large)
			c->code.items[split].y = here(c);
	} else if (node->max < 0) {
		emit_any_number(c, node);
	}
	for (int i = node->min; i < node->max && !c->is_too_large; i++) {
		vec_append(&splits, emit(c, RT_REGEX_SPLIT, here(c) + 1u));
		emit_node(c, node->child);
	}
	for (size_t i = 0; i < splits.count; i++)
		c->code.items[splits.items[i]].y = here(c);
	vec_free(&splits);
}

static void emit_node(struct compiling *c, const struct node *node)
{
	if (!node || c->is_too_large)
		return;
	switch (node->kind) {
	case NODE_EMPTY:
		return;
	case NODE_SET:
		emit_set(c, node);
		return;
	case NODE_ANCHOR:
		emit(c, node->number == '^' ? RT_REGEX_BEGIN : RT_REGEX_END, 0);
		return;
	case NODE_GROUP:
		emit(c, RT_REGEX_SAVE, 2 * node->number);
		emit_node(c, node->child);
		emit(c, RT_REGEX_SAVE, 2 * node->number + 1);
		return;
	case NODE_SEQUENCE:
		for (const struct node *part = node->child; part; part = part->next)
			emit_node(c, part);
		return;
	case NODE_CHOICE:
		emit_choice(c, node);
		return;
	case NODE_REPEAT:
		emit_repeat(c, node);
		return;
	}
}

/* ---- result ---------------------------------------------------------------------------------- */

/* Which bytes can a match start with?  Walks what is reached without reading one. */
static void find_first(struct compiling *c, struct rt_regex *regex)
{
	uint8_t *seen = arena_array(c->arena, uint8_t, regex->count);
	uint16_t *todo = arena_array(c->arena, uint16_t, 2 * (size_t)regex->count + 1);
	uint32_t count = 1;

	while (count) {
		uint16_t pc = todo[--count];
		const struct rt_regex_instruction *i = &regex->code[pc];
		if (seen[pc]++)
			continue;
		if (i->op == RT_REGEX_BYTE)
			set_range(regex->first, i->x, i->x);
		else if (i->op == RT_REGEX_CLASS)
			for (int b = 0; b < RT_REGEX_CLASS_SIZE; b++)
				regex->first[b] |= c->classes.items[i->x][b];
		else if (i->op == RT_REGEX_MATCH)
			regex->may_be_empty = 1;
		else if (i->op == RT_REGEX_SPLIT || i->op == RT_REGEX_JUMP)
			todo[count++] = i->x;
		else
			todo[count++] = (uint16_t)(pc + 1);
		if (i->op == RT_REGEX_SPLIT)
			todo[count++] = i->y;
		seen[pc] = 1;
	}
}

static struct stap_regex_result finish(struct compiling *c, bool wants_groups)
{
	struct stap_regex_result result = {.position = -1};
	uint32_t count = (uint32_t)c->code.count;
	uint32_t slots = wants_groups ? 2 * c->groups : 0;
	size_t classes =
		sizeof(struct rt_regex) + count * sizeof(struct rt_regex_instruction);

	if (wants_groups && c->groups > RT_REGEX_MAX_GROUPS) {
		result.message = "too many groups";
		return result;
	}
	if (c->is_too_large || rt_regex_memory(count, slots) > RT_REGEX_MAX_MEMORY) {
		result.message = "the expression is too large";
		return result;
	}
	result.size = classes + c->classes.count * RT_REGEX_CLASS_SIZE;
	struct rt_regex *regex = arena_alloc(c->arena, result.size);
	regex->count = count;
	regex->slots = slots;
	regex->classes = (uint32_t)classes;
	memcpy(regex->code, c->code.items, count * sizeof(*regex->code));
	for (size_t i = 0; i < c->classes.count; i++)
		memcpy((char *)regex + classes + i * RT_REGEX_CLASS_SIZE,
			c->classes.items[i], RT_REGEX_CLASS_SIZE);
	find_first(c, regex);
	result.regex = regex;
	return result;
}

struct stap_regex_result stap_regex_compile(
	struct arena *arena, const char *pattern, bool wants_groups)
{
	struct compiling c = {
		.arena = arena, .pattern = pattern, .at = pattern, .groups = 1};
	struct stap_regex_result result = {0};
	struct node *whole = new_node(&c, NODE_GROUP);

	whole->child = parse_pattern(&c);
	/* as in SystemTap a last ')' is none */
	if (*c.at == ')' && c.at[1])
		fail_at(&c, c.at + 1, "unbalanced ')'");
	if (c.message) {
		result.message = c.message;
		result.position = c.position;
		return result;
	}
	emit_node(&c, whole);
	emit(&c, RT_REGEX_MATCH, 0);
	result = finish(&c, wants_groups);
	vec_free(&c.code);
	vec_free(&c.classes);
	return result;
}

int stap_regex_try(struct arena *arena, const char *pattern, const char *text)
{
	struct stap_regex_result result = stap_regex_compile(arena, pattern, false);
	struct abi_session *session;
	struct abi_context *c;
	int r = -EINVAL;

	if (!result.regex)
		return r;
	session = calloc(1, sizeof(*session));
	c = aligned_alloc(64, (sizeof(*c) + 63) & ~(size_t)63);
	if (session && c) {
		memset(c, 0, sizeof(*c));
		session->max_string = (uint32_t)strlen(text) + 1;
		c->session = (uint64_t)(uintptr_t)session;
		r = (int)rt_regex_match(c, result.regex, text);
		if (c->error)
			r = -ENOMEM;
	}
	free(session);
	free(c);
	return r;
}

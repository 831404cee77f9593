/* SPDX-License-Identifier: MIT */
/*
 * Regular expressions.  Threads of a step are kept in order of priority, so those that started further
 * left come first; of two that reach one instruction the first survives.  The match is the leftmost, and
 * of those the longest.  All state is in the context's scratch area.
 */
#include "runtime/regex.h"

#include <stddef.h>

#include "runtime/internal.h"

enum {
	UNSET = 0xffff,
	VISIT = 0xffff /* of struct todo: go on at pc, else restore a bound */
};

struct threads {
	uint16_t *pc;     /* in order */
	uint16_t *where;  /* by instruction: its place in pc, valid if that says so */
	uint16_t *bounds; /* slots per place */
	uint32_t count;
};

struct todo {
	uint16_t pc, slot, value;
};

struct run {
	const struct rt_regex *regex;
	struct threads now, next;
	struct todo *todo;
	uint32_t todo_count;
	uint16_t *bounds; /* of the thread being added */
	uint16_t *match;
	bool is_match;
	uint32_t at, size; /* place in the text, its length */
};

static uint16_t *take(char **at, uint32_t count)
{
	uint16_t *items = (uint16_t *)(void *)*at;

	*at += count * sizeof(uint16_t);
	return items;
}

static void threads_init(struct threads *threads, char **at, const struct rt_regex *regex)
{
	threads->pc = take(at, regex->count);
	threads->where = take(at, regex->count);
	threads->bounds = take(at, regex->count * regex->slots);
	threads->count = 0;
}

static struct run *run_init(struct abi_context *c, const struct rt_regex *regex)
{
	_Static_assert(sizeof(struct run) <= 256, "rt_regex_memory() counts 256");
	char *at = rt_scratch(c, (uint32_t)rt_regex_memory(regex->count, regex->slots));
	if (!at)
		return NULL;
	struct run *run = (struct run *)(void *)at;
	at += sizeof(*run);
	run->regex = regex;
	threads_init(&run->now, &at, regex);
	threads_init(&run->next, &at, regex);
	run->bounds = take(&at, regex->slots);
	run->match = take(&at, regex->slots);
	run->todo = (struct todo *)(void *)at;
	run->todo_count = 0;
	run->is_match = false;
	run->at = 0;
	return run;
}

static void push(struct run *run, uint32_t pc, uint32_t slot, uint32_t value)
{
	run->todo[run->todo_count++] =
		(struct todo){(uint16_t)pc, (uint16_t)slot, (uint16_t)value};
}

/* Is it the first visit of this instruction in this step? */
static bool visit(struct threads *threads, uint32_t pc)
{
	uint32_t where = threads->where[pc];

	if (where < threads->count && threads->pc[where] == pc)
		return false;
	threads->where[pc] = (uint16_t)threads->count;
	threads->pc[threads->count++] = (uint16_t)pc;
	return true;
}

static void save(struct run *run, uint32_t pc, uint32_t slot)
{
	if (slot < run->regex->slots) {
		push(run, 0, slot, run->bounds[slot]);
		run->bounds[slot] = (uint16_t)run->at;
	}
	push(run, pc + 1, VISIT, 0);
}

/* What can be reached from pc without reading a byte.  Each instruction is visited once and leaves at
 * most two things to do. */
static void add(struct run *run, struct threads *threads, uint32_t start)
{
	push(run, start, VISIT, 0);
	while (run->todo_count) {
		struct todo todo = run->todo[--run->todo_count];
		if (todo.slot != VISIT) {
			run->bounds[todo.slot] = todo.value;
			continue;
		}
		if (!visit(threads, todo.pc))
			continue;
		const struct rt_regex_instruction *i = &run->regex->code[todo.pc];
		if (i->op == RT_REGEX_SPLIT)
			push(run, i->y, VISIT, 0);
		if (i->op == RT_REGEX_SPLIT || i->op == RT_REGEX_JUMP)
			push(run, i->x, VISIT, 0);
		else if (i->op == RT_REGEX_SAVE)
			save(run, todo.pc, i->x);
		else if ((i->op == RT_REGEX_BEGIN && run->at == 0) ||
			 (i->op == RT_REGEX_END && run->at == run->size))
			push(run, todo.pc + 1u, VISIT, 0);
		else
			rt_copy((char *)(threads->bounds +
					 (threads->count - 1) * run->regex->slots),
				(const char *)run->bounds,
				run->regex->slots * sizeof(uint16_t));
	}
}

static bool takes(const struct rt_regex *regex, const struct rt_regex_instruction *i,
	unsigned char byte)
{
	if (i->op == RT_REGEX_BYTE)
		return i->x == byte;
	if (i->op != RT_REGEX_CLASS)
		return false;
	return rt_regex_class_has((const uint8_t *)regex + regex->classes +
					  (uint32_t)i->x * RT_REGEX_CLASS_SIZE,
		byte);
}

static void found(struct run *run, const uint16_t *bounds)
{
	uint32_t slots = run->regex->slots;

	/* threads come in order of their start: an earlier one cannot follow */
	if (run->is_match && slots && bounds[1] <= run->match[1])
		return;
	run->is_match = true;
	rt_copy((char *)run->match, (const char *)bounds, slots * sizeof(uint16_t));
}

static void step(struct run *run, unsigned char byte)
{
	const struct rt_regex *regex = run->regex;
	struct threads *now = &run->now;

	run->at++;
	for (uint32_t t = 0; t < now->count; t++) {
		uint32_t pc = now->pc[t];
		const uint16_t *bounds = now->bounds + t * regex->slots;
		if (regex->code[pc].op == RT_REGEX_MATCH) {
			found(run, bounds);
			continue;
		}
		if (!byte || !takes(regex, &regex->code[pc], byte))
			continue;
		if (run->is_match && regex->slots && bounds[0] > run->match[0])
			continue;
		rt_copy((char *)run->bounds, (const char *)bounds,
			regex->slots * sizeof(uint16_t));
		add(run, &run->next, pc + 1);
	}
	struct threads done = run->now;
	run->now = run->next;
	run->next = done;
	run->next.count = 0;
}

static bool run_text(struct run *run, const char *s, uint32_t size)
{
	const struct rt_regex *regex = run->regex;

	run->size = size;
	for (uint32_t i = 0;; i++) {
		unsigned char byte = i < size ? (unsigned char)s[i] : 0;
		bool starts = regex->may_be_empty ||
			      (byte && rt_regex_class_has(regex->first, byte));
		if (starts && !run->is_match) {
			for (uint32_t slot = 0; slot < regex->slots; slot++)
				run->bounds[slot] = UNSET;
			add(run, &run->now, 0);
		}
		step(run, byte);
		if (i == size || (run->is_match && (!regex->slots || !run->now.count)))
			return run->is_match;
	}
}

static void keep(struct abi_context *c, const struct run *run, const char *s)
{
	rt_put(c->match_text, sizeof(c->match_text), s);
	for (uint32_t slot = 0; slot < run->regex->slots; slot++)
		c->match_bounds[slot] = run->match[slot];
	c->match_groups = run->regex->slots / 2;
}

int64_t rt_regex_match(struct abi_context *c, const struct rt_regex *regex, const char *s)
{
	uint32_t size = rt_length(s, rt_session(c)->max_string);
	struct run *run = run_init(c, regex);

	c->match_groups = 0;
	if (!run) {
		rt_error(c, "no memory left to match a regular expression");
		return 0;
	}
	if (size >= UNSET)
		size = UNSET - 1;
	if (!run_text(run, s, size))
		return 0;
	if (regex->slots)
		keep(c, run, s);
	return 1;
}

/* ---- what scripts ask afterwards ------------------------------------------- */

static void group_error(
	struct abi_context *c, const char *before, int64_t n, const char *after)
{
	char text[80];
	struct rt_text t = rt_text_open(text, sizeof(text));

	rt_text_string(&t, before);
	rt_text_decimal(&t, n, 0);
	rt_text_string(&t, after);
	rt_text_close(&t);
	rt_error(c, text);
}

void rt_fn_matched(struct abi_context *c, char *dst, int64_t n)
{
	uint32_t limit = (uint32_t)sizeof(c->match_text) - 1;

	dst[0] = '\0';
	if (!c->match_groups) {
		group_error(
			c, "Attempted to get subexpression ", n, " from failed match");
		return;
	}
	if (n < 0 || n >= c->match_groups) {
		group_error(c, "Attempted to get nonexistent subexpression ", n, "");
		return;
	}
	uint32_t start = c->match_bounds[2 * n], end = c->match_bounds[2 * n + 1];
	if (start == UNSET || end == UNSET || start >= limit || start > end)
		return; /* in the arm of an alternative that was not taken */
	uint32_t capacity = rt_session(c)->max_string;
	uint32_t size = (end < limit ? end : limit) - start + 1;
	rt_put(dst, size < capacity ? size : capacity, c->match_text + start);
}

void rt_fn_matched_str(struct abi_context *c, char *dst)
{
	rt_fn_matched(c, dst, 0);
}

int64_t rt_fn_ngroups(struct abi_context *c)
{
	if (!c->match_groups)
		rt_error(
			c, "Attempted to get number of subexpressions from failed match");
	return c->match_groups;
}

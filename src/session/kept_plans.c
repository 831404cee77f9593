/* SPDX-License-Identifier: MIT */
/*
 * Plans of earlier runs.  Planning looks at all instructions of a function, and a script that probes all functions
 * of a file looks at all of its text; but the same requests, in the same order, for the same file have the same
 * answers.
 *
 *   struct kept_head | requests | answers | padding that was given away
 *
 * What comes after the single plans (joining those that overlap, and the like) is done anew each time: it
 * needs the flow of few functions.
 */
#include "session/kept_plans.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "elf/kept.h"
#include "session/internal.h"
#include "session/stap_target.h"

/* A new field of a plan is kept as it is; a new pointer in it is not. */
static_assert(sizeof(struct arch_plan) == 248, "is the new field a pointer?");

enum {
	WORTH_KEEPING = 32 /* requests; fewer are as fast as the cache */
};

struct request {
	uint64_t address, start, end;
	uint32_t wish, trusts_flags;
};

struct kept_head {
	uint64_t request_count, answers_size, slot_count;
};

struct answer {
	int32_t result;
	uint32_t count; /* of plans behind it; of a failure: bytes of its text, and NUL */
};

struct kept_plans {
	VEC(struct request) requests;
	struct strbuf answers; /* what is found out now */
	const uint8_t *at;     /* or was once: the next answer; NULL: it was not */
	char name[32];
};

/* ---- questions -------------------------------------------------------------- */

static void pad(struct strbuf *out)
{
	static const char zeros[8];
	strbuf_append(out, zeros, -out->size & 7);
}

static size_t padded(size_t size)
{
	return (size + 7) & ~(size_t)7;
}

void kept_plans_ask(struct session_module *m, const struct stap_location *l,
	enum kept_wish wish, const struct arch_plan_options *options)
{
	if (!m->kept) {
		m->kept = calloc(1, sizeof(*m->kept));
		if (!m->kept)
			abort();
		strbuf_init(&m->kept->answers);
	}
	vec_append(
		&m->kept->requests, ((struct request){.address = l->link_address,
					    .start = l->function_start,
					    .end = l->function_end,
					    .wish = wish,
					    .trusts_flags = options->trust_abi_flags}));
}

static uint64_t hash_requests(const struct kept_plans *kept)
{
	const uint64_t *words = (const uint64_t *)(const void *)kept->requests.items;
	size_t count = kept->requests.count * sizeof(struct request) / sizeof(*words);
	uint64_t hash = 1;
	for (size_t i = 0; i < count; i++) {
		hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 29;
	}
	return hash;
}

/* ---- answers of earlier runs ------------------------------------------------ */

/* A text of the blob; NULL: it is not one */
static const char *text_at(const uint8_t *at, size_t left, size_t size)
{
	return size && size <= left && !at[size - 1] ? (const char *)at : NULL;
}

/* The size of a plan with its text at @at; 0: it is not one. */
static size_t plan_size(const uint8_t *at, size_t left)
{
	struct arch_plan plan;
	uint64_t text = 0;
	size_t size = sizeof(plan) + sizeof(text);
	if (left < size)
		return 0;
	memcpy(&plan, at, sizeof(plan));
	memcpy(&text, at + sizeof(plan), sizeof(text));
	if (plan.point_count > ARCH_MAX_POINTS || plan.insn_count > ARCH_MAX_INSNS ||
		plan.window > ARCH_MAX_WINDOW || plan.size > ARCH_MAX_WINDOW ||
		(unsigned)plan.form > ARCH_PATCH_BREAKPOINT || plan.no_jump)
		return 0;
	if (text && (text > left || !text_at(at + size, left - size, text)))
		return 0;
	size += padded(text);
	return size <= left ? size : 0;
}

static size_t answer_size(const uint8_t *at, size_t left)
{
	struct answer answer;
	size_t size = sizeof(answer);
	if (left < size)
		return 0;
	memcpy(&answer, at, size);
	if (answer.result < 0) {
		if (!text_at(at + size, left - size, answer.count))
			return 0;
		size += padded(answer.count);
		return size <= left ? size : 0;
	}
	for (uint32_t i = 0; i < answer.count; i++) {
		size_t one = plan_size(at + size, left - size);
		if (!one)
			return 0;
		size += one;
	}
	return size;
}

/* All of it is looked at before any of it is used. */
static bool is_sound(
	const struct kept_head *head, size_t requests, const uint8_t *answers)
{
	size_t left = head->answers_size;
	for (size_t i = 0; i < requests; i++) {
		size_t size = answer_size(answers, left);
		if (!size)
			return false;
		answers += size;
		left -= size;
	}
	return left == 0;
}

static void recall(struct session_module *m)
{
	struct kept_plans *kept = m->kept;
	struct kept_head head;
	size_t size, request_size = kept->requests.count * sizeof(struct request);
	snprintf(kept->name, sizeof(kept->name), "plans-%016llx",
		(unsigned long long)hash_requests(kept));
	const uint8_t *blob = elf_module_kept_bytes(m->elf, kept->name, &size);
	if (!blob || size < sizeof(head) + request_size)
		return;
	memcpy(&head, blob, sizeof(head));
	size -= sizeof(head) + request_size;
	if (head.request_count != kept->requests.count || head.answers_size > size ||
		head.slot_count >
			(size - head.answers_size) / sizeof(struct arch_text_slot) ||
		memcmp(blob + sizeof(head), kept->requests.items, request_size) != 0)
		return;
	const uint8_t *answers = blob + sizeof(head) + request_size;
	if (!is_sound(&head, kept->requests.count, answers))
		return;
	kept->at = answers;
	const void *slots = answers + head.answers_size;
	arch_text_set_slots(m->text, slots, head.slot_count);
}

void kept_plans_recall(struct session_module *m)
{
	if (m->kept && m->kept->requests.count >= WORTH_KEEPING)
		recall(m);
}

/* Also moves on. */
static void take_plan(struct kept_plans *kept, struct arch_plan *ret)
{
	uint64_t text;
	memcpy(ret, kept->at, sizeof(*ret));
	memcpy(&text, kept->at + sizeof(*ret), sizeof(text));
	kept->at += sizeof(*ret) + sizeof(text);
	/* the blob stays as long as the module */
	ret->no_jump = text ? (const char *)kept->at : NULL;
	kept->at += padded(text);
}

static int take_answer(struct kept_plans *kept, struct arch_plan **ret, size_t *ret_count,
	struct error *err)
{
	struct answer answer;
	memcpy(&answer, kept->at, sizeof(answer));
	kept->at += sizeof(answer);
	if (answer.result < 0) {
		error_set(err, answer.result, "%s", (const char *)kept->at);
		kept->at += padded(answer.count);
		return answer.result;
	}
	struct arch_plan *plans = calloc(answer.count + 1, sizeof(*plans));
	if (!plans)
		abort();
	for (uint32_t i = 0; i < answer.count; i++)
		take_plan(kept, &plans[i]);
	*ret = plans;
	*ret_count = answer.count;
	return answer.result;
}

/* ---- answers of this one ---------------------------------------------------- */

static void write_plan(struct strbuf *out, const struct arch_plan *plan)
{
	struct arch_plan copy = *plan;
	uint64_t text = plan->no_jump ? strlen(plan->no_jump) + 1 : 0;
	copy.no_jump = NULL;
	strbuf_append(out, &copy, sizeof(copy));
	strbuf_append(out, &text, sizeof(text));
	strbuf_append(out, plan->no_jump, text);
	pad(out);
}

static void write_answer(struct kept_plans *kept, int r, const struct arch_plan *plans,
	size_t count, const struct error *err)
{
	struct answer answer = {.result = r, .count = (uint32_t)count};
	if (r < 0)
		answer.count = (uint32_t)strlen(err->message) + 1;
	strbuf_append(&kept->answers, &answer, sizeof(answer));
	if (r < 0)
		strbuf_append(&kept->answers, err->message, answer.count);
	pad(&kept->answers);
	for (size_t i = 0; i < count && r >= 0; i++)
		write_plan(&kept->answers, &plans[i]);
}

/* Where others leave by the same exits the entry is wanted as well. */
static int plan_returns(struct session_module *m, const struct stap_location *l,
	const struct arch_plan_options *options, struct arch_plan **ret,
	size_t *ret_count, struct error *err)
{
	struct arch_plan *plans;
	size_t count;
	int r = arch_plan_exits(m->text, l->function_start, l->function_end, options,
		&plans, &count, err);
	if (r < 0)
		return r;
	if (count && plans[0].points[0].is_shared) {
		plans = realloc(plans, (count + 1) * sizeof(*plans));
		if (!plans)
			abort();
		r = arch_plan_site(m->text, l->link_address, l->function_start,
			l->function_end, options, &plans[count++], err);
	}
	if (r < 0) {
		error_prefix(err,
			"others leave by the same exits, and its entry cannot be probed");
		free(plans);
		return r;
	}
	*ret = plans;
	*ret_count = count;
	return r;
}

static int plan_anew(struct session_module *m, const struct stap_location *l,
	enum kept_wish wish, const struct arch_plan_options *options,
	struct arch_plan **ret, size_t *ret_count, struct error *err)
{
	if (wish == KEPT_RETURNS)
		return plan_returns(m, l, options, ret, ret_count, err);
	if (wish == KEPT_EXITS)
		return arch_plan_exits(m->text, l->function_start, l->function_end,
			options, ret, ret_count, err);
	struct arch_plan *plan = calloc(1, sizeof(*plan));
	if (!plan)
		abort();
	int r = arch_plan_site(m->text, l->link_address, l->function_start,
		l->function_end, options, plan, err);
	if (r < 0) {
		free(plan);
		return r;
	}
	*ret = plan;
	*ret_count = 1;
	return r;
}

int kept_plans_get(struct session_module *m, const struct stap_location *l,
	enum kept_wish wish, const struct arch_plan_options *options,
	struct arch_plan **ret, size_t *ret_count, struct error *err)
{
	struct kept_plans *kept = m->kept;
	*ret = NULL;
	*ret_count = 0;
	if (kept->at)
		return take_answer(kept, ret, ret_count, err);
	int r = plan_anew(m, l, wish, options, ret, ret_count, err);
	if (kept->requests.count >= WORTH_KEEPING)
		write_answer(kept, r, *ret, *ret_count, err);
	return r;
}

void kept_plans_keep(struct session_module *m)
{
	struct kept_plans *kept = m->kept;
	if (!kept || kept->at || kept->requests.count < WORTH_KEEPING ||
		!elf_module_is_complete(m->elf))
		return;
	struct kept_head head = {.request_count = kept->requests.count,
		.answers_size = kept->answers.size};
	const struct arch_text_slot *slots = arch_text_slots(m->text, &head.slot_count);
	const struct cache_part parts[] = {{&head, sizeof(head)},
		{kept->requests.items, kept->requests.count * sizeof(struct request)},
		{kept->answers.data, kept->answers.size},
		{slots, head.slot_count * sizeof(*slots)}};
	elf_module_keep(m->elf, kept->name, parts, sizeof(parts) / sizeof(parts[0]));
}

void kept_plans_free(struct kept_plans *kept)
{
	if (!kept)
		return;
	vec_free(&kept->requests);
	strbuf_deinit(&kept->answers);
	free(kept);
}

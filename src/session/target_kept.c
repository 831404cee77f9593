/* SPDX-License-Identifier: MIT */
/*
 * Questions that take debug information to answer, and the answers of earlier runs: which places a
 * probe point means in one module, and how a variable is read at one place.  A question holds all that
 * its answer depends on besides the module; the assertions below remind of it.  Failures, and what came
 * with a warning, are found out anew each time.
 */
#include <assert.h>
#include <string.h>

#include "elf/kept.h"
#include "session/target_internal.h"

/* A new field of a question has to be written down here, and one of an answer has to be kept. */
static_assert(sizeof(struct elf_access_request) == 80, "ask for the new field");
static_assert(sizeof(struct elf_access) == 40, "keep the new field");
static_assert(sizeof(struct elf_access_step) == 32, "ask for the new field");
static_assert(sizeof(struct elf_variable_info) == 24, "keep the new field");
static_assert(sizeof(struct elf_member_info) == 24, "keep the new field");
static_assert(sizeof(struct stap_location) == 144, "keep the new field, or set it anew");

/* ---- writing and reading ------------------------------------------------------------------------------ */

static void put_number(struct strbuf *out, uint64_t value)
{
	strbuf_append(out, &value, sizeof(value));
}

static void put_text(struct strbuf *out, const char *text)
{
	put_number(out, text ? strlen(text) + 1 : 0);
	if (text)
		strbuf_append(out, text, strlen(text) + 1);
}

struct reader {
	const char *at;
	size_t left;
	bool is_bad;
	struct arena *arena;
};

static uint64_t get_number(struct reader *r)
{
	uint64_t value = 0;
	r->is_bad = r->is_bad || r->left < sizeof(value);
	if (r->is_bad)
		return 0;
	memcpy(&value, r->at, sizeof(value));
	r->at += sizeof(value);
	r->left -= sizeof(value);
	return value;
}

static const char *get_text(struct reader *r)
{
	uint64_t size = get_number(r);
	if (size == 0)
		return NULL;
	r->is_bad = r->is_bad || size > r->left || r->at[size - 1];
	if (r->is_bad)
		return "";
	const char *text = arena_strndup(r->arena, r->at, size - 1);
	r->at += size;
	r->left -= size;
	return text;
}

/* How many items of at least @size bytes each follow. */
static uint64_t get_count(struct reader *r, size_t size)
{
	uint64_t count = get_number(r);
	r->is_bad = r->is_bad || count > r->left / size;
	return r->is_bad ? 0 : count;
}

static bool recall(struct elf_module *module, const struct strbuf *question,
	struct arena *arena, struct reader *ret)
{
	size_t size;
	const void *answer = cache_memo_find(
		elf_module_answers(module), question->data, question->size, &size);
	*ret = (struct reader){.at = answer, .left = size, .arena = arena};
	return answer != NULL;
}

static void remember(struct elf_module *module, const struct strbuf *question,
	const struct strbuf *answer)
{
	if (elf_module_answers(module) && elf_module_is_complete(module))
		cache_memo_add(elf_module_answers(module), question->data, question->size,
			answer->data, answer->size);
}

/* ---- places ---------------------------------------------------------------------------------------------- */

static bool is_kept_kind(const struct target_point *point)
{
	return point->kind == TARGET_POINT_FUNCTION ||
	       point->kind == TARGET_POINT_STATEMENT;
}

static void ask_places(const struct target_point *p, struct strbuf *question)
{
	put_text(question, "places");
	put_number(question, p->kind);
	put_text(question, p->pattern.text);
	put_number(question, p->address);
	put_text(question, p->label);
	put_text(question, p->callee.text);
	put_number(question, (uint64_t)p->callee_depth);
	put_text(question, p->suffix);
	put_number(question,
		(uint64_t)p->is_return | (uint64_t)p->is_exported << 1 |
			(uint64_t)p->is_inline << 2 | (uint64_t)p->is_call << 3 |
			(uint64_t)p->is_nearest << 4 | (uint64_t)p->is_absolute << 5);
}

static void put_place(
	const struct expansion *e, const struct stap_location *l, struct strbuf *out)
{
	const struct target_place *place = l->opaque;
	put_text(out, l->function);
	put_number(out, l->link_address);
	put_number(out, l->function_start);
	put_number(out, l->function_end);
	put_number(out, (uint64_t)l->is_return | (uint64_t)l->has_debug_info << 1 |
				(uint64_t)l->mid_function << 2 |
				(uint64_t)place->has_blocks << 3 |
				(uint64_t)l->is_go << 4);
	put_text(out, l->pp + strlen(e->prefix));
	put_text(out, l->ppfunc);
	put_number(out, place->entry);
	put_number(out, place->instance_entry);
	put_number(out, place->instance_offset);
}

static struct stap_location *get_place(const struct expansion *e, struct reader *r)
{
	struct stap_location *l = arena_new(e->arena, struct stap_location);
	struct target_place *place = arena_new(e->arena, struct target_place);
	l->module_path = e->module->shown_path;
	l->function = get_text(r);
	l->link_address = get_number(r);
	l->function_start = get_number(r);
	l->function_end = get_number(r);
	uint64_t flags = get_number(r);
	l->is_return = flags & 1;
	l->has_debug_info = flags >> 1 & 1;
	l->mid_function = flags >> 2 & 1;
	place->has_blocks = flags >> 3 & 1;
	l->is_go = flags >> 4 & 1;
	const char *point = get_text(r);
	l->pp = arena_printf(e->arena, "%s%s", e->prefix, point ? point : "");
	l->ppfunc = get_text(r);
	place->module = e->module;
	place->entry = get_number(r);
	place->instance_entry = get_number(r);
	place->instance_offset = get_number(r);
	l->opaque = place;
	return l;
}

bool target_recall(struct expansion *e)
{
	struct strbuf question;
	struct reader r;
	if (!is_kept_kind(e->point) || !elf_module_answers(e->module->elf))
		return false;
	strbuf_init(&question);
	ask_places(e->point, &question);
	bool known = recall(e->module->elf, &question, e->arena, &r);
	size_t before = e->locations.count;
	uint64_t count = known ? get_count(&r, sizeof(uint64_t)) : 0;
	for (uint64_t i = 0; i < count && !r.is_bad; i++)
		vec_append(&e->locations, get_place(e, &r));
	strbuf_deinit(&question);
	if (!known || r.is_bad || r.left) {
		e->locations.count = before;
		return false;
	}
	e->seen = true;
	return true;
}

void target_remember(struct expansion *e, size_t before, unsigned warnings_before)
{
	struct strbuf question, answer;
	if (!is_kept_kind(e->point) || e->locations.count == before ||
		e->target->warnings != warnings_before)
		return;
	for (size_t i = before; i < e->locations.count; i++) {
		const struct stap_location *l = e->locations.items[i];
		if (l->guard || strncmp(l->pp, e->prefix, strlen(e->prefix)) != 0)
			return;
	}
	strbuf_init(&question);
	strbuf_init(&answer);
	ask_places(e->point, &question);
	put_number(&answer, e->locations.count - before);
	for (size_t i = before; i < e->locations.count; i++)
		put_place(e, e->locations.items[i], &answer);
	remember(e->module->elf, &question, &answer);
	strbuf_deinit(&question);
	strbuf_deinit(&answer);
}

/* ---- variables ------------------------------------------------------------------------------------------- */

/* false: the answer depends on more than can be written down */
static bool ask_access(const char *what, struct elf_module *module,
	const struct target_place *place, const struct elf_access_request *request,
	struct strbuf *question)
{
	const char *types = "";
	if (request->types && request->types != module) {
		types = elf_module_identity(request->types);
		if (!types || !elf_module_is_complete(request->types))
			return false;
	}
	put_text(question, what);
	put_text(question, types);
	put_number(question, request->base);
	put_text(question, request->name);
	put_number(question, request->function);
	put_number(question, request->pc);
	put_number(question, place ? place->instance_entry : 0);
	put_number(question, place ? place->instance_offset : 0);
	put_number(question,
		(uint64_t)request->has_blocks | (uint64_t)request->is_address_of << 1);
	for (size_t i = 0; i < request->step_count; i++) {
		const struct elf_access_step *step = &request->steps[i];
		put_text(question, step->member);
		put_number(question, step->is_constant);
		put_number(question, (uint64_t)step->index);
		put_number(question, step->operand);
	}
	return true;
}

/* Nobody knew the answer: now the debug information is needed. */
static void find_instance(struct elf_module *module, const struct target_place *place,
	struct elf_access_request *request)
{
	if (!place)
		return;
	request->instance = place->instance;
	if (!place->instance && place->instance_offset)
		request->instance = elf_instance_by_offset(
			module, place->instance_entry, place->instance_offset);
}

static bool get_access(struct reader *r, struct elf_access *ret)
{
	struct elf_access access = {0};
	access.op_count = get_count(r, 2 * sizeof(uint64_t));
	access.ops = arena_array(r->arena, struct elf_op, access.op_count + 1);
	for (size_t i = 0; i < access.op_count; i++) {
		uint64_t kind = get_number(r);
		r->is_bad = r->is_bad || kind > ELF_OP_ENTRY;
		access.ops[i].kind = (enum elf_op_kind)kind;
		access.ops[i].value = (int64_t)get_number(r);
	}
	access.value_class = (enum elf_value_class)get_number(r);
	access.type_name = get_text(r);
	access.size = (uint32_t)get_number(r);
	uint64_t flags = get_number(r);
	access.needs_callee_saved = flags & 1;
	access.needs_static = flags >> 1 & 1;
	if (r->is_bad || r->left)
		return false;
	*ret = access;
	return true;
}

static void put_access(const struct elf_access *access, struct strbuf *out)
{
	put_number(out, access->op_count);
	for (size_t i = 0; i < access->op_count; i++) {
		put_number(out, access->ops[i].kind);
		put_number(out, (uint64_t)access->ops[i].value);
	}
	put_number(out, access->value_class);
	put_text(out, access->type_name);
	put_number(out, access->size);
	put_number(out, (uint64_t)access->needs_callee_saved |
				(uint64_t)access->needs_static << 1);
}

int target_compile(struct elf_module *module, const struct target_place *place,
	struct elf_access_request *request, struct arena *arena, struct elf_access *ret,
	struct error *err)
{
	struct strbuf question, answer;
	struct reader reader;
	strbuf_init(&question);
	bool can_keep = ask_access("access", module, place, request, &question);
	int r = 0;
	if (can_keep && recall(module, &question, arena, &reader) &&
		get_access(&reader, ret))
		goto out;
	find_instance(module, place, request);
	r = elf_access_compile(module, request, arena, ret, err);
	if (r < 0 || !can_keep)
		goto out;
	strbuf_init(&answer);
	put_access(ret, &answer);
	remember(module, &question, &answer);
	strbuf_deinit(&answer);
out:
	strbuf_deinit(&question);
	return r;
}

static bool get_members(struct reader *r, struct elf_member_info **ret, size_t *ret_count)
{
	uint64_t count = get_count(r, 3 * sizeof(uint64_t));
	struct elf_member_info *members =
		arena_array(r->arena, struct elf_member_info, count + 1);
	for (uint64_t i = 0; i < count; i++) {
		members[i].name = get_text(r);
		members[i].kind = (enum elf_member_kind)get_number(r);
		members[i].value = (int64_t)get_number(r);
	}
	if (r->is_bad || r->left)
		return false;
	*ret = members;
	*ret_count = count;
	return true;
}

int target_list_members(struct elf_module *module, const struct target_place *place,
	struct elf_access_request *request, struct arena *arena,
	struct elf_member_info **ret, size_t *ret_count, struct error *err)
{
	struct strbuf question, answer;
	struct reader reader;
	strbuf_init(&question);
	bool can_keep =
		ask_access("members and variants", module, place, request, &question);
	int r = 0;
	if (can_keep && recall(module, &question, arena, &reader) &&
		get_members(&reader, ret, ret_count))
		goto out;
	find_instance(module, place, request);
	r = elf_access_members(module, request, arena, ret, ret_count, err);
	if (r < 0 || !can_keep)
		goto out;
	strbuf_init(&answer);
	put_number(&answer, *ret_count);
	for (size_t i = 0; i < *ret_count; i++) {
		put_text(&answer, (*ret)[i].name);
		put_number(&answer, (*ret)[i].kind);
		put_number(&answer, (uint64_t)(*ret)[i].value);
	}
	remember(module, &question, &answer);
	strbuf_deinit(&answer);
out:
	strbuf_deinit(&question);
	return r;
}

static bool get_variables(
	struct reader *r, struct elf_variable_info **ret, size_t *ret_count)
{
	uint64_t count = get_count(r, 3 * sizeof(uint64_t));
	struct elf_variable_info *list =
		arena_array(r->arena, struct elf_variable_info, count + 1);
	for (uint64_t i = 0; i < count; i++) {
		list[i].name = get_text(r);
		list[i].type_name = get_text(r);
		uint64_t flags = get_number(r);
		list[i].is_parameter = flags & 1;
		list[i].is_available = flags >> 1 & 1;
	}
	if (r->is_bad || r->left)
		return false;
	*ret = list;
	*ret_count = count;
	return true;
}

int target_list_variables(struct elf_module *module, const struct target_place *place,
	struct elf_access_request *request, struct arena *arena,
	struct elf_variable_info **ret, size_t *ret_count, struct error *err)
{
	struct strbuf question, answer;
	struct reader reader;
	strbuf_init(&question);
	bool can_keep = ask_access("variables", module, place, request, &question);
	int r = 0;
	if (can_keep && recall(module, &question, arena, &reader) &&
		get_variables(&reader, ret, ret_count))
		goto out;
	find_instance(module, place, request);
	r = elf_access_variables(module, request, arena, ret, ret_count, err);
	if (r < 0 || !can_keep)
		goto out;
	strbuf_init(&answer);
	put_number(&answer, *ret_count);
	for (size_t i = 0; i < *ret_count; i++) {
		put_text(&answer, (*ret)[i].name);
		put_text(&answer, (*ret)[i].type_name);
		put_number(&answer, (uint64_t)(*ret)[i].is_parameter |
					    (uint64_t)(*ret)[i].is_available << 1);
	}
	remember(module, &question, &answer);
	strbuf_deinit(&answer);
out:
	strbuf_deinit(&question);
	return r;
}

/* SPDX-License-Identifier: MIT */
/*
 * A walk along $x->a[i]: `place` says whether the program so far leaves an address or a
 * value, `type` what is there.  Each step follows pointers as C would, adds an offset,
 * and narrows the type; the end loads the value.  Of something in pieces the steps count how far
 * into it they lead, until a pointer or the end needs some of its bits.
 */
#include "elf/access.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "elf/names.h"
#include "elf/type.h"
#include "elf/variable.h"

enum {
	DIMENSIONS_MAX = 8,
	REFERENCE_DEPTH_MAX = 4,
	ELEMENTS_SHOWN_MAX = 64
};

struct walk {
	struct elf_module *module; /* whose types these are */
	const struct elf_access_request *request;
	const struct elf_frame *frame;
	struct elf_op_list ops;
	struct elf_place place;
	bool is_void; /* no type */
	Dwarf_Die type;
	bool is_bare_pointer;   /* @cast to a pointer type, no steps */
	bool is_cast_pointer;   /* only the operand of @cast so far: it may be indexed */
	size_t dimensions_used; /* of an array indexed fewer times than it has dimensions
				 */
	unsigned bit_offset, bit_size, storage_size;
	struct arena *arena;
	struct error *err;
};

static const char *walk_type_name(struct walk *w)
{
	return elf_type_name(w->is_void ? NULL : &w->type, w->arena);
}

static int walk_peel(struct walk *w, Dwarf_Die *ret)
{
	return w->is_void ? DW_TAG_invalid : elf_type_peel(w->module, &w->type, ret);
}

static void walk_set_type(struct walk *w, Dwarf_Die *holder)
{
	Dwarf_Die type;
	w->is_void = !elf_die_type(holder, &type);
	if (!w->is_void)
		w->type = type;
}

static bool is_reference(int tag)
{
	return tag == DW_TAG_reference_type || tag == DW_TAG_rvalue_reference_type;
}

static int walk_refuse(struct walk *w, const char *why)
{
	return error_set(w->err, -ENOTSUP,
		"not accessible at this address (pc: %#" PRIx64
		") [man error::dwarf]: %s",
		w->request->pc, why);
}

/* The next step needs what is here in one place. */
static int walk_settle(struct walk *w, uint64_t bits)
{
	if (w->place.is_pointer)
		return walk_refuse(w, "the pointer was optimised out");
	if (w->place.piece_count && !elf_place_settle(&w->place, &w->ops, bits))
		return walk_refuse(w, bits > 64 ? "it is split between several places"
						: "optimised out");
	return 0;
}

/* Goes on to something inside of what is here. */
static void walk_add(struct walk *w, uint64_t offset)
{
	if (w->place.piece_count) {
		w->place.offset += offset * 8;
		return;
	}
	if (offset == 0)
		return;
	elf_emit(&w->ops, ELF_OP_CONST,
		(int64_t)(w->place.is_value ? offset * 8 : offset));
	/* a small structure in a register: its members are bits of it */
	elf_emit(&w->ops, w->place.is_value ? ELF_OP_SHR : ELF_OP_ADD, 0);
}

/* What a pointer that was optimised out points to may be known. */
static int walk_follow_implicit(struct walk *w)
{
	Dwarf_Attribute attr = w->place.pointee;
	uint64_t offset = w->place.pointee_offset;
	Dwarf_Block block;
	int r = 0;
	w->ops.count = 0;
	if (attr.code != DW_AT_const_value) {
		r = elf_location_compile(w->frame, &attr, &w->ops, &w->place, w->err);
	} else {
		w->place = (struct elf_place){0};
		if (dwarf_formblock(&attr, &block) != 0 ||
			!elf_place_bytes(&w->place, &w->ops, block.data, block.length))
			r = walk_refuse(w, "it points to a constant without a place");
	}
	if (r < 0)
		return r == -ENOSYS ? -ENOTSUP : r;
	walk_add(w, offset);
	return 0;
}

/* From a pointer to what it points at. */
static int walk_follow(struct walk *w, Dwarf_Die *pointer)
{
	int r = 0;
	if (w->place.is_pointer) {
		r = walk_follow_implicit(w);
	} else {
		r = walk_settle(w, 64);
		if (!w->place.is_value)
			elf_emit(&w->ops, ELF_OP_DEREF, 8);
		w->place.is_value = false;
	}
	walk_set_type(w, pointer);
	return r;
}

static int walk_follow_references(struct walk *w, Dwarf_Die *peeled, int *ret_tag)
{
	int r = 0;
	*ret_tag = walk_peel(w, peeled);
	for (int i = 0; r == 0 && is_reference(*ret_tag) && i < REFERENCE_DEPTH_MAX;
		i++) {
		r = walk_follow(w, peeled);
		*ret_tag = walk_peel(w, peeled);
	}
	return r;
}

static int missing_member(struct walk *w, Dwarf_Die *type, const char *member)
{
	struct elf_name_list names = {0};
	const char *list = "";
	elf_type_member_names(w->module, type, &names);
	elf_names_sort_similar(names.items, names.count, member);
	for (size_t i = 0; i < names.count; i++)
		list = arena_printf(
			w->arena, "%s%s%s", list, i ? ", " : "", names.items[i]);
	error_set(w->err, -ENOENT, "unable to find member '%s' for %s%s%s%s", member,
		elf_type_name(type, w->arena), names.count ? " (alternatives: " : "",
		list, names.count ? ")" : "");
	vec_free(&names);
	return -ENOENT;
}

static int walk_member(struct walk *w, const char *member)
{
	Dwarf_Die type;
	const char *before = walk_type_name(w);
	int tag = DW_TAG_invalid, r = 0;
	if (!w->dimensions_used && !w->bit_size)
		r = walk_follow_references(w, &type, &tag);
	if (r == 0 && tag == DW_TAG_pointer_type) {
		r = walk_follow(w, &type);
		if (r == 0)
			r = walk_follow_references(w, &type, &tag);
	}
	if (r < 0)
		return r;
	if (tag == DW_TAG_array_type)
		return error_set(
			w->err, -ENOENT, "invalid access '->%s' for array type", member);
	if (strcmp(before, "void*") == 0)
		return error_set(
			w->err, -ENOENT, "invalid access '->%s' vs '%s'", member, before);
	if (tag != DW_TAG_structure_type && tag != DW_TAG_union_type &&
		tag != DW_TAG_class_type)
		return error_set(
			w->err, -ENOENT, "invalid access '->%s' vs. %s", member, before);
	struct elf_member found = {0};
	r = elf_type_find_member(w->module, &type, member, &found);
	if (r == -ENOENT)
		return missing_member(w, &type, member);
	if (r < 0)
		return error_set(w->err, r, "member '%s' of %s has no fixed place",
			member, elf_type_name(&type, w->arena));
	walk_add(w, found.offset);
	w->type = found.type;
	w->is_void = false;
	w->bit_offset = found.bit_offset;
	w->bit_size = found.bit_size;
	w->storage_size = found.storage_size;
	return 0;
}

/* A value in a register may be looked at as a piece. */
static void walk_cut(struct walk *w)
{
	if (!w->place.is_value || w->place.piece_count)
		return;
	const struct elf_piece whole = {.is_value = true, .bits = 64};
	w->place.is_value = false;
	w->place.offset = 0;
	elf_place_add_piece(&w->place, &w->ops, &whole);
}

static int walk_scale(struct walk *w, const struct elf_access_step *step, uint64_t size)
{
	if (w->place.piece_count) {
		if (!step->is_constant || step->index < 0)
			return walk_refuse(
				w, "of an array in registers only constant elements are");
		w->place.offset += (uint64_t)step->index * size * 8;
		return 0;
	}
	if (step->is_constant) {
		uint64_t offset =
			(uint64_t)step->index * size; /* wraps as the address does */
		if (offset) {
			elf_emit(&w->ops, ELF_OP_CONST, (int64_t)offset);
			elf_emit(&w->ops, ELF_OP_ADD, 0);
		}
		return 0;
	}
	elf_emit(&w->ops, ELF_OP_OPERAND, step->operand);
	if (size != 1) {
		elf_emit(&w->ops, ELF_OP_CONST, (int64_t)size);
		elf_emit(&w->ops, ELF_OP_MUL, 0);
	}
	elf_emit(&w->ops, ELF_OP_ADD, 0);
	return 0;
}

/* An array that is in memory as a whole can be indexed by anything. */
static int walk_settle_array(struct walk *w, Dwarf_Die *array)
{
	if (w->place.is_pointer)
		return walk_settle(w, 0);
	elf_place_join(&w->place, &w->ops, elf_type_size(w->module, array) * 8);
	return 0;
}

static int walk_index_array(
	struct walk *w, Dwarf_Die *array, const struct elf_access_step *step)
{
	uint64_t counts[DIMENSIONS_MAX];
	size_t count = elf_type_dimensions(array, counts, DIMENSIONS_MAX);
	Dwarf_Die element;
	uint64_t size =
		elf_die_type(array, &element) ? elf_type_size(w->module, &element) : 0;
	for (size_t i = w->dimensions_used + 1; i < count; i++)
		size *= counts[i];
	if (size == 0)
		return error_set(w->err, -ENOTSUP, "invalid access '[...]' vs. %s",
			walk_type_name(w));
	walk_cut(w);
	int r = walk_settle_array(w, array);
	if (r == 0)
		r = walk_scale(w, step, size);
	if (r < 0)
		return r;
	if (++w->dimensions_used >= count) {
		w->dimensions_used = 0;
		walk_set_type(w, array);
	}
	return 0;
}

static int walk_index(struct walk *w, const struct elf_access_step *step)
{
	Dwarf_Die type, target;
	const char *before = walk_type_name(w);
	if (w->is_cast_pointer) {
		uint64_t pointee = elf_type_size(w->module, &w->type);
		return walk_scale(w, step, pointee ? pointee : 1);
	}
	int tag = DW_TAG_invalid, r = 0;
	if (!w->bit_size)
		r = walk_follow_references(w, &type, &tag);
	if (r < 0)
		return r;
	if (tag == DW_TAG_array_type)
		return walk_index_array(w, &type, step);
	if (tag != DW_TAG_pointer_type || strcmp(before, "void*") == 0) {
		const char *index = step->is_constant ? arena_printf(w->arena, "%lld",
								(long long)step->index)
						      : "...";
		return error_set(w->err, -ENOENT,
			tag == DW_TAG_pointer_type ? "invalid access '[%s]' vs '%s'"
						   : "invalid access '[%s]' vs. %s",
			index, before);
	}
	uint64_t size =
		elf_die_type(&type, &target) ? elf_type_size(w->module, &target) : 1;
	if (size == 0)
		return error_set(w->err, -ENOTSUP,
			"invalid access '[...]' vs. %s: its size is unknown", before);
	r = walk_follow(w, &type);
	return r < 0 ? r : walk_scale(w, step, size);
}

static void walk_extend(struct walk *w, bool is_signed, uint64_t bits)
{
	if (bits < 64)
		elf_emit(&w->ops, is_signed ? ELF_OP_SIGN_EXTEND : ELF_OP_ZERO_EXTEND,
			(int64_t)bits);
}

/* Bits of a piece begin where they are wanted. */
static int walk_settle_bits(struct walk *w)
{
	if (!w->place.piece_count)
		return 0;
	w->place.offset += w->bit_offset;
	w->bit_offset = 0;
	for (w->storage_size = 1; w->storage_size * 8 < w->bit_size;)
		w->storage_size *= 2;
	return walk_settle(w, w->bit_size);
}

static int walk_load_bits(struct walk *w, bool is_signed)
{
	int r = walk_settle_bits(w);
	if (r < 0)
		return r;
	if (!w->place.is_value)
		elf_emit(&w->ops, ELF_OP_DEREF, w->storage_size);
	if (w->bit_offset) {
		elf_emit(&w->ops, ELF_OP_CONST, w->bit_offset);
		elf_emit(&w->ops, ELF_OP_SHR, 0);
	}
	walk_extend(w, is_signed, w->bit_size);
	return 0;
}

static int walk_finish_address(struct walk *w, struct elf_access *ret)
{
	uint64_t size = w->is_void ? 0 : elf_type_size(w->module, &w->type);
	int r = w->place.is_pointer ? walk_settle(w, 64) : 0;
	if (r < 0)
		return r;
	if (!elf_place_join(&w->place, &w->ops, size * 8))
		w->place.is_value = true;
	if (w->place.is_value)
		return error_set(
			w->err, -ENOTSUP, "cannot take address of object in register");
	if (w->bit_size)
		return error_set(
			w->err, -ENOTSUP, "cannot take the address of a bit field");
	ret->value_class = ELF_VALUE_POINTER;
	ret->size = 8;
	ret->type_name = arena_printf(w->arena, "%s*", walk_type_name(w));
	return 0;
}

static int walk_finish_scalar(struct walk *w, Dwarf_Die *type, struct elf_access *ret)
{
	bool is_signed = elf_type_is_signed(w->module, type);
	uint64_t size = elf_type_size(w->module, type);
	ret->size = 8;
	if (w->bit_size)
		return walk_load_bits(w, is_signed);
	if (size != 1 && size != 2 && size != 4 && size != 8)
		return error_set(w->err, -ENOTSUP,
			"unsupported type '%s' of %" PRIu64 " bytes", ret->type_name,
			size);
	int r = walk_settle(w, size * 8);
	if (r < 0)
		return r;
	if (!w->place.is_value)
		elf_emit(&w->ops, ELF_OP_DEREF, (int64_t)size);
	/* loads already extend with zeros */
	if (w->place.is_value || is_signed)
		walk_extend(w, is_signed, size * 8);
	ret->size = (uint32_t)size;
	return 0;
}

static int walk_finish(struct walk *w, struct elf_access *ret)
{
	Dwarf_Die type;
	int tag = walk_peel(w, &type);
	ret->type_name = walk_type_name(w);
	/* @cast(p, "type *") by itself is the pointer */
	if (w->request->is_address_of || w->is_bare_pointer)
		return walk_finish_address(w, ret);
	ret->value_class =
		elf_type_class(w->module, tag == DW_TAG_invalid ? NULL : &type);
	if (ret->value_class == ELF_VALUE_VOID)
		return error_set(
			w->err, -ENOTSUP, "unsupported type '%s'", ret->type_name);
	if (ret->value_class != ELF_VALUE_AGGREGATE &&
		ret->value_class != ELF_VALUE_ARRAY &&
		ret->value_class != ELF_VALUE_CHAR_ARRAY)
		return walk_finish_scalar(w, &type, ret);
	ret->size = (uint32_t)elf_type_size(w->module, &type);
	walk_cut(w);
	/* of what has no address only members and elements are of use */
	if (!elf_place_join(&w->place, &w->ops, (uint64_t)ret->size * 8)) {
		w->ops.count = 0;
		elf_emit(&w->ops, ELF_OP_CONST, 0);
	}
	return 0;
}

/* ---- where a walk begins
 * --------------------------------------------------------------------------- */

static int begin_variable(struct walk *w, const struct elf_frame *frame)
{
	struct elf_variable variable;
	const char *name = w->request->name;
	if (!elf_variable_find(frame, name, &variable)) {
		struct elf_name_list names = {0};
		const char *list = "";
		Dwarf_Die function = frame->instance->die, unit;
		const char *unit_name = dwarf_diecu(&function, &unit, NULL, NULL)
						? elf_die_name(&unit)
						: NULL;
		elf_variable_names(frame, &names);
		elf_names_sort_similar(names.items, names.count, name);
		for (size_t i = 0; i < names.count; i++)
			list = arena_printf(
				w->arena, "%s%s$%s", list, i ? ", " : "", names.items[i]);
		error_set(w->err, -ENOENT,
			"unable to find local '%s', [man error::dwarf] dieoffset %#" PRIx64
			" in %s, near pc %#" PRIx64 " in %s %s%s%s%s",
			name, (uint64_t)dwarf_dieoffset(&function),
			elf_module_path(w->module), frame->pc, elf_die_name(&function),
			unit_name ? unit_name : "?",
			names.count ? " (alternatives: " : "", list,
			names.count ? ")" : "");
		vec_free(&names);
		return -ENOENT;
	}
	walk_set_type(w, &variable.die);
	return elf_variable_place(frame, &variable, &w->ops, &w->place, w->err);
}

static int begin_global(struct walk *w, const struct elf_frame *frame)
{
	struct elf_variable variable;
	const char *name = w->request->name;
	bool found = frame->function && !strchr(name, '@') &&
		     elf_variable_find(frame, name, &variable) && variable.is_global &&
		     dwarf_hasattr(&variable.die, DW_AT_location);
	if (!found && !elf_variable_find_global(w->module, name, &variable))
		return error_set(w->err, -ENOENT, "unable to find global '%s' in %s",
			name, elf_module_path(w->module));
	walk_set_type(w, &variable.die);
	return elf_variable_place(frame, &variable, &w->ops, &w->place, w->err);
}

/* The operand is a pointer to the named type, or a pointer to pointers with "type**". */
static int begin_cast(struct walk *w, const struct elf_frame *frame)
{
	Dwarf_Die unit, type, peeled;
	bool has_unit = false;
	unsigned pointers = 0;
	if (frame->function && w->module == frame->module) {
		Dwarf_Die function = frame->function->die;
		has_unit = dwarf_diecu(&function, &unit, NULL, NULL) != NULL;
	}
	if (!elf_type_find(w->module, has_unit ? &unit : NULL, w->request->name, &type,
		    &pointers) ||
		pointers > 1)
		return error_set(w->err, -ENOENT,
			"type definition '%s' not found in '%s'", w->request->name,
			elf_module_path(w->module));
	elf_emit(&w->ops, ELF_OP_OPERAND, 0);
	w->type = type;
	w->place.is_value = false;
	w->is_bare_pointer = pointers == 1 && w->request->step_count == 0;
	w->is_cast_pointer = pointers == 1 || elf_type_peel(w->module, &type, &peeled) !=
						      DW_TAG_array_type;
	return 0;
}

static int begin(struct walk *w, const struct elf_frame *frame)
{
	switch (w->request->base) {
	case ELF_BASE_VARIABLE:
	case ELF_BASE_RETURN:
		if (!frame->function)
			return elf_missing_debuginfo(
				frame->module, "target-symbol", w->err);
		if (w->request->base == ELF_BASE_VARIABLE)
			return begin_variable(w, frame);
		return (elf_module_is_go(frame->module) ? elf_go_return : elf_abi_return)(
			frame, &w->ops, &w->place, &w->type, w->err);
	case ELF_BASE_GLOBAL:
		return begin_global(w, frame);
	case ELF_BASE_CAST:
		return begin_cast(w, frame);
	default:
		return error_set(w->err, -EINVAL, "unknown kind of access");
	}
}

static bool is_callee_saved(int64_t number)
{
	return number == 3 || number == 6 || (number >= 12 && number <= 15);
}

static void take_ops(struct walk *w, struct elf_access *ret)
{
	ret->op_count = w->ops.count;
	ret->ops = arena_array(w->arena, struct elf_op, w->ops.count + 1);
	if (w->ops.count)
		memcpy(ret->ops, w->ops.items, w->ops.count * sizeof(*ret->ops));
	for (size_t i = 0; i < ret->op_count; i++) {
		const struct elf_op *op = &ret->ops[i];
		ret->needs_static = ret->needs_static || op->kind == ELF_OP_STATIC;
		ret->needs_callee_saved =
			ret->needs_callee_saved ||
			(op->kind == ELF_OP_REG && is_callee_saved(op->value));
	}
}

struct elf_frame elf_frame_of(
	struct elf_module *module, const struct elf_access_request *request)
{
	struct elf_frame frame = {.module = module,
		.pc = request->pc,
		.instance = request->instance,
		.has_blocks = request->has_blocks};
	if (!frame.instance && request->function)
		frame.instance = elf_dwarf_subprogram(module, request->function);
	for (frame.function = frame.instance; frame.function && frame.function->parent;)
		frame.function = frame.function->parent;
	return frame;
}

static int walk_to_end(struct walk *w, struct elf_module *module)
{
	const struct elf_access_request *request = w->request;
	struct elf_frame frame = elf_frame_of(module, request);
	w->frame = &frame;
	if (!elf_module_dwarf(w->module))
		return elf_missing_debuginfo(w->module,
			request->base == ELF_BASE_CAST ? "@cast" : "target-symbol",
			w->err);
	int r = begin(w, &frame);
	for (size_t i = 0; r == 0 && i < request->step_count; i++) {
		const struct elf_access_step *step = &request->steps[i];
		r = step->member ? walk_member(w, step->member) : walk_index(w, step);
		w->is_cast_pointer = false;
	}
	return r;
}

int elf_access_compile(struct elf_module *module,
	const struct elf_access_request *request, struct arena *arena,
	struct elf_access *ret, struct error *err)
{
	struct elf_access access = {0};
	struct walk w = {.module = request->types ? request->types : module,
		.request = request,
		.arena = arena,
		.err = err};
	int r = walk_to_end(&w, module);
	if (r == 0)
		r = walk_finish(&w, &access);
	if (r == 0) {
		take_ops(&w, &access);
		*ret = access;
	}
	vec_free(&w.ops);
	return r;
}

static size_t array_length(struct walk *w, Dwarf_Die *array)
{
	uint64_t counts[DIMENSIONS_MAX];
	size_t count = elf_type_dimensions(array, counts, DIMENSIONS_MAX);
	if (w->dimensions_used >= count)
		return 0;
	uint64_t length = counts[w->dimensions_used];
	return length < ELEMENTS_SHOWN_MAX ? length : ELEMENTS_SHOWN_MAX;
}

int elf_access_members(struct elf_module *module,
	const struct elf_access_request *request, struct arena *arena,
	struct elf_member_info **ret, size_t *ret_count, struct error *err)
{
	struct walk w = {.module = request->types ? request->types : module,
		.request = request,
		.arena = arena,
		.err = err};
	Dwarf_Die type;
	struct elf_name_list names = {0};
	size_t count = 0;
	int r = walk_to_end(&w, module);
	int tag = r == 0 ? walk_peel(&w, &type) : DW_TAG_invalid;
	if (tag == DW_TAG_structure_type || tag == DW_TAG_union_type ||
		tag == DW_TAG_class_type) {
		elf_type_member_names(w.module, &type, &names);
		count = names.count;
	} else if (tag == DW_TAG_array_type) {
		count = array_length(&w, &type);
	} else if (r == 0) {
		r = error_set(err, -ENOTSUP, "'%s' has no members", walk_type_name(&w));
	}
	if (r == 0) {
		*ret = arena_array(arena, struct elf_member_info, count + 1);
		*ret_count = count;
		memset(*ret, 0, (count + 1) * sizeof(**ret));
		for (size_t i = 0; i < names.count; i++) {
			struct elf_member_info *member = &(*ret)[i];
			member->name = arena_strdup(arena, names.items[i]);
			member->kind = elf_type_member_kind(
				w.module, &type, member->name, &member->value);
		}
	}
	vec_free(&names);
	vec_free(&w.ops);
	return r;
}

/* SPDX-License-Identifier: MIT */
/*
 * 1. All FDEs, sorted: where each begins and ends, and the instructions of it and of its CIE
 * 2. Each is run (DWARF 5, 6.4.2); every state that holds for some bytes becomes a row
 * 3. States are mapped to rules, of which there are few; equal ones are one
 *
 * Between functions there is a row with rule 0.
 */
#include "elf/cfi.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "elf/internal.h"

enum {
	REGISTERS = 17, /* of DWARF: rax .. r15, return address */
	DWARF_RBX = 3,
	DWARF_RBP = 6,
	DWARF_RSP = 7,
	DWARF_RA = 16,
	REMEMBER_MAX = 16,
	RULES_MAX = 65535,
	CALL_SIZE = 8, /* of what a call pushes */
	OFFSET_MAX = 4095,
	INFLATED_MAX = 1 << 28,
};

/* ---- states ---- */

enum place_kind {
	PLACE_SAME,
	PLACE_OFFSET, /* from the frame address */
	PLACE_EXPRESSION,
	PLACE_UNDEFINED,
	PLACE_OTHER
};

struct place {
	enum place_kind kind;
	int64_t offset;
	const uint8_t *expression;
	uint64_t size;
};

struct state {
	bool is_expression;
	uint64_t reg;
	int64_t offset;
	const uint8_t *expression;
	uint64_t size;
	struct place registers[REGISTERS];
	bool is_bad; /* an instruction that is not known */
};

struct cie {
	Dwarf_Off offset;
	const uint8_t *start, *end; /* instructions */
	uint64_t code_factor;
	int64_t data_factor;
	uint8_t encoding;
	bool has_augmentation, is_signal, is_usable;
};

struct fde {
	uint64_t start, end;
	const uint8_t *bytes, *bytes_end; /* instructions */
	size_t cie;
};

struct reader {
	const struct elf_module *module;
	const uint8_t *bytes;
	uint8_t *inflated; /* bytes, when they were compressed */
	uint64_t size, address;
	bool is_eh;
	VEC(struct cie) cies;
	VEC(struct fde) fdes;
	VEC(struct elf_cfi_row) rows;
	VEC(struct elf_cfi_rule) rules;
	uint32_t *buckets; /* hash of rules: index + 1 */
	uint32_t last_rule;
};

/* ---- rules ---- */

enum {
	BUCKETS = 1 << 14
};

static uint32_t hash_rule(const struct elf_cfi_rule *rule)
{
	const uint8_t *bytes = (const uint8_t *)rule;
	uint32_t hash = 2166136261u;
	for (size_t i = 0; i < sizeof(*rule); i++)
		hash = (hash ^ bytes[i]) * 16777619u;
	return hash;
}

/* Index of a rule; that of no information when there are too many. */
static uint32_t add_rule(struct reader *r, const struct elf_cfi_rule *rule)
{
	uint32_t at = hash_rule(rule) % BUCKETS;
	if (r->rules.count && !memcmp(&r->rules.items[r->last_rule], rule, sizeof(*rule)))
		return r->last_rule;
	for (uint32_t tries = 0; tries < BUCKETS; tries++, at = (at + 1) % BUCKETS) {
		if (!r->buckets[at])
			break;
		if (!memcmp(&r->rules.items[r->buckets[at] - 1], rule, sizeof(*rule)))
			return r->last_rule = r->buckets[at] - 1;
	}
	if (r->buckets[at] || r->rules.count >= RULES_MAX || r->rules.count > BUCKETS / 2)
		return 0;
	vec_append(&r->rules, *rule);
	r->buckets[at] = (uint32_t)r->rules.count;
	return r->last_rule = (uint32_t)r->rules.count - 1;
}

/* DW_OP_bregN offset, and nothing behind it. */
static bool is_register_offset(
	const uint8_t *bytes, uint64_t size, uint64_t *ret_register, int64_t *ret_offset)
{
	struct elf_cursor cursor = {bytes, bytes + size, false};
	uint64_t op = elf_cursor_fixed(&cursor, 1);
	*ret_register = op - DW_OP_breg0;
	*ret_offset = elf_cursor_sleb(&cursor);
	return !cursor.is_bad && op >= DW_OP_breg0 && op <= DW_OP_breg15 &&
	       cursor.bytes == cursor.end;
}

/* What the linker writes for its stubs: rsp + 8 + ((rip & 15) >= N) << 3. */
static bool is_plt(const uint8_t *bytes, uint64_t size, int32_t *ret_from)
{
	static const uint8_t before[] = {DW_OP_breg7, 8, DW_OP_breg16, 0, DW_OP_lit15,
		DW_OP_and},
			     after[] = {DW_OP_ge, DW_OP_lit3, DW_OP_shl, DW_OP_plus};
	if (size != sizeof(before) + 1 + sizeof(after) ||
		memcmp(bytes, before, sizeof(before)) != 0 ||
		memcmp(bytes + sizeof(before) + 1, after, sizeof(after)) != 0)
		return false;
	*ret_from = bytes[sizeof(before)] - DW_OP_lit0;
	return *ret_from > 0 && *ret_from < 16;
}

static uint8_t register_of(uint64_t dwarf)
{
	static const uint8_t numbers[REGISTERS] = {[DWARF_RBX] = ELF_CFI_RBX + 1,
		[DWARF_RBP] = ELF_CFI_RBP + 1,
		[DWARF_RSP] = ELF_CFI_RSP + 1,
		[12] = ELF_CFI_R12 + 1,
		[13] = ELF_CFI_R13 + 1,
		[14] = ELF_CFI_R14 + 1,
		[15] = ELF_CFI_R15 + 1};
	return dwarf < REGISTERS ? numbers[dwarf] : 0;
}

static void set_frame(struct elf_cfi_rule *rule, const struct state *state)
{
	uint64_t reg = state->reg;
	int64_t offset = state->offset;
	rule->frame = ELF_CFI_FRAME_REGISTER;
	if (state->is_expression) {
		if (is_plt(state->expression, state->size, &rule->frame_offset)) {
			rule->frame = ELF_CFI_FRAME_PLT;
			return;
		}
		bool loads = state->size > 1 &&
			     state->expression[state->size - 1] == DW_OP_deref;
		rule->frame = loads ? ELF_CFI_FRAME_MEMORY : ELF_CFI_FRAME_REGISTER;
		if (!is_register_offset(
			    state->expression, state->size - loads, &reg, &offset))
			reg = REGISTERS;
	}
	uint8_t number = register_of(reg);
	if (!number || offset != (int32_t)offset) {
		rule->frame = ELF_CFI_FRAME_UNKNOWN;
		return;
	}
	rule->frame_register = (uint8_t)(number - 1);
	rule->frame_offset = (int32_t)offset;
}

static struct elf_cfi_where find_place(const struct place *place)
{
	struct elf_cfi_where ret = {.place = ELF_CFI_SAME};
	int64_t offset = place->offset;
	uint64_t reg;
	switch (place->kind) {
	case PLACE_SAME:
		return ret;
	case PLACE_OFFSET:
		ret.place = ELF_CFI_AT_FRAME;
		break;
	case PLACE_EXPRESSION:
		ret.place = ELF_CFI_LOST;
		if (is_register_offset(place->expression, place->size, &reg, &offset) &&
			(reg == DWARF_RBP || reg == DWARF_RSP))
			ret.place = reg == DWARF_RBP ? ELF_CFI_AT_RBP : ELF_CFI_AT_RSP;
		break;
	case PLACE_UNDEFINED:
	case PLACE_OTHER:
		ret.place = ELF_CFI_LOST;
		break;
	}
	int64_t words = offset / CALL_SIZE;
	if (ret.place == ELF_CFI_LOST)
		return ret;
	if (offset % CALL_SIZE || words > OFFSET_MAX || words < -OFFSET_MAX)
		return (struct elf_cfi_where){.place = ELF_CFI_LOST};
	ret.offset = (int16_t)words;
	return ret;
}

static struct elf_cfi_rule make_rule(const struct state *state, bool is_signal)
{
	static const uint8_t saved[ELF_CFI_SAVED] = {
		DWARF_RBX, DWARF_RBP, 12, 13, 14, 15};
	struct elf_cfi_rule rule;
	/* rules are compared byte by byte */
	memset(&rule, 0, sizeof(rule));
	if (state->registers[DWARF_RA].kind == PLACE_UNDEFINED) {
		rule.frame = ELF_CFI_FRAME_END;
		return rule;
	}
	set_frame(&rule, state);
	rule.is_signal = is_signal;
	struct elf_cfi_where where = find_place(&state->registers[DWARF_RA]);
	rule.return_address.place = where.place;
	rule.return_address.offset = where.offset;
	for (size_t i = 0; i < ELF_CFI_SAVED; i++) {
		where = find_place(&state->registers[saved[i]]);
		rule.saved[i].place = where.place;
		rule.saved[i].offset = where.offset;
	}
	/* the stack pointer is the frame address, unless a signal frame says otherwise in this way */
	struct elf_cfi_where sp = find_place(&state->registers[DWARF_RSP]);
	bool is_plain = sp.place == ELF_CFI_SAME ||
			(is_signal && rule.frame == ELF_CFI_FRAME_MEMORY &&
				rule.frame_register == ELF_CFI_RSP &&
				sp.place == ELF_CFI_AT_RSP &&
				sp.offset * CALL_SIZE == rule.frame_offset);
	if (state->is_bad || !is_plain || rule.return_address.place == ELF_CFI_SAME ||
		rule.return_address.place == ELF_CFI_LOST)
		rule.frame = ELF_CFI_FRAME_UNKNOWN;
	return rule;
}

/* ---- rows ---- */

static void add_row(struct reader *r, uint64_t address, uint32_t rule)
{
	struct elf_cfi_row *last =
		r->rows.count ? &r->rows.items[r->rows.count - 1] : NULL;
	if (last && last->address == address)
		last->rule = rule;
	else if (!last || last->rule != rule)
		vec_append(&r->rows, ((struct elf_cfi_row){address, rule}));
}

/* ---- running instructions ---- */

struct run {
	struct reader *reader;
	const struct cie *cie;
	struct state state, initial, remembered[REMEMBER_MAX];
	size_t depth;
	uint64_t location, end;
	bool emits;
};

static void put_row(struct run *run)
{
	if (!run->emits)
		return;
	const struct elf_cfi_rule rule = make_rule(&run->state, run->cie->is_signal);
	add_row(run->reader, run->location, add_rule(run->reader, &rule));
}

static void advance(struct run *run, uint64_t delta)
{
	uint64_t to = run->location + delta * run->cie->code_factor;
	if (to == run->location)
		return;
	put_row(run);
	/* not backwards, and not out of the function */
	if (to < run->location || to > run->end) {
		run->state.is_bad = true;
		to = run->end;
	}
	run->location = to;
}

static void set_place(struct run *run, uint64_t reg, struct place place)
{
	if (reg < REGISTERS)
		run->state.registers[reg] = place;
}

static void set_offset(struct run *run, uint64_t reg, int64_t factored)
{
	/* what overflows is no offset of a stack frame, and is dropped by find_place() */
	int64_t offset;
	if (__builtin_mul_overflow(factored, run->cie->data_factor, &offset))
		offset = INT64_MAX;
	set_place(run, reg, (struct place){.kind = PLACE_OFFSET, .offset = offset});
}

static void restore(struct run *run, uint64_t reg)
{
	if (reg < REGISTERS)
		run->state.registers[reg] = run->initial.registers[reg];
}

static bool take_block(struct elf_cursor *cursor, const uint8_t **ret, uint64_t *ret_size)
{
	uint64_t size = elf_cursor_uleb(cursor);
	if (cursor->is_bad || size > (uint64_t)(cursor->end - cursor->bytes))
		return false;
	*ret = cursor->bytes;
	*ret_size = size;
	cursor->bytes += size;
	return true;
}

static void define_frame(struct run *run, uint64_t reg, int64_t offset)
{
	run->state.is_expression = false;
	run->state.reg = reg;
	run->state.offset = offset;
}

static int64_t scaled(const struct run *run, int64_t value)
{
	int64_t ret;
	return __builtin_mul_overflow(value, run->cie->data_factor, &ret) ? INT64_MAX
									  : ret;
}

/* false: not one of those */
static bool run_frame(struct run *run, uint8_t op, struct elf_cursor *at)
{
	struct state *state = &run->state;
	switch (op) {
	case DW_CFA_def_cfa: {
		uint64_t reg = elf_cursor_uleb(at);
		define_frame(run, reg, (int64_t)elf_cursor_uleb(at));
		return true;
	}
	case DW_CFA_def_cfa_sf: {
		uint64_t reg = elf_cursor_uleb(at);
		define_frame(run, reg, scaled(run, elf_cursor_sleb(at)));
		return true;
	}
	case DW_CFA_def_cfa_register:
		define_frame(run, elf_cursor_uleb(at), state->offset);
		return true;
	case DW_CFA_def_cfa_offset:
		define_frame(run, state->reg, (int64_t)elf_cursor_uleb(at));
		return true;
	case DW_CFA_def_cfa_offset_sf:
		define_frame(run, state->reg, scaled(run, elf_cursor_sleb(at)));
		return true;
	case DW_CFA_def_cfa_expression:
		state->is_expression = take_block(at, &state->expression, &state->size);
		state->is_bad |= !state->is_expression;
		return true;
	default:
		return false;
	}
}

static bool run_register(struct run *run, uint8_t op, struct elf_cursor *at)
{
	struct place place = {.kind = PLACE_OTHER};
	uint64_t reg;
	switch (op) {
	case DW_CFA_offset_extended:
		reg = elf_cursor_uleb(at);
		set_offset(run, reg, (int64_t)elf_cursor_uleb(at));
		return true;
	case DW_CFA_offset_extended_sf:
		reg = elf_cursor_uleb(at);
		set_offset(run, reg, elf_cursor_sleb(at));
		return true;
	case DW_CFA_GNU_negative_offset_extended:
		reg = elf_cursor_uleb(at);
		set_offset(run, reg, -(int64_t)elf_cursor_uleb(at));
		return true;
	case DW_CFA_restore_extended:
		restore(run, elf_cursor_uleb(at));
		return true;
	case DW_CFA_undefined:
		place.kind = PLACE_UNDEFINED;
		set_place(run, elf_cursor_uleb(at), place);
		return true;
	case DW_CFA_same_value:
		place.kind = PLACE_SAME;
		set_place(run, elf_cursor_uleb(at), place);
		return true;
	case DW_CFA_register:
	case DW_CFA_val_offset:
	case DW_CFA_val_offset_sf: /* both operands have the length of a LEB128 number, signed or not */
		set_place(run, elf_cursor_uleb(at), place);
		elf_cursor_uleb(at);
		return true;
	case DW_CFA_expression:
	case DW_CFA_val_expression:
		place.kind = op == DW_CFA_expression ? PLACE_EXPRESSION : PLACE_OTHER;
		reg = elf_cursor_uleb(at);
		run->state.is_bad |= !take_block(at, &place.expression, &place.size);
		set_place(run, reg, place);
		return true;
	default:
		return false;
	}
}

static void run_other(struct run *run, uint8_t op, struct elf_cursor *at)
{
	switch (op) {
	case DW_CFA_nop:
		break;
	case DW_CFA_advance_loc1:
		advance(run, elf_cursor_fixed(at, 1));
		break;
	case DW_CFA_advance_loc2:
		advance(run, elf_cursor_fixed(at, 2));
		break;
	case DW_CFA_advance_loc4:
		advance(run, elf_cursor_fixed(at, 4));
		break;
	case DW_CFA_remember_state:
		if (run->depth < REMEMBER_MAX)
			run->remembered[run->depth++] = run->state;
		else
			run->state.is_bad = true;
		break;
	case DW_CFA_restore_state:
		if (run->depth)
			run->state = run->remembered[--run->depth];
		else
			run->state.is_bad = true;
		break;
	case DW_CFA_GNU_args_size:
		elf_cursor_uleb(at);
		break;
	default: /* its operands are not known either */
		run->state.is_bad = true;
		at->bytes = at->end;
		break;
	}
}

static void run_instructions(struct run *run, const uint8_t *start, const uint8_t *end)
{
	struct elf_cursor at = {start, end, false};
	while (at.bytes < at.end && !at.is_bad) {
		uint8_t op = (uint8_t)elf_cursor_fixed(&at, 1);
		if ((op & 0xc0) == DW_CFA_advance_loc)
			advance(run, op & 0x3f);
		else if ((op & 0xc0) == DW_CFA_offset)
			set_offset(run, op & 0x3f, (int64_t)elf_cursor_uleb(&at));
		else if ((op & 0xc0) == DW_CFA_restore)
			restore(run, op & 0x3f);
		else if (!run_frame(run, op, &at) && !run_register(run, op, &at))
			run_other(run, op, &at);
	}
	run->state.is_bad |= at.is_bad;
}

static void run_fde(struct reader *r, struct run *run, const struct fde *fde)
{
	const struct cie *cie = &r->cies.items[fde->cie];
	run->reader = r;
	run->cie = cie;
	run->depth = 0;
	run->location = fde->start;
	run->end = fde->end;
	memset(&run->state, 0, sizeof(run->state));
	run->emits = false;
	run_instructions(run, cie->start, cie->end);
	run->location = fde->start;
	run->initial = run->state;
	run->emits = true;
	run_instructions(run, fde->bytes, fde->bytes_end);
	if (run->location < run->end)
		put_row(run);
	add_row(r, fde->end, 0);
}

/* ---- reading the section ---- */

static void read_augmentation(const Dwarf_CIE *raw, struct cie *cie)
{
	const char *text = raw->augmentation ? raw->augmentation : "";
	cie->is_usable = text[0] == '\0' || text[0] == 'z';
	if (text[0] != 'z')
		return;
	cie->has_augmentation = true;
	struct elf_cursor at = {raw->augmentation_data,
		raw->augmentation_data + raw->augmentation_data_size, false};
	for (const char *p = text + 1; *p && !at.is_bad; p++) {
		if (*p == 'R')
			cie->encoding = (uint8_t)elf_cursor_fixed(&at, 1);
		else if (*p == 'L')
			elf_cursor_fixed(&at, 1);
		else if (*p == 'P')
			elf_cursor_encoded(
				&at, (uint8_t)elf_cursor_fixed(&at, 1) & 0x0f, 0, 0);
		else if (*p == 'S')
			cie->is_signal = true;
		else
			return; /* what an FDE begins with is said before */
	}
}

static bool next_entry(
	struct reader *r, Dwarf_Off offset, Dwarf_Off *ret_next, Dwarf_CFI_Entry *ret)
{
	Elf_Data data = {.d_buf = (void *)(uintptr_t)r->bytes,
		.d_type = ELF_T_BYTE,
		.d_size = r->size};
	*ret_next = (Dwarf_Off)-1;
	return dwarf_next_cfi(r->module->image.header.e_ident, &data, r->is_eh, offset,
		       ret_next, ret) == 0;
}

static size_t find_cie(struct reader *r, Dwarf_Off offset)
{
	Dwarf_CFI_Entry entry;
	Dwarf_Off ignored;
	for (size_t i = r->cies.count; i-- > 0;)
		if (r->cies.items[i].offset == offset)
			return i;
	struct cie cie = {.offset = offset};
	if (offset < r->size && next_entry(r, offset, &ignored, &entry) &&
		dwarf_cfi_cie_p(&entry)) {
		cie.start = entry.cie.initial_instructions;
		cie.end = entry.cie.initial_instructions_end;
		cie.code_factor = entry.cie.code_alignment_factor;
		cie.data_factor = entry.cie.data_alignment_factor;
		read_augmentation(&entry.cie, &cie);
		cie.is_usable &= entry.cie.return_address_register == DWARF_RA;
	}
	vec_append(&r->cies, cie);
	return r->cies.count - 1;
}

static void add_fde(struct reader *r, const Dwarf_FDE *raw)
{
	struct fde fde = {.cie = find_cie(r, raw->CIE_pointer)};
	const struct cie *cie = &r->cies.items[fde.cie];
	struct elf_cursor at = {raw->start, raw->end, false};
	uint64_t here = r->address + (uint64_t)(at.bytes - r->bytes), size;
	if (!cie->is_usable)
		return;
	fde.start = elf_cursor_encoded(&at, cie->encoding, here, 0);
	size = elf_cursor_encoded(&at, cie->encoding & 0x0f, 0, 0);
	if (cie->has_augmentation) {
		const uint8_t *data;
		uint64_t data_size;
		if (!take_block(&at, &data, &data_size))
			return;
	}
	if (at.is_bad || !size || fde.start + size < fde.start ||
		!elf_module_is_text(r->module, fde.start))
		return;
	fde.end = fde.start + size;
	fde.bytes = at.bytes;
	fde.bytes_end = at.end;
	vec_append(&r->fdes, fde);
}

static int compare_fdes(const void *a, const void *b)
{
	const struct fde *left = a, *right = b;
	return left->start < right->start ? -1 : left->start > right->start;
}

static void collect(struct reader *r)
{
	Dwarf_CFI_Entry entry;
	Dwarf_Off next;
	for (Dwarf_Off offset = 0; offset < r->size; offset = next) {
		bool ok = next_entry(r, offset, &next, &entry);
		if (ok && !dwarf_cfi_cie_p(&entry))
			add_fde(r, &entry.fde);
		/* a bad entry that still has a length is stepped over */
		if (next == (Dwarf_Off)-1 || next <= offset)
			break;
	}
	if (r->fdes.count)
		qsort(r->fdes.items, r->fdes.count, sizeof(*r->fdes.items), compare_fdes);
}

/* Go compresses its sections. */
static bool inflate(struct reader *r, const struct elf_section *section)
{
	Elf *elf = NULL;
	Elf_Scn *scn = NULL;
	GElf_Shdr header;
	if (elf_version(EV_CURRENT) != EV_NONE)
		elf = elf_begin(r->module->image.fd, ELF_C_READ_MMAP_PRIVATE, NULL);
	while (elf && (scn = elf_nextscn(elf, scn)))
		if (gelf_getshdr(scn, &header) && header.sh_offset == section->offset &&
			header.sh_flags & SHF_COMPRESSED)
			break;
	Elf_Data *data =
		scn && elf_compress(scn, 0, 0) >= 0 ? elf_getdata(scn, NULL) : NULL;
	if (data && data->d_size && data->d_size < INFLATED_MAX)
		r->inflated = malloc(data->d_size);
	if (r->inflated) {
		memcpy(r->inflated, data->d_buf, data->d_size);
		r->bytes = r->inflated;
		r->size = data->d_size;
	}
	elf_end(elf);
	return r->inflated;
}

static bool find_section(struct reader *r)
{
	const struct elf_module *module = r->module;
	r->is_eh = elf_module_eh_frame(module, &r->bytes, &r->size, &r->address);
	if (r->is_eh)
		return true;
	const struct elf_section *section =
		elf_image_find_section(&module->image, ".debug_frame");
	if (!section || !section->bytes)
		return false;
	if (section->flags & SHF_COMPRESSED)
		return inflate(r, section);
	r->bytes = section->bytes;
	r->size = section->size;
	r->address = section->address;
	return true;
}

int elf_cfi_read(struct elf_module *module, struct elf_cfi *ret)
{
	struct reader r = {.module = module};
	const struct elf_cfi_rule none = {.frame = ELF_CFI_FRAME_NONE};
	uint64_t end = 0;
	if (!find_section(&r))
		return -ENOENT;
	struct run *run = calloc(1, sizeof(*run));
	r.buckets = calloc(BUCKETS, sizeof(*r.buckets));
	if (!run || !r.buckets) {
		free(run);
		free(r.buckets);
		free(r.inflated);
		return -ENOMEM;
	}
	add_rule(&r, &none);
	collect(&r);
	for (size_t i = 0; i < r.fdes.count; i++) {
		if (r.fdes.items[i].start < end)
			continue; /* the first one counts */
		run_fde(&r, run, &r.fdes.items[i]);
		end = r.fdes.items[i].end;
	}
	free(run);
	free(r.buckets);
	free(r.inflated);
	vec_free(&r.cies);
	vec_free(&r.fdes);
	*ret = (struct elf_cfi){r.rows.items, r.rows.count, r.rules.items, r.rules.count};
	if (ret->row_count)
		return 0;
	elf_cfi_free(ret);
	return -ENOENT;
}

void elf_cfi_free(struct elf_cfi *cfi)
{
	free(cfi->rows);
	free(cfi->rules);
	*cfi = (struct elf_cfi){0};
}

/* SPDX-License-Identifier: MIT */
#include "elf/mark.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "elf/internal.h"

enum {
	NOTE_TYPE_STAPSDT = 3,
	MARKS_MAX = 1 << 20,
	VECTOR_FIRST = 17, /* xmm0 as DWARF numbers registers */
	VECTOR_REGISTERS = 16
};

/* ---- notes ------------------------------------------------------------------------------------------------ */

static const char *text_in(const char **at, const char *end)
{
	const char *text = *at;
	const char *nul = memchr(text, '\0', (size_t)(end - text));
	if (!nul)
		return NULL;
	*at = nul + 1;
	return text;
}

/*
 * The note has the address of .stapsdt.base as it was when the note was written: what that section
 * has moved since then, the addresses have moved too.
 */
static void add_mark(
	struct elf_module *module, const uint8_t *bytes, uint64_t size, uint64_t base)
{
	uint64_t words[3];
	if (size < sizeof(words) || module->marks.count >= MARKS_MAX)
		return;
	memcpy(words, bytes, sizeof(words));
	const char *at = (const char *)bytes + sizeof(words);
	const char *end = (const char *)bytes + size;
	struct elf_mark mark = {.provider = text_in(&at, end)};
	mark.name = mark.provider ? text_in(&at, end) : NULL;
	mark.arguments = mark.name ? text_in(&at, end) : NULL;
	if (!mark.name)
		return;
	if (!mark.arguments)
		mark.arguments = "";
	uint64_t moved = base && words[1] ? base - words[1] : 0;
	mark.address = words[0] + moved;
	mark.semaphore = words[2] ? words[2] + moved : 0;
	if (elf_module_is_text(module, mark.address))
		vec_append(&module->marks, mark);
}

static void collect_notes(
	struct elf_module *module, const uint8_t *bytes, uint64_t size, uint64_t base)
{
	while (size >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr note;
		memcpy(&note, bytes, sizeof(note));
		uint64_t name_end = sizeof(note) + (uint64_t)note.n_namesz;
		uint64_t data = (name_end + 3) & ~(uint64_t)3;
		uint64_t next = (data + note.n_descsz + 3) & ~(uint64_t)3;
		if (name_end > size || data > size || note.n_descsz > size - data)
			return;
		if (note.n_type == NOTE_TYPE_STAPSDT && note.n_namesz == 8 &&
			memcmp(bytes + sizeof(note), "stapsdt", 8) == 0)
			add_mark(module, bytes + data, note.n_descsz, base);
		if (next >= size)
			return;
		bytes += next;
		size -= next;
	}
}

static int mark_compare(const void *a, const void *b)
{
	const struct elf_mark *left = a, *right = b;
	if (left->address != right->address)
		return left->address < right->address ? -1 : 1;
	int order = strcmp(left->provider, right->provider);
	return order ? order : strcmp(left->name, right->name);
}

const struct elf_mark *elf_module_marks(struct elf_module *module, size_t *ret_count)
{
	if (!module->has_marks) {
		module->has_marks = true;
		const struct elf_section *base =
			elf_image_find_section(&module->image, ".stapsdt.base");
		for (size_t i = 0; i < module->image.section_count; i++) {
			const struct elf_section *section = &module->image.sections[i];
			if (section->type == SHT_NOTE && section->bytes &&
				strcmp(section->name, ".note.stapsdt") == 0)
				collect_notes(module, section->bytes, section->size,
					base ? base->address : 0);
		}
		if (module->marks.count)
			qsort(module->marks.items, module->marks.count,
				sizeof(*module->marks.items), mark_compare);
	}
	*ret_count = module->marks.count;
	return module->marks.items;
}

/* ---- operands ---------------------------------------------------------------------------------------------- */

struct operand_register {
	int number;
	unsigned size;
	bool is_high_byte;
};

/* "rax", "eax", "ax", "al", "ah", "r8", "r8d", "r8w", "r8b", "sil", "rip", "xmm0" */
static bool find_register(const char *name, size_t length, struct operand_register *ret)
{
	static const struct {
		const char *names[4]; /* 64, 32, 16, 8 bits */
		const char *high;
	} registers[] = {
		{{"rax", "eax", "ax", "al"}, "ah"},
		{{"rdx", "edx", "dx", "dl"}, "dh"},
		{{"rcx", "ecx", "cx", "cl"}, "ch"},
		{{"rbx", "ebx", "bx", "bl"}, "bh"},
		{{"rsi", "esi", "si", "sil"}, ""},
		{{"rdi", "edi", "di", "dil"}, ""},
		{{"rbp", "ebp", "bp", "bpl"}, ""},
		{{"rsp", "esp", "sp", "spl"}, ""},
		{{"r8", "r8d", "r8w", "r8b"}, ""},
		{{"r9", "r9d", "r9w", "r9b"}, ""},
		{{"r10", "r10d", "r10w", "r10b"}, ""},
		{{"r11", "r11d", "r11w", "r11b"}, ""},
		{{"r12", "r12d", "r12w", "r12b"}, ""},
		{{"r13", "r13d", "r13w", "r13b"}, ""},
		{{"r14", "r14d", "r14w", "r14b"}, ""},
		{{"r15", "r15d", "r15w", "r15b"}, ""},
		{{"rip", "eip", "ip", ""}, ""},
	};
	for (size_t i = 0; i < sizeof(registers) / sizeof(registers[0]); i++) {
		for (unsigned width = 0; width < 4; width++) {
			const char *known = registers[i].names[width];
			if (strlen(known) != length || memcmp(known, name, length) != 0)
				continue;
			*ret = (struct operand_register){(int)i, 8u >> width, false};
			return true;
		}
		if (strlen(registers[i].high) == length && length &&
			memcmp(registers[i].high, name, length) == 0) {
			*ret = (struct operand_register){(int)i, 1, true};
			return true;
		}
	}
	return false;
}

static bool is_symbol_character(char c, bool first)
{
	return isalpha((unsigned char)c) || c == '_' || c == '.' || c == '$' ||
	       (!first && isdigit((unsigned char)c));
}

/* "%name"; *p is left after it */
static bool parse_register(const char **p, struct operand_register *ret)
{
	if (**p != '%')
		return false;
	const char *name = *p + 1;
	size_t length = 0;
	while (isalnum((unsigned char)name[length]))
		length++;
	if (!find_register(name, length, ret))
		return false;
	*p = name + length;
	return true;
}

static bool parse_integer(const char **p, int64_t *ret)
{
	const char *at = *p;
	char *end;
	bool is_negative = *at == '-';
	at += *at == '-' || *at == '+';
	if (!isdigit((unsigned char)*at))
		return false;
	errno = 0;
	uint64_t value = strtoull(at, &end, 0);
	if (errno)
		return false;
	*ret = (int64_t)(is_negative ? 0 - value : value);
	*p = end;
	return true;
}

/* Sums of numbers and at most one symbol: "8", "-8", "x", "x+8", "8+x", "4-8", "x@GOTPCREL" not. */
static bool parse_displacement(const char **p, struct elf_operand *ret)
{
	for (bool first = true;; first = false) {
		int64_t number;
		const char *at = *p + (**p == '+');
		if (parse_integer(p, &number)) {
			ret->number = (int64_t)((uint64_t)ret->number + (uint64_t)number);
			continue;
		}
		if (!is_symbol_character(*at, true) || ret->symbol ||
			(!first && **p != '+'))
			return true;
		ret->symbol = at;
		while (is_symbol_character(*at, false))
			at++;
		ret->symbol_size = (size_t)(at - ret->symbol);
		*p = at;
	}
}

/* "(base,index,scale)": every part may be missing */
static bool parse_address(const char **p, struct elf_operand *ret)
{
	struct operand_register found;
	int64_t scale;
	if (*(*p)++ != '(')
		return false;
	if (**p == '%') {
		if (!parse_register(p, &found) || found.is_high_byte || found.size < 4)
			return false;
		ret->base = found.number;
	}
	if (**p == ',') {
		(*p)++;
		if (**p == '%') {
			if (!parse_register(p, &found) || found.is_high_byte ||
				found.size < 4)
				return false;
			ret->index = found.number;
		}
		if (**p == ',') {
			(*p)++;
			if (!parse_integer(p, &scale) ||
				(scale != 1 && scale != 2 && scale != 4 && scale != 8))
				return false;
			ret->scale = (unsigned)scale;
		}
	}
	return *(*p)++ == ')';
}

/* "%xmm3": a number in its low half */
static bool parse_vector(const char **p, struct elf_operand *ret)
{
	char *end;
	if (strncmp(*p, "%xmm", 4) != 0 || !isdigit((unsigned char)(*p)[4]))
		return false;
	unsigned long number = strtoul(*p + 4, &end, 10);
	if (number >= VECTOR_REGISTERS)
		return false;
	ret->kind = ELF_OPERAND_REGISTER;
	ret->base = VECTOR_FIRST + (int)number;
	ret->is_float = true;
	*p = end;
	return true;
}

static bool parse_place(const char **p, struct elf_operand *ret)
{
	struct operand_register found;
	if (**p == '%') {
		if (parse_vector(p, ret))
			return true;
		if (strncmp(*p, "%ymm", 4) == 0 || strncmp(*p, "%st", 3) == 0) {
			ret->is_float = true;
			ret->size = 16; /* more than scripts can read */
			*p += strcspn(*p, " \t");
			return true;
		}
		if (!parse_register(p, &found) || found.number == 16)
			return false;
		ret->kind = ELF_OPERAND_REGISTER;
		ret->base = found.number;
		ret->is_high_byte = found.is_high_byte;
		if (!ret->size)
			ret->size = found.size;
		return true;
	}
	if (**p == '$') {
		(*p)++;
		ret->kind = ELF_OPERAND_CONSTANT;
		return parse_displacement(p, ret);
	}
	/* a bare number is memory to the assembler, but clang and old headers mean a constant */
	const char *start = *p;
	ret->kind = ELF_OPERAND_MEMORY;
	if (**p != '(' && (!parse_displacement(p, ret) || *p == start))
		return false;
	if (**p == '(')
		return parse_address(p, ret);
	if (!ret->symbol)
		ret->kind = ELF_OPERAND_CONSTANT;
	return true;
}

/* "-4@", "8f@": size, sign, floating point; old notes have none */
static bool parse_size(const char **p, struct elf_operand *ret)
{
	const char *at = *p;
	int64_t size;
	if (!parse_integer(&at, &size))
		return true;
	if (*at == 'f')
		at++, ret->is_float = true;
	if (*at != '@')
		return true;
	ret->is_signed = size < 0;
	size = size < 0 ? -size : size;
	*p = at + 1;
	ret->size = (unsigned)size;
	return size == 1 || size == 2 || size == 4 || size == 8 ||
	       (ret->is_float && (size == 10 || size == 16));
}

int elf_operand_parse(const char **text, struct elf_operand *ret, struct error *err)
{
	const char *p = *text + strspn(*text, " \t");
	const char *start = p;
	if (!*p) {
		*text = p;
		return -ENODATA;
	}
	*ret = (struct elf_operand){.base = -1, .index = -1, .scale = 1};
	bool has_size = false;
	bool ok = parse_size(&p, ret);
	has_size = ret->size != 0;
	ok = ok && parse_place(&p, ret) && (!*p || *p == ' ' || *p == '\t');
	if (!has_size && !ret->size)
		ret->size = 8;
	/* without a size nothing tells the sign: SystemTap takes such values as signed */
	if (!has_size)
		ret->is_signed = true;
	*text = start + strcspn(start, " \t");
	*text += strspn(*text, " \t");
	if (!ok)
		return error_set(err, -EINVAL, "cannot read operand '%.*s'",
			(int)strcspn(start, " \t"), start);
	return 0;
}

unsigned elf_mark_argument_count(const struct elf_mark *mark)
{
	const char *text = mark->arguments + strspn(mark->arguments, " \t");
	unsigned count = 0;
	while (*text && count < ELF_MARK_ARGUMENTS_MAX) {
		count++;
		text += strcspn(text, " \t");
		text += strspn(text, " \t");
	}
	return count;
}

/* ---- accesses ---------------------------------------------------------------------------------------------- */

struct access_ops {
	struct elf_op *items;
	size_t count, capacity; /* the shape of VEC(struct elf_op) */
};

static void emit(struct access_ops *ops, enum elf_op_kind kind, int64_t value)
{
	vec_append(ops, ((struct elf_op){kind, value}));
}

static void emit_add(struct access_ops *ops)
{
	if (ops->count > 1)
		emit(ops, ELF_OP_ADD, 0);
}

static int emit_symbol(struct elf_module *module, const struct elf_operand *operand,
	struct access_ops *ops, struct error *err)
{
	char name[512];
	uint64_t address;
	if (operand->symbol_size >= sizeof(name))
		return error_set(err, -EINVAL, "the name of a symbol is too long");
	memcpy(name, operand->symbol, operand->symbol_size);
	name[operand->symbol_size] = '\0';
	if (!elf_module_symbol(module, name, &address))
		return error_set(err, -ENOENT,
			"its place is relative to the symbol '%s', which %s does not have",
			name, elf_module_path(module));
	emit(ops, ELF_OP_STATIC, (int64_t)(address + (uint64_t)operand->number));
	return 0;
}

static int emit_memory(struct elf_module *module, const struct elf_mark *mark,
	const struct elf_operand *operand, struct access_ops *ops, struct error *err)
{
	int r = 0;
	bool is_relative = operand->base == 16;
	if (operand->symbol)
		r = emit_symbol(module, operand, ops, err);
	else if (is_relative) /* relative to the next instruction: the nop is one byte */
		emit(ops, ELF_OP_STATIC,
			(int64_t)(mark->address + 1 + (uint64_t)operand->number));
	else
		emit(ops, ELF_OP_CONST, operand->number);
	if (r < 0)
		return r;
	if (operand->base >= 0 && !is_relative) {
		emit(ops, ELF_OP_REG, operand->base);
		emit_add(ops);
	}
	if (operand->index >= 0) {
		emit(ops, ELF_OP_REG, operand->index);
		emit(ops, ELF_OP_CONST, operand->scale);
		emit(ops, ELF_OP_MUL, 0);
		emit_add(ops);
	}
	emit(ops, ELF_OP_DEREF, operand->size);
	return 0;
}

static int emit_operand(struct elf_module *module, const struct elf_mark *mark,
	const struct elf_operand *operand, struct access_ops *ops, struct error *err)
{
	int r = 0;
	bool is_vector =
		operand->kind == ELF_OPERAND_REGISTER && operand->base >= VECTOR_FIRST;
	if (operand->is_float && ((operand->kind != ELF_OPERAND_MEMORY && !is_vector) ||
					 operand->size > 8))
		return error_set(err, -ENOTSUP,
			"it is a floating-point number that scripts cannot read: of more than 64 bits, or in a "
			"register other than xmm0 to xmm15");
	switch (operand->kind) {
	case ELF_OPERAND_CONSTANT:
		if (operand->symbol)
			r = emit_symbol(module, operand, ops, err);
		else
			emit(ops, ELF_OP_CONST, operand->number);
		break;
	case ELF_OPERAND_REGISTER:
		if (is_vector)
			emit(ops, ELF_OP_VECTOR, (operand->base - VECTOR_FIRST) * 2);
		else
			emit(ops, ELF_OP_REG, operand->base);
		if (operand->is_high_byte) {
			emit(ops, ELF_OP_CONST, 8);
			emit(ops, ELF_OP_SHR, 0);
		}
		break;
	case ELF_OPERAND_MEMORY:
		r = emit_memory(module, mark, operand, ops, err);
		break;
	}
	if (r == 0 && operand->size < 8)
		emit(ops, operand->is_signed ? ELF_OP_SIGN_EXTEND : ELF_OP_ZERO_EXTEND,
			operand->size * 8);
	return r;
}

static bool is_callee_saved(int64_t number)
{
	return number == 3 || number == 6 || (number >= 12 && number <= 15);
}

int elf_mark_access(struct elf_module *module, const struct elf_mark *mark,
	unsigned number, struct arena *arena, struct elf_access *ret, struct error *err)
{
	struct elf_operand operand;
	struct access_ops ops = {0};
	const char *text = mark->arguments;
	struct error why = {0};
	int r = number ? 0 : -ENODATA;
	for (unsigned i = 1; i <= number && r == 0; i++) {
		r = elf_operand_parse(&text, &operand, &why);
		if (r == -EINVAL && i < number)
			r = 0; /* an odd neighbour */
	}
	if (r == -ENODATA)
		return error_set(err, -ENOENT,
			"invalid sdt mark argument number: '%s' has %u arguments",
			mark->name, elf_mark_argument_count(mark));
	if (r == 0)
		r = emit_operand(module, mark, &operand, &ops, &why);
	if (r < 0) {
		vec_free(&ops);
		return error_set(err, r, "argument %u of mark '%s' is not accessible: %s",
			number, mark->name, why.message);
	}
	*ret = (struct elf_access){
		.value_class = operand.is_signed ? ELF_VALUE_SIGNED : ELF_VALUE_UNSIGNED,
		.type_name = "long",
		.size = 8,
		.op_count = ops.count};
	ret->ops = arena_array(arena, struct elf_op, ops.count + 1);
	memcpy(ret->ops, ops.items, ops.count * sizeof(*ret->ops));
	for (size_t i = 0; i < ops.count; i++) {
		ret->needs_static =
			ret->needs_static || ops.items[i].kind == ELF_OP_STATIC;
		ret->needs_callee_saved = ret->needs_callee_saved ||
					  (ops.items[i].kind == ELF_OP_REG &&
						  is_callee_saved(ops.items[i].value));
	}
	vec_free(&ops);
	return 0;
}

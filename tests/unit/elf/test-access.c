/* SPDX-License-Identifier: MIT */
/* Variables read in running code at several optimisation levels, compared with what was passed. */
#include "elf/dwarf.h"
#include "fixture.h"
#include "stop.h"
#include "tap.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static struct elf_module *module;
static struct arena arena;

static node_t second = {.v = 77, .name = "second", .in = {{.s = -9}}, .c = BLUE};
static node_t first = {.v = -5,
	.bf = 6,
	.sbf = -3,
	.wide = 0xabcdef0123,
	.name = "first",
	.next = &second,
	.in = {{.s = 1, {.a = 10}}, {.s = 2, {.a = 0x01020304}}, {.s = 3, {.a = 30}}},
	.c = GREEN,
	.flag = true,
	.sc = -8,
	.matrix = {{1, 2, 3}, {4, 5, 6}}};
static const char text[] = "Zebra";
static const unsigned short forty_thousand = 40000;

/* "->m[3][#0]": members, constant indexes, operand indexes */
static size_t parse_steps(const char *p, struct elf_access_step *steps)
{
	size_t count = 0;
	while (*p) {
		struct elf_access_step *step = &steps[count++];
		*step = (struct elf_access_step){0};
		if (*p == '[') {
			step->is_constant = p[1] != '#';
			step->index = strtol(p + 1, NULL, 10);
			step->operand = (uint32_t)strtoul(p + 2, NULL, 10);
			p = strchr(p, ']') + 1;
		} else {
			size_t length = strcspn(p + 2, "-[");
			step->member = arena_strndup(&arena, p + 2, length);
			p += 2 + length;
		}
	}
	return count;
}

static int compile(uint64_t function, uint64_t pc, enum elf_access_base base,
	const char *name, const char *path, struct elf_access *ret, struct error *err)
{
	struct elf_access_step steps[8];
	bool address_of = path[0] == '&';
	struct elf_access_request request = {.base = base,
		.name = name,
		.function = function,
		.pc = pc,
		.steps = steps,
		.step_count = parse_steps(path + address_of, steps),
		.is_address_of = address_of};
	return elf_access_compile(module, &request, &arena, ret, err);
}

static uint64_t find_function(const char *name)
{
	size_t count;
	const struct elf_function *functions = elf_module_functions(module, &count);
	for (size_t i = 0; i < count; i++) {
		if (strcmp(functions[i].name, name) == 0)
			return functions[i].start;
	}
	printf("Bail out! no function %s\n", name);
	exit(1);
}

/* ---- values -------------------------------------------------------------------------------------------- */

static const struct value {
	const char *function, *name, *path;
	int64_t expected;
	const char *type;
} values[] = {
	{"walk", "k", "", 1234567, "int"}, {"walk", "u", "", 250, "unsigned char"},
	{"walk", "i", "", -1, "long int"}, {"walk", "sh", "", -300, "short int"},
	{"walk", "stacked", "", -77, "int"},
	{"walk", "also_stacked", "", -2, "signed char"},
	{"walk", "s", "[1]", 'e', "char const"}, {"walk", "s", "[#0]", 'b', "char const"},
	{"walk", "p", "->v", -5, "int"}, {"walk", "p", "->bf", 6, "unsigned int"},
	{"walk", "p", "->sbf", -3, "int"},
	{"walk", "p", "->wide", 0xabcdef0123, "long unsigned int"},
	{"walk", "p", "->name[1]", 'i', "char"}, {"walk", "p", "->next->v", 77, "int"},
	{"walk", "p", "->next->in[0]->s", -9, "short int"},
	{"walk", "p", "->in[1]->a", 0x01020304, "int"},
	{"walk", "p", "->in[#0]->bytes[1]", 0,
		"unsigned char"}, /* operand 0 is 2: a == 30 */
	{"walk", "p", "->in[1]->bytes[2]", 2, "unsigned char"},
	{"walk", "p", "->c", GREEN, "enum color"},
	{"walk", "p", "->next->c", BLUE, "enum color"},
	{"walk", "p", "->flag", 1, "_Bool"}, {"walk", "p", "->sc", -8, "signed char"},
	{"walk", "p", "->matrix[1][2]", 6, "int"},
	{"walk", "p", "->matrix[0][#0]", 3, "int"}, {"walk", "p", "[0]->v", -5, "int"},
	{"by_value", "big", "->values[1]", 22, "long int"},
	{"by_value", "after", "", -4, "int"},
	{"by_value", "x", "", 0x4004000000000000, "double"}, /* 2.5, in xmm0 */
	{"by_value", "small", "->first", -1000, "int"},
	{"by_value", "small", "->second", -2000, "short int"},
	{"by_value", "small", "->third", 'x', "char"},
	{"taken", "number", "", -123456, "int"},
	{"taken", "pointer", "[0]", 40000, "short unsigned int const volatile"},
	{"counted", "step", "", 5, "int"}, {"counted", "calls", "", 100, "int"},
	{"makes_big", "seed", "", 31,
		"int"}, /* second register: rdi holds the result's place */
};

static const uint64_t operands[] = {2};

static void call(const char *function, const char *level)
{
	struct small small = {-1000, -2000, 'x'};
	struct big big = {{11, 22, 33, 44}};
#define CALL(S)                                                                  \
	if (strcmp(level, #S) == 0) {                                            \
		if (strcmp(function, "walk") == 0)                               \
			walk_##S(&first, 1234567, 250, text, -1, -300, -77, -2); \
		else if (strcmp(function, "by_value") == 0)                      \
			by_value_##S(small, big, 2.5, -4);                       \
		else if (strcmp(function, "taken") == 0)                         \
			taken_##S(-123456, &forty_thousand);                     \
		else if (strcmp(function, "counted") == 0)                       \
			counted_##S(5), counted_##S(-5);                         \
		else                                                             \
			makes_big_##S(31);                                       \
	}
	CALL(o0)
	CALL(o2)
	CALL(dwarf4)
#undef CALL
}

struct reading {
	const struct elf_access *access;
	uint64_t bias, value;
};

static void read_it(const struct stop_registers *registers, void *data)
{
	struct reading *reading = data;
	reading->value =
		stop_evaluate(reading->access, registers, reading->bias, operands);
}

static void test_value(
	const struct value *v, const char *level, uint64_t bias, bool at_entry)
{
	char name[64];
	snprintf(name, sizeof(name), "%s_%s", v->function, level);
	uint64_t entry = find_function(name);
	uint64_t pc = at_entry ? entry : elf_dwarf_probe_address(module, entry);
	struct elf_access access;
	struct error err = {0};
	if (compile(entry, pc, ELF_BASE_VARIABLE, v->name, v->path, &access, &err) < 0) {
		tap_ok(false, "%s $%s%s%s", name, v->name, v->path,
			at_entry ? " at entry" : "");
		printf("# %s\n", err.message);
		return;
	}
	struct reading reading = {.access = &access, .bias = bias};
	stop_arm(pc + bias, read_it, &reading);
	call(v->function, level);
	bool ok = stop_disarm() && reading.value == (uint64_t)v->expected &&
		  strcmp(access.type_name, v->type) == 0;
	tap_ok(ok, "%s $%s%s%s", name, v->name, v->path, at_entry ? " at entry" : "");
	if (!ok)
		printf("# got %lld (%s), want %lld (%s)\n", (long long)reading.value,
			access.type_name, (long long)v->expected, v->type);
}

/* ---- refusals -------------------------------------------------------------------------------------------- */

static const struct {
	const char *function;
	enum elf_access_base base;
	const char *name, *path,
		*message; /* the message must begin so, and end after the * */
} refusals[] = {
	{"walk_o0", ELF_BASE_VARIABLE, "nope", "",
		"unable to find local 'nope', [man error::dwarf] "
		"dieoffset 0x*in walk_o0 *fixture.c "
		"(alternatives: $p, $i, $k, $s, $u, $sh, "
		"$local, $stacked, $also_stacked)"},
	{"walk_o2", ELF_BASE_VARIABLE, "p", "->x",
		"unable to find member 'x' for struct node (alternatives: c, d, v, bf, in, sc, "
		"next, sbf, flag, matrix, name, wide)"},
	{"walk_o0", ELF_BASE_VARIABLE, "p", "->in[0]->x",
		"unable to find member 'x' for struct inner (alternatives: a, s, bytes)"},
	{"walk_o0", ELF_BASE_VARIABLE, "k", "->x", "invalid access '->x' vs. int"},
	{"walk_o0", ELF_BASE_VARIABLE, "k", "[0]", "invalid access '[0]' vs. int"},
	{"walk_o0", ELF_BASE_VARIABLE, "p", "&->bf", "cannot take the address of a bit field"},
	{"walk_o2", ELF_BASE_VARIABLE, "k", "&",
		"cannot take address of object in register"},
	{"by_value_o2", ELF_BASE_VARIABLE, "x", "&",
		"cannot take address of object in register"},
	{"nothing_o0", ELF_BASE_RETURN, "return", "",
		"function nothing_o0 (*) has no return value"},
	{"walk_o0", ELF_BASE_CAST, "nosuch", "",
		"type definition 'nosuch' not found in '*"},
	{"walk_o0", ELF_BASE_GLOBAL, "nosuch", "", "unable to find global 'nosuch' in *"},
	{"_start", ELF_BASE_VARIABLE, "x", "", "target-symbol requires debuginfo: *"},
};

/* `*` in the wanted text stands for anything; no backtracking needed here */
static bool matches(const char *got, const char *want)
{
	const char *star = strchr(want, '*');
	size_t length = star ? (size_t)(star - want) : strlen(want);
	if (strncmp(got, want, length) != 0)
		return false;
	if (!star)
		return got[length] == '\0';
	for (const char *p = got + length;; p++) {
		if (matches(p, star + 1) || (*p == '\0' && star[1] == '\0'))
			return true;
		if (*p == '\0')
			return false;
	}
}

static void test_refusals(void)
{
	for (size_t i = 0; i < LENGTH(refusals); i++) {
		struct elf_access access;
		struct error err = {0};
		uint64_t entry = find_function(refusals[i].function);
		int r = compile(entry, entry, refusals[i].base, refusals[i].name,
			refusals[i].path, &access, &err);
		if (!tap_ok(r < 0 && matches(err.message, refusals[i].message),
			    "refused: %s of %s%s", refusals[i].function, refusals[i].name,
			    refusals[i].path))
			printf("# got:  %s\n# want: %s\n", err.message,
				refusals[i].message);
	}
}

/* ---- return values, statics, casts ------------------------------------------------------------------------- */

static void test_returns(void)
{
	static const struct {
		const char *function;
		uint64_t rax;
		int64_t expected;
		enum elf_value_class value_class;
	} cases[] = {
		{"walk_o0", 0x8000000000000001, INT64_MIN + 1, ELF_VALUE_SIGNED},
		{"by_value_o2", 0x12345678ffffffff, -1, ELF_VALUE_SIGNED},
		{"taken_o0", 0xffffffffffffff80, 0x80, ELF_VALUE_CHAR},
		{"predicate_o2", 0xffffff01, 1, ELF_VALUE_BOOL},
	};
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct stop_registers registers = {.dwarf = {cases[i].rax}};
		struct elf_access access;
		struct error err = {0};
		uint64_t entry = find_function(cases[i].function);
		int r = compile(
			entry, entry, ELF_BASE_RETURN, "return", "", &access, &err);
		tap_ok(r == 0 && access.value_class == cases[i].value_class &&
				stop_evaluate(&access, &registers, 0, NULL) ==
					(uint64_t)cases[i].expected,
			"$return of %s", cases[i].function);
	}
	struct big big = {{1, 2, 3, 4}};
	struct stop_registers registers = {.dwarf = {(uint64_t)(uintptr_t)&big}};
	struct elf_access access;
	struct error err = {0};
	uint64_t entry = find_function("makes_big_o2");
	int r = compile(
		entry, entry, ELF_BASE_RETURN, "return", "->values[2]", &access, &err);
	tap_ok(r == 0 && stop_evaluate(&access, &registers, 0, NULL) == 3,
		"$return->values[2]: a struct returned in memory");
}

static void test_statics(uint64_t bias)
{
	static const struct {
		const char *name, *path;
		int64_t expected;
	} cases[] = {
		{"shared_o2", "", 0x1122334455667788},
		{"shared_o0@fixture.c", "", 0x1122334455667788},
		{"counter@elf/fixture.c", "", -41},
		{"text@test-access.c", "[2]", 'b'},
		{"first", "->next->v", 77},
	};
	struct stop_registers registers = {0};
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct elf_access access = {0};
		struct error err = {0};
		uint64_t entry = find_function("walk_o0");
		int r = compile(entry, entry, ELF_BASE_GLOBAL, cases[i].name,
			cases[i].path, &access, &err);
		if (!tap_ok(r == 0 && access.needs_static &&
				    stop_evaluate(&access, &registers, bias, NULL) ==
					    (uint64_t)cases[i].expected,
			    "@var(\"%s\")%s", cases[i].name, cases[i].path))
			printf("# %s\n", err.message);
	}
}

static void test_casts(void)
{
	static const struct {
		const char *type, *path;
		int64_t expected;
	} cases[] = {
		{"node_t", "->v", -5},
		{"struct node", "->next->v", 77},
		{"node", "->sc", -8},
		{"struct node *", "->sbf", -3},
		{"node_t*", "[0]->v", -5},
		{"int", "", -5},
		{"short int", "[0]", -5},
		{"short", "[0]", -5},
		{"signed", "", -5},
		{"int signed", "", -5},
	};
	uint64_t pointer = (uint64_t)(uintptr_t)&first;
	struct stop_registers registers = {0};
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct elf_access access;
		struct error err = {0};
		uint64_t entry = find_function("walk_o2");
		int r = compile(entry, entry, ELF_BASE_CAST, cases[i].type, cases[i].path,
			&access, &err);
		if (!tap_ok(r == 0 && stop_evaluate(&access, &registers, 0, &pointer) ==
					      (uint64_t)cases[i].expected,
			    "@cast(p, \"%s\")%s", cases[i].type, cases[i].path))
			printf("# %s\n", err.message);
	}
}

static void test_classes(void)
{
	static const struct {
		const char *name, *path, *type;
		enum elf_value_class value_class;
		uint32_t size;
	} cases[] = {
		{"p", "", "node_t*", ELF_VALUE_POINTER, 8},
		{"s", "", "char const*", ELF_VALUE_STRING_POINTER, 8},
		{"p", "->name", "char[8]", ELF_VALUE_CHAR_ARRAY, 8},
		{"p", "->in", "struct inner[3]", ELF_VALUE_ARRAY, 24},
		{"p", "->in[0]", "struct inner", ELF_VALUE_AGGREGATE, 8},
		{"p", "->matrix", "int[2][3]", ELF_VALUE_ARRAY, 24},
		{"p", "->c", "enum color", ELF_VALUE_ENUM, 4},
		{"p", "->flag", "_Bool", ELF_VALUE_BOOL, 1},
		{"p", "->sc", "signed char", ELF_VALUE_CHAR, 1},
		{"p", "->d", "double", ELF_VALUE_FLOAT, 8},
		{"p", "&->in[1]", "struct inner*", ELF_VALUE_POINTER, 8},
	};
	uint64_t entry = find_function("walk_o2");
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct elf_access access = {0};
		struct error err = {0};
		int r = compile(entry, entry, ELF_BASE_VARIABLE, cases[i].name,
			cases[i].path, &access, &err);
		if (!tap_ok(r == 0 && access.value_class == cases[i].value_class &&
				    access.size == cases[i].size &&
				    strcmp(access.type_name, cases[i].type) == 0,
			    "$%s%s is %s", cases[i].name, cases[i].path, cases[i].type))
			printf("# class %d, size %u, %s %s\n", (int)access.value_class,
				access.size, access.type_name ? access.type_name : "",
				err.message);
	}
}

int main(void)
{
	struct error err = {0};
	arena_init(&arena);
	if (elf_module_open("/proc/self/exe", &module, &err) < 0) {
		printf("Bail out! %s\n", err.message);
		return 1;
	}
	uint64_t bias = (uint64_t)(uintptr_t)&walk_o0 - find_function("walk_o0");
	static const char *const levels[] = {"o0", "o2", "dwarf4"};
	for (size_t l = 0; l < LENGTH(levels); l++) {
		for (size_t i = 0; i < LENGTH(values); i++) {
			const struct value *v = &values[i];
			/* before the prologue, and in optimised code, it is in two places */
			test_value(v, levels[l], bias, false);
			if (strcmp(v->name, "big") != 0)
				test_value(v, levels[l], bias, true);
		}
	}
	test_refusals();
	test_returns();
	test_statics(bias);
	test_casts();
	test_classes();
	elf_module_close(module);
	arena_deinit(&arena);
	return tap_done();
}

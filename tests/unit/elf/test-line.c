/* SPDX-License-Identifier: MIT */
/* Lines, inlined copies, labels and callees of this very program. */
#include <unistd.h>

#include "elf/line.h"
#include "tap.h"

static int sink;
static int first_line, helper_line, inline_line, label_line, gap_line;

#define AT_LINE(variable) (variable = __LINE__)

static inline __attribute__((always_inline)) int twice(int value)
{
	int result = value * 2;
	AT_LINE(inline_line);
	sink += result;
	return result;
}

__attribute__((noinline)) static int helper(int value)
{
	__asm__ volatile("" : "+r"(value));
	AT_LINE(helper_line);
	return value + 1;
}

__attribute__((noinline)) static int subject(int value)
{
	int result = helper(value);
	AT_LINE(first_line);
	result += twice(result);
	if (value > 3) {
		int inner = twice(value);
		result += inner;
		goto out;
	}
	result -= helper(result);
	/* no code here */
	gap_line = __LINE__ - 1;
out:
	__asm__ volatile("" : "+r"(result));
	AT_LINE(label_line);
	return result;
}

static struct elf_module *self;
static struct arena arena;

static size_t find(const char *function, enum elf_line_kind kind,
	const struct elf_line_range *ranges, size_t range_count, int offset,
	bool is_nearest, struct elf_line_place **ret, struct error *err)
{
	struct elf_line_query query = {.function = function,
		.file = "test-line.c",
		.kind = kind,
		.ranges = ranges,
		.range_count = range_count,
		.offset = offset,
		.is_nearest = is_nearest};
	size_t count = 0;
	*err = (struct error){0};
	return elf_lines_find(self, &query, &arena, ret, &count, err) < 0 ? 0 : count;
}

static size_t find_line(
	const char *function, int line, struct elf_line_place **ret, struct error *err)
{
	struct elf_line_range range = {line, line};
	return find(function, ELF_LINES_NUMBERED, &range, 1, 0, false, ret, err);
}

static void test_lines(void)
{
	struct elf_line_place *places;
	struct error err;
	size_t count = find_line("*", helper_line, &places, &err);
	tap_ok(count == 1 && places[0].line == helper_line, "one line");
	struct elf_instance_info info = {0};
	if (count)
		elf_instance_describe(places[0].instance, &info);
	tap_is_string(info.declaration.name, "helper", "... is helper's");
	count = find_line("*", inline_line, &places, &err);
	tap_is_long((long long)count, 2, "a line of an inlined function: each copy");
	count = find_line("subject", inline_line, &places, &err);
	if (count)
		elf_instance_describe(places[0].instance, &info);
	tap_is_string(info.declaration.name, "subject", "... in the name of its caller");
	tap_is_long((long long)find_line("hel*", first_line, &places, &err), 0,
		"not in that function");
	struct elf_line_range two[] = {
		{helper_line, helper_line}, {first_line, label_line}};
	count = find("*", ELF_LINES_NUMBERED, two, 2, 0, false, &places, &err);
	tap_ok(count > 4 && places[0].line == helper_line &&
			places[count - 1].line > first_line &&
			places[count - 1].line <= label_line,
		"ranges, in order");
	bool is_unique = true;
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < i; k++)
			is_unique = is_unique && places[i].address != places[k].address;
	}
	tap_ok(is_unique, "... each instruction once");
	tap_ok(find("helper", ELF_LINES_ALL, NULL, 0, 0, false, &places, &err) >= 2,
		"all lines of a function");
	count = find("helper", ELF_LINES_RELATIVE, NULL, 0, 3, false, &places, &err);
	tap_ok(count == 1 && places[0].line == helper_line, "relative to the function");
}

static void test_neighbours(void)
{
	struct elf_line_place *places;
	struct error err;
	char want[96];
	struct elf_line_range gap = {gap_line, gap_line};
	find_line("subject", gap_line, &places, &err);
	snprintf(want, sizeof(want), "test-line.c:%d [man error::dwarf] (try :%d or :%d)",
		gap_line, gap_line - 1, gap_line + 1);
	tap_ok(strstr(err.message, "no line records for ") && strstr(err.message, want),
		"no code there: %s", err.message);
	size_t count =
		find("subject", ELF_LINES_NUMBERED, &gap, 1, 0, true, &places, &err);
	tap_ok(count >= 1 && places[0].line == gap_line + 1, "the nearest line");
	find_line("subject", 100000, &places, &err);
	tap_ok(strstr(err.message, "(try :"), "far away: %s", err.message);
	find_line("nobody", helper_line, &places, &err);
	tap_is_string(err.message, "no match", "no such function");
	uint64_t start = 0, address;
	tap_ok(elf_module_symbol(self, "helper", &address) &&
			elf_line_end(self, address, &start) > address && start == address,
		"the row of a first instruction");
	const char *file;
	int line;
	tap_ok(elf_line_at(self, address, &file, &line) && strstr(file, "test-line.c"),
		"file and line of an instruction");
	tap_ok(!elf_line_at(self, 8, &file, &line), "... of no instruction");
}

static void test_instances(void)
{
	struct elf_inline_walk walk = {0};
	const struct elf_instance *copy;
	size_t count = 0, inside = 0;
	uint64_t address = 0;
	elf_module_symbol(self, "subject", &address);
	const struct elf_instance *subject_instance =
		elf_instance_at_entry(self, address);
	struct elf_instance_info outer = {0}, info;
	if (subject_instance)
		elf_instance_describe(subject_instance, &outer);
	while ((copy = elf_inline_next(self, &walk, "twice"))) {
		elf_instance_describe(copy, &info);
		count++;
		inside += info.is_inline && info.entry >= outer.entry &&
			  elf_instance_is_same(info.parent, subject_instance);
	}
	tap_is_long((long long)count, 2, "two inlined copies");
	tap_is_long((long long)inside, 2, "... in subject");
	struct elf_label *labels;
	count = elf_instance_labels(self, subject_instance, &arena, &labels);
	tap_ok(count == 1 && strcmp(labels[0].name, "out") == 0 &&
			labels[0].address > outer.entry,
		"a label");
	struct elf_callee *callees;
	count = elf_instance_callees(self, subject_instance, &arena, &callees);
	size_t calls = 0, copies = 0;
	for (size_t i = 0; i < count; i++) {
		calls += callees[i].return_address_count;
		copies += !callees[i].return_addresses;
	}
	tap_is_long((long long)copies, 2, "callees: inlined copies");
	tap_is_long((long long)calls, 2, "callees: calls");
	tap_is_string(elf_instance_qualified(subject_instance, &arena), "subject",
		"the qualified name of a C function");
}

int main(void)
{
	arena_init(&arena);
	if (elf_module_open("/proc/self/exe", &self, NULL) < 0)
		return 1;
	sink += subject(sink) + subject(5);
	test_lines();
	test_neighbours();
	test_instances();
	elf_module_close(self);
	arena_deinit(&arena);
	return tap_done();
}

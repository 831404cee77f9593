/* SPDX-License-Identifier: MIT */
/* Modules: this program itself, whole and damaged. */
#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "elf/module.h"
#include "tap.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static char *self;
static size_t self_size;

/* ---- things to look for in this program ------------------------------------------------------------------ */

__attribute__((noinline)) static int ordinary(int x)
{
	__asm__ volatile("" : "+r"(x));
	return x + 1;
}

int also_ordinary(int x) __attribute__((alias("exported_ordinary")));
int exported_ordinary(int x);
int exported_ordinary(int x)
{
	return ordinary(x) + 1;
}

static int (*resolve_indirect(void))(int)
{
	return ordinary;
}
int indirect(int x) __attribute__((ifunc("resolve_indirect")));

int data_object = 5;

/* no .size, no FDE: bounded by what comes next */
__asm__(".text\n.globl sizeless\n.type sizeless, @function\nsizeless:\n\tnop\n\tret\n"
	".globl after_sizeless\n.type after_sizeless, @function\nafter_sizeless:\n\tret\n"
	".size after_sizeless, .-after_sizeless\n"
	".type foo.cold, @function\nfoo.cold:\n\tret\n.size foo.cold, .-foo.cold\n");
extern char sizeless[];

__attribute__((used)) static int (*const table_of_code[])(int) = {
	ordinary, exported_ordinary};

/* ---- damaged files ---------------------------------------------------------------------------------------- */

static void truncate_to_16(char *b, size_t *size)
{
	*size = 16;
}
static void truncate_to_40(char *b, size_t *size)
{
	*size = 40;
}
static void truncate_half(char *b, size_t *size)
{
	*size /= 2;
}
static void break_magic(char *b, size_t *size)
{
	b[1] = 'F';
}
static void make_32_bit(char *b, size_t *size)
{
	b[EI_CLASS] = ELFCLASS32;
}
static void make_big_endian(char *b, size_t *size)
{
	b[EI_DATA] = ELFDATA2MSB;
}
static void make_arm(char *b, size_t *size)
{
	((Elf64_Ehdr *)b)->e_machine = EM_AARCH64;
}
static void make_object(char *b, size_t *size)
{
	((Elf64_Ehdr *)b)->e_type = ET_REL;
}
static void make_core(char *b, size_t *size)
{
	((Elf64_Ehdr *)b)->e_type = ET_CORE;
}
static void make_odd_type(char *b, size_t *size)
{
	((Elf64_Ehdr *)b)->e_type = 77;
}
static void no_headers(char *b, size_t *size)
{
	((Elf64_Ehdr *)b)->e_phnum = 0;
}
static void far_headers(char *b, size_t *size)
{
	((Elf64_Ehdr *)b)->e_phoff = ~0ull - 7;
}
static void far_sections(char *b, size_t *size)
{
	((Elf64_Ehdr *)b)->e_shoff = 1ull << 40;
}
static void odd_entries(char *b, size_t *size)
{
	((Elf64_Ehdr *)b)->e_phentsize = 3;
}
static void odd_sections(char *b, size_t *size)
{
	((Elf64_Ehdr *)b)->e_shentsize = 3;
}

static Elf64_Phdr *first_load(char *b)
{
	Elf64_Phdr *header = (Elf64_Phdr *)(b + ((Elf64_Ehdr *)b)->e_phoff);
	while (header->p_type != PT_LOAD)
		header++;
	return header;
}
static void long_segment(char *b, size_t *size)
{
	first_load(b)->p_filesz = 1ull << 62;
}
static void wrapped(char *b, size_t *size)
{
	first_load(b)->p_vaddr = ~0ull - 5;
}
static void shrunk(char *b, size_t *size)
{
	first_load(b)->p_memsz = 1;
}

static const struct {
	const char *name;
	void (*damage)(char *bytes, size_t *size);
	const char *message; /* part of it */
} damages[] = {
	{"16 bytes", truncate_to_16, "is truncated"},
	{"40 bytes", truncate_to_40, "is truncated"},
	{"half", truncate_half, "is truncated"},
	{"magic", break_magic, "is not an ELF file"},
	{"32 bits", make_32_bit, "is a 32-bit program; only x86-64 is supported"},
	{"big endian", make_big_endian, "only x86-64 is supported"},
	{"aarch64", make_arm, "for another processor (ELF machine 183)"},
	{"object", make_object, "is an object file"},
	{"core", make_core, "is a core dump"},
	{"type", make_odd_type, "unknown ELF type 77"},
	{"no program headers", no_headers, "has no executable segment"},
	{"program headers far away", far_headers, "is truncated: program headers"},
	{"sections far away", far_sections, "is truncated: section headers"},
	{"program header size", odd_entries, "is corrupt"},
	{"section header size", odd_sections, "is corrupt"},
	{"segment beyond the file", long_segment, "is truncated: the segment"},
	{"segment wraps", wrapped, "is corrupt: impossible segment"},
	{"file size above memory size", shrunk, "is corrupt: impossible segment"},
};

static int open_bytes(
	const char *bytes, size_t size, struct elf_module **ret, struct error *err)
{
	char path[64];
	int fd = memfd_create("module", MFD_CLOEXEC);
	if (fd < 0 || fd_write_all(fd, bytes, size) < 0)
		exit(1);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int r = elf_module_open(path, ret, err);
	close(fd);
	return r;
}

static void test_damages(void)
{
	char *copy = malloc(self_size);
	for (size_t i = 0; i < LENGTH(damages); i++) {
		struct elf_module *module;
		struct error err = {0};
		size_t size = self_size;
		memcpy(copy, self, self_size);
		damages[i].damage(copy, &size);
		int r = open_bytes(copy, size, &module, &err);
		if (!tap_ok(r < 0 && strstr(err.message, damages[i].message),
			    "refused: %s", damages[i].name))
			printf("# %s\n", err.message);
		if (r == 0)
			elf_module_close(module);
	}
	free(copy);
	struct elf_module *module;
	struct error err = {0};
	tap_ok(elf_module_open("/nonexistent", &module, &err) < 0 &&
			strstr(err.message, "cannot open /nonexistent: No such file"),
		"refused: no such file");
	tap_ok(elf_module_open("/", &module, &err) < 0 &&
			strstr(err.message, "not a regular"),
		"refused: directory");
}

/* ---- tables ------------------------------------------------------------------------------------------------ */

static const struct elf_function *find(struct elf_module *module, const char *name)
{
	size_t count;
	const struct elf_function *functions = elf_module_functions(module, &count);
	for (size_t i = 0; i < count; i++) {
		if (strcmp(functions[i].name, name) == 0)
			return &functions[i];
	}
	return NULL;
}

static bool contains(const uint64_t *list, size_t count, uint64_t value)
{
	for (size_t i = 0; i < count; i++) {
		if (list[i] == value)
			return true;
	}
	return false;
}

static bool is_sorted(const uint64_t *list, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		if (list[i - 1] >= list[i])
			return false;
	}
	return true;
}

static void test_functions(struct elf_module *module, uint64_t bias)
{
	const struct elf_function *f = find(module, "ordinary");
	tap_ok(f && f->start + bias == (uint64_t)(uintptr_t)ordinary && !f->is_exported &&
			!f->is_ifunc && !f->is_cold_part && f->end > f->start,
		"static function");
	const struct elf_function *g = find(module, "exported_ordinary");
	const struct elf_function *alias = find(module, "also_ordinary");
	tap_ok(g && alias && g->start == alias->start && g->end == alias->end,
		"two names at one address stay two");
	f = find(module, "indirect");
	tap_ok(f && f->is_ifunc, "indirect function");
	struct arena arena;
	uint64_t *implementations;
	arena_init(&arena);
	size_t found =
		f ? elf_ifunc_implementations(module, f, &arena, &implementations) : 0;
	tap_ok(found == 1 && implementations[0] == (uint64_t)(uintptr_t)ordinary - bias,
		"its implementation");
	arena_deinit(&arena);
	f = find(module, "foo.cold");
	tap_ok(f && f->is_cold_part, "cold part");
	f = find(module, "sizeless");
	tap_ok(f && f->end == f->start + 2, "st_size 0: up to the next symbol");
	tap_ok(!find(module, "data_object"), "data is no function");
	tap_ok(!find(module, "malloc"), "imports are no functions");
	uint64_t start, end;
	const char *name;
	tap_ok(elf_module_function_at(module, g->start + 1, &start, &end, &name) &&
			start == g->start && end == g->end &&
			strcmp(name, "also_ordinary") == 0,
		"function_at: inside");
	tap_ok(!elf_module_function_at(module, 1, &start, &end, &name),
		"function_at: nowhere");
}

static void test_addresses(struct elf_module *module, uint64_t bias)
{
	size_t count;
	const uint64_t *list = elf_module_function_starts(module, &count);
	tap_ok(is_sorted(list, count) &&
			contains(list, count, (uint64_t)(uintptr_t)ordinary - bias) &&
			contains(list, count, (uint64_t)(uintptr_t)sizeless - bias) &&
			contains(list, count, elf_module_entry(module)),
		"function starts");
	list = elf_module_indirect_targets(module, &count);
	tap_ok(is_sorted(list, count) &&
			contains(list, count,
				(uint64_t)(uintptr_t)table_of_code[0] - bias) &&
			contains(list, count,
				(uint64_t)(uintptr_t)table_of_code[1] - bias) &&
			contains(list, count, elf_module_entry(module)),
		"indirect targets: pointers in data");
}

/* Without section headers nothing but segments and the FDEs behind PT_GNU_EH_FRAME is left. */
static void test_no_sections(uint64_t bias)
{
	struct elf_module *module;
	struct error err = {0};
	char *copy = malloc(self_size);
	memcpy(copy, self, self_size);
	((Elf64_Ehdr *)copy)->e_shoff = 0;
	((Elf64_Ehdr *)copy)->e_shnum = 0;
	if (open_bytes(copy, self_size, &module, &err) < 0) {
		tap_ok(false, "no sections: %s", err.message);
		free(copy);
		return;
	}
	size_t count;
	uint64_t start, end, address = (uint64_t)(uintptr_t)ordinary - bias;
	const char *name = "";
	const struct elf_function *functions = elf_module_functions(module, &count);
	size_t named = 0;
	for (size_t i = 0; i < count; i++)
		named += !functions[i].is_nameless;
	tap_is_long((long long)named, 0, "no sections: no names");
	const uint64_t *list = elf_module_function_starts(module, &count);
	tap_ok(contains(list, count, address), "no sections: starts from FDEs");
	tap_ok(elf_module_function_at(module, address, &start, &end, &name) &&
			start == address && name,
		"no sections: extent from FDE");
	char want[32];
	snprintf(want, sizeof(want), "sub_%llx", (unsigned long long)address);
	tap_is_string(name, want, "no sections: a name from the address");
	list = elf_module_indirect_targets(module, &count);
	tap_ok(contains(list, count, (uint64_t)(uintptr_t)table_of_code[0] - bias),
		"no sections: relocations from the dynamic section");
	elf_module_close(module);
	free(copy);
}

static void test_bias(struct elf_module *module, uint64_t bias)
{
	size_t count;
	const struct elf_segment *segments = elf_module_segments(module, &count);
	bool ok = count > 0;
	for (size_t i = 0; i < count; i++) {
		uint64_t page = segments[i].file_offset & ~4095ull;
		if (segments[i].executable)
			ok = ok && elf_module_bias(module,
					   bias + (segments[i].address & ~4095ull),
					   page) == bias;
	}
	tap_ok(ok, "bias from a text mapping");
	char id[3] = {0};
	memcpy(id, elf_module_build_id(module), 2);
	tap_ok(strlen(elf_module_build_id(module)) == 40 &&
			strspn(elf_module_build_id(module), "0123456789abcdef") == 40,
		"build ID");
	tap_ok(elf_module_is_pie(module) && elf_module_interpreter(module) &&
			strstr(elf_module_interpreter(module), "ld-linux"),
		"PIE with an interpreter");
	tap_ok(elf_module_path(module)[0] == '/' &&
			!strstr(elf_module_path(module), "/proc/"),
		"canonical path");
	tap_ok(elf_module_has_dwarf(module), "DWARF");
}

static int find_bias(struct dl_phdr_info *info, size_t size, void *data)
{
	*(uint64_t *)data = info->dlpi_addr; /* the program itself comes first */
	return 1;
}

int main(void)
{
	struct elf_module *module;
	struct error err = {0};
	uint64_t bias = 0;
	ssize_t size = fd_read_file("/proc/self/exe", &self, &err);
	if (size < 0 || elf_module_open("/proc/self/exe", &module, &err) < 0) {
		printf("Bail out! %s\n", err.message);
		return 1;
	}
	self_size = (size_t)size;
	dl_iterate_phdr(find_bias, &bias);
	test_damages();
	test_functions(module, bias);
	test_addresses(module, bias);
	test_no_sections(bias);
	test_bias(module, bias);
	elf_module_close(module);
	free(self);
	return tap_done() + (exported_ordinary(data_object) + indirect(1) == 9 ? 0 : 1);
}

/* SPDX-License-Identifier: MIT */
/* Call frame information as a table, against libdw's interpreter: every row of real files, and damage. */
#include <dlfcn.h>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#include "elf/cfi.h"
#include "tap.h"

static const int dwarf_numbers[] = {3, 6, 12, 13, 14, 15, 7};

static bool is_register_offset(
	const Dwarf_Op *ops, size_t count, int number, int64_t offset)
{
	if (count != 1)
		return false;
	if (ops[0].atom == DW_OP_bregx)
		return (int)ops[0].number == number && (int64_t)ops[0].number2 == offset;
	return ops[0].atom == DW_OP_breg0 + (unsigned)number &&
	       (int64_t)ops[0].number == offset;
}

static bool is_frame_right(
	const struct elf_cfi_rule *rule, const Dwarf_Op *ops, size_t count)
{
	int number = dwarf_numbers[rule->frame_register];
	switch (rule->frame) {
	case ELF_CFI_FRAME_REGISTER:
		return is_register_offset(ops, count, number, rule->frame_offset);
	case ELF_CFI_FRAME_MEMORY:
		return count == 2 && ops[1].atom == DW_OP_deref &&
		       is_register_offset(ops, 1, number, rule->frame_offset);
	case ELF_CFI_FRAME_PLT:
		return count == 9 && ops[0].atom == DW_OP_breg7 &&
		       ops[4].atom == DW_OP_lit0 + (unsigned)rule->frame_offset;
	default:
		return false;
	}
}

/* A place that is lost in the table is no mistake, and counted. */
static bool is_place_right(const struct elf_cfi_where *where, const Dwarf_Op *ops,
	size_t count, bool is_rbx, long *lost)
{
	int64_t offset = where->offset * 8;
	switch (where->place) {
	case ELF_CFI_SAME:
		/* libdw's table of the ABI has rax where rbx is meant: it takes rbx for lost */
		return count == 0 && (!ops || is_rbx);
	case ELF_CFI_AT_FRAME: /* plus_uconst of what may be negative */
		return count >= 1 && ops[0].atom == DW_OP_call_frame_cfa &&
		       (count == 1 ? offset == 0
				   : ops[1].atom == DW_OP_plus_uconst &&
					       (int64_t)ops[1].number == offset);
	case ELF_CFI_AT_RBP:
	case ELF_CFI_AT_RSP:
		/* an expression is given what it is computed from first */
		return count >= 1 &&
		       is_register_offset(&ops[count - 1], 1,
			       where->place == ELF_CFI_AT_RBP ? 6 : 7, offset);
	default:
		++*lost;
		return true;
	}
}

struct totals {
	long rows, wrong, unknown, lost, missing;
};

static void compare_row(Dwarf_CFI *cfi, const struct elf_cfi_row *row,
	const struct elf_cfi_rule *rule, struct totals *t)
{
	Dwarf_Frame *frame;
	Dwarf_Op *ops, memory[3];
	size_t count;
	t->rows++;
	bool found = dwarf_cfi_addrframe(cfi, row->address, &frame) == 0;
	if (rule->frame == ELF_CFI_FRAME_NONE || !found) {
		t->wrong += found != (rule->frame != ELF_CFI_FRAME_NONE);
		if (found)
			free(frame);
		return;
	}
	if (rule->frame == ELF_CFI_FRAME_UNKNOWN) {
		t->unknown++;
		free(frame);
		return;
	}
	bool ok = dwarf_frame_register(frame, 16, memory, &ops, &count) == 0;
	if (rule->frame == ELF_CFI_FRAME_END) {
		ok = ok && count == 0 && ops == memory;
	} else {
		ok = ok &&
		     is_place_right(&rule->return_address, ops, count, false, &t->lost);
		ok = dwarf_frame_cfa(frame, &ops, &count) == 0 &&
		     is_frame_right(rule, ops, count) && ok;
		for (int i = 0; i < ELF_CFI_SAVED && ok; i++)
			ok = dwarf_frame_register(frame, dwarf_numbers[i], memory, &ops,
				     &count) == 0 &&
			     is_place_right(&rule->saved[i], ops, count, i == ELF_CFI_RBX,
				     &t->lost);
	}
	if (!ok && t->wrong++ < 5)
		printf("# 0x%llx: frame %d register %d offset %d\n",
			(unsigned long long)row->address, rule->frame,
			rule->frame_register, rule->frame_offset);
	free(frame);
}

static void compare_file(const char *path)
{
	struct elf_module *module;
	struct elf_cfi table;
	struct totals t = {0};
	struct error err = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || elf_module_open(path, &module, &err) < 0) {
		tap_skip("%s is not here", path);
		return;
	}
	int r = elf_cfi_read(module, &table);
	elf_version(EV_CURRENT);
	Elf *elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	Dwarf_CFI *cfi = dwarf_getcfi_elf(elf);
	tap_ok(r == 0 && cfi, "%s: %zu rows, %zu rules", path, table.row_count,
		table.rule_count);
	bool ascending = true;
	for (size_t i = 0; i + 1 < table.row_count; i++) {
		ascending &= table.rows[i].address < table.rows[i + 1].address;
		compare_row(cfi, &table.rows[i], &table.rules[table.rows[i].rule], &t);
	}
	tap_ok(ascending, "in order");
	tap_ok(t.wrong == 0, "%ld of %ld rows differ from libdw", t.wrong, t.rows);
	tap_ok(t.unknown * 100 <= t.rows, "%ld cannot be told, %ld registers are lost",
		t.unknown, t.lost);
	dwarf_cfi_end(cfi);
	elf_end(elf);
	elf_cfi_free(&table);
	elf_module_close(module);
	close(fd);
}

/* Any byte may be anything: an error or a table, never a crash. */
static void damage(const char *path)
{
	char copy[] = "/tmp/utrace-cfi-XXXXXX";
	struct stat st;
	int from = open(path, O_RDONLY | O_CLOEXEC), to = mkstemp(copy);
	struct error err = {0};
	unsigned long seed = 1;
	long read_back = 0;
	if (from < 0 || to < 0 || fstat(from, &st) < 0)
		exit(99);
	char *bytes = malloc((size_t)st.st_size);
	bool ok = read(from, bytes, (size_t)st.st_size) == st.st_size;
	struct elf_module *module;
	if (elf_module_open(path, &module, &err) < 0)
		exit(99);
	elf_module_close(module);
	for (int round = 0; round < 300 && ok; round++) {
		struct elf_cfi table;
		char old[64];
		size_t at[64];
		for (int i = 0; i < 64; i++) {
			seed = seed * 6364136223846793005ul + 1442695040888963407ul;
			/* behind the headers */
			at[i] = 4096 + (seed >> 20) % ((size_t)st.st_size - 8192);
			old[i] = bytes[at[i]];
			bytes[at[i]] = (char)(seed >> 56);
		}
		ok = pwrite(to, bytes, (size_t)st.st_size, 0) == st.st_size;
		if (elf_module_open(copy, &module, &err) == 0) {
			if (elf_cfi_read(module, &table) == 0) {
				for (size_t i = 0; i < table.row_count; i++)
					ok &= table.rows[i].rule < table.rule_count;
				elf_cfi_free(&table);
				read_back++;
			}
			elf_module_close(module);
		}
		for (int i = 63; i >= 0; i--)
			bytes[at[i]] = old[i];
	}
	tap_ok(ok && read_back, "300 damaged copies, %ld of them read", read_back);
	free(bytes);
	close(from);
	close(to);
	unlink(copy);
}

static int note_library(struct dl_phdr_info *info, size_t size, void *data)
{
	char *path = data;
	if (strstr(info->dlpi_name, "/libc.so"))
		snprintf(path, 4096, "%s", info->dlpi_name);
	return 0;
}

int main(void)
{
	char libc[4096] = "", self[4096] = "";
	dl_iterate_phdr(note_library, libc);
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return 99;
	compare_file(self);
	compare_file(libc);
	compare_file("/lib64/ld-linux-x86-64.so.2");
	compare_file("/bin/bash");
	compare_file("/usr/bin/python3");
	damage(self);
	return tap_done();
}

/* SPDX-License-Identifier: MIT */
/*
 * A static mark (USDT, <sys/sdt.h>) of a program: where it is, and the counter that tells the program that
 * somebody listens, are in the notes of the file.
 *     watch-mark /usr/bin/program provider name /usr/bin/program
 */
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

static uint64_t hits;

static int handler(struct uprobe_consumer *self, struct utrace_task *task,
	struct user_regs_struct *regs, uint64_t *data)
{
	(void)self;
	(void)data;
	if (!hits++)
		printf("first in thread %d at 0x%llx\n", utrace_task_tid(task),
			(unsigned long long)regs->rip);
	return 0;
}

static struct uprobe_consumer consumer = {.handler = handler};

static uint64_t offset_of(Elf *elf, uint64_t address)
{
	size_t count = 0;
	GElf_Phdr header;
	elf_getphdrnum(elf, &count);
	for (size_t i = 0; i < count && gelf_getphdr(elf, (int)i, &header); i++)
		if (header.p_type == PT_LOAD &&
			address - header.p_vaddr < header.p_filesz)
			return address - header.p_vaddr + header.p_offset;
	return 0;
}

/* pc, link-time address of .stapsdt.base, semaphore; provider, name, arguments */
struct mark {
	uint64_t pc, base, semaphore;
};

static bool find_in_notes(Elf_Data *data, char **arguments, struct mark *ret)
{
	size_t at = 0, name, text, next;
	GElf_Nhdr header;
	for (; (next = gelf_getnote(data, at, &header, &name, &text)); at = next) {
		const char *provider = (const char *)data->d_buf + text + sizeof(*ret);
		const char *end = (const char *)data->d_buf + text + header.n_descsz;
		const char *mark =
			provider + strnlen(provider, (size_t)(end - provider)) + 1;
		if (header.n_descsz <= sizeof(*ret) || end[-1] != '\0' || mark >= end ||
			strcmp(provider, arguments[1]) != 0 ||
			strcmp(mark, arguments[2]) != 0)
			continue;
		memcpy(ret, (const char *)data->d_buf + text, sizeof(*ret));
		return true;
	}
	return false;
}

static bool find_mark(Elf *elf, char **arguments, struct mark *ret)
{
	size_t names = 0;
	uint64_t base = 0;
	bool found = false;
	GElf_Shdr header;
	elf_getshdrstrndx(elf, &names);
	for (Elf_Scn *section = elf_nextscn(elf, NULL); section;
		section = elf_nextscn(elf, section)) {
		const char *name = gelf_getshdr(section, &header)
					   ? elf_strptr(elf, names, header.sh_name)
					   : NULL;
		if (name && strcmp(name, ".stapsdt.base") == 0)
			base = header.sh_addr;
		if (name && strcmp(name, ".note.stapsdt") == 0)
			found = find_in_notes(elf_getdata(section, NULL), arguments, ret);
	}
	if (found && base) { /* prelink(8) moves the file, not its notes */
		ret->pc += base - ret->base;
		ret->semaphore += ret->semaphore ? base - ret->base : 0;
	}
	return found;
}

static int begin(struct uprobes *uprobes, char **arguments, struct utrace_error *err)
{
	struct uprobe_place place = {.size = sizeof(place), .path = arguments[0]};
	struct mark mark;
	elf_version(EV_CURRENT);
	int fd = open(arguments[0], O_RDONLY | O_CLOEXEC);
	Elf *elf = fd >= 0 ? elf_begin(fd, ELF_C_READ_MMAP, NULL) : NULL;
	bool found = elf && find_mark(elf, arguments, &mark);
	if (found) {
		place.offset = offset_of(elf, mark.pc);
		place.ref_ctr_offset =
			mark.semaphore ? offset_of(elf, mark.semaphore) : 0;
	}
	elf_end(elf);
	if (fd >= 0)
		close(fd);
	if (found)
		return uprobe_register(uprobes, &place, &consumer, NULL, err);
	snprintf(err->message, sizeof(err->message), "%s has no mark %s of %s",
		arguments[0], arguments[2], arguments[1]);
	return -ENOENT;
}

static void end(void)
{
	printf("%llu hits\n", (unsigned long long)hits);
}

int main(int argc, char **argv)
{
	struct driver driver = {.arguments = "FILE PROVIDER NAME",
		.argument_count = 3,
		.begin = begin,
		.end = end};
	return driver_main(argc, argv, &driver);
}

/* SPDX-License-Identifier: MIT */
/* ELF files are untrusted: whatever the bytes, opening and listing ends with an answer or an error. */
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "elf/module.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64];
	struct elf_module *module;
	size_t count;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd < 0)
		return 0;
	if (write(fd, data, size) == (ssize_t)size) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (elf_module_open(path, &module, NULL) == 0) {
			elf_module_functions(module, &count);
			elf_module_function_starts(module, &count);
			elf_module_indirect_targets(module, &count);
			elf_module_has_dwarf(module);
			elf_module_close(module);
		}
	}
	close(fd);
	return 0;
}

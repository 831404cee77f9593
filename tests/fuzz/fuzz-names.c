/* SPDX-License-Identifier: MIT */
/* Text that programs carry: operands of marks and mangled names; the first line is a pattern. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "elf/mark.h"
#include "elf/names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	char name[256];
	struct elf_operand operand;
	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	for (const char *p = text; *p;) {
		const char *before = p;
		if (elf_operand_parse(&p, &operand, NULL) == -ENODATA)
			break;
		if (p == before)
			abort(); /* no progress */
	}
	char *symbol = strchr(text, '\n');
	if (symbol) {
		*symbol++ = '\0';
		(void)elf_demangle(symbol, name, sizeof(name));
		(void)elf_pattern_matches_symbol(text, symbol);
		(void)elf_pattern_matches_name(text, symbol);
		(void)elf_pattern_matches_file(text, symbol);
	}
	free(text);
	return 0;
}

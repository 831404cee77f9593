/* SPDX-License-Identifier: MIT */
#include <dwarf.h>
#include <string.h>

#include "elf/internal.h"

uint64_t elf_cursor_fixed(struct elf_cursor *cursor, unsigned size)
{
	if (cursor->is_bad || (size_t)(cursor->end - cursor->bytes) < size) {
		cursor->is_bad = true;
		return 0;
	}
	uint64_t value = 0;
	memcpy(&value, cursor->bytes, size);
	cursor->bytes += size;
	return value;
}

uint64_t elf_cursor_uleb(struct elf_cursor *cursor)
{
	uint64_t value = 0;
	for (unsigned shift = 0;; shift += 7) {
		uint64_t byte = elf_cursor_fixed(cursor, 1);
		if (shift < 64)
			value |= (byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
}

int64_t elf_cursor_sleb(struct elf_cursor *cursor)
{
	uint64_t value = 0;
	for (unsigned shift = 0;;) {
		uint64_t byte = elf_cursor_fixed(cursor, 1);
		if (shift < 64)
			value |= (byte & 0x7f) << shift;
		shift += 7;
		if (byte & 0x80)
			continue;
		if ((byte & 0x40) && shift < 64)
			value |= ~UINT64_C(0) << shift;
		return (int64_t)value;
	}
}

uint64_t elf_cursor_encoded(
	struct elf_cursor *cursor, uint8_t encoding, uint64_t address, uint64_t base)
{
	if (encoding == DW_EH_PE_omit)
		return 0;
	uint64_t value;
	switch (encoding & 0x0f) {
	case DW_EH_PE_absptr:
	case DW_EH_PE_udata8:
	case DW_EH_PE_sdata8:
		value = elf_cursor_fixed(cursor, 8);
		break;
	case DW_EH_PE_uleb128:
		value = elf_cursor_uleb(cursor);
		break;
	case DW_EH_PE_sleb128:
		value = (uint64_t)elf_cursor_sleb(cursor);
		break;
	case DW_EH_PE_udata2:
		value = elf_cursor_fixed(cursor, 2);
		break;
	case DW_EH_PE_sdata2:
		value = (uint64_t)(int16_t)elf_cursor_fixed(cursor, 2);
		break;
	case DW_EH_PE_udata4:
		value = elf_cursor_fixed(cursor, 4);
		break;
	case DW_EH_PE_sdata4:
		value = (uint64_t)(int32_t)elf_cursor_fixed(cursor, 4);
		break;
	default:
		cursor->is_bad = true;
		return 0;
	}
	if (value == 0 || cursor->is_bad || (encoding & DW_EH_PE_indirect))
		return 0;
	switch (encoding & 0x70) {
	case DW_EH_PE_pcrel:
		return value + address;
	case DW_EH_PE_datarel:
	case DW_EH_PE_funcrel:
		return value + base;
	default:
		return value;
	}
}

/* SPDX-License-Identifier: MIT */
/*
 * Strings of DIEs in files that nobody vouches for.  libdw checks the ends of those in string sections; one that
 * stands in the DIE itself (DW_FORM_string) it hands out as it is, though the section may end before it does.
 */
#include <dwarf.h>
#include <stdatomic.h>
#include <string.h>

#include "elf/dwarf_internal.h"
#include "elf/internal.h"

/* Where the section begins that was looked at last in this thread. */
static _Thread_local struct {
	const char *start;
	size_t size;
	unsigned files; /* value of files_closed then */
} last;

/* Another file's section may be where one was that has been closed. */
static atomic_uint files_closed;

void elf_texts_forget(void)
{
	atomic_fetch_add(&files_closed, 1);
}

static size_t section_size(Elf *elf, const char *start)
{
	Elf_Scn *section = NULL;

	while ((section = elf_nextscn(elf, section))) {
		const Elf_Data *data = elf_rawdata(section, NULL);

		if (data && data->d_buf == start)
			return data->d_size;
	}
	return 0;
}

static bool ends_in_section(Dwarf_Attribute *attribute)
{
	const char *text = (const char *)attribute->valp, *start;
	unsigned files = atomic_load(&files_closed);
	Dwarf_Die unit;

	if (!dwarf_cu_die(attribute->cu, &unit, NULL, NULL, NULL, NULL, NULL, NULL))
		return false;
	start = (const char *)unit.addr - dwarf_dieoffset(&unit);
	if (start != last.start || files != last.files) {
		last.start = start;
		last.files = files;
		last.size = section_size(
			dwarf_getelf(dwarf_cu_getdwarf(attribute->cu)), start);
	}
	return text >= start && (size_t)(text - start) < last.size &&
	       memchr(text, '\0', last.size - (size_t)(text - start));
}

const char *elf_attribute_text(Dwarf_Attribute *attribute)
{
	if (dwarf_whatform(attribute) == DW_FORM_string && !ends_in_section(attribute))
		return NULL;
	return dwarf_formstring(attribute);
}

const char *elf_die_name(Dwarf_Die *die)
{
	Dwarf_Attribute attribute;

	return dwarf_attr_integrate(die, DW_AT_name, &attribute)
		       ? elf_attribute_text(&attribute)
		       : NULL;
}

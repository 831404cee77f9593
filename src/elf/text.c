/* SPDX-License-Identifier: MIT */
/*
 * Strings of debug information in files that nobody vouches for.  libdw hands them out with little care for where
 * their section ends; the memory after it may be anybody's.
 */
#include <dwarf.h>
#include <stdatomic.h>
#include <string.h>

#include "elf/dwarf_internal.h"
#include "elf/internal.h"

/* Another file's section may be where one was that has been closed. */
static atomic_uint files_closed;

void elf_texts_forget(void)
{
	atomic_fetch_add(&files_closed, 1);
}

struct section {
	const char *start;
	size_t size;
	unsigned files; /* value of files_closed when it was found */
};

static bool holds(const Elf_Data *data, const char *text, struct section *ret)
{
	if (!data || !data->d_buf || text < (const char *)data->d_buf ||
		(size_t)(text - (const char *)data->d_buf) >= data->d_size)
		return false;
	ret->start = data->d_buf;
	ret->size = data->d_size;
	return true;
}

static bool find_section(Dwarf *dwarf, const char *text, struct section *ret)
{
	Elf *elf = dwarf ? dwarf_getelf(dwarf) : NULL;
	Elf_Scn *section = NULL;

	while (elf && (section = elf_nextscn(elf, section)))
		if (holds(elf_rawdata(section, NULL), text, ret) ||
			holds(elf_getdata(section, NULL), text, ret))
			return true;
	return false;
}

/* Where a string was found last in this thread: in DIEs themselves, and in sections of strings. */
static _Thread_local struct section last_sections[2];

static bool ends_in_section(Dwarf_Attribute *attribute, const char *text)
{
	struct section *last =
		&last_sections[dwarf_whatform(attribute) == DW_FORM_string];
	Dwarf *dwarf = dwarf_cu_getdwarf(attribute->cu);
	unsigned files = atomic_load(&files_closed);
	bool is_there = last->files == files && text >= last->start &&
			(size_t)(text - last->start) < last->size;

	if (!is_there) {
		*last = (struct section){.files = files};
		is_there = find_section(dwarf, text, last) ||
			   find_section(dwarf_getalt(dwarf), text, last);
	}
	return is_there && memchr(text, '\0', last->size - (size_t)(text - last->start));
}

const char *elf_attribute_text(Dwarf_Attribute *attribute)
{
	const char *text = dwarf_formstring(attribute);

	return text && ends_in_section(attribute, text) ? text : NULL;
}

const char *elf_die_name(Dwarf_Die *die)
{
	Dwarf_Attribute attribute;

	return dwarf_attr_integrate(die, DW_AT_name, &attribute)
		       ? elf_attribute_text(&attribute)
		       : NULL;
}

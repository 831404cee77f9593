/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "uprobes/space.h"

struct uprobe_site *site_find(struct uprobe_space *space, uint64_t address)
{
	size_t low = 0, high = space->sites.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (space->sites.items[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return NULL;
	struct uprobe_site *site = &space->sites.items[low - 1];
	return address - site->address < site->window ? site : NULL;
}

bool site_has_padding(const struct uprobe_site *site)
{
	return site->padding && !site->is_lodged;
}

struct uprobe_site *site_host(
	struct uprobe_space *space, const struct uprobe_site *lodger)
{
	struct uprobe_site *host =
		lodger->is_lodged ? site_find(space, lodger->padding) : NULL;
	bool fits = host && host->is_host && host->state != SITE_REMOVED &&
		    lodger->padding + SITE_PADDING <= host->address + host->size;
	return fits ? host : NULL;
}

bool site_is_insn_start(const struct uprobe_site *site, size_t offset)
{
	for (size_t i = 0; i < site->insn_count; i++)
		if (site->insn_offset[i] == offset)
			return true;
	return false;
}

bool site_has_interior(const struct uprobe_site *site)
{
	for (size_t i = 0; i < site->insn_count; i++)
		if (site->insn_offset[i] && site->insn_offset[i] < site->size)
			return true;
	/* A syscall as the last instruction: its return address is one past the window.
	 */
	return site->insn_count && site->form != ARCH_PATCH_BREAKPOINT &&
	       site->original[site->insn_offset[site->insn_count - 1]] == 0x0f &&
	       site->original[site->insn_offset[site->insn_count - 1] + 1] == 0x05;
}

static const struct arch_pc_map_entry *copy_of(
	const struct uprobe_site *site, size_t offset)
{
	for (size_t i = 0; i < site->map_count; i++)
		if (site->map[i].original_offset == offset)
			return &site->map[i];
	return NULL;
}

static bool is_syscall(const struct uprobe_site *site, size_t offset)
{
	return offset + 2 <= site->window && site_is_insn_start(site, offset) &&
	       site->original[offset] == 0x0f && site->original[offset + 1] == 0x05;
}

bool site_redirect(const struct uprobe_site *site, uint64_t pc, uint64_t *ret)
{
	if (pc <= site->address || pc > site->address + site->window ||
		site->form == ARCH_PATCH_BREAKPOINT)
		return false;
	size_t offset = pc - site->address;
	if (offset >= 2 && is_syscall(site, offset - 2) && copy_of(site, offset - 2)) {
		*ret = site->trampoline + copy_of(site, offset - 2)->trampoline_offset +
		       2u;
		return true;
	}
	const struct arch_pc_map_entry *copy = copy_of(site, offset);
	if (offset >= site->size || !copy)
		return false;
	*ret = site->trampoline + copy->arrival_offset;
	return true;
}

bool site_home(const struct uprobe_site *site, uint64_t pc, uint64_t *ret)
{
	if (pc < site->trampoline || pc - site->trampoline >= site->trampoline_size)
		return false;
	size_t offset = pc - site->trampoline;
	for (size_t i = 0; i < site->map_count; i++) {
		const struct arch_pc_map_entry *entry = &site->map[i];
		if (entry->trampoline_offset == offset || entry->arrival_offset == offset)
			*ret = site->address + entry->original_offset;
		else if (entry->trampoline_offset + 2u == offset &&
			 is_syscall(site, entry->original_offset))
			*ret = site->address + entry->original_offset + 2;
		else
			continue;
		return true;
	}
	return false;
}

uint64_t site_trap_target(const struct uprobe_site *site, uint64_t address)
{
	const struct arch_pc_map_entry *copy;

	if (site->state == SITE_REMOVED || site->state == SITE_PENDING)
		return address;
	if (address == site->address)
		return site->trampoline;
	copy = copy_of(site, address - site->address);
	return copy ? site->trampoline + copy->arrival_offset : address;
}

/* SPDX-License-Identifier: MIT */
#include "uprobes/journal.h"

#include <errno.h>
#include <string.h>

int journal_open(struct journal *journal, void *memory, uint64_t size, struct error *err)
{
	const struct abi_session *session = memory;
	uint64_t offset = session->journal_offset;

	if (session->magic != ABI_MAGIC || session->version != ABI_VERSION)
		return error_set(err, -EINVAL, "session memory is not of this version");
	if (offset % 8 || offset > size || size - offset < sizeof(struct abi_journal))
		return error_set(
			err, -EINVAL, "session memory has no room for the undo journal");
	journal->abi = (void *)((char *)memory + offset);
	uint64_t room = (size - offset - sizeof(struct abi_journal)) /
			sizeof(struct abi_journal_patch);
	uint32_t capacity = journal->abi->patch_capacity;
	journal->patch_capacity = capacity < room ? capacity : (uint32_t)room;
	journal->cursor = 0;
	return 0;
}

uint32_t journal_patch_count(const struct journal *journal)
{
	uint32_t count = __atomic_load_n(&journal->abi->patch_count, __ATOMIC_ACQUIRE);
	return count < journal->patch_capacity ? count : journal->patch_capacity;
}

uint32_t journal_area_count(const struct journal *journal)
{
	uint32_t count = __atomic_load_n(&journal->abi->area_count, __ATOMIC_ACQUIRE);
	return count < ABI_JOURNAL_AREAS ? count : ABI_JOURNAL_AREAS;
}

int journal_add_area(struct journal *journal, pid_t pid, uint64_t address, uint64_t size,
	enum abi_journal_live live, uint32_t *ret)
{
	struct abi_journal *abi = journal->abi;
	uint32_t count = journal_area_count(journal), i = 0;

	while (i < count && __atomic_load_n(&abi->areas[i].live, __ATOMIC_RELAXED))
		i++;
	if (i == ABI_JOURNAL_AREAS)
		return -ENOSPC;
	abi->areas[i].address = address;
	abi->areas[i].size = size;
	abi->areas[i].pid = (uint32_t)pid;
	__atomic_store_n(&abi->areas[i].live, live, __ATOMIC_RELEASE);
	if (i == count)
		__atomic_store_n(&abi->area_count, count + 1, __ATOMIC_RELEASE);
	*ret = i;
	return 0;
}

void journal_place_area(struct journal *journal, uint32_t index, uint64_t address)
{
	if (index >= ABI_JOURNAL_AREAS)
		return;
	__atomic_store_n(&journal->abi->areas[index].address, address, __ATOMIC_RELAXED);
	__atomic_store_n(
		&journal->abi->areas[index].live, ABI_JOURNAL_LIVE, __ATOMIC_RELEASE);
}

uint32_t journal_add_victim(
	struct journal *journal, const struct abi_journal_victim *victim)
{
	struct abi_journal_victim *victims = journal->abi->victims;

	for (uint32_t i = 0; i < ABI_JOURNAL_VICTIMS; i++) {
		if (__atomic_load_n(&victims[i].live, __ATOMIC_RELAXED) &&
			victims[i].tid != victim->tid)
			continue;
		victims[i] = *victim;
		victims[i].live = 0;
		__atomic_store_n(&victims[i].live, 1, __ATOMIC_RELEASE);
		return i;
	}
	return JOURNAL_NONE;
}

void journal_drop_victim(struct journal *journal, uint32_t index)
{
	if (index < ABI_JOURNAL_VICTIMS)
		__atomic_store_n(&journal->abi->victims[index].live, 0, __ATOMIC_RELEASE);
}

void journal_drop_area(struct journal *journal, uint32_t index)
{
	if (index < ABI_JOURNAL_AREAS)
		__atomic_store_n(&journal->abi->areas[index].live, 0, __ATOMIC_RELEASE);
}

/* Records of other spaces and of removed sites share the array: first free one. */
static struct abi_journal_patch *journal_free_patch(
	struct journal *journal, uint32_t *ret)
{
	struct abi_journal *abi = journal->abi;
	uint32_t count = journal_patch_count(journal), i = journal->cursor;

	while (i < count && __atomic_load_n(&abi->patches[i].live, __ATOMIC_RELAXED))
		i++;
	if (i >= journal->patch_capacity)
		return NULL;
	*ret = i;
	return &abi->patches[i];
}

static void journal_publish(struct journal *journal, uint32_t index, uint8_t live)
{
	struct abi_journal *abi = journal->abi;

	__atomic_store_n(&abi->patches[index].live, live, __ATOMIC_RELEASE);
	if (index >= journal_patch_count(journal))
		__atomic_store_n(&abi->patch_count, index + 1, __ATOMIC_RELEASE);
	journal->cursor = index + 1;
}

int journal_add_patch(struct journal *journal, pid_t pid, uint64_t address,
	const uint8_t *original, uint8_t size, uint32_t *ret)
{
	struct abi_journal_patch *patch = journal_free_patch(journal, ret);

	if (!patch || size > sizeof(patch->original))
		return -ENOSPC;
	patch->address = address;
	patch->size = size;
	patch->kind = ABI_JOURNAL_TEXT;
	memcpy(patch->original, original, size);
	patch->pid = (uint32_t)pid;
	patch->site_offset = 0;
	journal_publish(journal, *ret, ABI_JOURNAL_LIVE);
	return 0;
}

int journal_add_semaphore(struct journal *journal, pid_t pid,
	const struct uprobe_semaphore *semaphore, uint16_t value, uint32_t *ret)
{
	struct abi_journal_patch *patch = journal_free_patch(journal, ret);

	if (!patch)
		return -ENOSPC;
	patch->address = semaphore->address;
	patch->size = sizeof(value);
	patch->kind = ABI_JOURNAL_SEMAPHORE;
	memcpy(patch->original, &value, sizeof(value));
	memcpy(patch->original + sizeof(value), &semaphore->inode,
		sizeof(semaphore->inode));
	patch->pid = (uint32_t)pid;
	patch->site_offset = 0;
	journal_publish(journal, *ret, ABI_JOURNAL_INTENT);
	return 0;
}

void journal_confirm_semaphore(struct journal *journal, uint32_t index)
{
	if (index < journal->patch_capacity)
		__atomic_store_n(&journal->abi->patches[index].live, ABI_JOURNAL_LIVE,
			__ATOMIC_RELEASE);
}

void journal_link_padding(struct journal *journal, uint32_t index, uint64_t site)
{
	struct abi_journal_patch *patch = &journal->abi->patches[index];

	if (index < journal->patch_capacity)
		patch->site_offset = (int32_t)(site - patch->address);
}

void journal_drop_patch(struct journal *journal, uint32_t index)
{
	if (index >= journal->patch_capacity)
		return;
	__atomic_store_n(&journal->abi->patches[index].live, 0, __ATOMIC_RELEASE);
	if (index < journal->cursor)
		journal->cursor = index;
}

void journal_drop_semaphores(struct journal *journal, pid_t pid)
{
	uint32_t count = journal_patch_count(journal);

	for (uint32_t i = 0; i < count; i++)
		if (journal->abi->patches[i].pid == (uint32_t)pid &&
			journal->abi->patches[i].kind == ABI_JOURNAL_SEMAPHORE)
			journal_drop_patch(journal, i);
}

void journal_drop_process(struct journal *journal, pid_t pid)
{
	struct abi_journal *abi = journal->abi;
	uint32_t patches = journal_patch_count(journal),
		 areas = journal_area_count(journal);

	for (uint32_t i = 0; i < patches; i++)
		if (abi->patches[i].pid == (uint32_t)pid)
			journal_drop_patch(journal, i);
	for (uint32_t i = 0; i < areas; i++)
		if (abi->areas[i].pid == (uint32_t)pid)
			journal_drop_area(journal, i);
}

/* SPDX-License-Identifier: MIT */
/*
 * Writing the undo journal in session memory.  Only the tracer appends; the target can
 * scribble over it, so counts read back are clamped and nothing but the target's own text
 * depends on the rest.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "abi/session.h"
#include "base/error.h"

#define JOURNAL_NONE UINT32_MAX

struct journal {
	struct abi_journal *abi; /* in the tracer's mapping of session memory */
	uint32_t patch_capacity;
	uint32_t cursor; /* records below it are known to be in use */
};

must_check int journal_open(
	struct journal *journal, void *memory, uint64_t size, struct error *err);
/**
 * journal_add_area() - record a mapping of ours, before it is made; -ENOSPC
 * @live: ABI_JOURNAL_LIVE, or ABI_JOURNAL_INTENT while @address is only a lower bound
 */
must_check int journal_add_area(struct journal *journal, pid_t pid, uint64_t address,
	uint64_t size, enum abi_journal_live live, uint32_t *ret);
/** the mapping has been made, here */
void journal_place_area(struct journal *journal, uint32_t index, uint64_t address);
void journal_drop_area(struct journal *journal, uint32_t index);
/** record text, before it is changed; complete when it returns; -ENOSPC */
must_check int journal_add_patch(struct journal *journal, pid_t pid, uint64_t address,
	const uint8_t *original, uint8_t size, uint32_t *ret);
/** the record is of padding that the patch at @site leads to */
void journal_link_padding(struct journal *journal, uint32_t index, uint64_t site);
struct uprobe_semaphore {
	uint64_t address, inode;
	uint32_t journal;
};
/** a counter is about to be raised from @value; to be confirmed when that is done */
must_check int journal_add_semaphore(struct journal *journal, pid_t pid,
	const struct uprobe_semaphore *semaphore, uint16_t value, uint32_t *ret);
void journal_confirm_semaphore(struct journal *journal, uint32_t index);
/** those of a process are lowered */
void journal_drop_semaphores(struct journal *journal, pid_t pid);
void journal_drop_patch(struct journal *journal, uint32_t index);
/** a thread is about to make calls for us; @victim->live is not looked at; JOURNAL_NONE when there
 * is no room */
uint32_t journal_add_victim(
	struct journal *journal, const struct abi_journal_victim *victim);
void journal_drop_victim(struct journal *journal, uint32_t index);
/** forget everything recorded for a process */
void journal_drop_process(struct journal *journal, pid_t pid);
uint32_t journal_patch_count(const struct journal *journal);
uint32_t journal_area_count(const struct journal *journal);

/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "tap.h"
#include "uprobes/journal.h"
#include "uprobes/undo.h"

enum {
	PATCHES = 4
};

/* struct abi_session, struct abi_journal and PATCHES records */
static _Alignas(
	8) unsigned char memory[sizeof(struct abi_session) + sizeof(struct abi_journal) +
				PATCHES * sizeof(struct abi_journal_patch)];
static struct abi_session *const session = (void *)memory;
static struct abi_journal *const abi = (void *)(memory + sizeof(struct abi_session));

static void fill(void)
{
	memset(memory, 0, sizeof(memory));
	session->magic = ABI_MAGIC;
	session->version = ABI_VERSION;
	session->journal_offset = sizeof(struct abi_session);
	abi->patch_capacity = PATCHES;
}

static void test_open(void)
{
	static const struct {
		const char *name;
		uint64_t magic, offset, size;
		uint32_t capacity;
		int want;
		uint32_t want_capacity;
	} cases[] = {
		{"sound", ABI_MAGIC, 0, sizeof(memory), PATCHES, 0, PATCHES},
		{"capacity beyond the memory is cut", ABI_MAGIC, 0, sizeof(memory), 1000,
			0, PATCHES},
		{"other magic", 1, 0, sizeof(memory), PATCHES, -EINVAL, 0},
		{"offset behind the end", ABI_MAGIC, 1ull << 40, sizeof(memory), PATCHES,
			-EINVAL, 0},
		{"offset not aligned", ABI_MAGIC, 4097, sizeof(memory), PATCHES, -EINVAL,
			0},
		{"too small for the areas", ABI_MAGIC, 0, sizeof(struct abi_session) + 64,
			PATCHES, -EINVAL, 0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct journal journal = {0};
		fill();
		session->magic = cases[i].magic;
		if (cases[i].offset)
			session->journal_offset = cases[i].offset;
		abi->patch_capacity = cases[i].capacity;
		int r = journal_open(&journal, memory, cases[i].size, NULL);
		tap_ok(r == cases[i].want && (r < 0 || journal.patch_capacity ==
							       cases[i].want_capacity),
			"open: %s", cases[i].name);
	}
}

static void test_patches(void)
{
	static const uint8_t text[16] = {0x55, 0x48, 0x89, 0xe5, 0x90};
	struct journal journal;
	uint32_t index[PATCHES], again;
	int r = 0;

	fill();
	if (!tap_ok(journal_open(&journal, memory, sizeof(memory), NULL) == 0, "open"))
		return;
	for (uint32_t i = 0; i < PATCHES; i++)
		r |= journal_add_patch(&journal, 7, 0x1000 + i, text, 5, &index[i]);
	tap_is_long(r, 0, "records up to the capacity");
	tap_is_long(abi->patch_count, PATCHES, "count is published");
	tap_ok(abi->patches[2].address == 0x1002 && abi->patches[2].live == 1 &&
			abi->patches[2].pid == 7 &&
			!memcmp(abi->patches[2].original, text, 5),
		"a record holds what undoing needs");
	tap_is_long(journal_add_patch(&journal, 7, 1, text, 5, &again), -ENOSPC, "full");
	journal_drop_patch(&journal, index[1]);
	tap_is_long(journal_add_patch(&journal, 8, 0x2000, text, 17, &again), -ENOSPC,
		"more bytes than a record holds");
	tap_is_long(
		journal_add_patch(&journal, 8, 0x2000, text, 5, &again), 0, "room again");
	tap_is_long(again, index[1], "the free record is used");
	journal_drop_process(&journal, 7);
	tap_ok(!abi->patches[0].live && abi->patches[1].live,
		"dropping one process keeps the other's");
	abi->patch_count = UINT32_MAX;
	tap_is_long(journal_patch_count(&journal), PATCHES,
		"a count scribbled over is clamped");
}

static void test_areas(void)
{
	struct journal journal;
	uint32_t index = 0;
	int r = 0;

	fill();
	if (!tap_ok(journal_open(&journal, memory, sizeof(memory), NULL) == 0, "open"))
		return;
	for (int i = 0; i < ABI_JOURNAL_AREAS; i++)
		r |= journal_add_area(
			&journal, 7, 4096u * (unsigned)i, 4096, ABI_JOURNAL_LIVE, &index);
	tap_is_long(r, 0, "areas up to the capacity");
	tap_is_long(journal_add_area(&journal, 7, 1, 1, ABI_JOURNAL_LIVE, &index),
		-ENOSPC, "areas full");
	journal_drop_area(&journal, 5);
	r = journal_add_area(&journal, 7, 1, 1, ABI_JOURNAL_LIVE, &index);
	tap_ok(r == 0 && index == 5, "the free area is used");
}

static void test_select(void)
{
	static const struct {
		const char *name;
		pid_t pid;
		size_t want_patches, want_areas;
	} cases[] = {
		{"own records", 7, 2, 1},
		{"another process", 8, 1, 1},
		{"a fork child nobody followed gets all", 9, 3, 2},
	};
	static const uint8_t text[16] = {0};
	struct journal journal;
	uint32_t index;

	fill();
	if (journal_open(&journal, memory, sizeof(memory), NULL) < 0 ||
		journal_add_area(&journal, 7, 4096, 4096, ABI_JOURNAL_LIVE, &index) < 0 ||
		journal_add_area(&journal, 8, 8192, 4096, ABI_JOURNAL_LIVE, &index) < 0 ||
		journal_add_patch(&journal, 7, 0x10, text, 5, &index) < 0 ||
		journal_add_patch(&journal, 7, 0x20, text, 5, &index) < 0 ||
		journal_add_patch(&journal, 8, 0x30, text, 5, &index) < 0 ||
		journal_add_patch(&journal, 7, 0x40, text, 5, &index) < 0)
		tap_ok(false, "records for selection");
	abi->patches[3].size = 200; /* scribbled over */
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct undo undo = {.pid = cases[i].pid};
		undo_select(&undo, journal.abi, journal_patch_count(&journal),
			journal_area_count(&journal));
		tap_ok(undo.patches.items.count == cases[i].want_patches &&
				undo.areas.items.count == cases[i].want_areas,
			"select: %s", cases[i].name);
		undo_deinit(&undo);
	}
}

int main(void)
{
	test_open();
	test_patches();
	test_areas();
	test_select();
	return tap_done();
}

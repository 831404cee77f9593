/* SPDX-License-Identifier: MIT */
#include "base/vec.h"
#include "elf/kept.h"
#include "elf/module.h"
#include "uprobes/uprobes.h"

static const char scan_name[] = "branches";

struct arch_text *uprobe_text_create(struct elf_module *module)
{
	size_t segment_count, start_count, target_count;
	const struct elf_segment *segments = elf_module_segments(module, &segment_count);
	VEC(struct arch_text_segment) text = {0};
	for (size_t i = 0; i < segment_count; i++)
		vec_append(&text, ((struct arch_text_segment){
					  .address = segments[i].address,
					  .bytes = segments[i].bytes,
					  .size = segments[i].file_size,
					  .is_data = !segments[i].executable,
				  }));
	const uint64_t *starts = elf_module_function_starts(module, &start_count);
	const uint64_t *targets = elf_module_indirect_targets(module, &target_count);
	struct arch_text *ret = arch_text_create(
		text.items, text.count, starts, start_count, targets, target_count);
	vec_free(&text);
	size_t part_count, size;
	const uint64_t *parts = elf_module_part_starts(module, &part_count);
	arch_text_set_parts(ret, parts, part_count);
	const uint8_t *kept = elf_module_kept_bytes(module, scan_name, &size);
	if (kept) {
		struct arch_text_scan scan = {
			(const uint64_t *)(const void *)kept, size / sizeof(uint64_t)};
		arch_text_set_scan(ret, &scan);
	}
	return ret;
}

void uprobe_text_keep(struct elf_module *module, const struct arch_text *text)
{
	struct arch_text_scan scan;
	if (!arch_text_get_scan(text, &scan))
		return;
	struct cache_part part = {scan.refs, scan.count * sizeof(*scan.refs)};
	elf_module_keep(module, scan_name, &part, 1);
}

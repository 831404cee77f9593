/* SPDX-License-Identifier: MIT */
#include "base/vec.h"
#include "elf/module.h"
#include "uprobes/uprobes.h"

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
	return ret;
}

/* SPDX-License-Identifier: MIT */
/* Where a probe goes in Go code: behind every form of the check of the stack. */
#include "elf/dwarf.h"
#include "tap.h"

/* What makes a program one of Go's; its contents do not matter here. */
__asm__(".pushsection .note.go.buildid,\"a\"\n.4byte 4, 4, 4\n.asciz \"Go\\0\"\n.4byte 0\n.popsection\n");

#define FUNCTION(name, code)                                                      \
	__asm__(".text\n.type " #name ", @function\n" #name ":\n" code "\n" #name \
		"_after:\n nop\n ret\n.size " #name ", .-" #name "\n");
/* jumps that the assembler must not shorten, or lengthen */
#define JBE_SHORT ".byte 0x76, 0x20\n"
#define JBE_LONG  ".byte 0x0f, 0x86, 0x20, 0x01, 0x00, 0x00\n"

FUNCTION(go_plain, "cmp 0x10(%r14), %rsp\n" JBE_SHORT)
FUNCTION(go_plain_far, "cmp 0x10(%r14), %rsp\n" JBE_LONG)
FUNCTION(go_frame, "lea -0x40(%rsp), %r12\ncmp 0x10(%r14), %r12\n" JBE_SHORT)
FUNCTION(go_large, "lea -0x4000(%rsp), %r12\ncmp 0x10(%r14), %r12\n" JBE_LONG)
FUNCTION(go_huge, "mov %rsp, %r12\nsub $0x20000, %r12\n.byte 0x72, 0x20\n"
		  "cmp 0x10(%r14), %r12\n" JBE_SHORT)
FUNCTION(go_huge_far,
	"mov %rsp, %r12\nsub $0x20000, %r12\n.byte 0x0f, 0x82, 0x20, 0x01, 0, 0\n"
	"cmp 0x10(%r14), %r12\n" JBE_LONG)
FUNCTION(go_old, "mov %fs:0xfffffffffffffff8, %rcx\ncmp 0x10(%rcx), %rsp\n" JBE_SHORT)
/* no check: the entry itself */
FUNCTION(go_nosplit, "nop\n")
FUNCTION(go_other_compare, "cmp 0x18(%r14), %rsp\n" JBE_SHORT)
FUNCTION(go_other_jump, "cmp 0x10(%r14), %rsp\n.byte 0x77, 0x20\n")

int main(void)
{
	static const struct {
		const char *name;
		bool has_check;
	} cases[] = {{"go_plain", true}, {"go_plain_far", true}, {"go_frame", true},
		{"go_large", true}, {"go_huge", true}, {"go_huge_far", true},
		{"go_old", true}, {"go_nosplit", false}, {"go_other_compare", false},
		{"go_other_jump", false}};
	struct elf_module *self;
	if (elf_module_open("/proc/self/exe", &self, NULL) < 0)
		return 1;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char label[64];
		uint64_t entry = 0, after = 0;
		snprintf(label, sizeof(label), "%s_after", cases[i].name);
		bool known = elf_module_symbol(self, cases[i].name, &entry) &&
			     elf_module_symbol(self, label, &after);
		uint64_t got = elf_dwarf_probe_address(self, entry);
		if (!tap_ok(known && got == (cases[i].has_check ? after : entry), "%s",
			    cases[i].name))
			printf("# entry %#llx after %#llx got %#llx\n",
				(unsigned long long)entry, (unsigned long long)after,
				(unsigned long long)got);
	}
	elf_module_close(self);
	return tap_done();
}

/* SPDX-License-Identifier: MIT */
/*
 * Copies of instructions that do the same somewhere else.  What cannot be copied exactly
 * is refused by relocate_check() when the window is chosen, so relocate_emit() only fails
 * for distance.
 */
#pragma once

#include "arch/x86_64/emit.h"
#include "arch/x86_64/insn.h"

/**
 * relocate_check() - why an instruction may not be displaced at all; NULL: it may
 * @shadow_stack: the process runs with a shadow stack
 */
const char *relocate_check(const struct insn *insn, bool shadow_stack);

/** where a branch of the copy leads */
struct relocate_target {
	bool is_label;    /* a place in the trampoline, patched in later */
	uint64_t address; /* runtime address otherwise */
	size_t at;        /* result: offset of the displacement to patch for a label */
};

/**
 * relocate_emit() - append the copy
 * @bias:   runtime address - insn->address
 * @target: of a direct jump (not a call); see struct relocate_target
 */
void relocate_emit(struct emitter *e, const struct insn *insn, uint64_t bias,
	struct relocate_target *target);

/** relocate_push_size() - bytes of an indirect call's copy before its jump: the return address is
 * pushed there */
unsigned int relocate_push_size(const struct insn *insn, uint64_t bias);

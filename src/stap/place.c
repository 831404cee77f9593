/* SPDX-License-Identifier: MIT */
/* Reading and writing go to the same place: what loads a value says where it would be stored. */
#include <string.h>

#include "stap/target.h"

static bool is_extension(const struct stap_access_op *op)
{
	return op->kind == STAP_ACCESS_SIGN_EXTEND || op->kind == STAP_ACCESS_ZERO_EXTEND;
}

/*
 * A load ends in DEREF SIZE or, of something in a register, REG N; then comes CONST N SHR, when it begins at a bit
 * further up, then an extension.  A whole variable fills its register: the ABI has narrow arguments
 * extended.  A member of a small structure in a register leaves the other bits alone.
 */
bool stap_access_place(
	const struct stap_access *access, bool is_member, struct stap_place *ret)
{
	const struct stap_access_op *ops = access->ops;
	struct stap_place place = {0};
	uint32_t count = access->op_count, bits = 0;

	if (count && is_extension(&ops[count - 1]))
		bits = (uint32_t)ops[--count].value;
	if (count > 2 && ops[count - 1].kind == STAP_ACCESS_SHR &&
		ops[count - 2].kind == STAP_ACCESS_CONST) {
		count -= 2;
		place.bit_offset = (uint32_t)ops[count].value;
	}
	if (!count)
		return false;
	place.size = sizeof(int64_t);
	place.is_register = count == 1 && ops[0].kind == STAP_ACCESS_REG;
	if (place.is_register)
		place.register_number = (int)ops[0].value;
	else if (ops[count - 1].kind == STAP_ACCESS_DEREF)
		place.size = (uint32_t)ops[count - 1].value;
	else
		return false;
	place.op_count = count - 1;
	if ((!place.is_register || is_member) &&
		(place.bit_offset || (bits && bits < place.size * 8)))
		place.bit_size = bits ? bits : place.size * 8 - place.bit_offset;
	*ret = place;
	/* the stack pointer and the instruction pointer are not for scripts */
	return !place.is_register ||
	       (ops[0].value >= 0 && ops[0].value < 16 && ops[0].value != 7);
}

const char *stap_location_name(
	const struct stap_derived_probe *probe, const struct stap_location *location)
{
	bool is_point = !strncmp(probe->pn, "process(", strlen("process(")) ||
			!strncmp(probe->pn, "process.", strlen("process."));

	return location && is_point ? location->pp : probe->pn;
}

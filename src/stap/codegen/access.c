/* SPDX-License-Identifier: MIT */
/* $variables, @cast, @var: the stack machine of struct stap_access, run at compile time.
 */
#include <errno.h>

#include "abi/session.h"
#include "stap/codegen/emit.h"

enum {
	MAX_DEPTH = 64
};

struct machine {
	struct emit_body *b;
	const struct stap_expr *expr;
	LLVMValueRef stack[MAX_DEPTH];
	uint32_t depth;
};

static LLVMValueRef peek(struct machine *m, int64_t below)
{
	if (below < 0 || below >= m->depth) {
		emit_fail(m->b->e, -EINVAL, m->expr->token,
			"location expression underflows");
		return emit_const(m->b, 0);
	}
	return m->stack[m->depth - 1 - (uint32_t)below];
}

static LLVMValueRef pop(struct machine *m)
{
	LLVMValueRef value = peek(m, 0);

	if (m->depth)
		m->depth--;
	return value;
}

static void push(struct machine *m, LLVMValueRef value)
{
	if (m->depth == MAX_DEPTH) {
		emit_fail(m->b->e, -E2BIG, m->expr->token,
			"location expression is too deep");
		return;
	}
	m->stack[m->depth++] = value;
}

/* DWARF register numbers of x86-64 to places in struct abi_regs. */
static LLVMValueRef register_at(struct emit_body *b, int64_t number)
{
	static const size_t offsets[] = {
		offsetof(struct abi_regs, rax),
		offsetof(struct abi_regs, rdx),
		offsetof(struct abi_regs, rcx),
		offsetof(struct abi_regs, rbx),
		offsetof(struct abi_regs, rsi),
		offsetof(struct abi_regs, rdi),
		offsetof(struct abi_regs, rbp),
		0,
		offsetof(struct abi_regs, r8),
		offsetof(struct abi_regs, r9),
		offsetof(struct abi_regs, r10),
		offsetof(struct abi_regs, r11),
		offsetof(struct abi_regs, r12),
		offsetof(struct abi_regs, r13),
		offsetof(struct abi_regs, r14),
		offsetof(struct abi_regs, r15),
	};

	/* a function that was copied for the one probe that calls it */
	LLVMValueRef regs = b->probe ? b->regs : EMIT_CALL(b, rt_regs, b->c);

	return emit_at(b, regs, offsets[number], "register");
}

static LLVMValueRef read_register(struct machine *m, int64_t number)
{
	struct emit_body *b = m->b;

	if (number == 7)
		return b->sp;
	if (number == 16)
		return b->ip;
	if (number < 0 || number > 16 ||
		!(b->probe || (b->function && b->function->is_placed))) {
		emit_fail(b->e, -EINVAL, m->expr->token,
			"register %d cannot be read here", (int)number);
		return emit_const(b, 0);
	}
	return emit_load(b, b->e->i64, register_at(b, number), "register");
}

static LLVMValueRef load_invariant(struct emit_body *b, LLVMValueRef at, const char *name)
{
	LLVMValueRef value = emit_load(b, b->e->i64, at, name);

	LLVMSetMetadata(value, b->e->invariant_kind,
		LLVMMetadataAsValue(
			b->e->context, LLVMMDNodeInContext2(b->e->context, NULL, 0)));
	return value;
}

LLVMValueRef emit_site_word(struct emit_body *b, size_t field, const char *name)
{
	LLVMBuilderRef builder = b->e->builder;
	LLVMValueRef sites = load_invariant(b,
		emit_at(b, b->session, offsetof(struct abi_session, site_offset), ""),
		"sites");
	LLVMValueRef site =
		LLVMBuildMul(builder, LLVMBuildZExt(builder, b->site, b->e->i64, ""),
			emit_const(b, sizeof(struct abi_site)), "");
	LLVMValueRef offset = LLVMBuildAdd(builder, sites, site, "");
	LLVMValueRef at =
		LLVMBuildInBoundsGEP2(builder, b->e->i8, b->session, &offset, 1, "site");
	return load_invariant(b, emit_at(b, at, (int64_t)field, ""), name);
}

/* Where the module is mapped: the probed instruction's address against its link-time
 * address. */
static LLVMValueRef load_bias(struct emit_body *b)
{
	LLVMValueRef link = emit_site_word(
		b, offsetof(struct abi_site, link_address), "link_address");
	return LLVMBuildSub(b->e->builder, b->ip, link, "bias");
}

/* Another file's: the tracer knows where it is. */
static LLVMValueRef module_bias(struct machine *m, const char *path)
{
	struct emit_body *b = m->b;
	LLVMValueRef bias = EMIT_CALL(b, rt_module_bias, b->c, emit_literal(b->e, path));

	emit_check_error(b, m->expr->token);
	return bias;
}

static LLVMValueRef extend(
	struct machine *m, LLVMValueRef value, int64_t bits, bool is_signed)
{
	LLVMBuilderRef builder = m->b->e->builder;

	if (bits <= 0 || bits >= 64)
		return value;
	LLVMValueRef shift = emit_const(m->b, 64 - bits);
	value = LLVMBuildShl(builder, value, shift, "");
	return is_signed ? LLVMBuildAShr(builder, value, shift, "")
			 : LLVMBuildLShr(builder, value, shift, "");
}

static LLVMValueRef compare(struct machine *m, LLVMIntPredicate predicate,
	LLVMValueRef left, LLVMValueRef right)
{
	return emit_from_bool(
		m->b, LLVMBuildICmp(m->b->e->builder, predicate, left, right, ""));
}

/* A divisor read from the program may be anything; DWARF does not say what 0 gives. */
static LLVMValueRef divide(
	struct machine *m, bool rest, LLVMValueRef left, LLVMValueRef right)
{
	struct emit_body *b = m->b;
	LLVMBuilderRef builder = b->e->builder;
	LLVMValueRef is_zero =
		LLVMBuildICmp(builder, LLVMIntEQ, right, emit_const(b, 0), "");
	LLVMValueRef is_minus_one =
		LLVMBuildICmp(builder, LLVMIntEQ, right, emit_const(b, -1), "");
	LLVMValueRef divisor =
		LLVMBuildSelect(builder, LLVMBuildOr(builder, is_zero, is_minus_one, ""),
			emit_const(b, 1), right, "");

	if (rest) /* DW_OP_mod is unsigned */
		return LLVMBuildSelect(builder, is_zero, emit_const(b, 0),
			LLVMBuildURem(builder, left,
				LLVMBuildSelect(builder, is_zero, divisor, right, ""),
				""),
			"");
	LLVMValueRef quotient = LLVMBuildSDiv(builder, left, divisor, "");
	quotient = LLVMBuildSelect(
		builder, is_minus_one, LLVMBuildNeg(builder, left, ""), quotient, "");
	return LLVMBuildSelect(builder, is_zero, emit_const(b, 0), quotient, "");
}

/* DWARF: a count of 64 and more shifts everything out, unlike the processor. */
static LLVMValueRef shift(struct machine *m, enum stap_access_op_kind kind,
	LLVMValueRef left, LLVMValueRef right)
{
	struct emit_body *b = m->b;
	LLVMBuilderRef builder = b->e->builder;
	LLVMValueRef is_big =
		LLVMBuildICmp(builder, LLVMIntUGT, right, emit_const(b, 63), "");
	LLVMValueRef count =
		LLVMBuildSelect(builder, is_big, emit_const(b, 63), right, "");

	if (kind == STAP_ACCESS_SHRA)
		return LLVMBuildAShr(builder, left, count, "");
	return LLVMBuildSelect(builder, is_big, emit_const(b, 0),
		kind == STAP_ACCESS_SHL ? LLVMBuildShl(builder, left, count, "")
					: LLVMBuildLShr(builder, left, count, ""),
		"");
}

static LLVMValueRef binary(struct machine *m, enum stap_access_op_kind kind,
	LLVMValueRef left, LLVMValueRef right)
{
	LLVMBuilderRef builder = m->b->e->builder;

	switch ((int)kind) {
	case STAP_ACCESS_ADD:
		return LLVMBuildAdd(builder, left, right, "");
	case STAP_ACCESS_SUB:
		return LLVMBuildSub(builder, left, right, "");
	case STAP_ACCESS_MUL:
		return LLVMBuildMul(builder, left, right, "");
	case STAP_ACCESS_DIV:
	case STAP_ACCESS_MOD:
		return divide(m, kind == STAP_ACCESS_MOD, left, right);
	case STAP_ACCESS_AND:
		return LLVMBuildAnd(builder, left, right, "");
	case STAP_ACCESS_OR:
		return LLVMBuildOr(builder, left, right, "");
	case STAP_ACCESS_XOR:
		return LLVMBuildXor(builder, left, right, "");
	case STAP_ACCESS_SHL:
	case STAP_ACCESS_SHR:
	case STAP_ACCESS_SHRA:
		return shift(m, kind, left, right);
	case STAP_ACCESS_EQ:
		return compare(m, LLVMIntEQ, left, right);
	case STAP_ACCESS_NE:
		return compare(m, LLVMIntNE, left, right);
	case STAP_ACCESS_LT:
		return compare(m, LLVMIntSLT, left, right);
	case STAP_ACCESS_LE:
		return compare(m, LLVMIntSLE, left, right);
	case STAP_ACCESS_GT:
		return compare(m, LLVMIntSGT, left, right);
	default:
		return compare(m, LLVMIntSGE, left, right);
	}
}

static void rotate(struct machine *m)
{
	LLVMValueRef first = pop(m), second = pop(m), third = pop(m);

	push(m, first);
	push(m, third);
	push(m, second);
}

static void dereference(struct machine *m, int64_t size)
{
	struct emit_body *b = m->b;

	if (size != 1 && size != 2 && size != 4 && size != 8) {
		emit_fail(
			b->e, -EINVAL, m->expr->token, "cannot read %d bytes", (int)size);
		return;
	}
	LLVMValueRef value =
		EMIT_CALL(b, rt_user_read, b->c, pop(m), emit_const32(b, (uint32_t)size));
	emit_check_error(b, m->expr->token);
	push(m, value);
}

static void push_entry_register(struct machine *m, int64_t number)
{
	struct emit_body *b = m->b;
	LLVMValueRef function = pop(m), sp = pop(m);

	push(m, EMIT_CALL(b, rt_entry_register, b->c, function, sp,
			emit_const32(b, (uint32_t)number)));
	emit_check_error(b, m->expr->token);
}

static void push_operand(
	struct machine *m, const struct stap_access *access, int64_t index)
{
	if (index < 0 || index >= access->operand_count) {
		emit_fail(m->b->e, -EINVAL, m->expr->token,
			"location expression is invalid");
		return;
	}
	push(m, emit_long(m->b, access->operands[index]));
}

static void stack_op(struct machine *m, const struct stap_access_op *op)
{
	LLVMValueRef first, second;

	switch ((int)op->kind) {
	case STAP_ACCESS_DUP:
		push(m, peek(m, 0));
		break;
	case STAP_ACCESS_DROP:
		pop(m);
		break;
	case STAP_ACCESS_SWAP:
		first = pop(m);
		second = pop(m);
		push(m, first);
		push(m, second);
		break;
	case STAP_ACCESS_OVER:
		push(m, peek(m, 1));
		break;
	case STAP_ACCESS_PICK:
		push(m, peek(m, op->value));
		break;
	case STAP_ACCESS_ROT:
		rotate(m);
		break;
	default: {
		LLVMValueRef right = pop(m), left = pop(m);
		push(m, binary(m, op->kind, left, right));
	}
	}
}

static void step(struct machine *m, const struct stap_access *access,
	const struct stap_access_op *op)
{
	struct emit_body *b = m->b;
	LLVMBuilderRef builder = b->e->builder;
	LLVMValueRef first;

	switch ((int)op->kind) {
	case STAP_ACCESS_REG:
		push(m, read_register(m, op->value));
		break;
	case STAP_ACCESS_CONST:
		push(m, emit_const(b, op->value));
		break;
	case STAP_ACCESS_STATIC:
		first = access->static_module ? module_bias(m, access->static_module)
					      : load_bias(b);
		push(m, LLVMBuildAdd(builder, first, emit_const(b, op->value), ""));
		break;
	case STAP_ACCESS_OPERAND:
		push_operand(m, access, op->value);
		break;
	case STAP_ACCESS_NEG:
		push(m, LLVMBuildNeg(builder, pop(m), ""));
		break;
	case STAP_ACCESS_NOT:
		push(m, LLVMBuildNot(builder, pop(m), ""));
		break;
	case STAP_ACCESS_DEREF:
		dereference(m, op->value);
		break;
	case STAP_ACCESS_VECTOR:
		push(m, EMIT_CALL(b, rt_vector_read, b->c,
				emit_const32(b, (uint32_t)op->value)));
		emit_check_error(b, m->expr->token);
		break;
	case STAP_ACCESS_THREAD:
		push(m, EMIT_CALL(b, rt_thread_pointer, b->c));
		emit_check_error(b, m->expr->token);
		break;
	case STAP_ACCESS_ENTRY:
		push_entry_register(m, op->value);
		break;
	case STAP_ACCESS_SIGN_EXTEND:
	case STAP_ACCESS_ZERO_EXTEND:
		push(m, extend(m, pop(m), op->value,
				op->kind == STAP_ACCESS_SIGN_EXTEND));
		break;
	default:
		stack_op(m, op);
	}
}

LLVMValueRef emit_access(struct emit_body *b, const struct stap_expr *expr)
{
	const struct stap_access *access = expr->target.access;
	struct machine m = {.b = b, .expr = expr};

	if (!access) {
		emit_fail(b->e, -EINVAL, expr->token, "'$%s' is not resolved",
			expr->target.name);
		return emit_const(b, 0);
	}
	for (uint32_t i = 0; i < access->op_count && !b->e->failed; i++)
		step(&m, access, &access->ops[i]);
	return pop(&m);
}

/* ---- writing
 * ---------------------------------------------------------------------------------- */

struct emit_target emit_target_open(struct emit_body *b, const struct stap_expr *expr)
{
	const struct stap_access *access = expr->target.access;
	struct machine m = {.b = b, .expr = expr};
	struct emit_target target = {.expr = expr, .address = emit_const(b, 0)};

	if (!access || !stap_access_place(
			       access, expr->target.component_count > 0, &target.place)) {
		emit_fail(b->e, -EINVAL, expr->token, "'$%s' cannot be written",
			expr->target.name);
		return target;
	}
	for (uint32_t i = 0; i < target.place.op_count && !b->e->failed; i++)
		step(&m, access, &access->ops[i]);
	if (!target.place.is_register)
		target.address = pop(&m);
	return target;
}

LLVMValueRef emit_target_load(struct emit_body *b, const struct emit_target *target)
{
	const struct stap_access *access = target->expr->target.access;
	struct machine m = {.b = b, .expr = target->expr};

	if (!target->place.is_register)
		push(&m, target->address);
	/* a register is read anew */
	for (uint32_t i = target->place.op_count; i < access->op_count && !b->e->failed;
		i++)
		step(&m, access, &access->ops[i]);
	return pop(&m);
}

static LLVMValueRef old_bits(struct emit_body *b, const struct emit_target *target)
{
	const struct stap_place *place = &target->place;

	if (place->is_register)
		return emit_load(
			b, b->e->i64, register_at(b, place->register_number), "old");
	LLVMValueRef old = EMIT_CALL(
		b, rt_user_read, b->c, target->address, emit_const32(b, place->size));
	emit_check_error(b, target->expr->token);
	return old;
}

void emit_target_store(
	struct emit_body *b, const struct emit_target *target, LLVMValueRef value)
{
	const struct stap_place *place = &target->place;
	LLVMBuilderRef builder = b->e->builder;

	if (b->e->failed)
		return;
	if (place->bit_size) {
		uint64_t mask = (place->bit_size < 64 ? 1ull << place->bit_size : 0) - 1;
		LLVMValueRef old = old_bits(b, target);

		old = LLVMBuildAnd(builder, old,
			emit_const(b, (int64_t) ~(mask << place->bit_offset)), "");
		value = LLVMBuildAnd(builder, value, emit_const(b, (int64_t)mask), "");
		value = LLVMBuildShl(
			builder, value, emit_const(b, place->bit_offset), "");
		value = LLVMBuildOr(builder, old, value, "");
	}
	if (place->is_register) {
		emit_store(b, value, register_at(b, place->register_number));
		return;
	}
	EMIT_CALL(b, rt_user_write, b->c, target->address, value,
		emit_const32(b, place->size));
	emit_check_error(b, target->expr->token);
}

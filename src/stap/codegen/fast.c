/* SPDX-License-Identifier: MIT */
/*
 * The usual course of what the runtime does, inline: entering and leaving a handler, one lock, a record
 * of fixed size, the clock, the pair of entry and return, a value for a statistic.  Whatever is unusual
 * (a thread that is in a handler already, a full ring, a clock that is being written, ...) goes to the
 * runtime's function, which does all of it; so each of these has to agree with its function there:
 *
 *   emit_fast_enter()    rt_enter()            src/runtime/frame.c
 *   emit_fast_leave()    rt_leave()
 *   emit_fast_lock()     rt_lock()             src/runtime/lock.c
 *   emit_fast_reserve()  rt_record_reserve()   src/runtime/ring.c
 *   emit_fast_clock()    rt_fn_gettimeofday_ns() and the others of src/runtime/clock.c
 *   emit_fast_pair_*()   rt_pair_push(), rt_pair_pop()   src/runtime/pair.c
 *   emit_fast_stat()     rt_stat_add_shard()   src/runtime/stat.c
 *
 * Of a context only what is written by somebody is reset: leaving a handler, the usual way or not, puts
 * back what entering one relies on (rt_leave(), enter_slowly()).
 *
 * The traced program may have written over all of it, and in ptrace mode the same code runs in the
 * tracer: what is loaded is bounded before it becomes an address.
 */
#include <string.h>

#include "stap/codegen/emit.h"

#define FIELD(member) offsetof(struct abi_context, member)

/* ---- small steps ---------------------------------------------------------- */

static LLVMValueRef context_at(struct emit_body *b, size_t offset)
{
	return emit_at(b, b->c, offset, "");
}

static LLVMValueRef load_u32(struct emit_body *b, LLVMValueRef base, size_t offset)
{
	return emit_load(b, b->e->i32, emit_at(b, base, offset, ""), "");
}

static LLVMValueRef load_u64(struct emit_body *b, LLVMValueRef base, size_t offset)
{
	return emit_load(b, b->e->i64, emit_at(b, base, offset, ""), "");
}

/* Others write it meanwhile. */
static LLVMValueRef load_shared(struct emit_body *b, LLVMTypeRef type, LLVMValueRef base,
	size_t offset, LLVMAtomicOrdering order)
{
	LLVMValueRef value = emit_load(b, type, emit_at(b, base, offset, ""), "");

	LLVMSetOrdering(value, order);
	LLVMSetAlignment(value, type == b->e->i32 ? 4 : 8);
	return value;
}

static void store_shared(struct emit_body *b, LLVMValueRef value, LLVMValueRef at,
	LLVMAtomicOrdering order)
{
	LLVMValueRef store = LLVMBuildStore(b->e->builder, value, at);

	LLVMSetOrdering(store, order);
	LLVMSetAlignment(store, LLVMTypeOf(value) == b->e->i32 ? 4 : 8);
}

/* Orders our stores as a signal handler of this thread sees them; no instruction. */
static void signal_fence(struct emit_body *b)
{
	LLVMBuildFence(b->e->builder, LLVMAtomicOrderingSequentiallyConsistent, true, "");
}

static LLVMValueRef add(struct emit_body *b, LLVMValueRef left, LLVMValueRef right)
{
	return LLVMBuildAdd(b->e->builder, left, right, "");
}

static LLVMValueRef either(struct emit_body *b, LLVMValueRef left, LLVMValueRef right)
{
	return LLVMBuildOr(b->e->builder, left, right, "");
}

static LLVMValueRef compare(
	struct emit_body *b, LLVMIntPredicate how, LLVMValueRef left, LLVMValueRef right)
{
	return LLVMBuildICmp(b->e->builder, how, left, right, "");
}

static LLVMValueRef widen(struct emit_body *b, LLVMValueRef value)
{
	return LLVMBuildZExt(b->e->builder, value, b->e->i64, "");
}

static LLVMValueRef at_index(struct emit_body *b, LLVMValueRef base, LLVMValueRef offset)
{
	return LLVMBuildInBoundsGEP2(b->e->builder, b->e->i8, base, &offset, 1, "");
}

/* Two ways that come together: the usual one ends in `usual`, the runtime's in `slow`. */
struct ways {
	LLVMBasicBlockRef usual, slow, done;
};

static struct ways fork_ways(struct emit_body *b, LLVMValueRef unusual)
{
	struct ways ways = {
		emit_block(b, "usual"), emit_block(b, "slow"), emit_block(b, "both")};

	emit_cold_branch(b, unusual, ways.slow, ways.usual);
	LLVMPositionBuilderAtEnd(b->e->builder, ways.usual);
	return ways;
}

/* Ends the usual way and goes on with the slow one. */
static void begin_slow(struct emit_body *b, struct ways *ways)
{
	ways->usual = LLVMGetInsertBlock(b->e->builder);
	LLVMBuildBr(b->e->builder, ways->done);
	LLVMPositionBuilderAtEnd(b->e->builder, ways->slow);
}

static LLVMValueRef join_ways(
	struct emit_body *b, struct ways *ways, LLVMValueRef usual, LLVMValueRef slow)
{
	LLVMValueRef values[] = {usual, slow};
	LLVMBasicBlockRef from[] = {ways->usual, LLVMGetInsertBlock(b->e->builder)};

	emit_enter(b, ways->done);
	if (!usual)
		return NULL;
	LLVMValueRef phi = LLVMBuildPhi(b->e->builder, LLVMTypeOf(usual), "");
	LLVMAddIncoming(phi, values, from, 2);
	return phi;
}

static LLVMValueRef call_intrinsic(struct emit_body *b, const char *name,
	LLVMTypeRef overload, LLVMValueRef *args, unsigned count)
{
	struct emit *e = b->e;
	unsigned id = LLVMLookupIntrinsicID(name, strlen(name)), types = overload ? 1 : 0;
	LLVMValueRef function =
		LLVMGetIntrinsicDeclaration(e->module, id, &overload, types);

	return LLVMBuildCall2(e->builder,
		LLVMIntrinsicGetType(e->context, id, &overload, types), function, args,
		count, "");
}

bool emit_is_fast(const struct emit_body *b)
{
	return !b->e->is_lean && !b->e->is_compact;
}

/* ---- the frame ------------------------------------------------------------ */

void emit_fast_enter(struct emit_body *b, const struct emit_use *use,
	LLVMBasicBlockRef entered, LLVMBasicBlockRef refused)
{
	LLVMBuilderRef builder = b->e->builder;
	LLVMBasicBlockRef usual = emit_block(b, "usual"), slow = emit_block(b, "slow");
	LLVMValueRef state = load_shared(b, b->e->i32, b->session,
		offsetof(struct abi_session, state), LLVMAtomicOrderingMonotonic);
	LLVMValueRef depth = load_u32(b, b->c, FIELD(depth));

	state = LLVMBuildXor(builder, state, emit_const32(b, ABI_STATE_RUNNING), "");
	emit_cold_branch(b, emit_is_true(b, either(b, state, depth)), slow, usual);

	LLVMPositionBuilderAtEnd(builder, usual);
	emit_store(b, b->sp, context_at(b, FIELD(depth_sp)));
	emit_store(b, emit_const32(b, 1), context_at(b, FIELD(depth)));
	signal_fence(b);
	emit_store(b, b->site, context_at(b, FIELD(site)));
	emit_store(b, LLVMBuildPtrToInt(builder, b->regs, b->e->i64, ""),
		context_at(b, FIELD(regs)));
	emit_store(b, b->sp, context_at(b, FIELD(probe_sp)));
	emit_store(b, b->ip, context_at(b, FIELD(probe_ip)));
	if (use->walks_stacks)
		emit_store(b, emit_const32(b, 0), context_at(b, FIELD(frame_count)));
	LLVMBuildBr(builder, entered);

	LLVMPositionBuilderAtEnd(builder, slow);
	LLVMValueRef ok = EMIT_CALL(b, rt_enter, b->c, b->regs, b->sp, b->ip, b->site);
	emit_branch(b, emit_is_true(b, ok), entered, refused);
}

static LLVMValueRef lock_at(struct emit_body *b, uint32_t lock)
{
	return emit_at(b, b->session, ABI_GLOBALS_OFFSET + lock * sizeof(struct abi_lock),
		"lock");
}

static LLVMValueRef writer_value(struct emit_body *b)
{
	return LLVMBuildOr(b->e->builder, load_u32(b, b->c, FIELD(slot)),
		emit_const32(b, 0x80000000u), "owner");
}

/* For writing, by a handler that holds none yet.  The entry in held[] comes first: a thread that is
 * killed right after the exchange has one. */
LLVMValueRef emit_fast_lock(struct emit_body *b, uint32_t lock)
{
	LLVMBuilderRef builder = b->e->builder;
	LLVMValueRef held =
		LLVMConstInt(b->e->i16, lock | (unsigned)ABI_HELD_WRITING, false);

	emit_store(b, held, context_at(b, FIELD(held)));
	signal_fence(b);
	emit_store(b, emit_const32(b, 1), context_at(b, FIELD(locks_held)));
	signal_fence(b);
	LLVMValueRef pair = LLVMBuildAtomicCmpXchg(builder, lock_at(b, lock),
		emit_const32(b, 0), writer_value(b), LLVMAtomicOrderingAcquire,
		LLVMAtomicOrderingMonotonic, false);
	LLVMValueRef taken = LLVMBuildExtractValue(builder, pair, 1, "taken");
	struct ways ways = fork_ways(b, LLVMBuildNot(builder, taken, ""));
	begin_slow(b, &ways);
	emit_store(b, emit_const32(b, 0), context_at(b, FIELD(locks_held)));
	LLVMValueRef slow =
		EMIT_CALL(b, rt_lock, b->c, emit_const32(b, lock), emit_const32(b, 1));
	return join_ways(b, &ways, LLVMConstInt(b->e->i8, 1, false), slow);
}

/* @lock: the only one that is held, for writing; negative: none is */
void emit_fast_leave(struct emit_body *b, int lock)
{
	LLVMValueRef error = load_u32(b, b->c, FIELD(error));
	LLVMValueRef locks = load_u32(b, b->c, FIELD(locks_held));
	LLVMValueRef odd =
		LLVMBuildXor(b->e->builder, locks, emit_const32(b, lock >= 0), "");
	LLVMValueRef unusual = emit_is_true(b, either(b, error, odd));

	if (lock >= 0) {
		LLVMValueRef value = load_shared(b, b->e->i32, lock_at(b, (uint32_t)lock),
			0, LLVMAtomicOrderingMonotonic);
		unusual =
			either(b, unusual, compare(b, LLVMIntNE, value, writer_value(b)));
	}
	struct ways ways = fork_ways(b, unusual);
	if (lock >= 0) {
		emit_store(b, emit_const32(b, 0), context_at(b, FIELD(locks_held)));
		signal_fence(b);
		store_shared(b, emit_const32(b, 0), lock_at(b, (uint32_t)lock),
			LLVMAtomicOrderingRelease);
	}
	emit_store(b, emit_const(b, 0), context_at(b, FIELD(stamp)));
	signal_fence(b);
	emit_store(b, emit_const32(b, 0), context_at(b, FIELD(depth)));
	begin_slow(b, &ways);
	EMIT_CALL(b, rt_leave, b->c);
	join_ways(b, &ways, NULL, NULL);
}

/* ---- time ----------------------------------------------------------------- */

static LLVMValueRef read_ticks(struct emit_body *b)
{
	return call_intrinsic(b, "llvm.readcyclecounter", NULL, NULL, 0);
}

static LLVMValueRef ticks_are_unusable(struct emit_body *b)
{
	LLVMValueRef flags = load_u32(b, b->session, offsetof(struct abi_session, flags));

	return emit_is_true(b, LLVMBuildAnd(b->e->builder, flags,
				       emit_const32(b, ABI_FLAG_TSC_UNUSABLE), ""));
}

static LLVMValueRef ticks_to_ns(
	struct emit_body *b, LLVMValueRef ticks, LLVMValueRef mult)
{
	LLVMBuilderRef builder = b->e->builder;
	LLVMTypeRef wide = LLVMIntTypeInContext(b->e->context, 128);
	LLVMValueRef product =
		LLVMBuildMul(builder, LLVMBuildZExt(builder, ticks, wide, ""),
			LLVMBuildZExt(builder, mult, wide, ""), "");

	product = LLVMBuildLShr(builder, product, LLVMConstInt(wide, 32, false), "");
	return LLVMBuildTrunc(builder, product, b->e->i64, "");
}

/* Records of this run of the handler may carry the same stamp: it was read under the same locks, and
 * reading the counter once more would be most of what a record costs. */
static void offer_stamp(struct emit_body *b, LLVMValueRef ticks)
{
	LLVMValueRef at = context_at(b, FIELD(stamp)),
		     old = emit_load(b, b->e->i64, at, "");

	emit_store(b,
		LLVMBuildSelect(b->e->builder, emit_is_true(b, old), old, ticks, ""), at);
}

static LLVMValueRef clock_now(struct emit_body *b, bool wall, LLVMValueRef *ret_unusual)
{
	const size_t clock = offsetof(struct abi_session, clock);
	size_t base_at = wall ? offsetof(struct abi_clock, wall_base)
			      : offsetof(struct abi_clock, mono_base);
	LLVMBuilderRef builder = b->e->builder;
	LLVMValueRef before = load_shared(b, b->e->i32, b->session,
		clock + offsetof(struct abi_clock, sequence), LLVMAtomicOrderingAcquire);
	LLVMValueRef base = load_shared(
		b, b->e->i64, b->session, clock + base_at, LLVMAtomicOrderingMonotonic);
	LLVMValueRef start = load_shared(b, b->e->i64, b->session,
		clock + offsetof(struct abi_clock, tsc_base),
		LLVMAtomicOrderingMonotonic);
	LLVMValueRef mult = load_shared(b, b->e->i64, b->session,
		clock + offsetof(struct abi_clock, mult), LLVMAtomicOrderingMonotonic);
	LLVMValueRef now = read_ticks(b);
	LLVMBuildFence(builder, LLVMAtomicOrderingAcquire, false, "");
	LLVMValueRef after = load_shared(b, b->e->i32, b->session,
		clock + offsetof(struct abi_clock, sequence),
		LLVMAtomicOrderingMonotonic);

	/* another core's counter may be a few ticks behind the tracer's */
	LLVMValueRef ticks = LLVMBuildSub(builder, now, start, "");
	LLVMValueRef behind = compare(b, LLVMIntSLT, ticks, emit_const(b, 0));
	ticks = LLVMBuildSelect(builder, behind, emit_const(b, 0), ticks, "");
	offer_stamp(b, now);
	LLVMValueRef odd = LLVMBuildAnd(builder, before, emit_const32(b, 1), "");
	odd = either(b, odd, LLVMBuildXor(builder, before, after, ""));
	*ret_unusual = either(b, emit_is_true(b, odd), ticks_are_unusable(b));
	return add(b, base, ticks_to_ns(b, ticks, mult));
}

bool emit_fast_clock(
	struct emit_body *b, const struct stap_intrinsic *intrinsic, LLVMValueRef *ret)
{
	static const struct {
		const char *symbol;
		bool wall;
		int64_t unit;
	} clocks[] = {
		{"rt_fn_gettimeofday_ns", true, 1},
		{"rt_fn_gettimeofday_us", true, 1000},
		{"rt_fn_gettimeofday_ms", true, 1000000},
		{"rt_fn_gettimeofday_s", true, 1000000000},
		{"rt_fn_local_clock_ns", false, 1},
		{"rt_fn_local_clock_us", false, 1000},
		{"rt_fn_local_clock_ms", false, 1000000},
		{"rt_fn_local_clock_s", false, 1000000000},
	};
	LLVMValueRef unusual, ns;

	for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
		if (!emit_is_fast(b) || strcmp(intrinsic->symbol, clocks[i].symbol) != 0)
			continue;
		ns = clock_now(b, clocks[i].wall, &unusual);
		struct ways ways = fork_ways(b, unusual);
		if (clocks[i].unit > 1)
			ns = LLVMBuildUDiv(
				b->e->builder, ns, emit_const(b, clocks[i].unit), "");
		begin_slow(b, &ways);
		struct emit_callee callee = emit_intrinsic(b->e, intrinsic);
		LLVMValueRef slow = LLVMBuildCall2(
			b->e->builder, callee.type, callee.function, &b->c, 1, "");
		*ret = join_ways(b, &ways, ns, slow);
		return true;
	}
	return false;
}

/* ---- records -------------------------------------------------------------- */

static void put_header(struct emit_body *b, LLVMValueRef at, uint32_t kind, uint32_t id,
	LLVMValueRef need)
{
	LLVMBuilderRef builder = b->e->builder;
	LLVMValueRef stamp = context_at(b, FIELD(stamp)),
		     had = emit_load(b, b->e->i64, stamp, "");
	LLVMBasicBlockRef from = LLVMGetInsertBlock(builder),
			  read = emit_block(b, "read"), done = emit_block(b, "stamped");

	emit_branch(b, emit_is_true(b, had), done, read);
	LLVMPositionBuilderAtEnd(builder, read);
	LLVMValueRef now = read_ticks(b);
	emit_store(b, now, stamp);
	emit_enter(b, done);
	LLVMValueRef phi = LLVMBuildPhi(builder, b->e->i64, "");
	LLVMAddIncoming(
		phi, (LLVMValueRef[]){had, now}, (LLVMBasicBlockRef[]){from, read}, 2);
	/* size, kind, reserved */
	emit_store(b, either(b, need, emit_const(b, (int64_t)kind << 32)), at);
	emit_store(b, phi, emit_at(b, at, offsetof(struct abi_record, stamp), ""));
	emit_store(b, emit_const(b, id),
		emit_at(b, at, offsetof(struct abi_record, id), ""));
}

LLVMValueRef emit_fast_reserve(
	struct emit_body *b, uint32_t kind, uint32_t id, LLVMValueRef payload)
{
	LLVMBuilderRef builder = b->e->builder;
	LLVMValueRef need =
		add(b, widen(b, payload), emit_const(b, sizeof(struct abi_record)));
	LLVMValueRef size = widen(
		b, load_u32(b, b->session, offsetof(struct abi_session, ring_size)));
	LLVMValueRef head = load_u64(b, b->c, FIELD(ring_head));
	LLVMValueRef end = add(b, head, need);
	LLVMValueRef at = LLVMBuildAnd(
		builder, head, LLVMBuildSub(builder, size, emit_const(b, 1), ""), "");
	LLVMValueRef used = LLVMBuildSub(
		builder, end, load_u64(b, b->c, FIELD(ring_cached_tail)), "");
	LLVMValueRef unusual = either(b, compare(b, LLVMIntUGT, used, size),
		compare(b, LLVMIntUGT, add(b, at, need), size));
	struct ways ways = fork_ways(b, either(b, unusual, ticks_are_unusable(b)));

	LLVMValueRef slot = widen(b, load_u32(b, b->c, FIELD(slot)));
	LLVMValueRef ring = add(b, LLVMBuildMul(builder, slot, size, ""),
		load_u64(b, b->session, offsetof(struct abi_session, ring_offset)));
	LLVMValueRef record = at_index(b, b->session, add(b, ring, at));
	emit_store(b, end, context_at(b, FIELD(ring_next)));
	put_header(b, record, kind, id, need);
	LLVMValueRef usual = emit_at(b, record, sizeof(struct abi_record), "payload");
	begin_slow(b, &ways);
	LLVMValueRef slow = EMIT_CALL(b, rt_record_reserve, b->c, emit_const32(b, kind),
		emit_const32(b, id), payload);
	return join_ways(b, &ways, usual, slow);
}

void emit_fast_commit(struct emit_body *b)
{
	LLVMValueRef next = load_u64(b, b->c, FIELD(ring_next));

	store_shared(b, next, context_at(b, FIELD(ring_head)), LLVMAtomicOrderingRelease);
}

/* ---- entry and return ----------------------------------------------------- */

/* KEEP IN SYNC: pair_foot (src/runtime/pair.c) */
enum {
	FOOT_SP = 0,
	FOOT_GROUP = 8,
	FOOT_SIZE = 12,
	FOOT = 16
};

static uint32_t block_size(uint32_t size)
{
	return ((size + 7u) & ~7u) + FOOT;
}

/* Behind the shards: the session's pair_offset. */
static LLVMValueRef pair_at(struct emit_body *b, LLVMValueRef top, int64_t offset)
{
	LLVMValueRef index =
		add(b, top, emit_const(b, (int64_t)b->e->result->context_size + offset));

	return at_index(b, b->c, index);
}

/* Usual: below is nothing, or a block of a frame further out that waits for its return. */
LLVMValueRef emit_fast_pair_push(struct emit_body *b, LLVMValueRef group, uint32_t size)
{
	LLVMBuilderRef builder = b->e->builder;
	uint32_t need = block_size(size);
	LLVMValueRef top = widen(b, load_u32(b, b->c, FIELD(pair_top)));
	LLVMValueRef end = add(b, top, emit_const(b, need));
	LLVMValueRef limit = widen(b, load_u32(b, b->c, FIELD(pair_limit)));
	LLVMValueRef unusual = either(b, compare(b, LLVMIntUGT, end, limit),
		compare(b, LLVMIntUGT, end, emit_const(b, ABI_CONTEXT_PAIR_MAX)));
	LLVMBasicBlockRef room = emit_block(b, "room"), look = emit_block(b, "look"),
			  push = emit_block(b, "push");
	struct ways ways = {.slow = emit_block(b, "slow"), .done = emit_block(b, "both")};

	emit_cold_branch(b, unusual, ways.slow, room);
	LLVMPositionBuilderAtEnd(builder, room);
	emit_branch(b, compare(b, LLVMIntULT, top, emit_const(b, FOOT)), push, look);
	LLVMPositionBuilderAtEnd(builder, look);
	LLVMValueRef foot = pair_at(b, top, -FOOT);
	LLVMValueRef dead = compare(
		b, LLVMIntEQ, load_u32(b, foot, FOOT_GROUP), emit_const32(b, UINT32_MAX));
	LLVMValueRef inner = compare(b, LLVMIntULE, load_u64(b, foot, FOOT_SP), b->sp);
	emit_cold_branch(b, either(b, dead, inner), ways.slow, push);

	LLVMPositionBuilderAtEnd(builder, push);
	foot = pair_at(b, end, -FOOT);
	emit_store(b, b->sp, foot);
	emit_store(b, either(b, widen(b, group), emit_const(b, (int64_t)need << 32)),
		emit_at(b, foot, FOOT_GROUP, ""));
	emit_store(b, LLVMBuildTrunc(builder, end, b->e->i32, ""),
		context_at(b, FIELD(pair_top)));
	LLVMValueRef usual = pair_at(b, top, 0);
	begin_slow(b, &ways);
	LLVMValueRef slow =
		EMIT_CALL(b, rt_pair_push, b->c, group, b->sp, emit_const32(b, size));
	return join_ways(b, &ways, usual, slow);
}

/* Usual: it is the block on top.  What is in it stays readable until the next push. */
LLVMValueRef emit_fast_pair_pop(struct emit_body *b, LLVMValueRef group, uint32_t size)
{
	LLVMBuilderRef builder = b->e->builder;
	uint32_t need = block_size(size);
	LLVMValueRef top = widen(b, load_u32(b, b->c, FIELD(pair_top)));
	LLVMValueRef start = LLVMBuildSub(builder, top, emit_const(b, need), "");
	LLVMBasicBlockRef look = emit_block(b, "look"), pop = emit_block(b, "pop");
	struct ways ways = {.slow = emit_block(b, "slow"), .done = emit_block(b, "both")};

	/* below `need` the difference is huge */
	emit_cold_branch(b,
		compare(b, LLVMIntUGT, start,
			emit_const(b, ABI_CONTEXT_PAIR_MAX - (int64_t)need)),
		ways.slow, look);
	LLVMPositionBuilderAtEnd(builder, look);
	LLVMValueRef foot = pair_at(b, top, -FOOT);
	LLVMValueRef other = compare(b, LLVMIntNE, load_u64(b, foot, FOOT_SP), b->sp);
	LLVMValueRef kind = compare(b, LLVMIntNE, load_u64(b, foot, FOOT_GROUP),
		either(b, widen(b, group), emit_const(b, (int64_t)need << 32)));
	emit_cold_branch(b, either(b, other, kind), ways.slow, pop);

	LLVMPositionBuilderAtEnd(builder, pop);
	emit_store(b, LLVMBuildTrunc(builder, start, b->e->i32, ""),
		context_at(b, FIELD(pair_top)));
	LLVMValueRef usual = pair_at(b, start, 0);
	begin_slow(b, &ways);
	LLVMValueRef slow = EMIT_CALL(b, rt_pair_pop, b->c, group, b->sp);
	return join_ways(b, &ways, usual, slow);
}

/* ---- statistics ----------------------------------------------------------- */

static LLVMValueRef stat_at(struct emit_body *b, LLVMValueRef stat, size_t offset)
{
	return emit_at(b, stat, offset, "");
}

static void keep_extreme(struct emit_body *b, LLVMValueRef stat, size_t offset,
	LLVMIntPredicate replaces, LLVMValueRef value)
{
	LLVMValueRef at = stat_at(b, stat, offset), old = emit_load(b, b->e->i64, at, "");
	LLVMValueRef more = compare(b, replaces, value, old);

	emit_store(b, LLVMBuildSelect(b->e->builder, more, value, old, ""), at);
}

static void step_bucket(struct emit_body *b, LLVMValueRef stat, LLVMValueRef value)
{
	LLVMBuilderRef builder = b->e->builder;
	LLVMValueRef negative = compare(b, LLVMIntSLT, value, emit_const(b, 0));
	LLVMValueRef size = LLVMBuildSelect(
		builder, negative, LLVMBuildNeg(builder, value, ""), value, "");
	LLVMValueRef zeros = call_intrinsic(b, "llvm.ctlz", b->e->i64,
		(LLVMValueRef[]){size,
			LLVMConstInt(LLVMInt1TypeInContext(b->e->context), 0, false)},
		2);
	/* of 128 buckets 64 is that of 0; 64 - zeros bits further is that of the value */
	LLVMValueRef below = zeros,
		     above = LLVMBuildSub(builder, emit_const(b, 128), zeros, "");
	LLVMValueRef bucket = LLVMBuildSelect(builder, negative, below, above, "bucket");
	LLVMValueRef at = at_index(b, stat,
		add(b, LLVMBuildShl(builder, bucket, emit_const(b, 3), ""),
			emit_const(b, offsetof(struct abi_stat, buckets))));

	emit_store(b, add(b, emit_load(b, b->e->i64, at, ""), emit_const(b, 1)), at);
}

void emit_fast_stat_add(struct emit_body *b, const struct stap_var *var,
	LLVMValueRef stat, LLVMValueRef value)
{
	LLVMValueRef count = load_u64(b, stat, offsetof(struct abi_stat, count));

	emit_store(b, add(b, count, emit_const(b, 1)),
		stat_at(b, stat, offsetof(struct abi_stat, count)));
	emit_store(b, add(b, load_u64(b, stat, offsetof(struct abi_stat, sum)), value),
		stat_at(b, stat, offsetof(struct abi_stat, sum)));
	keep_extreme(b, stat, offsetof(struct abi_stat, min), LLVMIntSLT, value);
	keep_extreme(b, stat, offsetof(struct abi_stat, max), LLVMIntSGT, value);
	if (emit_global(b->e, var)->stat.hist == ABI_HIST_LOG)
		step_bucket(b, stat, value);
}

/* Usual: the shard has values of this epoch. */
void emit_fast_stat(struct emit_body *b, const struct stap_var *var, LLVMValueRef desc,
	LLVMValueRef value)
{
	const struct codegen_global *g = emit_global(b->e, var);
	LLVMValueRef global = emit_global_at(b, var),
		     shard = context_at(b, g->shard_offset);
	LLVMValueRef epoch = load_shared(b, b->e->i64, global,
		offsetof(struct abi_shared_stat, epoch), LLVMAtomicOrderingMonotonic);
	LLVMValueRef count = load_u64(b, shard, offsetof(struct abi_stat, count));
	LLVMValueRef old = compare(b, LLVMIntNE, epoch,
		load_u64(b, shard, offsetof(struct abi_stat, epoch)));
	struct ways ways = fork_ways(
		b, either(b, old, compare(b, LLVMIntEQ, count, emit_const(b, 0))));

	emit_fast_stat_add(b, var, shard, value);
	begin_slow(b, &ways);
	EMIT_CALL(b, rt_stat_add_shard, b->c, global, emit_const32(b, g->shard_offset),
		desc, value);
	join_ways(b, &ways, NULL, NULL);
}

bool emit_fast_stat_fits(struct emit_body *b, const struct stap_var *var)
{
	const struct abi_stat_desc *desc = &emit_global(b->e, var)->stat;

	return emit_is_fast(b) && desc->variance_shift & ABI_STAT_NO_VARIANCE &&
	       desc->hist != ABI_HIST_LINEAR;
}

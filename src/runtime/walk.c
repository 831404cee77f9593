/* SPDX-License-Identifier: MIT */
/*
 * The frames of the stack that a handler runs on, by tables that the tracer has prepared (abi/unwind.h):
 * no trap and no question.  Memory of the program is read by loads that may fault; the tables can be
 * written by the program, and are checked.
 *
 * Code without a table is tried by its frame pointer, as compilers of JavaScript, Java and Go keep it; it
 * is believed when it leads up the stack and to code.
 */
#include <stddef.h>

#include "abi/unwind.h"
#include "runtime/internal.h"

enum {
	WORD = 8,
	FRAME_SPAN = 1 << 20, /* a frame pointer leads no further up */
	PLT_MASK = 15,
	LOWEST_CODE = 65536, /* as mmap_min_addr is */
};
#define HIGHEST_CODE ((1ull << 47) - 1)

/* Where the value of a register of the frame is: most are never asked for. */
struct value {
	uint64_t address; /* 0: here */
	uint64_t here;
};

struct walk {
	struct abi_context *context;
	const struct abi_session *session;
	struct abi_unwind_memo *memos;
	const struct abi_unwind_range *ranges;
	uint32_t range_count;
	uint32_t sequence;
	uint64_t pc, sp;
	struct value registers[ABI_UNWIND_SAVED];
	uint32_t lost; /* bit N: registers[N] is not known */
	bool is_exact; /* pc is not a return address */
	bool is_bad;   /* memory cannot be read */
	bool is_edge;  /* the return address is where sp is */
};

enum step {
	STEP_ON,
	STEP_END,
	STEP_ASK,
};

/* ---- tables -------------------------------------------------------------- */

static const void *part_of(
	const struct abi_session *s, uint64_t offset, uint64_t count, uint64_t size)
{
	uint64_t total = s->total_size;
	if (offset % 4 || offset > total || count > (total - offset) / size)
		return NULL;
	return (const char *)s + offset;
}

static const struct abi_unwind_process *find_process(
	const struct abi_session *s, uint32_t pid)
{
	const struct abi_unwind_process *processes =
		part_of(s, s->unwind_offset, ABI_UNWIND_PROCESSES, sizeof(*processes));
	for (uint32_t i = 0; processes && i < ABI_UNWIND_PROCESSES; i++) {
		const struct abi_unwind_process *p =
			&processes[(pid + i) % ABI_UNWIND_PROCESSES];
		uint32_t found = __atomic_load_n(&p->pid, __ATOMIC_ACQUIRE);
		if (found == pid)
			return p;
		if (!found)
			break;
	}
	return NULL;
}

static const struct abi_unwind_range *find_range(const struct walk *w, uint64_t address)
{
	uint32_t low = 0, high = w->range_count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (w->ranges[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low || address >= w->ranges[low - 1].end)
		return NULL;
	return &w->ranges[low - 1];
}

/* NULL: the table is no table. */
static const struct abi_unwind_rule *find_rule(
	const struct walk *w, const struct abi_unwind_range *range, uint64_t address)
{
	const struct abi_session *s = w->session;
	const struct abi_unwind_table *table =
		part_of(s, range->table, 1, sizeof(*table));
	if (!table)
		return NULL;
	uint32_t row_count = table->row_count, rule_count = table->rule_count,
		 block_count = table->block_count;
	const uint32_t *rows = part_of(s, table->rows, row_count, sizeof(*rows));
	const uint16_t *places = part_of(s, table->places, row_count, sizeof(*places));
	const uint32_t *blocks = part_of(s, table->blocks, block_count, sizeof(*blocks));
	const struct abi_unwind_rule *rules =
		part_of(s, table->rules, rule_count, sizeof(*rules));
	uint64_t at = address - range->base;
	uint64_t block = at >> ABI_UNWIND_BLOCK_SHIFT;
	if (!rows || !places || !blocks || !rules || block >= block_count)
		return NULL;
	uint32_t row = blocks[block];
	while (row < row_count && row + 1 < row_count && rows[row + 1] <= at)
		row++;
	if (row >= row_count || places[row] >= rule_count)
		return NULL;
	return &rules[places[row]];
}

/* ---- memory -------------------------------------------------------------- */

static inline uint64_t read_word(struct walk *w, uint64_t address)
{
	struct rt_read r = rt_read_here(w->context, address, WORD);
	if (RT_UNLIKELY(r.fault)) {
		w->is_bad = true;
		return 0;
	}
	return r.value;
}

static uint64_t read_register(struct walk *w, uint32_t number)
{
	struct value *value = &w->registers[number];
	if (w->lost >> number & 1) {
		w->is_bad = true;
		return 0;
	}
	if (value->address)
		*value = (struct value){.here = read_word(w, value->address)};
	return value->here;
}

static inline uint64_t place_address(struct walk *w, int16_t place, uint64_t frame)
{
	uint64_t base = frame;
	switch (place & ABI_UNWIND_PLACE_MASK) {
	case ABI_UNWIND_AT_RBP:
		base = read_register(w, ABI_UNWIND_RBP);
		break;
	case ABI_UNWIND_AT_RSP:
		base = w->sp;
		break;
	default:
		break;
	}
	int64_t words = place >> ABI_UNWIND_PLACE_SHIFT;
	return base + (uint64_t)(words * WORD);
}

/* ---- one frame ----------------------------------------------------------- */

static inline bool find_frame(
	struct walk *w, const struct abi_unwind_rule *rule, uint64_t *ret)
{
	uint64_t base = w->sp, offset = (uint64_t)(int64_t)rule->frame_offset;
	if (rule->frame == ABI_UNWIND_FRAME_PLT) {
		*ret = w->sp + WORD + ((w->pc & PLT_MASK) >= offset ? WORD : 0);
		return true;
	}
	if (rule->frame_register < ABI_UNWIND_SAVED) {
		if (w->lost >> rule->frame_register & 1)
			return false;
		base = read_register(w, rule->frame_register);
	}
	*ret = base + offset;
	if (rule->frame == ABI_UNWIND_FRAME_MEMORY)
		*ret = read_word(w, *ret);
	return !w->is_bad;
}

static inline void restore_one(
	struct walk *w, int16_t place, uint32_t number, uint64_t frame)
{
	if ((place & ABI_UNWIND_PLACE_MASK) == ABI_UNWIND_LOST) {
		w->lost |= 1u << number;
		return;
	}
	w->registers[number].address = place_address(w, place, frame);
	w->lost &= ~(1u << number);
}

static inline void restore_registers(
	struct walk *w, const struct abi_unwind_rule *rule, uint64_t frame)
{
	uint32_t others =
		rule->saves & ((1u << ABI_UNWIND_SAVED) - 1) & ~(1u << ABI_UNWIND_RBP);
	for (; others; others &= others - 1) {
		uint32_t i = (uint32_t)__builtin_ctz(others);
		restore_one(w, rule->saved[i], i, frame);
	}
	/* last: places of others may be told by it */
	if (rule->saves >> ABI_UNWIND_RBP & 1)
		restore_one(w, rule->saved[ABI_UNWIND_RBP], ABI_UNWIND_RBP, frame);
}

static enum step step_by_rule(struct walk *w, const struct abi_unwind_rule *rule)
{
	uint64_t frame;
	if (rule->frame == ABI_UNWIND_FRAME_END)
		return STEP_END;
	if (rule->frame == ABI_UNWIND_FRAME_UNKNOWN || !find_frame(w, rule, &frame))
		return w->is_bad ? STEP_END : STEP_ASK;
	uint64_t return_address =
		read_word(w, place_address(w, rule->return_address, frame));
	restore_registers(w, rule, frame);
	/* a stack that does not go up is none; only a signal may have changed to another one */
	if (w->is_bad || frame % WORD || (frame <= w->sp && !rule->is_signal))
		return STEP_END;
	w->sp = frame;
	w->pc = return_address;
	w->is_exact = rule->is_signal;
	return STEP_ON;
}

static enum step step_by_frame_pointer(struct walk *w)
{
	if (w->is_edge) { /* there is no frame of this function, or not any more */
		w->pc = read_word(w, w->sp);
		w->sp += WORD;
		w->is_exact = false;
		return w->is_bad ? STEP_END : STEP_ON;
	}
	if (w->lost >> ABI_UNWIND_RBP & 1)
		return STEP_END;
	uint64_t frame = read_register(w, ABI_UNWIND_RBP);
	if (w->is_bad || frame % WORD || frame - w->sp >= FRAME_SPAN)
		return STEP_END;
	uint64_t return_address = read_word(w, frame + WORD);
	if (w->is_bad || return_address < LOWEST_CODE || return_address > HIGHEST_CODE)
		return STEP_END;
	if (!find_range(w, return_address - 1))
		return STEP_ASK; /* code may have come since */
	w->registers[ABI_UNWIND_RBP].address = frame;
	w->lost = ((1u << ABI_UNWIND_SAVED) - 1) & ~(1u << ABI_UNWIND_RBP);
	w->sp = frame + 2 * WORD;
	w->pc = return_address;
	w->is_exact = false;
	return STEP_ON;
}

static RT_NOINLINE enum step step_slowly(
	struct walk *w, uint64_t at, struct abi_unwind_memo *memo)
{
	const struct abi_unwind_range *range = find_range(w, at);
	if (!range || range->kind == ABI_UNWIND_ASK)
		return STEP_ASK;
	if (range->kind == ABI_UNWIND_BARE)
		return step_by_frame_pointer(w);
	const struct abi_unwind_rule *rule = find_rule(w, range, at);
	if (!rule || rule->frame == ABI_UNWIND_FRAME_NONE)
		return step_by_frame_pointer(w);
	*memo = (struct abi_unwind_memo){.pc = at,
		.rule = (uint32_t)((const char *)rule - (const char *)w->session -
				   (int64_t)w->session->unwind_offset),
		.sequence = w->sequence};
	return step_by_rule(w, rule);
}

/* The same callers come again and again. */
static inline enum step step(struct walk *w)
{
	uint64_t at = w->pc - !w->is_exact;
	struct abi_unwind_memo *memo = &w->memos[(at ^ at >> 7) % ABI_UNWIND_MEMOS];
	if (RT_UNLIKELY(memo->pc != at || memo->sequence != w->sequence))
		return step_slowly(w, at, memo);
	const struct abi_unwind_rule *rule = part_of(
		w->session, w->session->unwind_offset + memo->rule, 1, sizeof(*rule));
	return rule ? step_by_rule(w, rule) : STEP_ASK;
}

/* ---- a stack ------------------------------------------------------------- */

static bool begin(struct walk *w, const struct abi_unwind_process *p, uint32_t sequence)
{
	uint32_t which = sequence & 1;
	w->range_count = p->counts[which];
	w->ranges =
		part_of(w->session, p->lists[which], w->range_count, sizeof(*w->ranges));
	return w->range_count && w->ranges;
}

static bool walk_all(struct walk *w, uint64_t *frames, uint32_t limit, uint32_t *count)
{
	enum step next = STEP_ON;
	for (*count = 0; *count < limit && next == STEP_ON;) {
		if (!w->pc)
			break;
		frames[(*count)++] = w->pc;
		if (*count < limit)
			next = step(w);
		w->is_edge = false;
	}
	return next != STEP_ASK;
}

bool rt_walk(struct abi_context *c, const struct rt_walk_start *start, uint32_t limit)
{
	const struct abi_session *s = rt_session(c);
	const struct abi_unwind_process *p =
		s->unwind_offset ? find_process(s, c->pid) : NULL;
	if (!p)
		return false;
	_Static_assert(
		sizeof(struct walk) <= sizeof(c->walk), "there is room in the context");
	struct walk *w = (struct walk *)(void *)c->walk;
	*w = (struct walk){.context = c,
		.session = s,
		.memos = c->memos,
		.pc = start->pc,
		.sp = start->sp,
		.lost = start->lost,
		.is_edge = start->is_edge,
		.is_exact = true};
	for (uint32_t i = 0; i < ABI_UNWIND_SAVED; i++)
		w->registers[i].here = start->saved[i];
	uint32_t sequence = __atomic_load_n(&p->sequence, __ATOMIC_ACQUIRE), count;
	w->sequence = sequence;
	if (!begin(w, p, sequence))
		return false;
	bool ok = walk_all(w, c->frames, limit, &count);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (!ok || __atomic_load_n(&p->sequence, __ATOMIC_RELAXED) - sequence > 1)
		return false;
	c->frame_count = count;
	return true;
}

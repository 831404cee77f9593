/* SPDX-License-Identifier: MIT */
/*
 * Arrays that handlers in programs only count up (x[k]++, x[k] += E), without taking their lock.
 *
 * Each thread has a table of cells in its context, one for each of the elements it counted last.  A cell
 * says how much its thread has added in all (`delta`, which nobody else writes) and how much of that is
 * in the array already (`folded`).  Everything but `delta` is written under the array's lock.  So
 *
 *   - adding to a cell that has the key is an addition of the thread to its own memory;
 *   - any other key goes through the lock: the element is made in the array at once, so that arrays
 *     overflow and are ordered as if there were no cells;
 *   - who looks at the array, in the tracer, has the lock and folds all cells first;
 *   - who deletes elements unlinks all cells.  What a thread adds to one meanwhile stays in it, and makes
 *     the element anew with the next fold: nothing that was counted is lost, and what was counted
 *     before the deletion does not come back.
 *
 * Statistics (x[k] <<< E) are not one number, so they are not folded while their thread goes on: who looks at the array
 * unlinks all cells first, which sends the next value of each to the lock, waits for what is under way, and
 * takes what is there.  A thread that was interrupted between its look at the link and its addition adds one value more
 * at most; it is told from what has been taken by count and sum, and goes to the array the next time.
 *
 * An array's lock is behind all others in order, so taking it in the middle of a handler is in order.
 */
#include <stddef.h>

#include "runtime/internal.h"

enum {
	WAYS = 2,
	SETTLE = 64, /* pauses: longer than any processor keeps instructions in flight */
	TRIES = 1000,
	NAPS = 1000, /* for a thread that has lost its processor in the middle of a value */
	NAP_NS = 100000,
	SYSCALL_NANOSLEEP = 35,
	PATIENCE = 8, /* hits that find their cells taken until one gives way */
	MAX_KEYS = ABI_CELL_MAX_KEYS,
};

#define HASH_FACTOR 0x9e3779b97f4a7c15u

static inline struct abi_map *map_of(
	const struct abi_context *c, const struct abi_cells_desc *d)
{
	return (struct abi_map *)(void *)((char *)rt_session(c) + d->map_offset);
}

static inline struct abi_cells *cells_of(
	struct abi_context *c, const struct abi_cells_desc *d)
{
	return (struct abi_cells *)(void *)((char *)c + d->shard_offset);
}

static inline struct abi_cell *cell_at(
	struct abi_cells *cells, const struct abi_cells_desc *d, uint32_t i)
{
	return (struct abi_cell *)(void *)((char *)(cells + 1) +
					   (uint64_t)i * d->cell_size);
}

static inline struct abi_stat *stat_of(
	const struct abi_cells_desc *d, struct abi_cell *cell)
{
	return (struct abi_stat *)(void *)((char *)cell + d->stat_offset);
}

/* What its thread adds later is not seen. */
static inline uint64_t waiting(const struct abi_cell *cell)
{
	return __atomic_load_n(&cell->delta, __ATOMIC_RELAXED) - cell->folded;
}

/* ---- keys ---------------------------------------------------------------- */

static inline bool is_text(const struct abi_cells_desc *d, uint32_t key)
{
	return d->key_strings >> key & 1;
}

/* false: it has no room in a cell */
static bool hash_text(const char *s, uint64_t *hash)
{
	for (uint32_t i = 0; i < ABI_CELL_TEXT; i += RT_WORD) {
		uint64_t word = rt_word(s + i);
		*hash = (*hash ^ word) * HASH_FACTOR;
		if (rt_word_ends(word))
			return true;
		*hash ^= *hash >> 32;
	}
	return false;
}

/* One long: key * FACTOR >> 32.  KEEP IN SYNC: cell_index() of stap/codegen/cell.c */
static bool hash_keys(const struct abi_cells_desc *d, const uint64_t *key, uint32_t *ret)
{
	uint64_t hash = 0;
	for (uint32_t i = 0; i < d->key_count && i < MAX_KEYS; i++)
		if (!is_text(d, i))
			hash = (hash ^ key[i]) * HASH_FACTOR;
		else if (!hash_text((const char *)(uintptr_t)key[i], &hash))
			return false;
	*ret = (uint32_t)(hash >> 32) & (ABI_CELLS - 1);
	return true;
}

static bool text_is(const uint64_t *stored, const char *s)
{
	for (uint32_t i = 0; i < ABI_CELL_TEXT / RT_WORD; i++) {
		uint64_t word = rt_word(s + (uint64_t)i * RT_WORD);
		if (stored[i] != word)
			return false;
		if (rt_word_ends(word))
			return true;
	}
	return false;
}

static bool has_keys(
	const struct abi_cells_desc *d, const struct abi_cell *cell, const uint64_t *key)
{
	const uint64_t *stored = cell->key;
	for (uint32_t i = 0; i < d->key_count && i < MAX_KEYS; i++) {
		bool text = is_text(d, i);
		if (text ? !text_is(stored, (const char *)(uintptr_t)key[i])
			 : *stored != key[i])
			return false;
		stored += text ? ABI_CELL_TEXT / RT_WORD : 1;
	}
	return true;
}

static void store_keys(
	const struct abi_cells_desc *d, struct abi_cell *cell, const uint64_t *key)
{
	uint64_t *to = cell->key;
	for (uint32_t i = 0; i < d->key_count && i < MAX_KEYS; i++) {
		if (!is_text(d, i)) {
			*to++ = key[i];
			continue;
		}
		rt_zero(to, ABI_CELL_TEXT);
		rt_put((char *)to, ABI_CELL_TEXT, (const char *)(uintptr_t)key[i]);
		to += ABI_CELL_TEXT / RT_WORD;
	}
}

/* As the array wants them. */
static void load_keys(
	const struct abi_cells_desc *d, struct abi_cell *cell, uint64_t key[MAX_KEYS])
{
	uint64_t *from = cell->key;
	for (uint32_t i = 0; i < d->key_count && i < MAX_KEYS; i++) {
		bool text = is_text(d, i);
		uint32_t words = text ? ABI_CELL_TEXT / RT_WORD : 1;
		/* nothing else ends a scribbled one */
		if (text)
			((char *)(from + words))[-1] = '\0';
		key[i] = text ? (uint64_t)(uintptr_t)from : *from;
		from += words;
	}
}

/* ---- folding: under the array's lock ------------------------------------- */

static void link_cell(struct abi_cells *cells, struct abi_cell *cell, uint32_t link)
{
	cells->linked += !cell->link;
	cells->used = 1;
	__atomic_store_n(&cell->link, link, __ATOMIC_RELAXED);
}

static void unlink_cell(struct abi_cells *cells, struct abi_cell *cell)
{
	cells->linked -= cell->link != 0;
	__atomic_store_n(&cell->link, 0, __ATOMIC_RELAXED);
}

/* The element's value; NULL: there was no room for it */
static void *element(
	struct abi_context *c, const struct abi_cells_desc *d, struct abi_cell *cell)
{
	struct abi_map *m = map_of(c, d);
	void *value = rt_map_linked(m, cell->link);
	uint64_t key[MAX_KEYS];
	if (value)
		return value;
	load_keys(d, cell, key);
	return rt_map_insert(c, m, key);
}

/* What a thread was stopped in the middle of comes in two parts. */
static bool has_more(const struct abi_cell *cell, const struct abi_stat *own)
{
	return (uint64_t)own->count != cell->folded ||
	       (cell->folded && (uint64_t)own->sum != own->epoch);
}

static bool is_under_way(const struct abi_cell *cell)
{
	return __atomic_load_n(&cell->delta, __ATOMIC_ACQUIRE) & 1;
}

/* In the middle of a value, which takes nanoseconds: its thread waits for a processor, if it is not
 * stopped or dead. */
static void wait_for_value(struct abi_context *c, const struct abi_cell *cell)
{
	const uint64_t nap[] = {0, NAP_NS};
	for (int i = 0; i < TRIES && is_under_way(cell); i++)
		rt_pause();
	for (int i = 0; i < NAPS && is_under_way(cell) && rt_may_call(c); i++)
		rt_syscall(SYSCALL_NANOSLEEP, (uint64_t)(uintptr_t)nap, 0, 0, 0);
}

/* A cell that nobody adds to any more, but for a value that was under way. */
static bool fold_stat(
	struct abi_context *c, const struct abi_cells_desc *d, struct abi_cell *cell)
{
	struct abi_stat *own = stat_of(d, cell);
	if (!has_more(cell, own))
		return true;
	wait_for_value(c, cell);
	uint64_t count = (uint64_t)own->count, sum = (uint64_t)own->sum;
	uint64_t more = count - cell->folded;
	struct abi_stat *value = element(c, d, cell);
	if (!value)
		return false;
	if (!cell->folded) {
		rt_stat_absorb(&d->stat, value, own);
	} else if (more == 1) {
		rt_stat_add(value, &d->stat, (int64_t)(sum - own->epoch));
	} else {
		value->count += (int64_t)more;
		value->sum = (int64_t)((uint64_t)value->sum + sum - own->epoch);
	}
	cell->folded = count;
	own->epoch = sum;
	return true;
}

/* The element of the array gets what the cell has more.  false: there was no room for it */
static bool fold(struct abi_context *c, const struct abi_cells_desc *d,
	struct abi_cells *cells, struct abi_cell *cell)
{
	struct abi_map *m = map_of(c, d);
	uint64_t more = waiting(cell);
	if (d->stat_offset)
		return fold_stat(c, d, cell);
	if (!more)
		return true;
	int64_t *value = element(c, d, cell);
	if (!value)
		return false;
	link_cell(cells, cell, rt_map_link(m, value));
	*value = (int64_t)((uint64_t)*value + more);
	cell->folded += more;
	return true;
}

/* Afterwards each cell is left alone, or is odd, or its thread will see that it is unlinked: a thread
 * makes it odd, then looks at the link, and that order shows once its processor has written it out. */
static void settle(struct abi_context *c, const struct abi_cells_desc *d)
{
	rt_cells_unlink(c, d);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (int i = 0; i < SETTLE; i++)
		rt_pause();
}

void rt_cells_collect(struct abi_context *c, const struct abi_cells_desc *d)
{
	struct abi_session *s = rt_session(c);
	uint32_t high = rt_context_high(s);
	if (d->stat_offset)
		settle(c, d);
	for (uint32_t slot = 0; slot < high; slot++) {
		struct abi_cells *cells = cells_of(rt_context(s, slot), d);
		if (!cells->used)
			continue;
		for (uint32_t i = 0; i < ABI_CELLS; i++)
			if (!fold(c, d, cells, cell_at(cells, d, i)))
				return;
	}
}

void rt_cells_unlink(struct abi_context *c, const struct abi_cells_desc *d)
{
	struct abi_session *s = rt_session(c);
	uint32_t high = rt_context_high(s);
	for (uint32_t slot = 0; slot < high; slot++) {
		struct abi_cells *cells = cells_of(rt_context(s, slot), d);
		for (uint32_t i = 0; i < ABI_CELLS && cells->linked; i++)
			unlink_cell(cells, cell_at(cells, d, i));
		cells->linked = 0; /* whatever was written over it */
	}
}

/* ---- counting ------------------------------------------------------------ */

/* The cell that is to have the keys: the one that had them, an unused one, one that has been in the way
 * for long.  NULL: the others are worth more. */
static struct abi_cell *choose(struct abi_cells *cells, const struct abi_cells_desc *d,
	const uint64_t *key, uint32_t index)
{
	struct abi_cell *unused = NULL;
	for (uint32_t way = 0; way < WAYS; way++) {
		struct abi_cell *cell = cell_at(cells, d, index ^ way);
		if (has_keys(d, cell, key))
			return cell;
		if (!cell->link && !unused)
			unused = cell;
	}
	if (unused)
		return unused;
	struct abi_cell *cell = cell_at(cells, d, index);
	if (++cell->conflicts < PATIENCE)
		return NULL;
	cell->conflicts = 0;
	return cell;
}

/* KEEP IN SYNC: add_to_stat() of stap/codegen/cell.c.  false: it has been unlinked, and may be being read */
static bool add_value(
	const struct abi_cells_desc *d, struct abi_cell *cell, int64_t value)
{
	uint64_t odd = cell->delta | 1;
	__atomic_store_n(&cell->delta, odd, __ATOMIC_RELAXED);
	rt_signal_fence(); /* the rest of the order is settle()'s */
	bool linked = __atomic_load_n(&cell->link, __ATOMIC_RELAXED) != 0;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	if (linked)
		rt_stat_add(stat_of(d, cell), &d->stat, value);
	__atomic_store_n(&cell->delta, odd + 1, __ATOMIC_RELEASE);
	return linked;
}

/* Under the lock. */
static bool accumulate(struct abi_context *c, const struct abi_cells_desc *d,
	struct abi_cell *cell, const uint64_t *key, int64_t value)
{
	struct abi_map *m = map_of(c, d);
	struct abi_cells *cells = cells_of(c, d);
	if (cell && !fold_stat(c, d, cell))
		return false;
	struct abi_stat *stat = rt_map_insert(c, m, key);
	if (!stat)
		return false;
	if (!cell) {
		rt_stat_add(stat, &d->stat, value);
		return true;
	}
	unlink_cell(cells, cell);
	rt_signal_fence();
	struct abi_stat *own = stat_of(d, cell);
	cell->folded = 0;
	rt_zero(own, d->stat.size);
	store_keys(d, cell, key);
	rt_stat_add(own, &d->stat, value);
	rt_signal_fence();
	link_cell(cells, cell, rt_map_link(m, stat));
	return true;
}

/* Under the lock. */
static bool count(struct abi_context *c, const struct abi_cells_desc *d,
	struct abi_cell *cell, const uint64_t *key, uint64_t by)
{
	struct abi_map *m = map_of(c, d);
	struct abi_cells *cells = cells_of(c, d);
	if (cell && !fold(c, d, cells, cell))
		return false;
	int64_t *value = rt_map_insert(c, m, key);
	if (!value)
		return false;
	*value = (int64_t)((uint64_t)*value + by);
	if (!cell)
		return true;
	unlink_cell(cells, cell);
	rt_signal_fence(); /* a signal handler that never comes back leaves no half cell */
	store_keys(d, cell, key);
	rt_signal_fence();
	link_cell(cells, cell, rt_map_link(m, value));
	return true;
}

static RT_NOINLINE bool count_locked(struct abi_context *c,
	const struct abi_cells_desc *d, const uint64_t *key, uint64_t by, uint32_t index)
{
	if (!rt_lock(c, d->lock, true)) {
		rt_error_uncatchable(c, ""); /* the hit is counted as skipped */
		return false;
	}
	struct abi_cells *cells = cells_of(c, d);
	struct abi_cell *cell = index < ABI_CELLS ? choose(cells, d, key, index) : NULL;
	bool counted = d->stat_offset ? accumulate(c, d, cell, key, (int64_t)by)
				      : count(c, d, cell, key, by);
	rt_unlock_last(c);
	return counted;
}

bool rt_cell_add(struct abi_context *c, const struct abi_cells_desc *d,
	const uint64_t *key, uint64_t by)
{
	struct abi_cells *cells = cells_of(c, d);
	uint32_t index;
	if (!hash_keys(d, key, &index))
		return count_locked(c, d, key, by, ABI_CELLS);
	for (uint32_t way = 0; way < WAYS; way++) {
		struct abi_cell *cell = cell_at(cells, d, index ^ way);
		if (!__atomic_load_n(&cell->link, __ATOMIC_RELAXED) ||
			!has_keys(d, cell, key))
			continue;
		if (d->stat_offset)
			return add_value(d, cell, (int64_t)by) ||
			       count_locked(c, d, key, by, index);
		__atomic_store_n(&cell->delta, cell->delta + by, __ATOMIC_RELAXED);
		return true;
	}
	return count_locked(c, d, key, by, index);
}

bool rt_cell_accumulate(struct abi_context *c, const struct abi_cells_desc *d,
	const uint64_t *key, int64_t value)
{
	return rt_cell_add(c, d, key, (uint64_t)value);
}

bool rt_cell_add1(
	struct abi_context *c, const struct abi_cells_desc *d, uint64_t key, uint64_t by)
{
	return rt_cell_add(c, d, &key, by);
}

bool rt_cell_add2(struct abi_context *c, const struct abi_cells_desc *d, uint64_t first,
	uint64_t second, uint64_t by)
{
	const uint64_t key[] = {first, second};
	return rt_cell_add(c, d, key, by);
}

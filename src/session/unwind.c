/* SPDX-License-Identifier: MIT */
/*
 * Tables are put one behind the other into their part of session memory and stay until the end.  What
 * is read here of session memory is nothing: traced processes can write it, so all that is needed later
 * is kept beside it.
 */
#include "session/unwind.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "abi/unwind.h"
#include "elf/cfi.h"
#include "session/mapped_file.h"

enum {
	SEEK_MS = 100,
	LIST_SLACK = 16,
	BLOCK = 1 << ABI_UNWIND_BLOCK_SHIFT,
};

struct unwind_module {
	uint64_t device_inode;
	char *path;
	uint64_t table; /* 0: it has no call frame information that can be read */
	uint64_t base;  /* link-time address of the table's beginning */
	struct elf_module *elf;
};

/* Of a struct abi_unwind_process; its lists are used again by the next process there. */
struct unwind_slot {
	bool is_taken;
	uint32_t sequence;
	uint64_t lists[2];
	uint32_t capacities[2];
};

struct unwind_process {
	pid_t pid, seen_pid; /* as the tracer, and as the process itself sees it */
	uint32_t slot;
	uint64_t looked_ms;
};

struct session_unwind {
	pthread_mutex_t lock;
	char *memory; /* all of session memory */
	uint64_t used, end;
	struct abi_unwind_process *processes; /* in it */
	VEC(struct unwind_module) modules;
	VEC(struct unwind_process) known;
	struct unwind_slot slots[ABI_UNWIND_PROCESSES];
};

struct session_unwind *session_unwind_create(struct session *s)
{
	if (!s->code.walks_stacks)
		return NULL;
	struct session_unwind *u = calloc(1, sizeof(*u));
	if (!u)
		abort();
	pthread_mutex_init(&u->lock, NULL);
	u->memory = s->memory.base;
	u->used = s->memory.unwind_offset;
	u->end = u->used + s->memory.unwind_size;
	u->processes = (void *)(u->memory + u->used);
	u->used += sizeof(*u->processes) * ABI_UNWIND_PROCESSES;
	return u;
}

void session_unwind_destroy(struct session_unwind *u)
{
	if (!u)
		return;
	for (size_t i = 0; i < u->modules.count; i++) {
		free(u->modules.items[i].path);
		elf_module_close(u->modules.items[i].elf);
	}
	vec_free(&u->modules);
	vec_free(&u->known);
	pthread_mutex_destroy(&u->lock);
	free(u);
}

/* Offset of fresh memory; 0: there is none left. */
static uint64_t take(struct session_unwind *u, uint64_t size)
{
	uint64_t at = (u->used + 7) & ~7ull;
	if (at > u->end || size > u->end - at)
		return 0;
	u->used = at + size;
	return at;
}

/* ---- tables of files ---------------------------------------------------------------------- */

static int16_t pack_place(struct elf_cfi_where where)
{
	static const int16_t places[] = {[ELF_CFI_SAME] = ABI_UNWIND_SAME,
		[ELF_CFI_AT_FRAME] = ABI_UNWIND_AT_FRAME,
		[ELF_CFI_AT_RBP] = ABI_UNWIND_AT_RBP,
		[ELF_CFI_AT_RSP] = ABI_UNWIND_AT_RSP,
		[ELF_CFI_LOST] = ABI_UNWIND_LOST};
	return (int16_t)(where.offset * (1 << ABI_UNWIND_PLACE_SHIFT) |
			 places[where.place]);
}

static struct abi_unwind_rule pack_rule(const struct elf_cfi_rule *rule)
{
	static const uint8_t frames[] = {[ELF_CFI_FRAME_NONE] = ABI_UNWIND_FRAME_NONE,
		[ELF_CFI_FRAME_END] = ABI_UNWIND_FRAME_END,
		[ELF_CFI_FRAME_UNKNOWN] = ABI_UNWIND_FRAME_UNKNOWN,
		[ELF_CFI_FRAME_REGISTER] = ABI_UNWIND_FRAME_REGISTER,
		[ELF_CFI_FRAME_MEMORY] = ABI_UNWIND_FRAME_MEMORY,
		[ELF_CFI_FRAME_PLT] = ABI_UNWIND_FRAME_PLT};
	struct abi_unwind_rule ret = {.frame = frames[rule->frame],
		.frame_register = rule->frame_register,
		.is_signal = rule->is_signal,
		.frame_offset = rule->frame_offset,
		.return_address = pack_place(rule->return_address)};
	/* KEEP IN SYNC: enum elf_cfi_register, enum abi_unwind_register */
	for (unsigned i = 0; i < ABI_UNWIND_SAVED; i++) {
		ret.saved[i] = pack_place(rule->saved[i]);
		if (rule->saved[i].place != ELF_CFI_SAME)
			ret.saves |= (uint8_t)(1u << i);
	}
	return ret;
}

static void fill_blocks(
	uint32_t *blocks, uint32_t block_count, const uint32_t *rows, uint32_t row_count)
{
	uint32_t row = 0;
	for (uint32_t i = 0; i < block_count; i++) {
		while (row + 1 < row_count && rows[row + 1] <= i * (uint64_t)BLOCK)
			row++;
		blocks[i] = row;
	}
}

static uint64_t put_table(struct session_unwind *u, const struct elf_cfi *cfi)
{
	uint64_t base = cfi->rows[0].address;
	uint64_t size = cfi->rows[cfi->row_count - 1].address - base + 1;
	struct abi_unwind_table table = {.row_count = (uint32_t)cfi->row_count,
		.rule_count = (uint32_t)cfi->rule_count,
		.block_count = (uint32_t)((size + BLOCK - 1) / BLOCK)};
	if (size > UINT32_MAX || cfi->row_count > UINT32_MAX)
		return 0;
	uint64_t at = take(u, sizeof(table));
	table.rows = take(u, sizeof(uint32_t) * table.row_count);
	table.places = take(u, sizeof(uint16_t) * table.row_count);
	table.blocks = take(u, sizeof(uint32_t) * table.block_count);
	table.rules = take(u, sizeof(struct abi_unwind_rule) * table.rule_count);
	if (!at || !table.rows || !table.places || !table.blocks || !table.rules)
		return 0;
	uint32_t *rows = (void *)(u->memory + table.rows);
	uint16_t *places = (void *)(u->memory + table.places);
	for (size_t i = 0; i < cfi->row_count; i++) {
		rows[i] = (uint32_t)(cfi->rows[i].address - base);
		places[i] = (uint16_t)cfi->rows[i].rule;
	}
	fill_blocks((void *)(u->memory + table.blocks), table.block_count, rows,
		table.row_count);
	struct abi_unwind_rule *rules = (void *)(u->memory + table.rules);
	for (size_t i = 0; i < cfi->rule_count; i++)
		rules[i] = pack_rule(&cfi->rules[i]);
	memcpy(u->memory + at, &table, sizeof(table));
	return at;
}

static void make_table(struct session_unwind *u, struct unwind_module *module, pid_t pid,
	const struct proc_map *map)
{
	struct elf_cfi cfi;
	module->elf = mapped_file_open(pid, map);
	if (!module->elf || elf_cfi_read(module->elf, &cfi) < 0)
		return;
	module->base = cfi.rows[0].address;
	module->table = put_table(u, &cfi);
	elf_cfi_free(&cfi);
}

static const struct unwind_module *find_module(
	struct session_unwind *u, pid_t pid, const struct proc_map *map)
{
	for (size_t i = 0; i < u->modules.count; i++)
		if (u->modules.items[i].device_inode == map->device_inode &&
			!strcmp(u->modules.items[i].path, map->path))
			return &u->modules.items[i];
	struct unwind_module *module = vec_push(&u->modules);
	module->device_inode = map->device_inode;
	module->path = strdup(map->path);
	if (!module->path)
		abort();
	make_table(u, module, pid, map);
	return module;
}

/* ---- lists of processes ------------------------------------------------------------------- */

static uint64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static struct abi_unwind_range describe(
	struct session_unwind *u, pid_t pid, const struct proc_map *map)
{
	struct abi_unwind_range range = {
		.start = map->start, .end = map->end, .kind = ABI_UNWIND_BARE};
	if (strcmp(map->path, "[vdso]") != 0 &&
		(!map->device_inode || map->path[0] != '/'))
		return range;
	const struct unwind_module *module = find_module(u, pid, map);
	range.kind = module->table ? ABI_UNWIND_TABLE
		     : module->elf ? ABI_UNWIND_BARE
				   : ABI_UNWIND_ASK;
	if (!module->table)
		return range;
	range.table = module->table;
	range.base = module->base + elf_module_bias(module->elf, map->start, map->offset);
	/* code in front of the first function that is described */
	if (range.base > range.start)
		range.start = range.base < range.end ? range.base : range.end;
	return range;
}

static struct unwind_process *find_known(struct session_unwind *u, pid_t pid)
{
	for (size_t i = 0; i < u->known.count; i++)
		if (u->known.items[i].pid == pid)
			return &u->known.items[i];
	return NULL;
}

static bool is_seen_twice(const struct session_unwind *u, pid_t pid, pid_t seen_pid)
{
	for (size_t i = 0; i < u->known.count; i++)
		if (u->known.items[i].pid != pid &&
			u->known.items[i].seen_pid == seen_pid)
			return true;
	return false;
}

/* Slots are never left empty between others of one chain: a forgotten one keeps its place. */
static struct unwind_process *add_known(struct session_unwind *u, pid_t pid)
{
	struct proc_status status;
	if (proc_read_status(pid, &status, NULL) < 0)
		return NULL;
	pid_t seen = status.ns_pid ? status.ns_pid : pid;
	for (uint32_t i = 0; i < ABI_UNWIND_PROCESSES; i++) {
		uint32_t slot = ((uint32_t)seen + i) % ABI_UNWIND_PROCESSES;
		if (u->slots[slot].is_taken)
			continue;
		u->slots[slot].is_taken = true;
		vec_append(
			&u->known, ((struct unwind_process){
					   .pid = pid, .seen_pid = seen, .slot = slot}));
		return &u->known.items[u->known.count - 1];
	}
	return NULL;
}

static void publish(struct session_unwind *u, struct unwind_process *p,
	const struct abi_unwind_range *ranges, uint32_t count)
{
	struct abi_unwind_process *seen = &u->processes[p->slot];
	struct unwind_slot *slot = &u->slots[p->slot];
	uint32_t next = slot->sequence + 1, which = next & 1;
	if (count > slot->capacities[which]) {
		slot->lists[which] = take(u, sizeof(*ranges) * (count + LIST_SLACK));
		slot->capacities[which] = slot->lists[which] ? count + LIST_SLACK : 0;
		count = slot->lists[which] ? count : 0;
	}
	/* two namespaces may have processes of the same number, and handlers know no other */
	if (is_seen_twice(u, p->pid, p->seen_pid))
		count = 0;
	if (count)
		memcpy(u->memory + slot->lists[which], ranges, sizeof(*ranges) * count);
	seen->lists[which] = slot->lists[which];
	seen->counts[which] = count;
	slot->sequence = next;
	__atomic_store_n(&seen->sequence, next, __ATOMIC_RELEASE);
	__atomic_store_n(&seen->pid, (uint32_t)p->seen_pid, __ATOMIC_RELEASE);
}

static void follow(struct session_unwind *u, pid_t pid)
{
	struct proc_maps maps = {0};
	VEC(struct abi_unwind_range) ranges = {0};
	struct unwind_process *p = find_known(u, pid);
	if (proc_read_maps(pid, &maps, NULL) < 0)
		return;
	if (!p)
		p = add_known(u, pid);
	for (size_t i = 0; i < maps.maps.count && p; i++)
		if (maps.maps.items[i].execute &&
			strcmp(maps.maps.items[i].path, "[vsyscall]"))
			vec_append(&ranges, describe(u, pid, &maps.maps.items[i]));
	if (p) {
		publish(u, p, ranges.items, (uint32_t)ranges.count);
		p->looked_ms = now_ms();
	}
	vec_free(&ranges);
	proc_maps_free(&maps);
}

void session_unwind_follow(struct session *s, pid_t pid)
{
	if (!s->unwind)
		return;
	pthread_mutex_lock(&s->unwind->lock);
	follow(s->unwind, pid);
	pthread_mutex_unlock(&s->unwind->lock);
}

void session_unwind_seek(struct session *s, pid_t pid)
{
	if (!s->unwind)
		return;
	pthread_mutex_lock(&s->unwind->lock);
	const struct unwind_process *p = find_known(s->unwind, pid);
	if (!p || now_ms() - p->looked_ms > SEEK_MS)
		follow(s->unwind, pid);
	pthread_mutex_unlock(&s->unwind->lock);
}

void session_unwind_forget(struct session *s, pid_t pid)
{
	struct session_unwind *u = s->unwind;
	if (!u)
		return;
	pthread_mutex_lock(&u->lock);
	struct unwind_process *p = find_known(u, pid);
	if (p) {
		publish(u, p, NULL, 0);
		u->slots[p->slot].is_taken = false;
		*p = u->known.items[--u->known.count];
	}
	pthread_mutex_unlock(&u->lock);
}

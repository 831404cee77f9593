/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "agent/agent.h"
#include "agent/image.h"
#include "stap/parser.h"

enum {
	CONTEXTS = 2,
	RING = 1 << 20,
	STRINGS = 4096
};

/* ---- a program without an ELF file ------------------------------------------------------------ */

static int expand(void *data, const struct stap_point *point, struct arena *arena,
	struct stap_location ***ret, uint32_t *ret_count, struct error *err)
{
	VEC(struct stap_location *) list = {0};
	struct stap_location *location = arena_new(arena, struct stap_location);
	const struct stap_component *last =
		&point->components[point->component_count - 1];

	location->module_path = "/bin/program";
	location->function = "f";
	location->link_address = location->function_start = HARNESS_LINK_ADDRESS;
	location->function_end = HARNESS_LINK_ADDRESS + 64;
	location->is_return = strcmp(last->name, "return") == 0;
	location->has_debug_info = true;
	location->pp = location->is_return
			       ? "process(\"/bin/program\").function(\"f\").return"
			       : "process(\"/bin/program\").function(\"f\")";
	location->ppfunc = "f";
	vec_append(&list, location);
	*ret = list.items;
	*ret_count = 1;
	return 0;
}

static struct stap_access_op *add_op(
	struct stap_access *access, enum stap_access_op_kind kind, int64_t value)
{
	struct stap_access_op *op = &access->ops[access->op_count++];

	op->kind = kind;
	op->value = value;
	return op;
}

/*
 * $NAME: rdi and so on are registers, `saved` needs a callee-saved one, `static` is a variable of
 * the module, $p->m reads 4 bytes signed at p+8, $a[i] indexes an array of longs at rdi.
 */
static int access_variable(struct stap_access *access, const char *name)
{
	static const struct {
		const char *name;
		int number;
	} registers[] = {{"rax", 0}, {"rdx", 1}, {"rcx", 2}, {"rbx", 3}, {"rsi", 4},
		{"rdi", 5}, {"rbp", 6}, {"rsp", 7}, {"r8", 8}, {"r15", 15}, {"rip", 16},
		{"p", 5}, {"a", 5}, {"return", 0}};

	for (size_t i = 0; i < sizeof(registers) / sizeof(registers[0]); i++) {
		if (strcmp(registers[i].name, name) == 0) {
			add_op(access, STAP_ACCESS_REG, registers[i].number);
			return 0;
		}
	}
	if (strcmp(name, "static") != 0)
		return -ENOENT;
	add_op(access, STAP_ACCESS_STATIC, 0x4010);
	access->needs_static = true;
	return 0;
}

static int access_target(void *data, const struct stap_location *location,
	const struct stap_expr *target, bool at_entry, struct arena *arena,
	struct stap_access **ret, struct error *err)
{
	struct stap_access *access = arena_new(arena, struct stap_access);

	access->ops = arena_array(arena, struct stap_access_op, 32);
	access->operands = arena_array(arena, struct stap_expr *, 8);
	access->value_class = STAP_VALUE_SIGNED;
	access->type_name = "long";
	access->size = 8;
	if (target->target.operand) {
		access->operands[access->operand_count] = target->target.operand;
		add_op(access, STAP_ACCESS_OPERAND, access->operand_count++);
	} else if (access_variable(access, target->target.name) < 0) {
		return error_set(
			err, -ENOENT, "unable to find local '%s'", target->target.name);
	}
	for (uint32_t i = 0; i < target->target.component_count; i++) {
		const struct stap_target_component *component =
			&target->target.components[i];

		if (component->index) {
			access->operands[access->operand_count] = component->index;
			add_op(access, STAP_ACCESS_OPERAND, access->operand_count++);
			add_op(access, STAP_ACCESS_CONST, 3);
			add_op(access, STAP_ACCESS_SHL, 0);
			add_op(access, STAP_ACCESS_ADD, 0);
			add_op(access, STAP_ACCESS_DEREF, 8);
		} else {
			add_op(access, STAP_ACCESS_CONST, 8);
			add_op(access, STAP_ACCESS_ADD, 0);
			add_op(access, STAP_ACCESS_DEREF, 4);
			add_op(access, STAP_ACCESS_SIGN_EXTEND, 32);
		}
	}
	*ret = access;
	return 0;
}

static int variables(void *data, const struct stap_location *location, bool parameters,
	bool locals, struct arena *arena, struct stap_variable_info **ret,
	uint32_t *ret_count, struct error *err)
{
	*ret = NULL;
	*ret_count = 0;
	return 0;
}

static const struct stap_target_ops target_ops = {
	.expand = expand, .access = access_target, .variables = variables};

/* ---- compiling -------------------------------------------------------------------------------- */

static bool analyze(struct harness *h, const char *script)
{
	struct stap_target target = {.ops = &target_ops};
	struct stap_diagnostics diag = {.arena = &h->arena};
	struct stap_parse_options parse = {0};
	struct stap_source *source = arena_new(&h->arena, struct stap_source);

	source->name = "<input>";
	source->text = arena_strdup(&h->arena, script);
	source->size = strlen(script);
	h->file = stap_parse(&h->arena, source, &parse, &diag);
	const struct stap_file *file = h->file;
	struct stap_semantic_options options = {
		.user_files = &file, .user_file_count = 1, .suppress_warnings = true};
	if (!diag.error_count)
		h->program = stap_analyze(&h->arena, &options, &target, &diag);
	if (!diag.error_count && h->program)
		return true;
	stap_diagnostics_render(&diag, true, &h->output);
	return false;
}

static void nothing_to_drain(void)
{
}

static unsigned char *map_block(struct harness *h, bool is_tracer)
{
	unsigned char *block = mmap(NULL, h->block_size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct agent_arena *arena = (void *)block;

	if (block == MAP_FAILED)
		abort();
	arena->session = (uint64_t)(uintptr_t)h->session;
	arena->image = (uint64_t)(uintptr_t)block + AGENT_ARENA_IMAGE;
	arena->image_size = h->code.image_size;
	if (is_tracer)
		arena->tracer_drain = (uint64_t)(uintptr_t)nothing_to_drain;
	memcpy(block + AGENT_ARENA_IMAGE, h->code.image, h->code.image_size);
	/* nothing in it is ever written */
	mprotect(block, h->block_size, PROT_READ | PROT_EXEC);
	return block;
}

/* What the agent's signal front does in a traced process: a faulting safe read goes on at its fixup. */
static uintptr_t read_start, read_end, read_fixup;

static void handle_fault(int number, siginfo_t *info, void *data)
{
	greg_t *ip = &((ucontext_t *)data)->uc_mcontext.gregs[REG_RIP];

	if ((uintptr_t)*ip < read_start || (uintptr_t)*ip >= read_end)
		abort();
	*ip = (greg_t)read_fixup;
}

static void catch_faults(struct harness *h)
{
	struct sigaction action = {.sa_sigaction = handle_fault, .sa_flags = SA_SIGINFO};
	uintptr_t image = (uintptr_t)h->target_block + AGENT_ARENA_IMAGE;

	read_start = image + (uintptr_t)codegen_symbol(&h->code, "agent_read_start");
	read_end = image + (uintptr_t)codegen_symbol(&h->code, "agent_read_end");
	read_fixup = image + (uintptr_t)codegen_symbol(&h->code, "agent_read_fixup");
	sigaction(SIGSEGV, &action, NULL);
}

/* ---- session memory --------------------------------------------------------------------------- */

static void open_contexts(struct harness *h)
{
	for (uint32_t slot = 0; slot < CONTEXTS; slot++) {
		struct abi_context *c = harness_context(h, slot);

		c->self = (uint64_t)(uintptr_t)c;
		c->session = (uint64_t)(uintptr_t)h->session;
		c->slot = slot;
		c->claimed = 1;
		c->pid = 100;
		c->tid = 100 + slot;
		memcpy(c->comm, "program", 8);
	}
}

static void open_sites(struct harness *h)
{
	struct abi_site *sites = (void *)(h->memory + h->session->site_offset);
	char *strings = (char *)h->memory + h->session->string_offset;
	size_t used = 1;

	for (uint32_t i = 0; i < h->code.handler_count; i++) {
		const struct codegen_handler *handler = &h->code.handlers[i];
		bool is_uprobe = handler->probe->location_count > 0;
		const char *pp =
			is_uprobe ? handler->probe->locations[0]->pp : handler->probe->pn;

		sites[i].link_address = HARNESS_LINK_ADDRESS;
		sites[i].ppfunc = (uint32_t)used;
		used += (size_t)snprintf(strings + used, STRINGS - used, "f") + 1;
		sites[i].pp = sites[i].pn = (uint32_t)used;
		used += (size_t)snprintf(
				strings + used, STRINGS - used, "%s", pp ? pp : "?") +
			1;
		if (handler->probe->kind == STAP_PROBE_URETURN && !handler->is_entry_part)
			sites[i].flags = ABI_SITE_RETURN;
		else if (is_uprobe)
			sites[i].flags = ABI_SITE_ENTRY;
	}
}

static uint64_t page_up(uint64_t size)
{
	return (size + 4095) & ~4095ull;
}

static void open_session(struct harness *h, uint32_t max_string)
{
	struct abi_session s = {.magic = ABI_MAGIC, .version = ABI_VERSION};

	s.state = ABI_STATE_RUNNING;
	s.flags = ABI_FLAG_NO_SYSCALLS; /* pid, name... are those given here */
	s.max_string = max_string;
	s.max_action = 1000;
	s.max_trylock = 100;
	s.max_errors = 1000;
	s.hertz = 100;
	s.site_offset = ABI_GLOBALS_OFFSET + page_up(h->code.globals_size);
	s.site_count = h->code.handler_count;
	s.string_offset = s.site_offset + page_up(s.site_count * sizeof(struct abi_site));
	s.context_offset = s.string_offset + STRINGS;
	s.context_count = s.context_high = CONTEXTS;
	s.pair_offset = h->code.context_size;
	s.pair_size = ABI_CONTEXT_PAIR_MAX;
	s.context_size = s.pair_offset + s.pair_size;
	s.ring_offset = s.context_offset + (uint64_t)CONTEXTS * s.context_size;
	s.ring_size = RING;
	s.lock_count = h->code.lock_count;
	s.total_size = s.ring_offset + (uint64_t)CONTEXTS * RING;
	s.clock.mult = 1ull << 32;
	h->memory = mmap(NULL, s.total_size, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (h->memory == MAP_FAILED)
		abort();
	h->session = (void *)h->memory;
	*h->session = s;
	codegen_init_globals(&h->code, h->memory, max_string);
	open_sites(h);
	open_contexts(h);
}

/* ---- kept objects --------------------------------------------------------- */

/* A cache with room for what one script needs: an object, and that it had to be lean. */
struct shelf {
	struct {
		char key[64];
		void *bytes;
		size_t size;
	} books[2];
	int count, found;
};

static void *shelf_find(void *data, const char *key, size_t *ret_size)
{
	struct shelf *shelf = data;
	for (int i = 0; i < shelf->count; i++) {
		if (strcmp(shelf->books[i].key, key) != 0)
			continue;
		void *copy = malloc(shelf->books[i].size);
		memcpy(copy, shelf->books[i].bytes, shelf->books[i].size);
		*ret_size = shelf->books[i].size;
		shelf->found++;
		return copy;
	}
	return NULL;
}

static void shelf_keep(void *data, const char *key, const void *bytes, size_t size)
{
	struct shelf *shelf = data;
	if (shelf->count == 2)
		abort();
	int i = shelf->count++;
	snprintf(shelf->books[i].key, sizeof(shelf->books[i].key), "%s", key);
	shelf->books[i].bytes = malloc(size);
	memcpy(shelf->books[i].bytes, bytes, size);
	shelf->books[i].size = size;
}

static bool is_same_code(const struct codegen_result *a, const struct codegen_result *b)
{
	bool same = a->image_size == b->image_size &&
		    memcmp(a->image, b->image, a->image_size) == 0 &&
		    a->handler_count == b->handler_count &&
		    a->location_count == b->location_count &&
		    a->format_count == b->format_count;
	for (uint32_t i = 0; same && i < a->location_count; i++)
		same = a->locations[i].token == b->locations[i].token;
	for (uint32_t i = 0; same && i < a->handler_count; i++)
		same = a->handlers[i].code_offset == b->handlers[i].code_offset &&
		       a->handlers[i].probe == b->handlers[i].probe;
	for (uint32_t i = 0; same && i < a->format_count; i++)
		same = a->formats[i].format == b->formats[i].format;
	return same;
}

/* Compiled without a cache, for a cache, and out of a cache: all must be the same. */
static int compile_thrice(struct harness *h, const struct codegen_options *options)
{
	struct shelf shelf = {0};
	const struct codegen_cache cache = {shelf_find, shelf_keep, &shelf};
	struct codegen_options cached = *options;
	cached.cache = &cache;
	int r = codegen_compile(h->program, options, utrace_agent_image,
		utrace_agent_image_size, &h->code, &h->error);
	for (int i = 0; i < 2 && r >= 0; i++) {
		struct codegen_result again;
		r = codegen_compile(h->program, &cached, utrace_agent_image,
			utrace_agent_image_size, &again, &h->error);
		if (r < 0)
			break;
		if (!is_same_code(&h->code, &again) || (i && shelf.found != shelf.count))
			r = error_set(
				&h->error, -EINVAL, "what was kept is not the same");
		codegen_result_free(&h->code);
		h->code = again;
	}
	for (int i = 0; i < shelf.count; i++)
		free(shelf.books[i].bytes);
	return r;
}

static void *shelf_find_any(void *data, const char *key, size_t *ret_size)
{
	struct shelf *shelf = data;
	return shelf_find(data, shelf->books[0].key, ret_size);
}

bool harness_mixes_up(const char *kept, const char *script)
{
	struct shelf shelf = {0};
	const struct codegen_cache keeping = {shelf_find, shelf_keep, &shelf};
	const struct codegen_cache mixing = {shelf_find_any, shelf_keep, &shelf};
	struct harness first, second;
	struct codegen_result mixed = {0};
	struct error err = {0};
	bool opened =
		harness_open(&first, kept, &(struct codegen_options){.cache = &keeping});
	opened &= harness_open(&second, script, &(struct codegen_options){0});
	bool same =
		opened &&
		codegen_compile(second.program,
			&(struct codegen_options){.cache = &mixing}, utrace_agent_image,
			utrace_agent_image_size, &mixed, &err) == 0 &&
		is_same_code(&second.code, &mixed);
	codegen_result_free(&mixed);
	harness_close(&second);
	harness_close(&first);
	for (int i = 0; i < shelf.count; i++)
		free(shelf.books[i].bytes);
	return !same;
}

bool harness_open(
	struct harness *h, const char *script, const struct codegen_options *options)
{
	memset(h, 0, sizeof(*h));
	arena_init(&h->arena);
	strbuf_init(&h->output);
	h->sp = 0x7ffe0000;
	if (!analyze(h, script))
		return false;
	int r = options->cache ? codegen_compile(h->program, options, utrace_agent_image,
					 utrace_agent_image_size, &h->code, &h->error)
			       : compile_thrice(h, options);
	if (r < 0) {
		strbuf_printf(&h->output, "codegen: %s", h->error.message);
		return false;
	}
	open_session(h, options->max_string ? options->max_string : 512);
	h->block_size = AGENT_ARENA_IMAGE + h->code.image_size;
	h->tracer_block = map_block(h, true);
	h->target_block = map_block(h, false);
	catch_faults(h);
	return true;
}

void harness_close(struct harness *h)
{
	if (h->memory)
		munmap(h->memory, h->session->total_size);
	if (h->tracer_block)
		munmap(h->tracer_block, h->block_size);
	if (h->target_block)
		munmap(h->target_block, h->block_size);
	codegen_result_free(&h->code);
	stap_file_deinit(h->file);
	strbuf_deinit(&h->output);
	arena_deinit(&h->arena);
}

/* ---- running ---------------------------------------------------------------------------------- */

struct abi_context *harness_context(const struct harness *h, uint32_t slot)
{
	return (void *)(h->memory + h->session->context_offset +
			(uint64_t)slot * h->session->context_size);
}

harness_handler_fn harness_function(const struct harness *h, uint32_t handler)
{
	enum stap_probe_kind kind = h->code.handlers[handler].probe->kind;
	bool is_target = kind == STAP_PROBE_UPROBE || kind == STAP_PROBE_URETURN;
	unsigned char *block = is_target ? h->target_block : h->tracer_block;
	uintptr_t address = (uintptr_t)block + AGENT_ARENA_IMAGE +
			    h->code.handlers[handler].code_offset;
	harness_handler_fn function;

	memcpy(&function, &address, sizeof(function));
	return function;
}

void harness_run(struct harness *h, enum stap_probe_kind kind)
{
	for (uint32_t i = 0; i < h->code.handler_count; i++) {
		const struct codegen_handler *handler = &h->code.handlers[i];
		enum stap_probe_kind when = handler->probe->kind;
		bool is_target = when == STAP_PROBE_UPROBE || when == STAP_PROBE_URETURN;

		if (handler->is_entry_part)
			when = STAP_PROBE_UPROBE;
		if (when != kind)
			continue;
		if (is_target)
			harness_function(h, i)(harness_context(h, 1), &h->regs, h->sp,
				HARNESS_LINK_ADDRESS + HARNESS_BIAS, i);
		else
			harness_function(h, i)(harness_context(h, 0), NULL, 0, 0, i);
		harness_drain(h);
	}
}

/* ---- reading records -------------------------------------------------------------------------- */

static void print_record(struct harness *h, const struct abi_record *record)
{
	const struct codegen_format *format = &h->code.formats[record->id];
	const unsigned char *at = (const void *)(record + 1);
	uint64_t args[64];
	char text[8192];
	uint32_t argument = 0, histogram = 0;

	for (uint32_t i = 0; i < format->format->part_count; i++) {
		const struct format_part *part = &format->format->parts[i];
		int dynamic = (part->width == FORMAT_DYNAMIC) +
			      (part->precision == FORMAT_DYNAMIC);

		if (part->kind == FORMAT_LITERAL)
			continue;
		for (int k = 0; k < dynamic + (part->kind == FORMAT_LONG); k++, at += 8)
			memcpy(&args[argument++], at, 8);
		if (part->kind == FORMAT_STRING) {
			uint32_t size;
			memcpy(&size, at, sizeof(size));
			args[argument++] = (uintptr_t)arena_strndup(
				&h->arena, (const char *)at + 4, size);
			at += (4 + size + 7) & ~7u;
		} else if (part->kind == FORMAT_HISTOGRAM) {
			const struct abi_stat *stat = (const void *)at;
			const struct abi_stat_desc *desc =
				format->histograms[histogram++];
			uint32_t filled = 0;
			for (uint32_t k = 0; k < desc->bucket_count; k++)
				filled += stat->buckets[k] != 0;
			strbuf_printf(&h->output, "<%lld in %u>", (long long)stat->count,
				filled);
			args[argument++] = 0;
			at += desc->size;
		}
	}
	size_t size = format_text(format->format, args, text, sizeof(text));
	strbuf_append(&h->output, text, size);
}

static void error_record(struct harness *h, const struct abi_record *record)
{
	struct abi_error_place place;
	uint32_t size;
	const char *payload = (const char *)(record + 1);

	memcpy(&place, payload, sizeof(place));
	payload += sizeof(place);
	memcpy(&size, payload, sizeof(size));
	strbuf_printf(&h->output, "ERROR: %.*s", (int)size, payload + sizeof(size));
	for (uint32_t i = 0; i <= place.caller_count; i++) {
		uint32_t at = i ? place.callers[i - 1] : place.location;
		const struct stap_token *token =
			at < h->code.location_count ? h->code.locations[at].token : NULL;

		strbuf_printf(&h->output, "%s %u:%u", i ? " from" : " at",
			token ? token->line : 0, token ? token->column : 0);
	}
	strbuf_putc(&h->output, '\n');
}

static void drain_ring(struct harness *h, uint32_t slot)
{
	struct abi_context *c = harness_context(h, slot);
	const unsigned char *ring =
		h->memory + h->session->ring_offset + (uint64_t)slot * RING;

	while (c->ring_tail < c->ring_head) {
		const struct abi_record *record =
			(const void *)(ring + (c->ring_tail & (RING - 1)));

		if (record->kind == ABI_RECORD_PRINT && record->id < h->code.format_count)
			print_record(h, record);
		else if (record->kind == ABI_RECORD_ERROR)
			error_record(h, record);
		else if (record->kind == ABI_RECORD_WARN)
			strbuf_printf(&h->output, "WARNING: %s\n",
				(const char *)(record + 1) + 4);
		c->ring_tail += record->size;
	}
}

void harness_drain(struct harness *h)
{
	for (uint32_t slot = 0; slot < CONTEXTS; slot++)
		drain_ring(h, slot);
}

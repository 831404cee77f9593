/* SPDX-License-Identifier: MIT */
#include "elf/kept.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/strbuf.h"
#include "elf/dwarf_internal.h"

/* Size and time of a file, if it is there. */
static void put_file(struct strbuf *out, const char *path)
{
	struct stat st;
	if (stat(path, &st) == 0)
		strbuf_printf(out, " %lld %lld.%09ld", (long long)st.st_size,
			(long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	strbuf_putc(out, ',');
}

/* Where libdwfl looks for a debug file that nothing in the module names. */
static void put_unnamed_debug_files(struct strbuf *out, const struct elf_module *module)
{
	static const char *const forms[] = {
		"%.*s/%s.debug", "%.*s/.debug/%s.debug", "/usr/lib/debug%.*s/%s.debug"};
	const char *slash = strrchr(module->path, '/');
	for (size_t i = 0; slash && i < sizeof(forms) / sizeof(forms[0]); i++) {
		CLEANUP(cleanup_free) char *path = NULL;
		if (asprintf(&path, forms[i], (int)(slash - module->path), module->path,
			    slash + 1) >= 0)
			put_file(out, path);
	}
}

/* Build ID, then size and time of all files that answers come from; NULL: nothing may be kept */
static char *module_identity(const struct elf_module *module)
{
	char own[64];
	struct strbuf out;
	CLEANUP(cleanup_free) char *path = NULL;
	if (!module->build_id[0])
		return NULL;
	strbuf_init(&out);
	snprintf(own, sizeof(own), "/proc/self/fd/%d", module->image.fd);
	strbuf_puts(&out, module->build_id);
	put_file(&out, own);
	int fd = elf_debug_file_find(module, &path);
	if (fd >= 0) {
		close(fd);
		put_file(&out, path);
	} else {
		put_unnamed_debug_files(&out, module);
	}
	char *identity = strdup(out.data);
	strbuf_deinit(&out);
	return identity;
}

void elf_module_use_cache(struct elf_module *module, struct cache *cache)
{
	if (!cache || module->identity)
		return;
	module->identity = module_identity(module);
	if (module->identity)
		module->cache = cache;
}

const char *elf_module_identity(const struct elf_module *module)
{
	return module->identity;
}

static char *module_key(const struct elf_module *module, const char *what)
{
	char *key = NULL;
	if (!module->cache || asprintf(&key, "%s of %s", what, module->identity) < 0)
		return NULL;
	return key;
}

bool elf_module_kept(
	const struct elf_module *module, const char *what, struct cache_blob *ret)
{
	CLEANUP(cleanup_free) char *key = module_key(module, what);
	return key && cache_get(module->cache, key, ret);
}

const uint8_t *elf_module_kept_bytes(
	struct elf_module *module, const char *what, size_t *ret_size)
{
	struct cache_blob blob;
	if (!elf_module_kept(module, what, &blob))
		return NULL;
	vec_append(&module->kept, blob);
	*ret_size = blob.size;
	return blob.bytes;
}

void elf_module_keep(const struct elf_module *module, const char *what,
	const struct cache_part *parts, size_t count)
{
	CLEANUP(cleanup_free) char *key = module_key(module, what);
	if (key)
		cache_put(module->cache, key, parts, count);
}

struct cache_memo *elf_module_answers(struct elf_module *module)
{
	if (!module->answers) {
		CLEANUP(cleanup_free) char *key = module_key(module, "answers");
		if (key)
			module->answers = cache_memo_open(module->cache, key);
	}
	return module->answers;
}

/* Without debug information a file of it may come from a server, or be in a place that is not part of
 * the identity: of such modules only tables are kept. */
bool elf_module_is_complete(struct elf_module *module)
{
	const char *servers = getenv("DEBUGINFOD_URLS");
	struct elf_dwarf *dwarf = elf_module_dwarf(module);
	if (!dwarf)
		return !servers || !servers[0];
	if (dwarf->has_lost_units ||
		(elf_image_find_section(&module->image, ".gnu_debugaltlink") &&
			!dwarf_getalt(dwarf->dwarf)))
		return false;
	for (size_t i = 0; i < dwarf->units.count; i++) {
		if (dwarf->units.items[i].type == DW_UT_skeleton)
			return false;
	}
	return true;
}

/* ---- functions ------------------------------------------------------------------------------------------ */

struct kept_function {
	uint64_t start, end;
	uint32_t name, version; /* places in the text; version 0: none */
	uint32_t flags;
	uint32_t reserved;
};

enum {
	KEPT_EXPORTED = 1,
	KEPT_IFUNC = 2,
	KEPT_COLD = 4,
	KEPT_NAMELESS = 8
};

struct kept_head {
	uint64_t function_count, text_size;
};

static const char *kept_text(const char *text, uint64_t size, uint32_t at)
{
	return at < size ? text + at : "";
}

bool elf_functions_take(struct elf_module *module)
{
	struct kept_head head;
	size_t size;
	const uint8_t *bytes = elf_module_kept_bytes(module, "functions", &size);
	if (!bytes || size < sizeof(head))
		return false;
	memcpy(&head, bytes, sizeof(head));
	size -= sizeof(head);
	if (head.function_count > size / sizeof(struct kept_function) ||
		head.text_size == 0 ||
		head.text_size >
			size - head.function_count * sizeof(struct kept_function))
		return false;
	const struct kept_function *kept = (const void *)(bytes + sizeof(head));
	const char *text = (const char *)(kept + head.function_count);
	if (text[head.text_size - 1])
		return false;
	struct elf_function *functions =
		calloc(head.function_count + 1, sizeof(*functions));
	if (!functions)
		abort();
	for (size_t i = 0; i < head.function_count; i++) {
		const struct kept_function *k = &kept[i];
		functions[i] = (struct elf_function){
			.name = kept_text(text, head.text_size, k->name),
			.version = k->version
					   ? kept_text(text, head.text_size, k->version)
					   : NULL,
			.start = k->start,
			.end = k->end,
			.is_exported = k->flags & KEPT_EXPORTED,
			.is_ifunc = k->flags & KEPT_IFUNC,
			.is_cold_part = k->flags & KEPT_COLD,
			.is_nameless = k->flags & KEPT_NAMELESS};
	}
	module->functions.items = functions;
	module->functions.count = head.function_count;
	module->functions.capacity = head.function_count + 1;
	return true;
}

static uint32_t put_text(struct strbuf *text, const char *string)
{
	uint32_t at = (uint32_t)text->size;
	strbuf_append(text, string, strlen(string) + 1);
	return at;
}

void elf_functions_keep(struct elf_module *module)
{
	VEC(struct kept_function) kept = {0};
	struct strbuf text;
	if (!module->cache)
		return;
	strbuf_init(&text);
	strbuf_append(&text, "", 1); /* so that no place is 0 */
	for (size_t i = 0; i < module->functions.count; i++) {
		const struct elf_function *f = &module->functions.items[i];
		struct kept_function *k = vec_push(&kept);
		k->start = f->start;
		k->end = f->end;
		k->name = put_text(&text, f->name);
		k->version = f->version ? put_text(&text, f->version) : 0;
		k->flags = (f->is_exported ? KEPT_EXPORTED : 0) |
			   (f->is_ifunc ? KEPT_IFUNC : 0) |
			   (f->is_cold_part ? KEPT_COLD : 0) |
			   (f->is_nameless ? KEPT_NAMELESS : 0);
	}
	struct kept_head head = {kept.count, text.size};
	struct cache_part parts[] = {{&head, sizeof(head)},
		{kept.items, kept.count * sizeof(*kept.items)}, {text.data, text.size}};
	if (text.size < UINT32_MAX)
		elf_module_keep(module, "functions", parts, 3);
	vec_free(&kept);
	strbuf_deinit(&text);
}

/* ---- lists of addresses ------------------------------------------------------------------------------- */

bool elf_addresses_take(
	struct elf_module *module, const char *what, struct elf_address_list *ret)
{
	struct cache_blob blob;
	uint64_t count;
	if (!elf_module_kept(module, what, &blob))
		return false;
	bool ok = blob.size >= sizeof(count);
	if (ok)
		memcpy(&count, blob.bytes, sizeof(count));
	ok = ok && count == blob.size / sizeof(count) - 1;
	if (ok) {
		ret->items = malloc((count + 1) * sizeof(count));
		if (!ret->items)
			abort();
		memcpy(ret->items, blob.bytes + sizeof(count), count * sizeof(count));
		ret->count = count;
		ret->capacity = count + 1;
	}
	cache_blob_release(&blob);
	return ok;
}

void elf_addresses_keep(const struct elf_module *module, const char *what,
	const struct elf_address_list *list)
{
	uint64_t count = list->count;
	struct cache_part parts[] = {
		{&count, sizeof(count)}, {list->items, count * sizeof(*list->items)}};
	elf_module_keep(module, what, parts, 2);
}

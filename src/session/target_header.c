/* SPDX-License-Identifier: MIT */
/* @cast(p, "struct stat", "<sys/stat.h>"): types of a header, by the machine's C compiler. */
#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "session/target_internal.h"

static const char *const flags[] = {"-x", "c", "-std=gnu17", "-g", "-w", "-shared",
	"-nostdlib", "-fPIC", "-fno-eliminate-unused-debug-types", "-D_GNU_SOURCE",
	"-iquote", ".", "-fdiagnostics-color=never", NULL};

bool target_is_header(const char *name)
{
	size_t size = strlen(name);
	char last = size > 2 ? name[size - 1] : 0;

	return (name[0] == '<' && last == '>') || (name[0] == '"' && last == '"');
}

/* The names, one or several in a row, stand in #include lines and nowhere else. */
static bool put_includes(const char *names, struct strbuf *out)
{
	if (strpbrk(names, "\n\r\\"))
		return false;
	while (*names) {
		size_t size = strcspn(names + 1, "<>\"") + 2;
		if (size < 3 || (names[0] != '<' && names[0] != '"') ||
			names[size - 1] != (names[0] == '<' ? '>' : '"'))
			return false;
		strbuf_printf(out, "#include %.*s\n", (int)size, names);
		names += size;
	}
	return true;
}

/* A source of nothing but the headers; NULL: they are no names of headers. */
static const char *header_source(struct target *target, const char *names)
{
	const char *source = NULL;
	struct strbuf text;

	strbuf_init(&text);
	if (put_includes(names, &text)) {
		/* one function: a file without code is not a module */
		strbuf_puts(&text, "void utrace_header(void)\n{\n}\n");
		source = arena_strdup(&target->arena, text.data);
	}
	strbuf_deinit(&text);
	return source;
}

int target_open_header(struct target *target, const char *name,
	struct target_module **ret, struct error *err)
{
	struct compiler_request request = {.flags = flags, .is_linked = true};
	struct compiler_object object = {0};

	for (size_t i = 0; i < target->modules.count; i++) {
		*ret = target->modules.items[i];
		if (strcmp((*ret)->shown_path, name) == 0)
			return 0;
	}
	request.source = header_source(target, name);
	if (!request.source)
		return error_set(err, -EINVAL,
			"'%s' is not the name of a header, or several in a row", name);
	request.what = arena_printf(&target->arena, "the header %s", name);
	int r = compiler_run(&request, &object, NULL, err);
	if (r == 0)
		r = target_open_module(target, object.path, name, ret, err);
	/* what is temporary goes away: all of it is read now */
	if (r == 0 && !elf_module_has_dwarf((*ret)->elf))
		r = error_set(err, -ENOENT, "the compiler gave no types of %s", name);
	compiler_object_close(&object);
	return r;
}

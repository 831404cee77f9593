/* SPDX-License-Identifier: MIT */
/*
 * C in scripts: one unit of all of it, compiled by the machine's compiler for the place where handlers
 * run: freestanding, position independent, general registers only, nothing writable but the script's
 * globals.  Each function becomes embedded_N, which the script's function N calls.
 *
 * Lines are numbered as in the script, so that the compiler's messages name it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/fd.h"
#include "stap/codegen/emit.h"
#include "stap/format_parse.h"

static const char *const flags[] = {"-x", "c", "-std=gnu17", "-O2", "-ffreestanding",
	"-fno-builtin", "-fPIC", "-fvisibility=hidden", "-mgeneral-regs-only",
	"-fno-stack-protector", "-U_FORTIFY_SOURCE", "-fno-asynchronous-unwind-tables",
	"-fno-unwind-tables", "-fno-exceptions", "-fcf-protection=none",
	"-fno-jump-tables", "-fno-strict-aliasing", "-fno-common",
	"-fno-stack-clash-protection", "-fno-diagnostics-show-option",
	"-fdiagnostics-color=never", "-Wframe-larger-than=256",
	"-Werror=frame-larger-than=256", "-Werror=implicit-function-declaration",
	"-iquote", ".", NULL};

/* What scripts may use.  Texts and formats are the agent's (agent/embedded.c). */
static const char prelude[] =
	"#include <stdarg.h>\n#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n"
	"#ifdef __clang__\n#pragma clang diagnostic error \"-Wframe-larger-than\"\n#endif\n"
	"#pragma GCC visibility push(hidden)\n"
	"struct abi_context;\n"
	"extern const uint64_t agent_arena_block[];\n"
	"#define strlen rt_c_strlen\n#define strnlen rt_c_strnlen\n"
	"#define strlcpy rt_c_strlcpy\n#define strlcat rt_c_strlcat\n"
	"#define strcmp rt_c_strcmp\n#define strncmp rt_c_strncmp\n"
	"#define strchr rt_c_strchr\n#define strrchr rt_c_strrchr\n"
	"#define strstr rt_c_strstr\n#define strcpy rt_c_strcpy\n"
	"#define strncpy rt_c_strncpy\n#define snprintf rt_c_snprintf\n"
	"#define vsnprintf rt_c_vsnprintf\n#define scnprintf rt_c_snprintf\n"
	"size_t strlen(const char *);\nsize_t strnlen(const char *, size_t);\n"
	"size_t strlcpy(char *, const char *, size_t);\n"
	"size_t strlcat(char *, const char *, size_t);\n"
	"int strcmp(const char *, const char *);\n"
	"int strncmp(const char *, const char *, size_t);\n"
	"char *strchr(const char *, int);\nchar *strrchr(const char *, int);\n"
	"char *strstr(const char *, const char *);\n"
	"char *strcpy(char *restrict, const char *restrict);\n"
	"char *strncpy(char *restrict, const char *restrict, size_t);\n"
	"void *memcpy(void *restrict, const void *restrict, size_t);\n"
	"void *memmove(void *, const void *, size_t);\nvoid *memset(void *, int, size_t);\n"
	"int memcmp(const void *, const void *, size_t);\n"
	"int snprintf(char *restrict, size_t, const char *restrict, ...)\n"
	"  __attribute__((format(printf, 3, 4)));\n"
	"int vsnprintf(char *restrict, size_t, const char *restrict, va_list);\n"
	"void rt_c_printf(struct abi_context *, uint32_t, const char *, ...)\n"
	"  __attribute__((format(printf, 3, 4)));\n"
	"void rt_c_print(struct abi_context *, uint32_t, const char *);\n"
	"void rt_c_error(struct abi_context *, const char *, ...)\n"
	"  __attribute__((format(printf, 2, 3)));\n"
	"void rt_c_warn(struct abi_context *, const char *, ...)\n"
	"  __attribute__((format(printf, 2, 3)));\n"
	"uint64_t rt_user_read(struct abi_context *, uint64_t, uint32_t);\n"
	"void *rt_map_find(struct abi_context *, void *, const uint64_t *);\n"
	"void *rt_map_insert(struct abi_context *, void *, const uint64_t *);\n"
	"int64_t rt_counter_read(struct abi_context *, void *, uint32_t);\n"
	"void rt_counter_write(struct abi_context *, void *, uint32_t, int64_t);\n"
	"#pragma GCC visibility pop\n"
	"#define stap_global(offset) ((void *)(uintptr_t)(agent_arena_block[0] + (offset)))\n"
	"#define uread(at) ((__typeof__(*(at)))rt_user_read(CONTEXT, (uint64_t)(uintptr_t)(at), "
	"sizeof(*(at))))\n"
	"#define kread uread\n"
	"#define STAP_PRINTF(...) rt_c_printf(CONTEXT, 0, __VA_ARGS__)\n"
	"#define STAP_PRINT(text) rt_c_print(CONTEXT, 0, (text))\n"
	"#define _stp_printf STAP_PRINTF\n#define _stp_print STAP_PRINT\n"
	"#define _stp_warn(...) rt_c_warn(CONTEXT, __VA_ARGS__)\n"
	"#define STAP_ERROR(...) do { rt_c_error(CONTEXT, __VA_ARGS__); goto stap_out; } while (0)\n"
	"#define STAP_NEXT do { *stap_next = 1; goto stap_out; } while (0)\n"
	"#define STP_STRING(text) (text)\n";

bool emit_embedded_any(const struct emit *e)
{
	for (size_t i = 0; i < e->program->functions.count; i++)
		if (e->program->functions.items[i]->embedded)
			return true;
	return e->program->embedded.count > 0;
}

/* Texts are printed with the first format. */
void emit_embedded_open(struct emit *e)
{
	struct codegen_format format = {
		.format = stap_format_parse(e->program->arena, "%s", 2)};

	if (emit_embedded_any(e))
		vec_append(&e->formats, format);
}

/* ---- calls
 * ------------------------------------------------------------------------------------ */

void emit_embedded_call(struct emit_body *b)
{
	const struct stap_function *function = b->function;
	bool is_text = function->type == STAP_TYPE_STRING;
	LLVMTypeRef types[64];
	LLVMValueRef args[64], next = NULL;
	unsigned count = LLVMCountParams(b->fn);
	char name[32];

	snprintf(name, sizeof(name), "embedded_%u", function->index);
	for (unsigned i = 0; i < count; i++) {
		args[i] = LLVMGetParam(b->fn, i);
		types[i] = LLVMTypeOf(args[i]);
	}
	if (function->calls_next) {
		next = emit_frame(b, sizeof(int64_t), "next");
		emit_store(b, LLVMConstInt(b->e->i8, 0, false), next);
		types[count] = b->e->ptr;
		args[count++] = next;
	}
	struct emit_callee callee =
		emit_declare(b->e, name, is_text ? b->e->none : b->e->i64, types, count);
	LLVMValueRef value = LLVMBuildCall2(
		b->e->builder, callee.type, callee.function, args, count, "");
	if (!is_text)
		emit_store(b, value, b->result);
	emit_check_error(b, function->token);
	if (next) {
		LLVMBasicBlockRef stay = emit_block(b, "stay");

		emit_branch(b, emit_is_true(b, emit_load(b, b->e->i8, next, "")),
			b->next_block, stay);
		LLVMPositionBuilderAtEnd(b->e->builder, stay);
	}
}

/* ---- the unit
 * --------------------------------------------------------------------------------- */

static void put_line(struct strbuf *out, const struct stap_token *token)
{
	strbuf_printf(out, "#line %u \"", token->line);
	for (const char *c = token->source->name; *c; c++)
		strbuf_printf(out, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
	strbuf_puts(out, "\"\n");
}

/* The script's text at its own line and column. */
static void put_text(struct strbuf *out, const struct stap_token *token)
{
	put_line(out, token);
	strbuf_fill(out, ' ', token->column + 1);
	strbuf_puts(out, token->text);
	strbuf_puts(out, "\n");
}

static void put_array_macros(struct strbuf *out, const struct codegen_global *g,
	const struct stap_touch *touch)
{
	const struct stap_var *var = g->var;
	bool is_text = var->type == STAP_TYPE_STRING;
	struct strbuf names, values;

	strbuf_init(&names);
	strbuf_init(&values);
	for (int i = 0; i < var->arity; i++) {
		strbuf_printf(&names, "%sk%d", i ? ", " : "", i);
		strbuf_printf(&values, "%s(uint64_t)(k%d)", i ? ", " : "", i);
	}
	if (touch->is_read)
		strbuf_printf(out,
			"#define STAP_GLOBAL_GET_%s(%s) ({ %s *stap_at = rt_map_find(CONTEXT, "
			"stap_global(%u), (const uint64_t[]){%s}); stap_at ? %sstap_at : %s; })\n",
			var->name, names.data, is_text ? "char" : "int64_t", g->offset,
			values.data, is_text ? "" : "*", is_text ? "\"\"" : "0");
	if (touch->is_written)
		strbuf_printf(out,
			"#define STAP_GLOBAL_SET_%s(%s, value) ({ %s *stap_at = rt_map_insert("
			"CONTEXT, stap_global(%u), (const uint64_t[]){%s}); if (stap_at) %s; 0; })\n",
			var->name, names.data, is_text ? "char" : "int64_t", g->offset,
			values.data,
			is_text ? "strlcpy(stap_at, (value), MAXSTRINGLEN)"
				: "*stap_at = (value)");
	strbuf_deinit(&names);
	strbuf_deinit(&values);
}

static void put_scalar_macros(struct strbuf *out, const struct codegen_global *g,
	const struct stap_touch *touch)
{
	const char *name = g->var->name, *get = "*(int64_t *)stap_global(%u)";
	const char *set = "(*(int64_t *)stap_global(%u) = (value))";

	if (g->storage == CODEGEN_COUNTER) {
		get = "rt_counter_read(CONTEXT, stap_global(%u), %u)";
		set = "rt_counter_write(CONTEXT, stap_global(%u), %u, (value))";
	} else if (g->storage == CODEGEN_SCALAR_STRING) {
		get = "((char *)stap_global(%u))";
		set = "strlcpy(stap_global(%u), (value), MAXSTRINGLEN)";
	}
	if (touch->is_read) {
		strbuf_printf(out, "#define STAP_GLOBAL_GET_%s() ", name);
		/* clang-format off */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		strbuf_printf(out, get, g->offset, g->shard_offset);
		strbuf_putc(out, '\n');
	}
	if (touch->is_written) {
		strbuf_printf(out, "#define STAP_GLOBAL_SET_%s(value) ", name);
		strbuf_printf(out, set, g->offset, g->shard_offset);
#pragma GCC diagnostic pop
		/* clang-format on */
		strbuf_putc(out, '\n');
	}
}

static void put_global_macros(
	struct emit *e, struct strbuf *out, const struct stap_function *function)
{
	for (uint32_t i = 0; i < function->touch_count; i++) {
		const struct stap_touch *touch = &function->touches[i];
		const struct codegen_global *g = emit_global(e, touch->var);

		if (touch->var->type == STAP_TYPE_STATS)
			emit_fail(e, -EINVAL, function->embedded,
				"embedded C cannot use the statistic '%s'",
				touch->var->name);
		else if (touch->var->arity > 0)
			put_array_macros(out, g, touch);
		else
			put_scalar_macros(out, g, touch);
	}
}

static void drop_global_macros(struct strbuf *out, const struct stap_function *function)
{
	for (uint32_t i = 0; i < function->touch_count; i++)
		strbuf_printf(out,
			"#undef STAP_GLOBAL_GET_%s\n#undef STAP_GLOBAL_SET_%s\n",
			function->touches[i].var->name, function->touches[i].var->name);
	strbuf_puts(out, "#undef STAP_RETURN\n");
}

static void put_head(struct strbuf *out, const struct stap_function *function)
{
	bool is_text = function->type == STAP_TYPE_STRING;

	strbuf_puts(out, "#undef STAP_RETURN\n#define STAP_RETURN(...) do { ");
	if (is_text)
		strbuf_puts(out, "strlcpy(STAP_RETVALUE, (__VA_ARGS__), MAXSTRINGLEN); ");
	else if (function->type == STAP_TYPE_LONG)
		strbuf_puts(out, "STAP_RETVALUE = (int64_t)(__VA_ARGS__); ");
	strbuf_printf(out,
		"goto stap_out; } while (0)\n"
		"__attribute__((visibility(\"hidden\"))) %s embedded_%u("
		"struct abi_context *const CONTEXT%s",
		is_text ? "void" : "int64_t", function->index,
		is_text ? ", char *const STAP_RETVALUE" : "");
	for (uint32_t i = 0; i < function->param_count; i++)
		strbuf_printf(out, ", %s STAP_ARG_%s",
			function->params[i]->type == STAP_TYPE_STRING ? "const char *"
								      : "int64_t",
			function->params[i]->name);
	if (function->calls_next)
		strbuf_puts(out, ", char *stap_next");
	strbuf_printf(out, ")\n{\n%s{\n", is_text ? "" : "int64_t STAP_RETVALUE = 0;\n");
}

static void put_function(
	struct emit *e, struct strbuf *out, const struct stap_function *function)
{
	bool is_text = function->type == STAP_TYPE_STRING;

	put_global_macros(e, out, function);
	put_head(out, function);
	if (function->is_embedded_expr)
		strbuf_puts(out, is_text ? "strlcpy(STAP_RETVALUE, (\n"
					 : "STAP_RETVALUE = (int64_t)(\n");
	put_text(out, function->embedded);
	if (function->is_embedded_expr)
		strbuf_puts(out, is_text ? "), MAXSTRINGLEN);\n" : ");\n");
	strbuf_printf(out, ";}\ngoto stap_out;\nstap_out: return%s;\n",
		is_text ? "" : " STAP_RETVALUE");
	put_line(out, function->token); /* of what is said of the whole function */
	strbuf_puts(out, "}\n");
	drop_global_macros(out, function);
}

static void put_unit(struct emit *e, struct strbuf *out)
{
	strbuf_puts(out, prelude);
	strbuf_printf(out, "#define MAXSTRINGLEN %u\n", e->options->max_string);
	/* top-level code has no context of its own: its functions are given one */
	for (size_t i = 0; i < e->program->embedded.count; i++)
		put_text(out, e->program->embedded.items[i]);
	for (size_t i = 0; i < e->program->functions.count; i++)
		if (e->program->functions.items[i]->embedded)
			put_function(e, out, e->program->functions.items[i]);
}

int emit_embedded_compile(struct emit *e, char **ret, size_t *ret_size)
{
	struct compiler_request request = {.what = "embedded C", .flags = flags};
	struct compiler_object object = {0};
	struct strbuf source;

	strbuf_init(&source);
	put_unit(e, &source);
	request.source = source.data;
	int r = e->failed ? e->failed : compiler_run(&request, &object, NULL, e->error);
	strbuf_deinit(&source);
	if (r < 0)
		return e->failed ? r : -ENOEXEC;
	ssize_t size = fd_read_file(object.path, ret, e->error);
	compiler_object_close(&object);
	if (size < 0)
		return (int)size;
	*ret_size = (size_t)size;
	return 0;
}

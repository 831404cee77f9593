/* SPDX-License-Identifier: MIT */
/*
 * The LLVM module: what is declared in it, how it is optimised and turned into an object.
 *
 * The code runs on the traced program's stack between two of its instructions, so it uses
 * general registers only (no vector state to save), calls no library function LLVM might
 * think of, and says how much stack each function takes: too much is an error here, not
 * an overflow there.
 */
#include <errno.h>
#include <llvm-c/Analysis.h>
#include <llvm-c/Target.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stap/codegen/emit.h"

static const char triple[] = "x86_64-unknown-linux-gnu";
static const char features[] = "-sse,-sse2,-avx,-mmx,-x87";

/* Stack of one function.  Its callees in the runtime take up to 96 bytes more. */
enum {
	STACK_LIMIT = 136
};

static const struct {
	const char *name, *result, *arguments;
} runtime_table[] = {
#define EMIT_RUNTIME_ROW(name, result, arguments) {#name, result, arguments},
	EMIT_RUNTIME(EMIT_RUNTIME_ROW)
#undef EMIT_RUNTIME_ROW
};

int emit_fail(
	struct emit *e, int code, const struct stap_token *token, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	if (e->failed)
		return e->failed;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	e->failed = code;
	if (token && token->source && e->options->ret_blamed)
		*e->options->ret_blamed = token;
	else if (token && token->source)
		return error_set(e->error, code, "%s at %s:%u:%u", text,
			token->source->name, token->line, token->column);
	return error_set(e->error, code, "%s", text);
}

/* ---- opening
 * ---------------------------------------------------------------------------------- */

static void init_llvm(void)
{
	LLVMInitializeX86TargetInfo();
	LLVMInitializeX86Target();
	LLVMInitializeX86TargetMC();
	LLVMInitializeX86AsmPrinter();
}

static void report_diagnostic(LLVMDiagnosticInfoRef info, void *data)
{
	struct emit *e = data;
	char *text = LLVMGetDiagInfoDescription(info);

	if (strstr(text, "stack frame size")) {
		e->stack_exceeded = true;
		if (e->is_lean)
			emit_fail(e, -E2BIG, NULL, "handler needs too much stack: %s",
				text);
	} else if (LLVMGetDiagInfoSeverity(info) == LLVMDSError) {
		emit_fail(e, -EINVAL, NULL, "code generation: %s", text);
	}
	LLVMDisposeMessage(text);
}

static int open_machine(struct emit *e)
{
	LLVMTargetRef target;
	char *message = NULL;

	if (LLVMGetTargetFromTriple(triple, &target, &message)) {
		emit_fail(e, -ENOSYS, NULL, "LLVM has no x86-64 target: %s", message);
		LLVMDisposeMessage(message);
		return e->failed;
	}
	e->machine = LLVMCreateTargetMachine(target, triple, "x86-64", features,
		LLVMCodeGenLevelDefault, LLVMRelocPIC, LLVMCodeModelSmall);
	if (!e->machine)
		return emit_fail(e, -ENOSYS, NULL, "LLVM cannot create a target machine");
	LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(e->machine);
	LLVMSetModuleDataLayout(e->module, layout);
	LLVMDisposeTargetData(layout);
	LLVMSetTarget(e->module, triple);
	return 0;
}

static void open_metadata(struct emit *e)
{
	LLVMMetadataRef weights[3] = {
		LLVMMDStringInContext2(e->context, "branch_weights", 14),
		LLVMValueAsMetadata(LLVMConstInt(e->i32, 1, false)),
		LLVMValueAsMetadata(LLVMConstInt(e->i32, 4000, false)),
	};

	e->prof_kind = LLVMGetMDKindIDInContext(e->context, "prof", 4);
	e->invariant_kind = LLVMGetMDKindIDInContext(e->context, "invariant.load", 14);
	e->cold_weights = LLVMMetadataAsValue(
		e->context, LLVMMDNodeInContext2(e->context, weights, 3));
}

int emit_module_open(struct emit *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	if (!e->is_recording)
		pthread_once(&once, init_llvm);
	e->context = LLVMContextCreate();
	LLVMContextSetDiagnosticHandler(e->context, report_diagnostic, e);
	e->module = LLVMModuleCreateWithNameInContext("script", e->context);
	e->builder = LLVMCreateBuilderInContext(e->context);
	e->alloca_builder = LLVMCreateBuilderInContext(e->context);
	e->i8 = LLVMInt8TypeInContext(e->context);
	e->i16 = LLVMInt16TypeInContext(e->context);
	e->i32 = LLVMInt32TypeInContext(e->context);
	e->i64 = LLVMInt64TypeInContext(e->context);
	e->ptr = LLVMPointerTypeInContext(e->context, 0);
	e->none = LLVMVoidTypeInContext(e->context);
	e->stat_desc = arena_array(
		e->program->arena, LLVMValueRef, e->program->globals.count + 1);
	e->cells_desc = arena_array(
		e->program->arena, LLVMValueRef, e->program->globals.count + 1);
	open_metadata(e);
	return e->is_recording ? 0 : open_machine(e);
}

void emit_module_close(struct emit *e)
{
	if (e->alloca_builder)
		LLVMDisposeBuilder(e->alloca_builder);
	if (e->builder)
		LLVMDisposeBuilder(e->builder);
	if (e->module)
		LLVMDisposeModule(e->module);
	if (e->machine)
		LLVMDisposeTargetMachine(e->machine);
	if (e->context)
		LLVMContextDispose(e->context);
	e->alloca_builder = e->builder = NULL;
	e->module = NULL;
	e->machine = NULL;
	e->context = NULL;
	memset(e->runtime, 0, sizeof(e->runtime));
	e->empty_string = NULL;
}

/* ---- functions and constants
 * ------------------------------------------------------------------ */

static void add_flag(struct emit *e, LLVMValueRef function, const char *name)
{
	unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));

	LLVMAddAttributeAtIndex(function, LLVMAttributeFunctionIndex,
		LLVMCreateEnumAttribute(e->context, kind, 0));
}

static void add_text(
	struct emit *e, LLVMValueRef function, const char *name, const char *value)
{
	LLVMAddAttributeAtIndex(function, LLVMAttributeFunctionIndex,
		LLVMCreateStringAttribute(e->context, name, (unsigned)strlen(name), value,
			(unsigned)strlen(value)));
}

static LLVMTypeRef type_of(struct emit *e, char code)
{
	switch (code) {
	case 'p':
	case 'S':
		return e->ptr;
	case 'i':
		return e->i32;
	case 'b': /* only the low 8 bits of a returned bool are defined */
		return e->i8;
	case 'v':
		return e->none;
	default:
		return e->i64;
	}
}

struct emit_callee emit_declare(struct emit *e, const char *name, LLVMTypeRef result,
	LLVMTypeRef *args, unsigned count)
{
	struct emit_callee callee;

	callee.type = LLVMFunctionType(result, args, count, false);
	callee.function = LLVMGetNamedFunction(e->module, name);
	if (!callee.function) {
		callee.function = LLVMAddFunction(e->module, name, callee.type);
		/* hidden: called directly, never through a GOT */
		LLVMSetVisibility(callee.function, LLVMHiddenVisibility);
		add_flag(e, callee.function, "nounwind");
	}
	return callee;
}

struct emit_callee emit_runtime(struct emit *e, enum emit_runtime which)
{
	struct emit_callee *callee = &e->runtime[which];

	if (!callee->function) {
		const char *arguments = runtime_table[which].arguments;
		LLVMTypeRef types[8];
		unsigned count = 0;

		for (; arguments[count]; count++)
			types[count] = type_of(e, arguments[count]);
		*callee = emit_declare(e, runtime_table[which].name,
			type_of(e, runtime_table[which].result[0]), types, count);
	}
	return *callee;
}

struct emit_callee emit_intrinsic(struct emit *e, const struct stap_intrinsic *intrinsic)
{
	LLVMTypeRef types[16], result = e->none;
	unsigned count = 0;

	types[count++] = e->ptr;
	if (intrinsic->result == STAP_TYPE_STRING)
		types[count++] = e->ptr;
	else if (intrinsic->result == STAP_TYPE_LONG)
		result = e->i64;
	for (const char *a = intrinsic->arguments; *a && count < 16; a++)
		types[count++] = type_of(e, *a);
	return emit_declare(e, intrinsic->symbol, result, types, count);
}

LLVMValueRef emit_function_new(struct emit *e, const char *name, LLVMTypeRef type,
	bool is_handler, bool limits_stack)
{
	LLVMValueRef function = LLVMAddFunction(e->module, name, type);
	char limit[16];

	LLVMSetLinkage(function, is_handler ? LLVMExternalLinkage : LLVMInternalLinkage);
	if (is_handler)
		LLVMSetVisibility(function, LLVMHiddenVisibility);
	add_flag(e, function, "nounwind");
	add_flag(e, function, "noimplicitfloat");
	add_text(e, function, "no-builtins", "");
	add_text(e, function, "no-jump-tables", "true");
	if (limits_stack) {
		snprintf(limit, sizeof(limit), "%d", STACK_LIMIT);
		add_text(e, function, "warn-stack-size", limit);
	}
	if (e->is_lean && !is_handler)
		add_flag(e, function, "noinline");
	return function;
}

LLVMValueRef emit_bytes(
	struct emit *e, const void *bytes, size_t size, unsigned align, const char *name)
{
	LLVMValueRef init = LLVMConstStringInContext2(e->context, bytes, size, true);
	LLVMValueRef global = LLVMAddGlobal(e->module, LLVMTypeOf(init), name);

	LLVMSetInitializer(global, init);
	LLVMSetGlobalConstant(global, true);
	LLVMSetLinkage(global, LLVMPrivateLinkage);
	LLVMSetUnnamedAddress(global, LLVMGlobalUnnamedAddr);
	LLVMSetAlignment(global, align);
	return global;
}

LLVMValueRef emit_literal(struct emit *e, const char *text)
{
	size_t size = strlen(text), limit = e->options->max_string - 1;

	if (!size) {
		if (!e->empty_string)
			e->empty_string = emit_bytes(e, "", 1, 1, "empty");
		return e->empty_string;
	}
	if (size <= limit)
		return emit_bytes(e, text, size + 1, 1, "text");
	/* strings longer than MAXSTRINGLEN are cut, literals too */
	char *cut = arena_strndup(e->program->arena, text, limit);
	return emit_bytes(e, cut, limit + 1, 1, "text");
}

/* ---- object code
 * ------------------------------------------------------------------------------ */

/*
 * Handlers are straight code and calls: these few passes give what all of O2 gives, in a fifth of the
 * time.  The lean ones keep values from living across calls, where they would be spilled.
 */
static const char passes[] =
	"cgscc(inline),globaldce,"
	"function(sroa,early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg,"
	"gvn,dse,simplifycfg),constmerge";
static const char lean_passes[] = "function(simplifycfg),constmerge";

static int run_passes(struct emit *e)
{
	LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
	LLVMErrorRef error = LLVMRunPasses(e->module,
		e->is_lean || e->is_quick ? lean_passes : passes, e->machine, options);

	LLVMDisposePassBuilderOptions(options);
	if (error) {
		char *message = LLVMGetErrorMessage(error);
		emit_fail(e, -EINVAL, NULL, "code generation: %s", message);
		LLVMDisposeErrorMessage(message);
	}
	return e->failed;
}

static int take_object(struct emit *e, LLVMMemoryBufferRef object, struct emit_blob *ret)
{
	ret->size = LLVMGetBufferSize(object);
	ret->bytes = malloc(ret->size + 1);
	if (ret->bytes)
		memcpy(ret->bytes, LLVMGetBufferStart(object), ret->size);
	LLVMDisposeMemoryBuffer(object);
	return ret->bytes ? 0 : emit_fail(e, -ENOMEM, NULL, "out of memory");
}

int emit_module_object(struct emit *e, struct emit_blob *ret)
{
	LLVMMemoryBufferRef object;
	char *message = NULL;

	if (LLVMVerifyModule(e->module, LLVMReturnStatusAction, &message))
		emit_fail(
			e, -EINVAL, NULL, "code generation: invalid module: %s", message);
	LLVMDisposeMessage(message);
	if (!e->failed)
		run_passes(e);
	if (e->options->dump_ir)
		LLVMDumpModule(e->module);
	if (e->failed)
		return e->failed;
	message = NULL;
	if (LLVMTargetMachineEmitToMemoryBuffer(
		    e->machine, e->module, LLVMObjectFile, &message, &object)) {
		emit_fail(e, -EINVAL, NULL, "code generation: %s",
			message ? message : "failed");
		LLVMDisposeMessage(message);
		return e->failed;
	}
	if (e->failed || (e->stack_exceeded && !e->is_lean)) {
		LLVMDisposeMemoryBuffer(object);
		return e->failed ? e->failed : -EAGAIN;
	}
	return take_object(e, object, ret);
}

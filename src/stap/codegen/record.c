/* SPDX-License-Identifier: MIT */
/*
 * Code is emitted by calls of LLVM functions.  Here these calls, with all that decides what comes out of
 * them, are written down instead of made: the same calls give the same object, so what they are is what an object is
 * kept under (object.c), and a run that finds its object never loads LLVM at all.
 *
 * Values, types, blocks and the like are nodes, numbered as they are made; a call is written as its
 * number, then its arguments: nodes as their numbers, texts as their length and bytes.  Names that are
 * for people only are left out.  Of what LLVM knows about its things, nodes know what emission asks for.
 */
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/arena.h"
#include "stap/codegen/emit.h"
#include "stap/codegen/llvm.h"

struct node {
	uint32_t number;
	uint32_t bits;         /* of an integer type */
	bool ends_block;       /* an instruction that does */
	struct node *type;     /* of a value; what a function type returns */
	struct node *function; /* the type of a function */
	struct node **params;  /* of a function type, values of a function */
	uint32_t param_count;
	struct node *block;       /* an instruction's, or where a builder is */
	struct node *first, *end; /* of a block */
	bool at_front;            /* a builder: before the first instruction */
	struct node *next;        /* of the types */
};

/* A function or variable of the module, by its name. */
struct named {
	struct node *node;
	const char *name;
	UT_hash_handle hh;
};

static struct {
	struct arena *arena;
	VEC(uint32_t) log;
	uint32_t count;
	struct named *named;
	struct node *types, *pointer;
} record;

/* ---- writing ------------------------------------------------------------- */

static void put(uint32_t word)
{
	vec_append(&record.log, word);
}

static void put_node(const struct node *node)
{
	put(node ? node->number : 0);
}

static void put_long(uint64_t value)
{
	put((uint32_t)value);
	put((uint32_t)(value >> 32));
}

static void put_bytes(const char *bytes, size_t size)
{
	put_long(size);
	for (size_t i = 0; i < size; i += sizeof(uint32_t)) {
		uint32_t word = 0;

		memcpy(&word, bytes + i,
			size - i < sizeof(word) ? size - i : sizeof(word));
		put(word);
	}
}

static void put_nodes(struct node *const *nodes, size_t count)
{
	put_long(count);
	for (size_t i = 0; i < count; i++)
		put_node(nodes[i]);
}

/* ---- nodes --------------------------------------------------------------- */

static struct node *fresh(struct node *type)
{
	struct node *node = arena_array(record.arena, struct node, 1);

	node->number = ++record.count;
	node->type = type;
	return node;
}

/* An instruction where the builder is. */
static struct node *inst(struct node *builder, struct node *type)
{
	struct node *node = fresh(type), *block = builder->block;

	node->block = block;
	if (!block->first || builder->at_front)
		block->first = node;
	return node;
}

static struct node *ending(struct node *builder)
{
	struct node *node = inst(builder, NULL);

	builder->block->end = node;
	return node;
}

static struct node *integer_type(uint32_t bits)
{
	for (struct node *type = record.types; type; type = type->next)
		if (type->bits == bits)
			return type;
	struct node *type = fresh(NULL);
	type->bits = bits;
	type->next = record.types;
	record.types = type;
	return type;
}

static struct node *pointer_type(void)
{
	if (!record.pointer)
		record.pointer = fresh(NULL);
	return record.pointer;
}

static struct node *find_named(const char *name)
{
	struct named *named;

	HASH_FIND_STR(record.named, name, named);
	return named ? named->node : NULL;
}

static struct node *add_named(const char *name)
{
	struct named *named;

	HASH_FIND_STR(record.named, name, named);
	if (!named) {
		named = arena_array(record.arena, struct named, 1);
		named->name = arena_strdup(record.arena, name);
		HASH_ADD_KEYPTR(
			hh, record.named, named->name, strlen(named->name), named);
	}
	named->node = fresh(pointer_type());
	return named->node;
}

static struct node *add_function(const char *name, struct node *type)
{
	struct node *node = add_named(name);

	node->function = type;
	node->params = arena_array(record.arena, struct node *, type->param_count + 1);
	node->param_count = type->param_count;
	for (uint32_t i = 0; i < type->param_count; i++)
		node->params[i] = fresh(type->params[i]);
	return node;
}

static struct node *function_type(
	struct node *result, struct node **params, uint32_t count)
{
	struct node *type = fresh(result);

	type->params = arena_array(record.arena, struct node *, count + 1);
	for (uint32_t i = 0; i < count; i++)
		type->params[i] = params[i];
	type->param_count = count;
	return type;
}

/* ---- the functions ------------------------------------------------------- */

/*
 * F(name, result, kinds of the arguments): P node, U unsigned, L 64 bits, T text, N a name for people only.
 * The arguments are a, b, c, d in the result.  One list gives parameters and log: no argument can be forgotten.
 */
#define TYPE_P   struct node *
#define TYPE_U   unsigned
#define TYPE_L   uint64_t
#define TYPE_T   const char *
#define TYPE_N   const char *
#define PUT_P(x) put_node(x)
#define PUT_U(x) put(x)
#define PUT_L(x) put_long(x)
#define PUT_T(x) put_bytes(x, strlen(x))
#define PUT_N(x) (void)(x)

#define F1(name, result, A)                \
	static void *do_##name(TYPE_##A a) \
	{                                  \
		put(CALL_##name);          \
		PUT_##A(a);                \
		return result;             \
	}
#define F2(name, result, A, B)                         \
	static void *do_##name(TYPE_##A a, TYPE_##B b) \
	{                                              \
		put(CALL_##name);                      \
		PUT_##A(a);                            \
		PUT_##B(b);                            \
		return result;                         \
	}
#define F3(name, result, A, B, C)                                  \
	static void *do_##name(TYPE_##A a, TYPE_##B b, TYPE_##C c) \
	{                                                          \
		put(CALL_##name);                                  \
		PUT_##A(a);                                        \
		PUT_##B(b);                                        \
		PUT_##C(c);                                        \
		return result;                                     \
	}
#define F4(name, result, A, B, C, D)                                           \
	static void *do_##name(TYPE_##A a, TYPE_##B b, TYPE_##C c, TYPE_##D d) \
	{                                                                      \
		put(CALL_##name);                                              \
		PUT_##A(a);                                                    \
		PUT_##B(b);                                                    \
		PUT_##C(c);                                                    \
		PUT_##D(d);                                                    \
		return result;                                                 \
	}

#define SIMPLE(X1, X2, X3, X4)                                          \
	X1(LLVMVoidTypeInContext, fresh(NULL), P)                       \
	X1(LLVMInt1TypeInContext, integer_type(1), P)                   \
	X1(LLVMInt8TypeInContext, integer_type(8), P)                   \
	X1(LLVMInt16TypeInContext, integer_type(16), P)                 \
	X1(LLVMInt32TypeInContext, integer_type(32), P)                 \
	X1(LLVMInt64TypeInContext, integer_type(64), P)                 \
	X2(LLVMIntTypeInContext, integer_type(b), P, U)                 \
	X2(LLVMPointerTypeInContext, pointer_type(), P, U)              \
	X1(LLVMCreateBuilderInContext, fresh(NULL), P)                  \
	X2(LLVMModuleCreateWithNameInContext, fresh(NULL), T, P)        \
	X3(LLVMAddFunction, add_function(b, c), P, T, P)                \
	X3(LLVMAddGlobal, add_named(c), P, P, T)                        \
	X3(LLVMAppendBasicBlockInContext, fresh(NULL), P, P, N)         \
	X3(LLVMAddAttributeAtIndex, NULL, P, U, P)                      \
	X3(LLVMCreateEnumAttribute, fresh(NULL), P, U, L)               \
	X3(LLVMConstInt, fresh(a), P, L, U)                             \
	X1(LLVMConstNull, fresh(a), P)                                  \
	X2(LLVMSetAlignment, NULL, P, U)                                \
	X2(LLVMSetGlobalConstant, NULL, P, U)                           \
	X2(LLVMSetInitializer, NULL, P, P)                              \
	X2(LLVMSetLinkage, NULL, P, U)                                  \
	X3(LLVMSetMetadata, NULL, P, U, P)                              \
	X2(LLVMSetOrdering, NULL, P, U)                                 \
	X2(LLVMSetUnnamedAddress, NULL, P, U)                           \
	X2(LLVMSetVisibility, NULL, P, U)                               \
	X2(LLVMSetVolatile, NULL, P, U)                                 \
	X2(LLVMMoveBasicBlockAfter, NULL, P, P)                         \
	X2(LLVMMetadataAsValue, fresh(NULL), P, P)                      \
	X1(LLVMValueAsMetadata, fresh(NULL), P)                         \
	X4(LLVMBuildAShr, inst(a, b->type), P, P, P, N)                 \
	X4(LLVMBuildAdd, inst(a, b->type), P, P, P, N)                  \
	X4(LLVMBuildAnd, inst(a, b->type), P, P, P, N)                  \
	X4(LLVMBuildLShr, inst(a, b->type), P, P, P, N)                 \
	X4(LLVMBuildMul, inst(a, b->type), P, P, P, N)                  \
	X4(LLVMBuildOr, inst(a, b->type), P, P, P, N)                   \
	X4(LLVMBuildSDiv, inst(a, b->type), P, P, P, N)                 \
	X4(LLVMBuildSRem, inst(a, b->type), P, P, P, N)                 \
	X4(LLVMBuildShl, inst(a, b->type), P, P, P, N)                  \
	X4(LLVMBuildSub, inst(a, b->type), P, P, P, N)                  \
	X4(LLVMBuildUDiv, inst(a, b->type), P, P, P, N)                 \
	X4(LLVMBuildURem, inst(a, b->type), P, P, P, N)                 \
	X4(LLVMBuildXor, inst(a, b->type), P, P, P, N)                  \
	X3(LLVMBuildNeg, inst(a, b->type), P, P, N)                     \
	X3(LLVMBuildNot, inst(a, b->type), P, P, N)                     \
	X3(LLVMBuildAlloca, inst(a, pointer_type()), P, P, N)           \
	X4(LLVMBuildLoad2, inst(a, b), P, P, P, N)                      \
	X3(LLVMBuildStore, inst(a, NULL), P, P, P)                      \
	X4(LLVMBuildFence, inst(a, NULL), P, U, U, N)                   \
	X4(LLVMBuildIntToPtr, inst(a, c), P, P, P, N)                   \
	X4(LLVMBuildPtrToInt, inst(a, c), P, P, P, N)                   \
	X4(LLVMBuildTrunc, inst(a, c), P, P, P, N)                      \
	X4(LLVMBuildZExt, inst(a, c), P, P, P, N)                       \
	X3(LLVMBuildIsNull, inst(a, integer_type(1)), P, P, N)          \
	X3(LLVMBuildIsNotNull, inst(a, integer_type(1)), P, P, N)       \
	X4(LLVMBuildExtractValue, inst(a, integer_type(1)), P, P, U, N) \
	X3(LLVMBuildPhi, inst(a, b), P, P, N)                           \
	X2(LLVMBuildBr, ending(a), P, P)                                \
	X4(LLVMBuildCondBr, ending(a), P, P, P, P)                      \
	X2(LLVMBuildRet, ending(a), P, P)                               \
	X1(LLVMBuildRetVoid, ending(a), P)                              \
	X1(LLVMBuildUnreachable, ending(a), P)

/* Those below. */
#define SPECIAL(X)                         \
	X(LLVMContextCreate)               \
	X(LLVMContextDispose)              \
	X(LLVMContextSetDiagnosticHandler) \
	X(LLVMDisposeBuilder)              \
	X(LLVMDisposeModule)               \
	X(LLVMCountParamTypes)             \
	X(LLVMCountParams)                 \
	X(LLVMGetBasicBlockTerminator)     \
	X(LLVMGetFirstInstruction)         \
	X(LLVMGetInsertBlock)              \
	X(LLVMGetNamedFunction)            \
	X(LLVMGetNamedGlobal)              \
	X(LLVMGetParam)                    \
	X(LLVMGetTypeKind)                 \
	X(LLVMTypeOf)                      \
	X(LLVMPositionBuilderAtEnd)        \
	X(LLVMPositionBuilderBefore)       \
	X(LLVMGetEnumAttributeKindForName) \
	X(LLVMGetMDKindIDInContext)        \
	X(LLVMLookupIntrinsicID)           \
	X(LLVMGetIntrinsicDeclaration)     \
	X(LLVMIntrinsicGetType)            \
	X(LLVMCreateStringAttribute)       \
	X(LLVMConstStringInContext2)       \
	X(LLVMMDStringInContext2)          \
	X(LLVMMDNodeInContext2)            \
	X(LLVMFunctionType)                \
	X(LLVMAddIncoming)                 \
	X(LLVMBuildCall2)                  \
	X(LLVMBuildInBoundsGEP2)           \
	X(LLVMBuildICmp)                   \
	X(LLVMBuildSelect)                 \
	X(LLVMBuildAtomicCmpXchg)

#define NUMBER(name, ...) CALL_##name,
enum call {
	SIMPLE(NUMBER, NUMBER, NUMBER, NUMBER) SPECIAL(NUMBER) CALL_COUNT
};

SIMPLE(F1, F2, F3, F4)

static void *do_LLVMContextCreate(void)
{
	return fresh(NULL);
}

static void do_LLVMContextDispose(struct node *context)
{
	(void)context;
}

static void do_LLVMContextSetDiagnosticHandler(
	struct node *context, LLVMDiagnosticHandler handler, void *data)
{
	(void)context, (void)handler, (void)data;
}

static void do_LLVMDisposeBuilder(struct node *builder)
{
	(void)builder;
}

static void do_LLVMDisposeModule(struct node *module)
{
	(void)module;
}

static unsigned do_LLVMCountParamTypes(struct node *type)
{
	return type->param_count;
}

static unsigned do_LLVMCountParams(struct node *function)
{
	return function->param_count;
}

static struct node *do_LLVMGetBasicBlockTerminator(struct node *block)
{
	return block->end;
}

static struct node *do_LLVMGetFirstInstruction(struct node *block)
{
	return block->first;
}

static struct node *do_LLVMGetInsertBlock(struct node *builder)
{
	return builder->block;
}

static struct node *do_LLVMGetNamedFunction(struct node *module, const char *name)
{
	(void)module;
	return find_named(name);
}

static struct node *do_LLVMGetNamedGlobal(struct node *module, const char *name)
{
	(void)module;
	return find_named(name);
}

static struct node *do_LLVMGetParam(struct node *function, unsigned i)
{
	return function->params[i];
}

static LLVMTypeKind do_LLVMGetTypeKind(struct node *type)
{
	return type->bits ? LLVMIntegerTypeKind : LLVMPointerTypeKind;
}

static struct node *do_LLVMTypeOf(struct node *value)
{
	return value->type;
}

static void do_LLVMPositionBuilderAtEnd(struct node *builder, struct node *block)
{
	put(CALL_LLVMPositionBuilderAtEnd);
	put_node(builder);
	put_node(block);
	builder->block = block;
	builder->at_front = false;
}

static void do_LLVMPositionBuilderBefore(struct node *builder, struct node *where)
{
	put(CALL_LLVMPositionBuilderBefore);
	put_node(builder);
	put_node(where);
	builder->block = where->block;
	builder->at_front = where == where->block->first;
}

static unsigned do_LLVMGetEnumAttributeKindForName(const char *name, size_t size)
{
	put(CALL_LLVMGetEnumAttributeKindForName);
	put_bytes(name, size);
	return 1;
}

static unsigned do_LLVMGetMDKindIDInContext(
	struct node *context, const char *name, unsigned size)
{
	put(CALL_LLVMGetMDKindIDInContext);
	put_node(context);
	put_bytes(name, size);
	return 1;
}

static unsigned do_LLVMLookupIntrinsicID(const char *name, size_t size)
{
	put(CALL_LLVMLookupIntrinsicID);
	put_bytes(name, size);
	return 1;
}

static struct node *do_LLVMGetIntrinsicDeclaration(
	struct node *module, unsigned id, struct node **types, size_t count)
{
	put(CALL_LLVMGetIntrinsicDeclaration);
	put_node(module);
	put(id);
	put_nodes(types, count);
	return fresh(pointer_type());
}

/* Those that are used give 64 bits, and nobody asks for their parameters. */
static struct node *do_LLVMIntrinsicGetType(
	struct node *context, unsigned id, struct node **types, size_t count)
{
	put(CALL_LLVMIntrinsicGetType);
	put_node(context);
	put(id);
	put_nodes(types, count);
	return function_type(integer_type(64), NULL, 0);
}

static struct node *do_LLVMCreateStringAttribute(struct node *context, const char *key,
	unsigned key_size, const char *value, unsigned value_size)
{
	put(CALL_LLVMCreateStringAttribute);
	put_node(context);
	put_bytes(key, key_size);
	put_bytes(value, value_size);
	return fresh(NULL);
}

static struct node *do_LLVMConstStringInContext2(
	struct node *context, const char *bytes, size_t size, int is_plain)
{
	put(CALL_LLVMConstStringInContext2);
	put_node(context);
	put_bytes(bytes, size);
	put((uint32_t)is_plain);
	return fresh(fresh(NULL));
}

static struct node *do_LLVMMDStringInContext2(
	struct node *context, const char *text, size_t size)
{
	put(CALL_LLVMMDStringInContext2);
	put_node(context);
	put_bytes(text, size);
	return fresh(NULL);
}

static struct node *do_LLVMMDNodeInContext2(
	struct node *context, struct node **nodes, size_t count)
{
	put(CALL_LLVMMDNodeInContext2);
	put_node(context);
	put_nodes(nodes, count);
	return fresh(NULL);
}

static struct node *do_LLVMFunctionType(
	struct node *result, struct node **params, unsigned count, int is_vararg)
{
	put(CALL_LLVMFunctionType);
	put_node(result);
	put_nodes(params, count);
	put((uint32_t)is_vararg);
	return function_type(result, params, count);
}

static void do_LLVMAddIncoming(
	struct node *phi, struct node **values, struct node **blocks, unsigned count)
{
	put(CALL_LLVMAddIncoming);
	put_node(phi);
	put_nodes(values, count);
	put_nodes(blocks, count);
}

static struct node *do_LLVMBuildCall2(struct node *builder, struct node *type,
	struct node *function, struct node **args, unsigned count, const char *name)
{
	put(CALL_LLVMBuildCall2);
	put_node(builder);
	put_node(type);
	put_node(function);
	put_nodes(args, count);
	return inst(builder, type->type);
}

static struct node *do_LLVMBuildInBoundsGEP2(struct node *builder, struct node *type,
	struct node *pointer, struct node **indices, unsigned count, const char *name)
{
	put(CALL_LLVMBuildInBoundsGEP2);
	put_node(builder);
	put_node(type);
	put_node(pointer);
	put_nodes(indices, count);
	return inst(builder, pointer_type());
}

static struct node *do_LLVMBuildICmp(struct node *builder, unsigned how,
	struct node *left, struct node *right, const char *name)
{
	put(CALL_LLVMBuildICmp);
	put_node(builder);
	put(how);
	put_node(left);
	put_node(right);
	return inst(builder, integer_type(1));
}

static struct node *do_LLVMBuildSelect(struct node *builder, struct node *condition,
	struct node *then, struct node *otherwise, const char *name)
{
	put(CALL_LLVMBuildSelect);
	put_node(builder);
	put_node(condition);
	put_node(then);
	put_node(otherwise);
	return inst(builder, then->type);
}

static struct node *do_LLVMBuildAtomicCmpXchg(struct node *builder, struct node *at,
	struct node *old, struct node *new, unsigned success, unsigned failure,
	int is_single)
{
	put(CALL_LLVMBuildAtomicCmpXchg);
	put_node(builder);
	put_node(at);
	put_node(old);
	put_node(new);
	put(success);
	put(failure);
	put((uint32_t)is_single);
	return inst(builder, NULL);
}

/* ---- switching ----------------------------------------------------------- */

/* What belongs to the compilation itself is never called meanwhile. */
static llvm_function find_function(const char *name)
{
#define ROW(name, ...) {#name, (llvm_function)do_##name},
	static const struct {
		const char *name;
		llvm_function function;
	} functions[] = {SIMPLE(ROW, ROW, ROW, ROW) SPECIAL(ROW)};
#undef ROW

	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		if (strcmp(functions[i].name, name) == 0)
			return functions[i].function;
	return NULL;
}

void emit_record_begin(struct arena *arena)
{
	memset(&record, 0, sizeof(record));
	record.arena = arena;
	llvm_switch(find_function);
}

void *emit_record_end(size_t *ret_size)
{
	*ret_size = record.log.count * sizeof(*record.log.items);
	HASH_CLEAR(hh, record.named);
	llvm_switch(NULL);
	return record.log.items;
}

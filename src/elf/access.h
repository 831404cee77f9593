/* SPDX-License-Identifier: MIT */
/*
 * How to read a variable of the program at one place of its code: a program for a little
 * stack machine, made from debug information.  The operations are those of struct
 * stap_access_op; this layer cannot see that header, so session/stap_target.c checks that
 * the two lists agree.
 */
#pragma once

#include "base/vec.h"
#include "elf/instance.h"
#include "elf/module.h"

/* KEEP IN SYNC: stap_access_op_kind */
enum elf_op_kind {
	ELF_OP_REG,
	ELF_OP_CONST,
	ELF_OP_STATIC,
	ELF_OP_OPERAND,
	ELF_OP_ADD,
	ELF_OP_SUB,
	ELF_OP_MUL,
	ELF_OP_DIV,
	ELF_OP_MOD,
	ELF_OP_AND,
	ELF_OP_OR,
	ELF_OP_XOR,
	ELF_OP_SHL,
	ELF_OP_SHR,
	ELF_OP_SHRA,
	ELF_OP_NEG,
	ELF_OP_NOT,
	ELF_OP_EQ,
	ELF_OP_NE,
	ELF_OP_LT,
	ELF_OP_LE,
	ELF_OP_GT,
	ELF_OP_GE,
	ELF_OP_DUP,
	ELF_OP_DROP,
	ELF_OP_SWAP,
	ELF_OP_OVER,
	ELF_OP_PICK,
	ELF_OP_ROT,
	ELF_OP_DEREF,
	ELF_OP_SIGN_EXTEND,
	ELF_OP_ZERO_EXTEND,
	ELF_OP_VECTOR,
	ELF_OP_THREAD,
	ELF_OP_ENTRY,
};

struct elf_op {
	enum elf_op_kind kind;
	int64_t value;
};

/* KEEP IN SYNC: stap_value_class */
enum elf_value_class {
	ELF_VALUE_SIGNED,
	ELF_VALUE_UNSIGNED,
	ELF_VALUE_BOOL,
	ELF_VALUE_CHAR,
	ELF_VALUE_POINTER,
	ELF_VALUE_STRING_POINTER,
	ELF_VALUE_ENUM,
	ELF_VALUE_FLOAT,
	ELF_VALUE_AGGREGATE,
	ELF_VALUE_ARRAY,
	ELF_VALUE_CHAR_ARRAY,
	ELF_VALUE_VOID,
};

/* ->member, or [index]: a constant or an operand computed by the script */
struct elf_access_step {
	const char *member; /* NULL: an index */
	bool is_constant;
	int64_t index;    /* constant */
	uint32_t operand; /* number of the operand */
};

enum elf_access_base {
	ELF_BASE_VARIABLE, /* parameter, local, or global of the unit: `name` */
	ELF_BASE_RETURN,   /* the value just returned */
	ELF_BASE_GLOBAL,   /* a global of any unit: "name" or "name@file" */
	ELF_BASE_CAST,     /* operand 0 is a pointer to the type `name` */
};

struct elf_access_request {
	enum elf_access_base base;
	const char *name;
	uint64_t function; /* entry of the function the place is in; 0: none */
	uint64_t pc;       /* where registers and slots are looked at */
	/* the function or inlined copy whose variables are meant; NULL: the function */
	const struct elf_instance *instance;
	bool has_blocks; /* and those of the blocks that the pc is in */
	struct elf_module
		*types; /* CAST: where to look types up, NULL: the module itself */
	const struct elf_access_step *steps;
	size_t step_count;
	bool is_address_of;
};

struct elf_access {
	struct elf_op *ops;
	size_t op_count;
	enum elf_value_class value_class;
	const char *type_name;
	uint32_t size;
	bool needs_callee_saved, needs_static;
};

/**
 * elf_access_compile() - how to read a variable, or where it lives
 * The program leaves scalars extended to 64 bits, and the address of arrays and aggregates (of small
 * structures that are in a register: their bytes; only their members are of use).
 * Return: 0; -ENOENT: no such variable, member, type or debug information; -ENOTSUP: its
 * place or type cannot be read here.  @err has SystemTap's words.
 */
must_check int elf_access_compile(struct elf_module *module,
	const struct elf_access_request *request, struct arena *arena,
	struct elf_access *ret, struct error *err);

enum elf_member_kind {
	ELF_MEMBER_OWN,
	ELF_MEMBER_DISCRIMINANT,   /* tells which variant of an enum it is */
	ELF_MEMBER_VARIANT,        /* there when the discriminant has its value */
	ELF_MEMBER_DEFAULT_VARIANT /* there when no other variant is */
};

struct elf_member_info {
	const char *name; /* NULL: an element */
	enum elf_member_kind kind;
	int64_t value; /* of the discriminant, extended as its type is */
};

/**
 * elf_access_members() - the members of the struct, or the elements of the array, that a request
 * leads to; names in @arena
 */
must_check int elf_access_members(struct elf_module *module,
	const struct elf_access_request *request, struct arena *arena,
	struct elf_member_info **ret, size_t *ret_count, struct error *err);

struct elf_variable_info {
	const char *name, *type_name;
	bool is_parameter;
	bool is_available; /* it has a place or value here */
};

/**
 * elf_access_variables() - named parameters and locals at a place, innermost blocks first
 * @place: only where it is counts
 * @ret:   lives in @arena
 */
must_check int elf_access_variables(struct elf_module *module,
	const struct elf_access_request *place, struct arena *arena,
	struct elf_variable_info **ret, size_t *ret_count, struct error *err);

/* SPDX-License-Identifier: MIT */
/*
 * Patched code computes what unpatched code computes: each piece of code runs with random registers,
 * flags and stack, first as it is, then through its trampoline with handlers that clobber all they
 * may; the complete state is compared.  Handlers check what they are given.
 */
#include <asm/prctl.h>
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <unistd.h>

#include "abi/context.h"
#include "arch/arch.h"
#include "code.h"
#include "tap.h"

enum {
	STACK_WORDS = 1024,
	STACK_TOP = 1000, /* index of the word that rsp points to at the start */
	RED_ZONE = 16,    /* words */
	DATA_WORDS = 16,
	ROUNDS = 60,
	STATUS_FLAGS = 0x8d5,
	DIRECTION = 0x400,
};

/* ---- running code with a given state ---- */

struct state {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15, flags;
};

/* rdi: state, rsi: code.  The code comes back by ret to run_exit or to any address there. */
void run_code(struct state *state, const void *code);
extern const uint8_t run_exit[];
static struct state *run_state __attribute__((used));
static uint64_t run_rsp __attribute__((used)), run_target __attribute__((used));

__asm__(".text\n.globl run_code, run_exit\n"
	"run_code:\n"
	" push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
	" mov %rsp, run_rsp(%rip)\n mov %rdi, run_state(%rip)\n mov %rsi, run_target(%rip)\n"
	" pushq 128(%rdi)\n popfq\n"
	" mov (%rdi),%rax\n mov 8(%rdi),%rbx\n mov 16(%rdi),%rcx\n mov 24(%rdi),%rdx\n"
	" mov 32(%rdi),%rsi\n mov 48(%rdi),%rbp\n mov 56(%rdi),%rsp\n"
	" mov 64(%rdi),%r8\n mov 72(%rdi),%r9\n mov 80(%rdi),%r10\n mov 88(%rdi),%r11\n"
	" mov 96(%rdi),%r12\n mov 104(%rdi),%r13\n mov 112(%rdi),%r14\n mov 120(%rdi),%r15\n"
	" mov 40(%rdi),%rdi\n"
	" jmp *run_target(%rip)\n"
	"run_exit:\n"
	" mov %rdi, run_target(%rip)\n mov run_state(%rip),%rdi\n"
	" mov %rax,(%rdi)\n mov %rbx,8(%rdi)\n mov %rcx,16(%rdi)\n mov %rdx,24(%rdi)\n"
	" mov %rsi,32(%rdi)\n mov %rbp,48(%rdi)\n mov %rsp,56(%rdi)\n"
	" mov %r8,64(%rdi)\n mov %r9,72(%rdi)\n mov %r10,80(%rdi)\n mov %r11,88(%rdi)\n"
	" mov %r12,96(%rdi)\n mov %r13,104(%rdi)\n mov %r14,112(%rdi)\n mov %r15,120(%rdi)\n"
	" mov run_target(%rip),%rax\n mov %rax,40(%rdi)\n"
	" mov run_rsp(%rip),%rsp\n pushfq\n popq 128(%rdi)\n cld\n"
	" pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n");

/* ---- handlers ---- */

struct call {
	uint64_t context, regs_address, sp, address, site, frame;
	struct abi_regs regs;
};

static struct call calls[8];
static unsigned int call_count;
static struct abi_context *context;
static bool register_works;
static unsigned int register_count;

__attribute__((used)) static void record_call(uint64_t ctx, const struct abi_regs *regs,
	uint64_t sp, uint64_t address, uint64_t site)
{
	struct call *c = &calls[call_count < 7 ? call_count : 7];
	*c = (struct call){ctx, (uintptr_t)regs, sp, address, (uint32_t)site,
		(uintptr_t)__builtin_frame_address(0), *regs};
	call_count++;
}

__attribute__((used)) static struct abi_context *register_thread_c(void)
{
	register_count++;
	return register_works ? context : NULL;
}

/* Everything a called function may change is changed, flags included. */
void clobbering_handler(void);
void clobbering_register(void);
#define CLOBBER                                                                          \
	" mov $-1,%rcx\n mov %rcx,%rdx\n mov %rcx,%rsi\n mov %rcx,%rdi\n mov %rcx,%r8\n" \
	" mov %rcx,%r9\n mov %rcx,%r10\n mov %rcx,%r11\n"
__asm__(".text\n.globl clobbering_handler, clobbering_register\n"
	"clobbering_handler:\n push %rbp\n mov %rsp,%rbp\n and $-16,%rsp\n call record_call\n"
	" leave\n" CLOBBER " mov %rcx,%rax\n add %rax,%rax\n ret\n"
	"clobbering_register:\n push %rbp\n mov %rsp,%rbp\n and $-16,%rsp\n"
	" call register_thread_c\n leave\n" CLOBBER " cmp $1,%rcx\n ret\n");

/* ---- pieces of code ---- */

/* clang-format off */
CODE(one_insn, "mov $0x12345678,%eax\n ret");
CODE(prologue, "push %rbp\n mov %rsp,%rbp\n push %r15\n pop %rcx\n pop %rbp\n ret");
CODE(rip_load, "mov 1f(%rip),%rax\n add 1f(%rip),%rdx\n ret\n .balign 8\n 1: .quad 0x1122334455667788");
CODE(rip_lea, "nop\n lea 1f(%rip),%rax\n 1: ret");
CODE(rip_immediate, "cmpl $0x55667788,1f(%rip)\n setz %al\n ret\n .balign 8\n 1: .quad 0x1122334455667788");
CODE(rip_sse, "pxor %xmm1,%xmm1\n movdqu 1f(%rip),%xmm1\n movq %xmm1,%rax\n ret\n 1: .quad 7,8");
CODE(rip_vex, "nop\n vmovdqu 1f(%rip),%xmm1\n vmovq %xmm1,%rax\n ret\n 1: .quad 7,8");
CODE(jcc_short, "jz 1f\n lea 1(%rax),%rax\n ret\n 1: lea 2(%rax),%rax\n ret");
CODE(jcc_all,
	"jo 1f\n js 1f\n lea 3(%rbx),%rbx\n jp 1f\n inc %rax\n 1: jc 2f\n lea 1(%rdx),%rdx\n 2: ret");
CODE(jcc_long, "jbe 1f\n lea 1(%rax),%rax\n ret\n .skip 200,0x90\n 1: lea 2(%rax),%rax\n ret");
CODE(jcc_inside, "jz 1f\n inc %eax\n 1: inc %ecx\n inc %edx\n ret");
CODE(loop_inside, "mov $7,%eax\n jmp 2f\n 2: mov %al,%dl\n 1: dec %eax\n jnz 1b\n ret");
CODE(loop_short, "or $1,%ecx\n jmp 1f\n 1: mov $1,%esi\n 2: lea 1(%rax),%rax\n loop 2b\n ret");
CODE(jrcxz_in, "and $1,%ecx\n jrcxz 1f\n lea 1(%rax),%rax\n nop\n 1: ret");
CODE(jrcxz_out, "jrcxz 1f\n lea 1(%rax),%rax\n ret\n .skip 80,0x90\n 1: mov $5,%edx\n ret");
CODE(loope_out, "movzbl %cl,%ecx\n loope 1f\n lea 1(%rax),%rax\n ret\n .skip 80,0x90\n 1: mov $5,%edx\n ret");
CODE(jecxz_out, "jecxz 1f\n lea 1(%rax),%rax\n ret\n .skip 80,0x90\n 1: mov $5,%edx\n ret");
CODE(jmp_out, "inc %eax\n inc %edx\n jmp 1f\n .skip 30,0xcc\n 1: lea 1(%rcx),%rcx\n ret");
CODE(call_direct, "sub $8,%rsp\n call 1f\n add $8,%rsp\n ret\n 1: mov (%rsp),%r10\n lea 1(%rax),%rax\n ret");
CODE(call_register, "lea 1f(%rip),%r11\n 2: mov %r11,%rdx\n call *%rdx\n ret\n 1: mov (%rsp),%r10\n ret");
CODE(call_high_register, "lea 1f(%rip),%r11\n 2: nop\n nop\n call *%r11\n ret\n 1: mov (%rsp),%r10\n ret");
CODE(call_memory,
	"lea 1f(%rip),%r11\n mov %r11,8(%r14)\n 2: mov %r14,%rdx\n call *8(%rdx)\n ret\n"
	"1: mov (%rsp),%r10\n ret");
CODE(call_indexed,
	"lea 1f(%rip),%r11\n mov %r11,8(%r14)\n mov $1,%r9d\n 2: call *(%r14,%r9,8)\n nop\n ret\n"
	"1: mov (%rsp),%r10\n ret");
CODE(call_rip,
	"lea 1f(%rip),%r11\n mov %r11,3f(%rip)\n 2: call *3f(%rip)\n ret\n"
	"1: mov (%rsp),%r10\n ret\n .balign 8\n 3: .quad 0");
CODE(call_stack,
	"lea 1f(%rip),%r11\n push %r11\n push %rcx\n 2: inc %eax\n call *8(%rsp)\n pop %rcx\n pop %r11\n ret\n"
	"1: mov (%rsp),%r10\n ret");
CODE(call_stack_indexed,
	"lea 1f(%rip),%r11\n push %r11\n push %rcx\n mov $1,%r9d\n 2: inc %eax\n call *(%rsp,%r9,8)\n"
	"pop %rcx\n pop %r11\n ret\n 1: mov (%rsp),%r10\n ret");
CODE(call_next, "call 1f\n 1: pop %r10\n ret");
CODE(jmp_indirect, "lea 1f(%rip),%r11\n 2: mov %r11,%rdx\n inc %eax\n notrack jmp *%rdx\n 1: ret");
CODE(jmp_rip, "lea 1f(%rip),%r11\n mov %r11,3f(%rip)\n 2: jmp *3f(%rip)\n 1: ret\n .balign 8\n 3: .quad 0");
CODE(red_zone,
	"mov %rdx,-8(%rsp)\n mov %rcx,-128(%rsp)\n 2: lea 1(%rax),%eax\n inc %edi\n"
	"mov -8(%rsp),%rsi\n mov -128(%rsp),%r8\n ret");
CODE(carry_chain, "add %rdx,%rax\n 2: adc %rcx,%rbx\n adc %rsi,%rdi\n sbb %r8,%r9\n ret");
CODE(keep_flags, "cmp %rdx,%rax\n 2: lea 1(%rcx),%rcx\n mov %rcx,%r9\n seto %cl\n setl %dl\n setp %bl\n ret");
CODE(flags_through, "mov %rdi,%rax\n mov %rsi,%rdx\n ret");
CODE(direction, "std\n 2: mov %r14,%rdi\n add $64,%rdi\n stosb\n cld\n ret");
CODE(string_move, "mov %r14,%rdi\n lea 64(%r14),%rsi\n mov $16,%ecx\n 2: mov %eax,%edx\n rep movsb\n nop\n ret");
CODE(push_pop, "pushq $0x1234\n 2: pop %rax\n push %rsp\n pop %rdx\n nop\n nop\n ret");
CODE(stack_pointer, "lea 8(%rsp),%rax\n 2: mov %rsp,%rdx\n add %rsp,%rcx\n nop\n ret");
CODE(save_flags, "2: pushfq\n pop %rax\n mov %rax,%rdx\n ret");
CODE(short_jump, "2: mov %edi,%eax\n 1: lea 1(%rdx),%edx\n dec %cl\n nop\n jnz 1b\n ret\n .byte 0xcc,0xcc,0xcc,0xcc,0xcc,0xcc");
CODE(exit_back, "jz 1f\n lea 1(%rax),%rax\n 1: mov %rax,%rdx\n inc %edx\n ret");
CODE(exit_forward, "lea 1(%rax),%rax\n nopw 0(%rax,%rax)\n ret\n nopw 0(%rax,%rax)");
CODE(exit_inside, "jz 1f\n inc %eax\n inc %ecx\n 1: ret\n mov $1,%eax");
CODE(exit_jump, "lea 1(%rax),%rax\n jmp 1f\n .skip 30,0xcc\n 1: lea 1(%rcx),%rcx\n ret");
CODE(exit_jcc, "cmp %rdx,%rax\n jl 1f\n lea 1(%rax),%rax\n ret\n .skip 130,0xcc\n 1: lea 1(%rcx),%rcx\n ret");
CODE(exit_jcc_short, "cmp %rdx,%rax\n jl 1f\n lea 1(%rax),%rax\n ret\n .skip 30,0xcc\n 1: setc %cl\n ret");
CODE(exit_jrcxz, "and $1,%ecx\n lea 1(%rax),%rax\n jrcxz 1f\n lea 1(%rax),%rax\n ret\n .skip 30,0xcc\n 1: setc %cl\n ret");
CODE(exit_imm, "push (%rsp)\n lea 1(%rax),%rax\n nopw 0(%rax,%rax)\n ret $8\n nopw 0(%rax,%rax)");
CODE(tiny, "lea 5(%rdi),%rax\n ret\n nopw 0(%rax,%rax)");
CODE(only_ret, "ret\n nopw 0(%rax,%rax)");
CODE(only_jump, "jmp 1f\n .skip 30,0xcc\n 1: lea 1(%rcx),%rcx\n ret");
CODE(near_exits, "cmp %rdx,%rax\n jl 1f\n ret\n .skip 30,0xcc\n 1: setc %cl\n ret");
/* clang-format on */

enum kind {
	SITE,
	EXIT
};

static const struct piece {
	const char *name;
	const uint8_t *code, *code_end;
	unsigned int site, end; /* end 0: all */
	enum kind kind;
	bool no_long_jumps;
	bool repeats; /* the probe may be reached more than once, or never */
} pieces[] = {
#define PIECE(name, at)                               \
	{                                             \
#name, CODE_BYTES(name), .site = (at) \
	}
#define REPEATS(name, at)                                              \
	{                                                              \
#name, CODE_BYTES(name), .site = (at), .repeats = true \
	}
	PIECE(one_insn, 0),
	PIECE(prologue, 0),
	PIECE(prologue, 1),
	PIECE(rip_load, 0),
	PIECE(rip_load, 7),
	PIECE(rip_lea, 0),
	PIECE(rip_immediate, 0),
	PIECE(rip_sse, 0),
	PIECE(rip_sse, 4),
	PIECE(rip_vex, 0),
	PIECE(jcc_short, 0),
	PIECE(jcc_all, 0),
	REPEATS(jcc_all, 2),
	PIECE(jcc_long, 0),
	PIECE(jcc_inside, 0),
	PIECE(loop_inside, 7),
	REPEATS(loop_short, 10),
	PIECE(jrcxz_in, 3),
	PIECE(jrcxz_out, 0),
	PIECE(loope_out, 3),
	PIECE(jecxz_out, 0),
	PIECE(jmp_out, 0),
	PIECE(call_direct, 0),
	PIECE(call_direct, 4),
	PIECE(call_register, 7),
	PIECE(call_high_register, 7),
	PIECE(call_memory, 11),
	PIECE(call_indexed, 17),
	PIECE(call_rip, 14),
	PIECE(call_stack, 10),
	PIECE(call_stack_indexed, 16),
	PIECE(call_next, 0),
	PIECE(jmp_indirect, 7),
	PIECE(jmp_rip, 14),
	PIECE(red_zone, 10),
	PIECE(carry_chain, 3),
	PIECE(keep_flags, 3),
	PIECE(flags_through, 0),
	PIECE(direction, 1),
	PIECE(string_move, 12),
	PIECE(push_pop, 5),
	PIECE(stack_pointer, 5),
	PIECE(save_flags, 0),
	{"short_jump", CODE_BYTES(short_jump), .end = 11},
	{"short_jump, asked for", CODE_BYTES(short_jump), .end = 11,
		.no_long_jumps = true},
	{"exit_back", CODE_BYTES(exit_back), .kind = EXIT},
	{"exit_forward", CODE_BYTES(exit_forward), .end = 10, .kind = EXIT},
	{"exit_inside", CODE_BYTES(exit_inside), .end = 7, .kind = EXIT},
	{"exit_jump", CODE_BYTES(exit_jump), .end = 6, .kind = EXIT},
	{"exit_jcc", CODE_BYTES(exit_jcc), .end = 14, .kind = EXIT},
	{"exit_jcc_short", CODE_BYTES(exit_jcc_short), .end = 10, .kind = EXIT},
	{"exit_jrcxz", CODE_BYTES(exit_jrcxz), .end = 14, .kind = EXIT},
	{"exit_imm", CODE_BYTES(exit_imm), .end = 15, .kind = EXIT},
};

/* ---- the world ---- */

static uint8_t *text_page, *arena_page;
static uint64_t *null_page; /* at a low address */
static uint64_t stack[STACK_WORDS], data[DATA_WORDS];
static uint64_t random_state = 88172645463325252u;

static uint64_t random_word(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static bool make_world(void)
{
	int prot = PROT_READ | PROT_WRITE | PROT_EXEC,
	    flags = MAP_PRIVATE | MAP_ANONYMOUS;
	context = calloc(1, sizeof(*context));
	/* near the handlers, so that they are called directly */
	uintptr_t near = ((uintptr_t)run_exit & ~0xfffful) + (256u << 20);
	text_page = mmap((void *)near, 1 << 20, prot, flags, -1, 0);
	arena_page = text_page + (1 << 19);
	/* below 2 GiB, as %gs:disp32 with a zero base is */
	null_page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, flags | MAP_32BIT, -1, 0);
	return context && text_page != MAP_FAILED && null_page != MAP_FAILED;
}

static void randomise(struct state *state)
{
	uint64_t *words = (uint64_t *)state;
	for (size_t i = 0; i < sizeof(*state) / 8; i++)
		words[i] = random_word();
	/* small numbers make flags and loops interesting */
	if (random_word() % 2)
		state->rax = random_word() % 4;
	if (random_word() % 2)
		state->rdx = random_word() % 4;
	state->rcx = random_word() % 3;
	state->r14 = (uintptr_t)data;
	state->rsp = (uintptr_t)&stack[STACK_TOP];
	state->flags = (random_word() & (STATUS_FLAGS | DIRECTION)) | 0x202;
	for (size_t i = 0; i < STACK_WORDS; i++)
		stack[i] = random_word();
	for (size_t i = 0; i < DATA_WORDS; i++)
		data[i] = random_word();
	stack[STACK_TOP] = (uintptr_t)run_exit;
	stack[STACK_TOP + 1] = (uintptr_t)run_exit;
}

/* ---- one piece, one set of handlers ---- */

struct setup {
	const char *name;
	size_t count;
	struct arch_handler_call handlers[3];
	bool registered, register_works;
	bool own_stack, nested;
};

/* a breakpoint: do what the session does, continue at the trampoline */
static uint64_t trap_from, trap_to;

static void on_trap(int number, siginfo_t *info, void *opaque)
{
	ucontext_t *uc = opaque;
	if ((uint64_t)uc->uc_mcontext.gregs[REG_RIP] != trap_from + 1)
		abort();
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)trap_to;
}

static int make_plan(const struct piece *piece, const struct arch_plan_options *options,
	struct arch_plan *ret, struct error *err)
{
	size_t size = (size_t)(piece->code_end - piece->code), count;
	uint64_t base = (uintptr_t)text_page,
		 end = base + (piece->end ? piece->end : size);
	uint64_t starts[2] = {base, end};
	struct arch_text_segment segment = {
		.address = base, .bytes = text_page, .size = size};
	struct arch_text *text =
		arch_text_create(&segment, 1, starts, piece->end ? 2 : 1, NULL, 0);
	struct arch_plan *plans = NULL;
	int r;
	if (piece->kind == EXIT) {
		r = arch_plan_exits(text, base, end, options, &plans, &count, err);
		if (r == 0 && count == 0)
			r = -ENOENT;
		else if (r == 0)
			*ret = plans[0];
		free(plans);
	} else {
		r = arch_plan_site(
			text, base + piece->site, base, end, options, ret, err);
	}
	arch_text_destroy(text);
	return r;
}

static bool apply(const struct arch_plan *plan, const struct setup *setup,
	struct arch_trampoline *trampoline, struct error *err)
{
	struct arch_trampoline_request request = {.plan = plan,
		.runtime_address = (uintptr_t)arena_page,
		.runtime_register = (uintptr_t)clobbering_register,
		.null_context = (int32_t)(uintptr_t)null_page,
		.own_stack = setup->own_stack,
		.handlers = setup->handlers,
		.handler_count = setup->count};
	uint8_t bytes[ARCH_MAX_WINDOW];
	if (arch_trampoline_emit(&request, trampoline, err) < 0 ||
		arch_patch_bytes(plan, 0, (uintptr_t)arena_page, bytes) < 0)
		return false;
	memcpy(arena_page, trampoline->bytes, trampoline->size);
	memcpy((void *)(uintptr_t)plan->address, bytes, plan->size);
	if (plan->form == ARCH_PATCH_JUMP_SHORT) {
		if (arch_padding_bytes(plan, 0, (uintptr_t)arena_page, bytes) < 0)
			return false;
		memcpy((void *)(uintptr_t)plan->padding_address, bytes, ARCH_JUMP_SIZE);
	}
	trap_from = plan->address;
	trap_to = (uintptr_t)arena_page;
	return true;
}

static bool same_state(const struct state *a, const struct state *b,
	const uint64_t *stack_a, const uint64_t *data_a, const struct arch_plan *plan)
{
	struct state left = *a, right = *b;
	left.flags &= STATUS_FLAGS | DIRECTION;
	right.flags &= STATUS_FLAGS | DIRECTION;
	/* what lies below rsp at an entry belongs to nobody */
	size_t from = STACK_TOP - (plan->points[0].mid_function ? RED_ZONE : 0);
	return memcmp(&left, &right, sizeof(left)) == 0 &&
	       memcmp(stack_a + from, stack + from, (STACK_WORDS - from) * 8) == 0 &&
	       memcmp(data_a, data, sizeof(data)) == 0;
}

/* Code may reach the probe several times, or not at all: each time all handlers run. */
static bool right_calls(const struct setup *setup, const struct arch_plan *plan,
	const struct piece *piece, unsigned int per_run)
{
	bool runs = setup->registered || setup->register_works;
	if (!runs)
		return call_count == 0;
	if (call_count % per_run != 0 ||
		(!piece->repeats && !plan->points[0].is_conditional &&
			call_count != per_run))
		return false;
	for (unsigned int i = 0; i < call_count && i < 7; i++) {
		const struct call *c = &calls[i];
		bool on_own =
			c->frame - (uintptr_t)context->stack < sizeof(context->stack);
		if (c->context != (uintptr_t)context ||
			c->address != plan->points[0].address ||
			on_own != (setup->own_stack && !setup->nested))
			return false;
	}
	return true;
}

static bool run_round(const struct piece *piece, const struct setup *setup,
	const struct arch_plan *plan, const uint8_t *patched, size_t size,
	unsigned int calls_expected)
{
	struct state before, plain, probed;
	static uint64_t stack_before[STACK_WORDS], stack_plain[STACK_WORDS];
	static uint64_t data_before[DATA_WORDS], data_plain[DATA_WORDS];
	randomise(&before);
	memcpy(stack_before, stack, sizeof(stack));
	memcpy(data_before, data, sizeof(data));
	plain = probed = before;

	memcpy(text_page, piece->code, size);
	run_code(&plain, text_page);
	memcpy(stack_plain, stack, sizeof(stack));
	memcpy(data_plain, data, sizeof(data));

	memcpy(stack, stack_before, sizeof(stack));
	memcpy(data, data_before, sizeof(data));
	memcpy(text_page, patched, size);
	*null_page = setup->registered ? (uintptr_t)context : 0;
	register_works = setup->register_works;
	context->stack_used = setup->nested;
	call_count = register_count = 0;
	run_code(&probed, text_page);
	return same_state(&plain, &probed, stack_plain, data_plain, plan) &&
	       context->stack_used == setup->nested &&
	       (calls_expected == 0 || right_calls(setup, plan, piece, calls_expected));
}

static void test_piece(const struct piece *piece, const struct setup *setup,
	const struct arch_plan_options *options)
{
	static struct arch_trampoline trampoline;
	struct arch_plan plan;
	struct error err = {0};
	uint8_t patched[512];
	size_t size = (size_t)(piece->code_end - piece->code);
	unsigned int expected = 0;
	memcpy(text_page, piece->code, size);
	bool ok = make_plan(piece, options, &plan, &err) == 0 &&
		  apply(&plan, setup, &trampoline, &err);
	memcpy(patched, text_page, size);
	for (size_t i = 0; i < setup->count; i++)
		expected += !setup->handlers[i].is_inline_count;
	for (int i = 0; ok && i < ROUNDS; i++)
		ok = run_round(piece, setup, &plan, patched, size, expected);
	tap_ok(ok, "%s at %u, %s%s%s: %s", piece->name, piece->site, setup->name,
		options->no_jumps ? ", breakpoint" : "",
		options->trust_abi_flags ? ", trusted" : "",
		err.message[0] ? err.message : arch_patch_form_name(plan.form));
}

/* ---- what handlers see ---- */

CODE(look, "nop\n nopw 0(%rax,%rax)\n ret");

static void test_registers(void)
{
	static struct arch_trampoline trampoline;
	struct piece piece = {.code = code_look, .code_end = code_end_look, .site = 1};
	struct setup setup = {.count = 1, .registered = true};
	struct arch_plan_options options = {0};
	struct arch_plan plan;
	struct state state, before;
	setup.handlers[0] = (struct arch_handler_call){
		.runtime_address = (uintptr_t)clobbering_handler,
		.site = 77,
		.needs_callee_saved = true};
	memcpy(text_page, code_look, (size_t)(code_end_look - code_look));
	bool ok = make_plan(&piece, &options, &plan, NULL) == 0 &&
		  apply(&plan, &setup, &trampoline, NULL);
	randomise(&state);
	before = state;
	*null_page = (uintptr_t)context;
	call_count = 0;
	run_code(&state, text_page);
	const struct call *c = &calls[0];
	const struct abi_regs *r = &c->regs;
	tap_ok(ok && call_count == 1 && c->site == 77,
		"handler: called once, with its site");
	tap_ok(c->sp == before.rsp, "handler: stack pointer of the program");
	tap_ok(c->address == (uintptr_t)text_page + 1, "handler: probed address");
	tap_ok(r->rax == before.rax && r->rcx == before.rcx && r->rdx == before.rdx &&
			r->rsi == before.rsi && r->rdi == before.rdi &&
			r->r8 == before.r8 && r->r9 == before.r9 &&
			r->r10 == before.r10 && r->r11 == before.r11,
		"handler: caller-saved registers");
	tap_ok(r->rbx == before.rbx && r->rbp == before.rbp && r->r12 == before.r12 &&
			r->r13 == before.r13 && r->r14 == before.r14 &&
			r->r15 == before.r15,
		"handler: callee-saved registers");
	uint64_t flags = (r->flags >> 8 & 0xd5) | (r->flags & 1) << 11;
	tap_ok(flags == (before.flags & STATUS_FLAGS), "handler: flags");
	tap_ok(before.rsp - c->regs_address == sizeof(struct abi_regs) + 128,
		"handler: the red zone is skipped");
}

static void test_counts(const struct setup *setup)
{
	static struct arch_trampoline trampoline;
	struct piece piece = {.code = code_prologue, .code_end = code_end_prologue};
	struct arch_plan_options options = {0};
	struct arch_plan plan;
	struct state state;
	uint64_t *shard = (uint64_t *)((char *)context + 64);
	memcpy(text_page, code_prologue, (size_t)(code_end_prologue - code_prologue));
	bool ok = make_plan(&piece, &options, &plan, NULL) == 0 &&
		  apply(&plan, setup, &trampoline, NULL);
	shard[0] = shard[1] = 0;
	*null_page = setup->registered ? (uintptr_t)context : 0;
	register_works = setup->register_works;
	for (int i = 0; ok && i < 10; i++) {
		randomise(&state);
		run_code(&state, text_page);
	}
	bool runs = setup->registered || setup->register_works;
	tap_ok(ok && shard[0] == (runs ? 10u : 0u), "%s: counts %llu", setup->name,
		(unsigned long long)shard[0]);
	tap_ok(ok && (setup->count == 1 || shard[1] == (runs ? 10000u : 0u)),
		"%s: second counter %llu", setup->name, (unsigned long long)shard[1]);
}

#define CALL                                    \
	{                                       \
		.runtime_address = 1, .site = 5 \
	}
#define CALL_ALL                                                            \
	{                                                                   \
		.runtime_address = 1, .site = 6, .needs_callee_saved = true \
	}
#define COUNT                                                       \
	{                                                           \
		.is_inline_count = true, .inline_shard_offset = 64, \
		.inline_increment = 1                               \
	}
#define COUNT_MANY                                                  \
	{                                                           \
		.is_inline_count = true, .inline_shard_offset = 72, \
		.inline_increment = 1000                            \
	}

static struct setup setups[] = {
	{"handler", 1, {CALL}, .registered = true},
	{"two handlers", 2, {CALL, CALL_ALL}, .registered = true},
	{"registering", 2, {CALL, CALL}, .register_works = true},
	{"no context", 1, {CALL_ALL}, .registered = false},
	{"count", 1, {COUNT}, .registered = true},
	{"two counts", 2, {COUNT, COUNT_MANY}, .registered = true},
	{"count, registering", 2, {COUNT, COUNT_MANY}, .register_works = true},
	{"count, no context", 1, {COUNT}, .registered = false},
	{"count and handler", 3, {COUNT, CALL, COUNT_MANY}, .registered = true},
	{"own stack", 2, {CALL, CALL_ALL}, .registered = true, .own_stack = true},
	{"own stack in use", 1, {CALL}, .registered = true, .own_stack = true,
		.nested = true},
};

/* ---- windows with several points ---- */

static const struct joined {
	const char *name;
	const uint8_t *code, *code_end;
	unsigned int end; /* of the function */
} joined[] = {
	{"tiny", CODE_BYTES(tiny), 5},
	{"only_ret", CODE_BYTES(only_ret), 6},
	{"only_jump", CODE_BYTES(only_jump), 5},
	{"near_exits", CODE_BYTES(near_exits), 6},
};

/* The entry and all exits in one window. */
static bool plan_joined(const struct joined *j, struct arch_plan *ret, struct error *err)
{
	uint64_t base = (uintptr_t)text_page, end = base + j->end;
	uint64_t starts[2] = {base, end};
	struct arch_text_segment segment = {.address = base,
		.bytes = text_page,
		.size = (size_t)(j->code_end - j->code)};
	struct arch_text *text = arch_text_create(&segment, 1, starts, 2, NULL, 0);
	struct arch_plan_options options = {0};
	struct arch_plan *plans = NULL;
	size_t count = 0;
	bool ok = arch_plan_site(text, base, base, end, &options, ret, err) == 0 &&
		  arch_plan_exits(text, base, end, &options, &plans, &count, err) == 0 &&
		  count > 0;
	for (size_t i = 0; ok && i < count; i++)
		ok = arch_plans_join(text, base, end, &options, ret, &plans[i], ret);
	free(plans);
	arch_text_destroy(text);
	return ok;
}

/* One entry and one exit in each run, whichever way it goes. */
static bool right_events(const struct arch_plan *plan)
{
	return call_count == 2 && calls[0].site == 10 && calls[1].site > 10 &&
	       calls[0].address == plan->points[0].address &&
	       calls[1].address == plan->points[calls[1].site - 10].address;
}

static void test_joined(const struct joined *j)
{
	static struct arch_trampoline trampoline;
	static uint64_t stack_before[STACK_WORDS], stack_plain[STACK_WORDS];
	struct setup setup = {.registered = true};
	struct arch_plan plan;
	struct error err = {0};
	uint8_t patched[512];
	size_t size = (size_t)(j->code_end - j->code);
	memcpy(text_page, j->code, size);
	bool ok = plan_joined(j, &plan, &err);
	setup.count = ok ? plan.point_count : 0;
	ok = ok && setup.count > 1 &&
	     setup.count <= sizeof(setup.handlers) / sizeof(setup.handlers[0]);
	for (size_t i = 0; ok && i < setup.count; i++)
		setup.handlers[i] = (struct arch_handler_call){
			.runtime_address = (uintptr_t)clobbering_handler,
			.site = (uint32_t)(10 + i),
			.point = (uint8_t)i};
	ok = ok && apply(&plan, &setup, &trampoline, &err);
	memcpy(patched, text_page, size);
	*null_page = (uintptr_t)context;
	context->depth = 0;
	for (int i = 0; ok && i < ROUNDS; i++) {
		struct state plain, probed;
		randomise(&plain);
		probed = plain;
		memcpy(stack_before, stack, sizeof(stack));
		memcpy(text_page, j->code, size);
		run_code(&plain, text_page);
		memcpy(stack_plain, stack, sizeof(stack));
		memcpy(stack, stack_before, sizeof(stack));
		memcpy(text_page, patched, size);
		call_count = 0;
		run_code(&probed, text_page);
		ok = same_state(&plain, &probed, stack_plain, data, &plan) &&
		     right_events(&plan);
	}
	tap_ok(ok, "%s, entry and exits in one window: %s", j->name,
		err.message[0] ? err.message : arch_patch_form_name(plan.form));
}

static void test_out_of_reach(void)
{
	static struct arch_trampoline trampoline;
	struct piece piece = {.code = code_rip_load, .code_end = code_end_rip_load};
	struct arch_plan_options options = {0};
	struct arch_plan plan;
	struct error err = {0};
	uint64_t low, high;
	memcpy(text_page, code_rip_load, (size_t)(code_end_rip_load - code_rip_load));
	bool ok = make_plan(&piece, &options, &plan, NULL) == 0;
	struct arch_trampoline_request request = {.plan = &plan,
		.runtime_address = (uintptr_t)text_page + (3ull << 30),
		.runtime_register = (uintptr_t)text_page + (3ull << 30),
		.handlers = setups[0].handlers,
		.handler_count = 1};
	tap_is_long(ok ? arch_trampoline_emit(&request, &trampoline, &err) : 0, -ERANGE,
		"arena out of reach");
	uint8_t bytes[ARCH_MAX_WINDOW];
	tap_is_long(arch_patch_bytes(&plan, 0, request.runtime_address, bytes), -ERANGE,
		"jump out of reach");
	arch_arena_bounds(&plan, 1, 0, &low, &high);
	uint64_t at = (uintptr_t)text_page;
	tap_ok(low < at && at - low < 1ull << 31 && high > at && high - at < 1ull << 31,
		"arena bounds");
	plan.insn_offset[0] = 3;
	tap_is_long(arch_trampoline_emit(&request, &trampoline, &err), -EINVAL,
		"malformed plan");
}

int main(void)
{
	if (!make_world()) {
		tap_skip("cannot map memory below 2 GiB or executable memory");
		return tap_done();
	}
	struct sigaction action = {
		.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	static uint8_t signal_stack[65536];
	stack_t alternate = {.ss_sp = signal_stack, .ss_size = sizeof(signal_stack)};
	sigaltstack(&alternate, NULL);
	sigaction(SIGTRAP, &action, NULL);
	struct arch_plan_options options = {0}, breakpoint = {.no_jumps = true};
	struct arch_plan_options short_jump = {.no_long_jumps = true};
	for (size_t k = 0; k < sizeof(setups) / sizeof(setups[0]); k++)
		for (size_t h = 0; h < setups[k].count; h++)
			setups[k].handlers[h].runtime_address =
				(uintptr_t)clobbering_handler;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		for (size_t k = 0; k < sizeof(setups) / sizeof(setups[0]); k++)
			test_piece(&pieces[i], &setups[k],
				pieces[i].no_long_jumps ? &short_jump : &options);
		test_piece(&pieces[i], &setups[1], &breakpoint);
	}
	for (size_t i = 0; i < sizeof(joined) / sizeof(joined[0]); i++)
		test_joined(&joined[i]);
	test_registers();
	for (size_t k = 4; k < 8; k++)
		test_counts(&setups[k]);
	test_out_of_reach();
	return tap_done();
}

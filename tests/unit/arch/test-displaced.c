/* SPDX-License-Identifier: MIT */
/*
 * Every encoding: instructions of all opcode maps, with all kinds of prefixes and operands, run where
 * they stand and through a trampoline whose handler clobbers what it may.  The kernel loads the state
 * (sigreturn) and stores it (a signal frame), so that all of it is compared: general registers, flags,
 * x87, MXCSR, the vector registers as wide as the machine has them, masks, the stack and what lies
 * below it.  An instruction that faults has to fault as well, and its copy has to be the one that the
 * trampoline's map gives for it.
 *
 * usage: test-displaced [SEED [COUNT]]    TAP; the same seed makes the same instructions
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ucontext.h>
#include <unistd.h>

#include "abi/context.h"
#include "arch/arch.h"
#include "arch/x86_64/insn.h"
#include "tap.h"

enum {
	PAGE = 4096,
	CODE_MAX = 64,
	FAULT_MAX = 96,  /* of the text page: ud2 from here on */
	END = 1024,      /* where branches lead; as flags it has no trap flag */
	RIP_DATA = 2048, /* what RIP-relative operands refer to */
	TEXT_SIZE = 4 * PAGE,
	DATA_SIZE = 8 * PAGE,
	STACK_SIZE = 4 * PAGE,
	RED_ZONE = 128,
	FRAME_MAX = 8192, /* of the extended state in a signal frame */
	LEGACY_SIZE = 512,
	STATUS_FLAGS = 0x8d5,
	DIRECTION = 0x400,
	TRAP_FLAG =
		0x100, /* nothing that popf may load has it: it traps one instruction later */
};

static uint8_t *text, *arena, *data, *stack;
static uint64_t *null_page;
static struct abi_context *context;

/* ---- chance ---- */

static uint64_t random_state;

static uint64_t chance(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static unsigned int below(unsigned int limit)
{
	return (unsigned int)(chance() >> 20) % limit;
}

/* ---- a handler that clobbers ---- */

static unsigned int handler_runs __attribute__((used));
void displaced_handler(void);
__asm__(".text\n.globl displaced_handler\ndisplaced_handler:\n incl handler_runs(%rip)\n"
	" mov $-1,%rcx\n mov %rcx,%rdx\n mov %rcx,%rsi\n mov %rcx,%rdi\n mov %rcx,%r8\n"
	" mov %rcx,%r9\n mov %rcx,%r10\n mov %rcx,%r11\n mov %rcx,%rax\n add %rax,%rax\n ret\n");

/* ---- making instructions ---- */

struct draft {
	uint8_t bytes[CODE_MAX];
	unsigned int size;
	uint64_t undefined; /* flags that its instructions leave undefined */
	uint64_t erratic; /* those of them that depend on how the operand is addressed */
	unsigned int pushed; /* bytes, by the first instruction */
};

static void put(struct draft *d, unsigned int byte)
{
	d->bytes[d->size++] = (uint8_t)byte;
}

static unsigned int pick(const uint8_t *from, unsigned int count)
{
	return from[below(count)];
}

/* Registers, memory at r14, with an index, and relative to the program counter.  rm and base are r14:
 * the caller has set the extension bit. */
static void put_operand(struct draft *d, unsigned int form)
{
	unsigned int reg = below(8) << 3;
	if (form == 0) {
		put(d, 0xc0 | reg | below(8));
	} else if (form == 1) {
		put(d, 0x40 | reg | 6);
		put(d, below(64));
	} else if (form == 2) {
		put(d, 0x44 | reg | 4);
		put(d, below(4) << 6 | 1 << 3 | 6);
		put(d, below(64));
	} else {
		put(d, reg | 5);
		for (int i = 0; i < 4; i++)
			put(d, 0);
	}
}

static void draft_legacy(struct draft *d)
{
	static const uint8_t prefixes[] = {
		0x66, 0xf2, 0xf3, 0xf0, 0x67, 0x2e, 0x3e, 0x64, 0x65};
	unsigned int form = below(4), map = below(8);
	for (unsigned int n = below(3); n; n--)
		put(d, pick(prefixes, sizeof(prefixes)));
	put(d, 0x40 | (form ? 1 : below(2)) | below(2) << 2 | below(2) << 3);
	if (map >= 3)
		put(d, 0x0f);
	if (map == 6)
		put(d, 0x38);
	if (map == 7)
		put(d, 0x3a);
	put(d, below(256));
	put_operand(d, form);
	put(d, below(256));
}

static void draft_vex(struct draft *d)
{
	unsigned int form = below(4), pp = below(4), l = below(2) << 2;
	if (form == 0 || form == 3 ? below(2) : 0) {
		put(d, 0xc5);
		put(d, below(2) << 7 | below(16) << 3 | l | pp);
	} else {
		put(d, 0xc4);
		put(d, below(2) << 7 | 1 << 6 | (form ? 0 : 1) << 5 | (1 + below(3)));
		put(d, below(2) << 7 | below(16) << 3 | l | pp);
	}
	put(d, below(256));
	put_operand(d, form);
	put(d, below(256));
}

static void draft_evex(struct draft *d)
{
	unsigned int form = below(4);
	put(d, 0x62);
	put(d, below(2) << 7 | 1 << 6 | (form ? 0 : 1) << 5 | below(2) << 4 |
			(1 + below(3)));
	put(d, below(2) << 7 | below(16) << 3 | 1 << 2 | below(4));
	put(d, below(2) << 7 | below(3) << 5 | below(2) << 4 | 1 << 3 | below(8));
	put(d, below(256));
	put_operand(d, form);
	put(d, below(256));
}

static void draft_xop(struct draft *d)
{
	unsigned int form = below(4);
	put(d, 0x8f);
	put(d, below(2) << 7 | 1 << 6 | (form ? 0 : 1) << 5 | (8 + below(3)));
	put(d, below(2) << 7 | below(16) << 3 | below(2) << 2);
	put(d, below(256));
	put_operand(d, form);
	put(d, below(256));
}

/* What differs from one run to the next, waits, or takes the test's own ground away. */
static bool is_unfit(const struct insn *insn)
{
	switch ((int)insn->zydis.mnemonic) {
	case ZYDIS_MNEMONIC_RDTSC:
	case ZYDIS_MNEMONIC_RDTSCP:
	case ZYDIS_MNEMONIC_RDRAND:
	case ZYDIS_MNEMONIC_RDSEED:
	case ZYDIS_MNEMONIC_RDPID:
	case ZYDIS_MNEMONIC_RDPRU:
	case ZYDIS_MNEMONIC_CPUID:
	case ZYDIS_MNEMONIC_WRFSBASE:
	case ZYDIS_MNEMONIC_WRGSBASE:
	case ZYDIS_MNEMONIC_WRPKRU:
	case ZYDIS_MNEMONIC_UMWAIT:
	case ZYDIS_MNEMONIC_TPAUSE:
	case ZYDIS_MNEMONIC_MWAITX:
	case ZYDIS_MNEMONIC_MONITORX:
	case ZYDIS_MNEMONIC_VMMCALL:
	case ZYDIS_MNEMONIC_VMCALL:
	case ZYDIS_MNEMONIC_XRSTOR:
	case ZYDIS_MNEMONIC_XRSTOR64:
	case ZYDIS_MNEMONIC_XSAVE: /* compacted or not, its tail is what was there */
	case ZYDIS_MNEMONIC_XSAVE64:
	case ZYDIS_MNEMONIC_XSAVEC:
	case ZYDIS_MNEMONIC_XSAVEC64:
	case ZYDIS_MNEMONIC_XSAVEOPT:
	case ZYDIS_MNEMONIC_XSAVEOPT64:
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64:
	case ZYDIS_MNEMONIC_FNSTENV: /* tell the address of the last x87 instruction */
	case ZYDIS_MNEMONIC_FNSAVE:
	case ZYDIS_MNEMONIC_FXSAVE:
	case ZYDIS_MNEMONIC_FXSAVE64:
		return true;
	case ZYDIS_MNEMONIC_MOV: /* segment registers: ds, es, gs */
	case ZYDIS_MNEMONIC_POP:
		return insn->zydis.opcode == 0x8e ||
		       (insn->zydis.opcode_map == ZYDIS_OPCODE_MAP_0F &&
			       insn->zydis.mnemonic == ZYDIS_MNEMONIC_POP);
	case ZYDIS_MNEMONIC_LFS:
	case ZYDIS_MNEMONIC_LGS:
	case ZYDIS_MNEMONIC_LSS:
		return true;
	default:
		return false;
	}
}

/* A whole instruction appended to the code; its RIP-relative operand and its branch lead into the
 * text page. */
static bool append_insn(struct draft *code)
{
	struct draft d = {.size = 0};
	struct insn insn;
	unsigned int kind = below(10);
	if (kind < 5)
		draft_legacy(&d);
	else if (kind < 7)
		draft_vex(&d);
	else if (kind < 9)
		draft_evex(&d);
	else
		draft_xop(&d);
	d.size = ZYDIS_MAX_INSTRUCTION_LENGTH;
	if (!insn_decode(d.bytes, d.size, 0, &insn) || is_unfit(&insn))
		return false;
	/* the test's own thread block */
	if (insn.zydis.attributes & ZYDIS_ATTRIB_HAS_SEGMENT_FS)
		return false;
	/* refused in a window, but this may stand behind it; the flags may be a negative number's */
	if ((insn.kind == INSN_SYSCALL && code->size) ||
		(insn.zydis.meta.category == ZYDIS_CATEGORY_POP &&
			insn.zydis.opcode == 0x9d && code->size > 1))
		return false;
	int64_t next = (int64_t)code->size + insn.length;
	if (insn.has_operand) {
		int32_t to = (int32_t)(RIP_DATA - next);
		memcpy(d.bytes + insn.zydis.raw.disp.offset, &to, 4);
	}
	if (insn.has_target) {
		unsigned int bytes = insn.zydis.raw.imm[0].size / 8u;
		int32_t to = bytes == 1 ? 100 : (int32_t)(END - next);
		memcpy(d.bytes + insn.zydis.raw.imm[0].offset, &to, bytes);
	}
	/* room below the stack pointer that enter makes is nobody's */
	if (insn.zydis.mnemonic == ZYDIS_MNEMONIC_ENTER)
		memset(d.bytes + insn.zydis.raw.imm[0].offset, 0, 2);
	bool pushes = insn.kind == INSN_CALL || insn.kind == INSN_CALL_INDIRECT ||
		      insn.zydis.meta.category == ZYDIS_CATEGORY_PUSH;
	if (pushes && code->size <= 1)
		code->pushed = insn.zydis.operand_width / 8u;
	if (insn.zydis.cpu_flags)
		code->undefined |= insn.zydis.cpu_flags->undefined;
	/* AMD computes the address of a bit in memory with the flags */
	if (insn.zydis.meta.category == ZYDIS_CATEGORY_BITBYTE && insn.has_operand)
		code->erratic |= insn.zydis.cpu_flags->undefined;
	memcpy(code->bytes + code->size, d.bytes, insn.length);
	code->size += insn.length;
	return true;
}

/* ---- running ---- */

struct outcome {
	int signal;
	uint64_t gregs[16], flags, rip;
	uint8_t extended[FRAME_MAX];
	size_t extended_size;
	uint8_t data[DATA_SIZE], stack[STACK_SIZE], text[TEXT_SIZE];
};

static const int caught[] = {SIGILL, SIGSEGV, SIGBUS, SIGFPE, SIGTRAP};
static struct outcome *current;
static uint64_t start_gregs[16], start_flags, start_rip;
static uint8_t start_extended[FRAME_MAX];
static sigjmp_buf back;

static size_t frame_size(const uint8_t *frame)
{
	uint32_t magic, size;
	memcpy(&magic, frame + 464, 4); /* struct _fpx_sw_bytes */
	memcpy(&size, frame + 464 + 16, 4);
	return magic == 0x46505853 && size <= FRAME_MAX ? size : LEGACY_SIZE;
}

static uint64_t *greg_at(ucontext_t *uc, unsigned int i)
{
	return (uint64_t *)&uc->uc_mcontext.gregs[i];
}

static void fill_extended(uint8_t *frame, size_t size)
{
	uint64_t features;
	uint32_t mxcsr = 0x1f80 | below(4) << 13;
	memcpy(frame + 24, &mxcsr, 4);
	for (size_t i = 32; i < 416; i += 4) {
		uint32_t small = below(64);
		/* the x87 registers have ten bytes each */
		if (i >= 160 || (i - 32) % 16 < 8)
			memcpy(frame + i, &small, 4);
	}
	if (size <= LEGACY_SIZE)
		return;
	memcpy(&features, frame + 464 + 8, 8);
	features &= 0xe7; /* x87, SSE, AVX, masks, ZMM */
	memcpy(frame + LEGACY_SIZE, &features, 8);
	for (size_t i = LEGACY_SIZE + 64; i + 4 <= size; i += 4) {
		uint32_t small = below(64);
		memcpy(frame + i, &small, 4);
	}
}

/* Begins a run: the state is what sigreturn loads. */
static void on_begin(int number, siginfo_t *info, void *opaque)
{
	ucontext_t *uc = opaque;
	uint8_t *frame = (uint8_t *)uc->uc_mcontext.fpregs;
	size_t size = frame_size(frame);
	if (!start_extended[0]) {
		memcpy(start_extended, frame, size);
		fill_extended(start_extended, size);
	}
	memcpy(frame, start_extended, 416);
	if (size > LEGACY_SIZE)
		memcpy(frame + LEGACY_SIZE, start_extended + LEGACY_SIZE,
			size - LEGACY_SIZE);
	for (unsigned int i = 0; i < 16; i++)
		*greg_at(uc, i) = start_gregs[i];
	*greg_at(uc, REG_RIP) = start_rip;
	*greg_at(uc, REG_EFL) = start_flags;
}

void reset_flags(void);
__asm__(".text\n.globl reset_flags\nreset_flags: pushq $0x202\n popfq\n ret\n");

static void on_end(int number, siginfo_t *info, void *opaque)
{
	ucontext_t *uc = opaque;
	struct outcome *o = current;
	reset_flags(); /* popf may have set the alignment check, and no signal clears it */
	const uint8_t *frame = (const uint8_t *)uc->uc_mcontext.fpregs;
	o->signal = number;
	for (unsigned int i = 0; i < 16; i++)
		o->gregs[i] = *greg_at(uc, i);
	o->rip = *greg_at(uc, REG_RIP);
	o->flags = *greg_at(uc, REG_EFL);
	o->extended_size = frame_size(frame);
	memcpy(o->extended, frame, o->extended_size);
	memset(o->extended + 8, 0,
		16); /* address of the last x87 instruction and operand */
	memset(o->extended + 416, 0, LEGACY_SIZE - 416);
	siglongjmp(back, 1);
}

static void run(struct outcome *o)
{
	current = o;
	if (!sigsetjmp(back, 1)) {
		raise(SIGUSR1);
		abort(); /* not reached: the text ends in ud2 */
	}
	memcpy(o->data, data, DATA_SIZE);
	memcpy(o->stack, stack, STACK_SIZE);
	memcpy(o->text, text, TEXT_SIZE);
}

static void begin_state(void)
{
	for (unsigned int i = 0; i < 16; i++)
		start_gregs[i] =
			(below(65536) & ~TRAP_FLAG) | (below(4) ? 0 : chance() << 48);
	start_gregs[REG_R14] = (uintptr_t)data + DATA_SIZE / 2;
	start_gregs[REG_RSI] = (uintptr_t)data + DATA_SIZE / 2 + 64;
	start_gregs[REG_RDI] = (uintptr_t)data + DATA_SIZE / 2 + 128;
	start_gregs[REG_RBX] = (uintptr_t)data + DATA_SIZE / 2 - 512;
	start_gregs[REG_RCX] = below(4);
	start_gregs[REG_RSP] = (uintptr_t)stack + STACK_SIZE / 2;
	start_gregs[REG_RBP] = (uintptr_t)stack + STACK_SIZE / 2 + 256;
	start_flags = (chance() & (STATUS_FLAGS | DIRECTION)) | 0x202;
	start_extended[0] = 0;
}

static void fill_memory(uint64_t seed)
{
	uint64_t saved = random_state;
	for (size_t i = 0; i < STACK_SIZE; i += 8) {
		uint64_t to = (uintptr_t)text + END; /* for ret */
		memcpy(stack + i, &to, 8);
	}
	random_state = seed;
	for (size_t i = 0; i < DATA_SIZE; i += 8) {
		uint64_t word = chance() & 0x3f3f3f3f3f3f3f3f & ~(uint64_t)TRAP_FLAG;
		memcpy(data + i, &word, 8);
	}
	for (size_t i = STACK_SIZE / 2 - 512; i < STACK_SIZE / 2; i += 8) {
		uint64_t word = chance() & ~(uint64_t)TRAP_FLAG;
		memcpy(stack + i, &word, 8);
	}
	random_state = saved;
}

static void fill_text(const struct draft *code)
{
	memset(text, 0x90, 2 * FAULT_MAX);
	memcpy(text, code->bytes, code->size);
	for (size_t i = 2 * FAULT_MAX; i < TEXT_SIZE; i++)
		text[i] = i < RIP_DATA ? (i % 2 ? 0x0b : 0x0f) : (uint8_t)(i % 61);
	for (size_t i = FAULT_MAX; i < 2 * FAULT_MAX; i += 2)
		memcpy(text + i, "\x0f\x0b", 2);
}

/* ---- comparing ---- */

static bool same_rip(const struct outcome *plain, const struct outcome *probed,
	const struct arch_plan *plan, const struct arch_trampoline *trampoline)
{
	if (plain->rip == probed->rip)
		return true;
	uint64_t offset = probed->rip - (uintptr_t)arena;
	for (unsigned int i = 0; offset < trampoline->size && i < trampoline->map_count;
		i++)
		if (trampoline->map[i].trampoline_offset == offset ||
			(offset && trampoline->map[i].pushed_offset == offset))
			return plain->rip ==
			       plan->address + trampoline->map[i].original_offset;
	return false;
}

/* What the session does before the program sees the fault of an indirect call's copy. */
static void take_back_push(
	struct outcome *probed, const struct arch_trampoline *trampoline)
{
	for (unsigned int i = 0; i < trampoline->map_count; i++)
		if (trampoline->map[i].pushed_offset &&
			probed->rip ==
				(uintptr_t)arena + trampoline->map[i].pushed_offset)
			probed->gregs[REG_RSP] += 8;
}

static const char *difference(const struct outcome *plain, const struct outcome *probed,
	const struct arch_plan *plan, const struct arch_trampoline *trampoline,
	uint64_t undefined, unsigned int pushed)
{
	const uint64_t flags = (STATUS_FLAGS | DIRECTION) & ~undefined;
	size_t from = STACK_SIZE / 2;
	if (plain->signal != probed->signal)
		return "signal";
	if (!same_rip(plain, probed, plan, trampoline))
		return "address";
	if (memcmp(plain->gregs, probed->gregs, sizeof(plain->gregs)) != 0)
		return "general registers";
	/* the instruction that would have overwritten dead flags may have faulted */
	bool ended = plain->rip - (uintptr_t)text >= FAULT_MAX;
	if ((ended || plan->points[0].flags_live) &&
		(plain->flags & flags) != (probed->flags & flags))
		return "flags";
	if (plain->extended_size != probed->extended_size ||
		memcmp(plain->extended, probed->extended, plain->extended_size) != 0)
		return "extended state";
	if (memcmp(plain->data, probed->data, DATA_SIZE) != 0 ||
		memcmp(plain->text + END, probed->text + END, TEXT_SIZE - END) != 0)
		return "memory";
	if (plan->points[0].mid_function &&
		memcmp(plain->stack + from - RED_ZONE, probed->stack + from - RED_ZONE,
			RED_ZONE - pushed) != 0)
		return "red zone";
	/* a call to nowhere has written the return address, or not: processors differ */
	if (ended)
		from -= pushed;
	if (memcmp(plain->stack + from, probed->stack + from, STACK_SIZE - from) != 0)
		return "stack";
	return NULL;
}

static struct counts {
	unsigned int compared, refused, faulted;
} counts;

static bool plan_code(const struct draft *code, uint64_t site, bool breakpoint,
	struct arch_plan *ret, struct arch_trampoline *trampoline)
{
	uint64_t base = (uintptr_t)text;
	struct arch_text_segment segment = {.address = base, .bytes = text, .size = END};
	struct arch_text *known = arch_text_create(&segment, 1, &base, 1, NULL, 0);
	struct arch_plan_options options = {
		.no_jumps = breakpoint, .no_breakpoints = !breakpoint};
	struct arch_handler_call call = {.runtime_address = (uintptr_t)displaced_handler};
	struct error err = {0};
	int r = arch_plan_site(known, base + site, base, base + END, &options, ret, &err);
	arch_text_destroy(known);
	if (r < 0)
		return false;
	struct arch_trampoline_request request = {.plan = ret,
		.runtime_address = (uintptr_t)arena,
		.runtime_register = (uintptr_t)displaced_handler,
		.null_context = (int32_t)(uintptr_t)null_page,
		.handlers = &call,
		.handler_count = 1};
	return arch_trampoline_emit(&request, trampoline, &err) == 0;
}

static void apply(const struct arch_plan *plan)
{
	uint8_t patch[ARCH_MAX_WINDOW];
	if (arch_patch_bytes(plan, 0, (uintptr_t)arena, patch) < 0)
		abort();
	memcpy((void *)(uintptr_t)plan->address, patch, plan->size);
	if (plan->form != ARCH_PATCH_JUMP_SHORT)
		return;
	if (arch_padding_bytes(plan, 0, (uintptr_t)arena, patch) < 0)
		abort();
	memcpy((void *)(uintptr_t)plan->padding_address, patch, ARCH_JUMP_SIZE);
}

static void tell(const struct draft *code, const char *what, uint64_t site,
	const struct outcome *plain, const struct outcome *probed)
{
	char hex[3 * CODE_MAX + 1] = "";
	for (unsigned int i = 0; i < code->size; i++)
		sprintf(hex + 3 * i, "%02x ", code->bytes[i]);
	printf("# %sat %u: %s differ; signals %d %d, rip %#llx %#llx\n", hex,
		(unsigned int)site, what, plain->signal, probed->signal,
		(unsigned long long)plain->rip, (unsigned long long)probed->rip);
}

/* One piece of code; false: it behaves differently through its trampoline. */
static bool try_code(const struct draft *code, uint64_t site, bool breakpoint)
{
	static struct outcome plain, probed;
	static struct arch_trampoline trampoline;
	struct arch_plan plan;
	fill_text(code);
	if (!plan_code(code, site, breakpoint, &plan, &trampoline)) {
		counts.refused++;
		return true;
	}
	uint64_t seed = chance() | 1;
	begin_state();
	fill_memory(seed);
	start_rip = (uintptr_t)text;
	run(&plain);
	fill_memory(seed);
	fill_text(code);
	memcpy(arena, trampoline.bytes, trampoline.size);
	if (breakpoint)
		start_rip = (uintptr_t)arena; /* where the session sends the thread */
	else
		apply(&plan);
	run(&probed);
	take_back_push(&probed, &trampoline);
	const char *what = difference(&plain, &probed, &plan, &trampoline,
		plan.points[0].flags_live ? code->erratic : code->undefined,
		code->pushed);
	counts.compared++;
	counts.faulted += plain.rip - (uintptr_t)text < FAULT_MAX;
	if (what)
		tell(code, what, site, &plain, &probed);
	return !what;
}

/* Nothing is near: string instructions run off its ends. */
static uint8_t *map_guarded(size_t size)
{
	size_t guard = 1 << 20;
	uint8_t *all = mmap(NULL, size + 2 * guard, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (all == MAP_FAILED || mprotect(all + guard, size, PROT_READ | PROT_WRITE) < 0)
		return NULL;
	return all + guard;
}

static bool make_world(void)
{
	int prot = PROT_READ | PROT_WRITE | PROT_EXEC,
	    flags = MAP_PRIVATE | MAP_ANONYMOUS;
	uintptr_t near = ((uintptr_t)displaced_handler & ~0xfffful) + (256u << 20);
	context = calloc(1, sizeof(*context));
	text = mmap((void *)near, 1 << 20, prot, flags, -1, 0);
	arena = text + (1 << 19);
	data = map_guarded(DATA_SIZE);
	stack = map_guarded(STACK_SIZE);
	null_page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, flags | MAP_32BIT, -1, 0);
	if (!context || text == MAP_FAILED || null_page == MAP_FAILED ||
		data == MAP_FAILED || stack == MAP_FAILED)
		return false;
	*null_page = (uintptr_t)context;
	static uint8_t signal_stack[1 << 18];
	stack_t alternate = {.ss_sp = signal_stack, .ss_size = sizeof(signal_stack)};
	struct sigaction begin = {.sa_sigaction = on_begin, .sa_flags = SA_SIGINFO};
	struct sigaction end = {
		.sa_sigaction = on_end, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	sigaltstack(&alternate, NULL);
	sigaction(SIGUSR1, &begin, NULL);
	for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
		sigaction(caught[i], &end, NULL);
	return true;
}

enum shape {
	ALONE,
	BEHIND,
	SEVERAL,
	BREAKPOINT,
	SHAPES
};

static const char *const shape_names[] = {"first in the window, at a function's entry",
	"behind a nop, in the middle of a function", "several in a window",
	"at a breakpoint"};

static void test_shape(enum shape shape, unsigned int count)
{
	unsigned int bad = 0;
	counts = (struct counts){0};
	while (counts.compared < count && bad < 10) {
		struct draft code = {.size = 0};
		uint64_t site = 0;
		if (shape == BEHIND) {
			put(&code, 0x90);
			site = 1;
		}
		if (!append_insn(&code))
			continue;
		while (shape == SEVERAL && code.size < ARCH_JUMP_SIZE + 4)
			append_insn(&code);
		bad += !try_code(&code, site, shape == BREAKPOINT);
	}
	tap_ok(bad == 0, "%s: %u compared, %u of them fault, %u refused",
		shape_names[shape], counts.compared, counts.faulted, counts.refused);
}

int main(int argc, char **argv)
{
	random_state = argc > 1 ? strtoull(argv[1], NULL, 0) | 1 : 88172645463325252u;
	unsigned int count = argc > 2 ? (unsigned int)strtoul(argv[2], NULL, 0) : 3000;
	if (!make_world()) {
		tap_skip("cannot map memory below 2 GiB or executable memory");
		return tap_done();
	}
	for (enum shape shape = ALONE; shape < SHAPES; shape++)
		test_shape(shape, count);
	return tap_done();
}

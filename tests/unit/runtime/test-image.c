/* SPDX-License-Identifier: MIT */
/*
 * The agent image itself, mapped as an arena of this process: registration of threads, handlers,
 * safe reads through the real signal front, and forwarding of everybody else's signals.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/call.h"
#include "fixture.h"
#include "image.h"

static struct fixture f;
static struct agent_arena *arena;
static char *null_context;

enum {
	NULL_CONTEXT = 0x7ff00000,
	KERNEL_RESTORER = 0x04000000
};

static void map_all(void)
{
	fixture_init(&f);
	f.session->context_high = 0;
	for (uint32_t i = 1; i < FIXTURE_CONTEXTS; i++) {
		struct abi_context *c = fixture_context(&f, i);
		c->claimed = 0;
		c->self = 0;
		memset(c->comm, 'Z', sizeof(c->comm));
	}
	null_context = mmap((void *)(uintptr_t)NULL_CONTEXT, 4096, PROT_READ,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (null_context == MAP_FAILED)
		abort();
	block = map_arena(&f, (uint64_t)(uintptr_t)null_context);
	arena = (struct agent_arena *)(void *)block;
}

static uint64_t gs_context(void)
{
	uint64_t self;
	__asm__ volatile("mov %%gs:(%1), %0" : "=r"(self) : "r"(null_context));
	return self;
}

/* As the tracer does it. */
static void answer_call(int sig, siginfo_t *info, void *data)
{
	ucontext_t *uc = data;
	greg_t *g = uc->uc_mcontext.gregs;
	struct abi_context *c = (struct abi_context *)(uintptr_t)g[REG_RDI];

	if (g[REG_RIP] - 1 != (greg_t)(uintptr_t)image_symbol("agent_call_trap") ||
		g[REG_RSI] != ABI_CALL_REGISTER)
		abort();
	g[REG_RAX] = 1;
	if (gs_context())
		return;
	c->tid = (uint32_t)gettid();
	c->self = (uint64_t)(uintptr_t)c;
	syscall(SYS_arch_prctl, 0x1001, (char *)c - null_context);
}

static void play_tracer(void)
{
	struct sigaction action = {.sa_flags = SA_SIGINFO};
	action.sa_sigaction = answer_call;
	sigaction(SIGTRAP, &action, NULL);
}

static void install_front(int sig);

/* ---- registration -------------------------------------------------------------------------- */

static void *register_thread(void *unused)
{
	/* a new thread starts with its creator's GS base; the tracer clears it */
	syscall(SYS_arch_prctl, 0x1001, 0);
	uint64_t before = gs_context();
	struct abi_context *c = SYMBOL(agent_register_thread)();
	if (before || !c || gs_context() != (uint64_t)(uintptr_t)c)
		return NULL;
	return c;
}

static void test_registration(void)
{
	f.session->state = ABI_STATE_STARTING;
	tap_ok(!SYMBOL(agent_register_thread)(), "no context before the session runs");
	f.session->state = ABI_STATE_RUNNING;
	tap_is_long(
		(long long)gs_context(), 0, "an unregistered thread reads the null page");
	struct abi_context *c = SYMBOL(agent_register_thread)();
	tap_ok(c == f.c, "the first free context");
	tap_is_long((long long)gs_context(), (long long)(uintptr_t)c, "found through gs");
	tap_ok(c->tid == (uint32_t)gettid() && !c->pid && !c->comm[0],
		"what the tracer says of it, and nothing of an earlier owner");
	tap_ok(SYMBOL(agent_register_thread)() == c,
		"registered twice: the same context");
	tap_is_long(fixture_context(&f, 2)->claimed, 0, "and no other is used up");
	tap_is_long(f.session->context_high, 3, "high-water mark");

	pthread_t thread;
	void *other;
	pthread_create(&thread, NULL, register_thread, NULL);
	pthread_join(thread, &other);
	tap_ok(other && other != c, "another thread has its own");
	struct abi_context *o = other;
	uint32_t slot = o ? o->slot : 0;
	rt_context_release(f.session, slot);
	pthread_create(&thread, NULL, register_thread, NULL);
	pthread_join(thread, &other);
	tap_ok(other == o, "a released context is used again");

	for (uint32_t i = 1; i < FIXTURE_CONTEXTS; i++)
		fixture_context(&f, i)->claimed = 1;
	pthread_create(&thread, NULL, register_thread, NULL);
	pthread_join(thread, &other);
	tap_ok(!other && f.session->register_failures == 1, "none free: counted");
	rt_context_release(f.session, 3);
	signal(SIGTRAP, SIG_DFL);
	install_front(SIGTRAP);
	pthread_create(&thread, NULL, register_thread, NULL);
	pthread_join(thread, &other);
	tap_ok(!other && f.session->register_failures == 2 &&
			!fixture_context(&f, 3)->claimed,
		"no tracer answers: counted, and the program goes on");
	signal(SIGTRAP, SIG_DFL);
}

/* ---- handlers ------------------------------------------------------------------------------- */

static void test_handler(void)
{
	struct abi_context *c = f.c;
	struct abi_regs regs = {.rdi = 5};
	struct abi_map *m = (struct abi_map *)(void *)f.globals;
	rt_map_init(m, 1, 0, ABI_VALUE_LONG, 8, 100, FIXTURE_MAX_STRING, false, false);
	bool good = true;
	for (uint64_t i = 0; i < 1000; i++) {
		good = good && SYMBOL(rt_enter)(c, &regs, 0x7000, 0x4000, 1);
		good = good && SYMBOL(rt_lock)(c, 0, true);
		int64_t *v = SYMBOL(rt_map_insert1)(c, m, i % 10);
		if (v)
			++*v;
		uint64_t *payload = SYMBOL(rt_record_reserve)(c, ABI_RECORD_PRINT, 7, 16);
		if (payload) {
			payload[0] = i;
			SYMBOL(rt_record_commit)(c);
		}
		SYMBOL(rt_leave)(c);
		struct abi_record *r = fixture_record(&f, c);
		good = good && r && r->id == 7 && *(uint64_t *)(void *)(r + 1) == i;
	}
	int64_t *v = rt_map_find1(c, m, 3);
	tap_ok(good && m->count == 10 && v && *v == 100, "a thousand hits of a handler");

	/* nothing writes where the image keeps its constants */
	c->session = 0xdead;
	char text[FIXTURE_MAX_STRING];
	SYMBOL(rt_fn_errno_str)(c, text, 2);
	tap_is_string(text, "ENOENT", "the session is found without the context");
	c->session = (uint64_t)(uintptr_t)f.session;
}

/* ---- signals --------------------------------------------------------------------------------- */

/* What the injector does: the program's own flags as far as they say how a handler is entered. */
static void install_front(int sig)
{
	enum {
		KEPT = SA_ONSTACK | SA_NODEFER | SA_RESTART
	};
	struct agent_sigaction action = {
		.handler = (uint64_t)(uintptr_t)image_symbol("agent_signal_front"),
		.restorer = (uint64_t)(uintptr_t)image_symbol("agent_restorer")};
	struct agent_sigaction *old = &arena->old_actions[sig];
	syscall(SYS_rt_sigaction, sig, NULL, old, 8);
	action.flags = SA_SIGINFO | KERNEL_RESTORER | (old->flags & KEPT);
	action.mask = old->mask;
	syscall(SYS_rt_sigaction, sig, &action, NULL, 8);
}

static struct {
	int sig, code, count;
	void *address, *stack;
	bool blocked;
} seen;
static sigjmp_buf jump;

static void touch_nothing(void)
{
	static volatile uintptr_t nothing = 0x18;
	*(volatile int *)nothing = 1;
}

static void program_handler(int sig, siginfo_t *info, void *context)
{
	sigset_t mask;
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	seen.sig = sig;
	seen.code = info->si_code;
	seen.address = info->si_addr;
	seen.count++;
	seen.stack = &mask;
	seen.blocked = sigismember(&mask, sig) && sigismember(&mask, SIGUSR2);
	if (sig == SIGSEGV && info->si_code > 0)
		siglongjmp(jump, 1);
}

static void program_action(int sig, int flags)
{
	struct sigaction action = {
		.sa_sigaction = program_handler, .sa_flags = SA_SIGINFO | flags};
	sigaddset(&action.sa_mask, SIGUSR2);
	sigaction(sig, &action, NULL);
}

static void test_safe_reads(void)
{
	struct abi_context *c = f.c;
	char text[FIXTURE_MAX_STRING], *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
					       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(page + 4096, 4096);
	memcpy(page + 4096 - 8, "\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8", 8);
	int64_t end = (int64_t)(uintptr_t)page + 4096;
	SYMBOL(rt_enter)(c, NULL, 0x7000, 0x4000, 1);
	tap_is_long((long long)SYMBOL(rt_user_read)(c, (uint64_t)end - 8, 8),
		(long long)0xf8f9fafbfcfdfeffu, "8 bytes");
	tap_is_long((long long)SYMBOL(rt_user_read)(c, (uint64_t)end - 4, 4), 0xf8f9fafb,
		"4 bytes");
	tap_is_long((long long)SYMBOL(rt_user_read)(c, (uint64_t)end - 2, 2), 0xf8f9,
		"2 bytes");
	tap_is_long(
		(long long)SYMBOL(rt_user_read)(c, (uint64_t)end - 1, 1), 0xf8, "1 byte");
	tap_is_long(SYMBOL(rt_fn_user_char)(c, end - 1), (int8_t)0xf8, "sign-extended");
	static const uint64_t bad[] = {0, 8, 0xffffffffff000000u, 0x8000000000000000u};
	for (size_t i = 0; i < 4; i++)
		for (uint32_t size = 1; size <= 8; size *= 2) {
			c->error = 0;
			if (SYMBOL(rt_user_read)(c, bad[i], size) != 0 || c->error != 1)
				tap_ok(false, "read of %#lx", (unsigned long)bad[i]);
		}
	tap_is_string(c->error_text,
		"read fault [man error::fault] at 0x8000000000000000",
		"addresses that cannot be read");
	c->error = 0;
	SYMBOL(rt_user_read)(c, (uint64_t)end - 4, 8);
	tap_is_long(c->error, 1, "across the end of a mapping");
	c->error = 0;
	strcpy(page + 4096 - 7, "string");
	SYMBOL(rt_fn_user_string)(c, text, end - 7);
	tap_is_string(text, "string", "a string that ends with its mapping");
	tap_is_long(c->error, 0, "is no fault");
	page[4095] = 'x';
	SYMBOL(rt_fn_user_string)(c, text, end - 7);
	tap_is_long(c->error, 1, "one that does not end there is");
	c->error = 0;
	SYMBOL(rt_fn_user_string_n)(c, text, end - 7, 7);
	tap_is_string(text, "stringx", "unless so many were not asked for");
	SYMBOL(rt_fn_user_string_quoted)(c, text, 16);
	tap_is_string(text, "0x10", "quoted: the address instead");
	memcpy(page, "a\0b\n", 4);
	SYMBOL(rt_fn_user_buffer_quoted)(c, text, (int64_t)(uintptr_t)page, 4, 100);
	tap_is_string(text, "\"a\\000b\\n\"", "a buffer with a NUL");
	SYMBOL(rt_fn_user_int_warn)(c, 0x20);
	tap_is_string(fixture_record_text(fixture_record(&f, c), 0),
		"user int copy fault 0x20 [man error::fault]", "a warning");
	uint64_t stack[] = {1, 77, 88};
	c->probe_sp = (uint64_t)(uintptr_t)stack;
	struct abi_regs regs = {0};
	c->regs = (uint64_t)(uintptr_t)&regs;
	tap_is_long(SYMBOL(rt_fn_long_arg)(c, 8), 88, "the eighth argument");
	SYMBOL(rt_leave)(c);
	munmap(page, 4096);
}

static void test_other_arena(void)
{
	unsigned char *first = block;
	block = map_arena(&f, (uint64_t)(uintptr_t)null_context);
	SYMBOL(rt_enter)(f.c, NULL, 0x7000, 0x4000, 1);
	SYMBOL(rt_user_read)(f.c, 8, 8);
	tap_is_long(f.c->error, 1, "a fault in another copy of the image");
	f.c->error = 0;
	SYMBOL(rt_leave)(f.c);
	struct agent_arena *other = (struct agent_arena *)(void *)block;
	other->tracer_drain = 1;
	SYMBOL(rt_enter)(f.c, NULL, 0x7000, 0x4000, 1);
	SYMBOL(rt_user_read)(f.c, (uint64_t)(uintptr_t)&seen, 4);
	tap_is_long(f.c->error, 1, "the tracer's copy reads nothing at all");
	f.c->error = 0;
	SYMBOL(rt_leave)(f.c);
	block = first;
}

static void test_forwarding(void)
{
	if (!sigsetjmp(jump, 1))
		touch_nothing();
	tap_is_long(seen.count, 1, "the program's own fault goes to its handler");
	tap_ok(seen.sig == SIGSEGV && seen.address == (void *)0x18, "with its siginfo");
	tap_ok(seen.blocked, "with its mask");
	seen.count = 0;
	kill(getpid(), SIGSEGV);
	tap_ok(seen.count == 1 && seen.code == SI_USER, "a SIGSEGV sent by kill()");
	tap_ok(true, "and back from the handler");
	if (!sigsetjmp(jump, 1))
		((void (*)(void))(uintptr_t)0x10)();
	tap_ok(seen.count == 2 && seen.address == (void *)0x10, "a jump into nowhere");
}

static void test_alternate_stack(void)
{
	static char room[65536];
	stack_t stack = {.ss_sp = room, .ss_size = sizeof(room)}, old;
	sigaltstack(&stack, &old);
	program_action(SIGSEGV, SA_ONSTACK);
	install_front(SIGSEGV);
	if (!sigsetjmp(jump, 1))
		touch_nothing();
	char *at = seen.stack;
	tap_ok(at > room && at < room + sizeof(room), "on the stack it asked for");
	sigaltstack(&old, NULL);
	program_action(SIGSEGV, 0);
	install_front(SIGSEGV);
}

extern char breakpoint_place[], breakpoint_target[];
__asm__(".text\n"
	".globl test_breakpoint\n"
	"test_breakpoint:\n"
	"mov $1, %eax\n"
	"breakpoint_place: int3\n"
	"ret\n"
	"breakpoint_target:\n"
	"mov $2, %eax\n"
	"ret\n");
int test_breakpoint(void);

static void test_breakpoints(void)
{
	static struct agent_site_entry entries[3];
	entries[0] = (struct agent_site_entry){1, 2};
	entries[1] = (struct agent_site_entry){(uint64_t)(uintptr_t)breakpoint_place,
		(uint64_t)(uintptr_t)breakpoint_target};
	entries[2] = (struct agent_site_entry){~0ull, 3};
	program_action(SIGTRAP, 0);
	install_front(SIGTRAP);
	seen.count = 0;
	tap_is_long(test_breakpoint(), 1, "a breakpoint of the program's own");
	tap_is_long(seen.count, 1, "goes to its handler");
	arena->breakpoints = (uint64_t)(uintptr_t)entries;
	arena->breakpoint_count = 3;
	tap_is_long(test_breakpoint(), 2, "one of ours to its trampoline");
	tap_is_long(seen.count, 1, "and to nobody else");
}

/* ---- default actions: in children --------------------------------------------------------------- */

static void send_segv(void)
{
	kill(getpid(), SIGSEGV);
}

static void send_trap(void)
{
	raise(SIGTRAP);
}

static void own_breakpoint(void)
{
	__asm__ volatile("int3");
}

static const struct {
	const char *name;
	void (*act)(void);
	int sig;
	void (*handler)(int);
	int flags;
	int expected; /* signal that ends the child; 0: lives */
} endings[] = {
	{"default: a fault kills", touch_nothing, SIGSEGV, SIG_DFL, 0, SIGSEGV},
	{"default: a sent SIGSEGV kills", send_segv, SIGSEGV, SIG_DFL, 0, SIGSEGV},
	{"default: a breakpoint kills", own_breakpoint, SIGTRAP, SIG_DFL, 0, SIGTRAP},
	{"default: a sent SIGTRAP kills", send_trap, SIGTRAP, SIG_DFL, 0, SIGTRAP},
	{"ignored: a fault kills all the same", touch_nothing, SIGSEGV, SIG_IGN, 0,
		SIGSEGV},
	{"ignored: a sent SIGSEGV does nothing", send_segv, SIGSEGV, SIG_IGN, 0, 0},
	{"ignored: a sent SIGTRAP does nothing", send_trap, SIGTRAP, SIG_IGN, 0, 0},
	{"SA_RESETHAND: the second one kills", touch_nothing, SIGSEGV, NULL,
		(int)SA_RESETHAND, SIGSEGV},
};

static void returning_handler(int sig)
{
	if (write(2, "", 0) < 0)
		_exit(3);
}

static void test_endings(void)
{
	for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
		fflush(stdout);
		pid_t pid = fork();
		if (pid == 0) {
			struct sigaction action = {.sa_flags = endings[i].flags};
			action.sa_handler = endings[i].handler;
			if (endings[i].flags)
				action.sa_handler = returning_handler;
			sigaction(endings[i].sig, &action, NULL);
			install_front(endings[i].sig);
			arena->breakpoint_count = 0;
			alarm(5);
			endings[i].act();
			_exit(0);
		}
		int status = 0;
		waitpid(pid, &status, 0);
		tap_is_long(WIFSIGNALED(status) ? WTERMSIG(status) : 0,
			endings[i].expected, endings[i].name);
	}
}

static void drain(void)
{
	while (fixture_record(&f, f.tracer))
		;
}

static void test_tracer(void)
{
	arena->tracer_drain = (uint64_t)(uintptr_t)drain;
	f.session->state = ABI_STATE_STOPPING;
	bool good = true;
	for (uint64_t i = 0; i < 1000; i++) {
		good = good && SYMBOL(rt_enter)(f.tracer, NULL, 0, 0, 0);
		uint64_t *payload =
			SYMBOL(rt_record_reserve)(f.tracer, ABI_RECORD_PRINT, 0, 16);
		good = good && payload;
		if (payload)
			SYMBOL(rt_record_commit)(f.tracer);
		SYMBOL(rt_leave)(f.tracer);
	}
	tap_ok(good && !f.tracer->ring_lost,
		"the tracer drains a full ring and loses nothing");
	arena->tracer_drain = 0;
}

int main(void)
{
	map_all();
	play_tracer();
	test_registration();
	test_handler();
	program_action(SIGSEGV, 0);
	program_action(SIGBUS, 0);
	install_front(SIGSEGV);
	install_front(SIGBUS);
	test_safe_reads();
	test_other_arena();
	test_forwarding();
	test_alternate_stack();
	test_breakpoints();
	test_endings();
	test_tracer();
	return tap_done();
}

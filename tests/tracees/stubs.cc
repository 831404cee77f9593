// SPDX-License-Identifier: MIT
// Calls of other modules' functions that return, that are left otherwise, and that others return from.
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <new>

static jmp_buf out;
static volatile int sink;

// a loop comes back to where the call returns to
extern "C" void again(int n);
asm(".text\n"
    ".type again, @function\n"
    "again:\n"
    ".cfi_startproc\n"
    "push %rbx\n"
    ".cfi_def_cfa_offset 16\n"
    ".cfi_offset %rbx, -16\n"
    "mov %edi, %ebx\n"
    "call abs@plt\n"
    "1: dec %ebx\n"
    "jnz 1b\n"
    "pop %rbx\n"
    ".cfi_def_cfa_offset 8\n"
    "ret\n"
    ".cfi_endproc\n"
    ".size again, .-again\n");

// the handler comes back to where the call returns to
__attribute__((noinline)) static int refuse(size_t size)
{
	void *p = nullptr;
	try {
		p = operator new(size);
	} catch (const std::bad_alloc &) {
		sink = 1;
	}
	sink = p != nullptr;
	operator delete(p);
	return sink;
}

static int leave(const void *, const void *)
{
	longjmp(out, 1);
}

__attribute__((noinline)) static void jump()
{
	static int items[2] = {2, 1};
	if (setjmp(out) == 0)
		qsort(items, 2, sizeof(*items), leave);
	sink = items[0];
}

// its caller is returned to
__attribute__((noinline)) static void *tail(size_t size)
{
	return calloc(1, size + 1);
}

// calls itself by way of another module
static int deeper(const void *, const void *)
{
	static int depth;
	int items[2] = {1, 2};
	if (++depth < 5)
		qsort(items, 2, sizeof(*items), deeper);
	depth--;
	return 0;
}

int main()
{
	for (int i = 0; i < 100; i++) {
		again(5);
		sink = refuse(i % 2 ? 8 : ~size_t(0) / 4);
		jump();
		free(tail(8));
		deeper(nullptr, nullptr);
	}
	puts("done");
	return 0;
}

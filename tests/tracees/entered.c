/* SPDX-License-Identifier: MIT */
/*
 * Parameters that are in no register or slot any more where a script asks for them.
 *   entered         calls gone(): from itself, left by longjmp(), by a tail call
 *   entered inside  says "inside" within a call of it, reads a line, and goes on
 */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef void (*callback)(void);

static volatile long used;
static jmp_buf out, further_out;
static int depth;

__attribute__((noipa)) void use(long x)
{
	used += x;
}

__attribute__((noipa)) long gone(long a, const char *b, callback f)
{
	use(a + b[0]);
	if (f)
		f();
	use(1); /* HERE */
	return used;
}

__attribute__((noipa)) long tail(long a)
{
	use(a);
	return gone(a + 1, "tail", NULL);
}

static void recurse(void)
{
	int now = --depth;

	if (now > 0)
		gone(100 + now, "recurse", recurse);
}

static void jump_out(void)
{
	longjmp(out, 1);
}

static void jump_further(void)
{
	longjmp(further_out, 1);
}

/* Two frames are left, and others come to their places. */
static void leave_and_come_back(void)
{
	if (!setjmp(out))
		gone(401, "left", jump_out);
	if (!setjmp(further_out))
		gone(402, "left", jump_further);
	gone(403, "back", NULL);
}

static void wait_for_line(void)
{
	char c;
	if (write(STDOUT_FILENO, "inside\n", 7) != 7)
		return;
	while (read(STDIN_FILENO, &c, 1) == 1 && c != '\n')
		;
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "inside") == 0)
		gone(900, "inside", wait_for_line);
	for (long i = 0; i < 3; i++)
		gone(i, "abc" + i, NULL);
	depth = 4;
	gone(100 + depth, "outer", recurse);
	gone(400, "around", leave_and_come_back);
	tail(500);
	printf("used=%ld\n", used);
	return 0;
}

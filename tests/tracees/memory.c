/* SPDX-License-Identifier: MIT */
/* Things in memory for scripts to look at: one call of show() for each.  usage: memory [print] */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

static volatile long sum;

/* Not so small that the patches of its entry and its exit touch. */
__attribute__((noinline, noclone, noipa)) long show(const char *what, const void *data,
	long size, long fourth, long fifth, long sixth, long seventh)
{
	sum += (long)strlen(what);
	if (data != (const void *)8)
		sum += *(const char *)data;
	return size + fourth + fifth + sixth + seventh;
}

static struct {
	int8_t i8;
	uint8_t u8;
	int16_t i16;
	uint16_t u16;
	int32_t i32;
	uint32_t u32;
	int64_t i64;
} numbers = {-1, 200, -2, 60000, -3, 4000000000u, -4};

static char room[64] = "before";
static const char binary[] = "a\0b\n\"q\"\\\x01\xff";
static const char utf8[] = "\xce\xb1\xce\xb2 \xf0\x9f\x98\x80";
static const uint16_t utf16[] = {'h', 'i', 0x3b1, 0xd83d, 0xde00, 0};
static const uint16_t utf16_bad[] = {'x', 0xd83d, 'y', 0};
static const uint32_t utf32[] = {'h', 0x3b1, 0x1f600, 0};
static const uint32_t utf32_bad[] = {'x', 0x110000, 0};

int main(int argc, char **argv)
{
	static char longer[2000];
	memset(longer, 'l', sizeof(longer) - 1);
	prctl(PR_SET_NAME, "renamed");
	show("text", "hello, world", 12, 4, 5, 6, 7);
	show("empty", "", 0, 0, 0, 0, 0);
	show("longer", longer, sizeof(longer) - 1, 0, 0, 0, 0);
	show("binary", binary, sizeof(binary) - 1, 0, 0, 0, 0);
	show("utf8", utf8, sizeof(utf8) - 1, 0, 0, 0, 0);
	show("utf16", utf16, 0, 0, 0, 0, 0);
	show("utf16-bad", utf16_bad, 0, 0, 0, 0, 0);
	show("utf32", utf32, 0, 0, 0, 0, 0);
	show("utf32-bad", utf32_bad, 0, 0, 0, 0, 0);
	show("numbers", &numbers, sizeof(numbers), -4, -5, -6, -7);
	show("nowhere", (const void *)8, 0, 0, 0, 0, 0);
	show("room", room, sizeof(room), 0, 0, 0, 0);
	if (argc == 2 && strcmp(argv[1], "print") == 0)
		printf("room=%s u8=%d i64=%ld\n", room, numbers.u8, (long)numbers.i64);
	return 0;
}

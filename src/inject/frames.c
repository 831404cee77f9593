/* SPDX-License-Identifier: MIT */
/*
 * Signal frames on the stacks of stopped threads.
 *
 * struct rt_sigframe as the kernel pushes it: the restorer's address, 40 bytes of struct ucontext, then
 * gregs; rip is the 17th of them, flags and the selectors follow.  A word is taken for a saved rip
 * when those two look right.
 */
#include "inject/internal.h"

enum {
	PAGE = 4096,
	STACK_SCAN_SIZE = 64 * 1024,
	USER_CS = 0x33,
	FRAME_RIP = 22, /* words after the restorer's address */
};

void inject_scan_frames(int memory_fd, uint64_t sp, signal_frame_fn fn, void *data)
{
	uint64_t words[STACK_SCAN_SIZE / 8];
	size_t size = 0;

	/* behind the return of a handler, and before rt_sigreturn, sp is one word above its frame */
	sp = (sp & ~7ull) - 8;
	while (size < sizeof(words)) {
		uint64_t at = sp + size;
		size_t part = PAGE - at % PAGE;
		if (part > sizeof(words) - size)
			part = sizeof(words) - size;
		if (remote_memory_read(memory_fd, at, (uint8_t *)words + size, part) < 0)
			break; /* the end of the stack */
		size += part;
	}
	for (size_t i = FRAME_RIP; i + 2 < size / 8; i++)
		if ((words[i + 2] & 0xffff) == USER_CS && words[i + 1] & 2 &&
			words[i + 1] < 1u << 22)
			fn(&(struct signal_frame){words[i], words[i - FRAME_RIP],
				   sp + i * 8},
				data);
}

/* ---- frames that return into the call stub ---------------------------------------------- */

/* Words before the saved rip: <sys/ucontext.h> has the order. */
static int send_frame_home(
	int memory_fd, uint64_t rip_address, const struct arch_call_home *home)
{
	const struct {
		uint64_t value;
		unsigned int before;
	} words[] = {{home->r8, 16}, {home->r9, 15}, {home->r10, 14}, {home->r11, 13},
		{home->rdi, 8}, {home->rsi, 7}, {home->rdx, 4}, {home->rax, 3},
		{home->rcx, 2}, {home->rip, 0}};
	int r = 0;

	for (size_t i = 0; i < sizeof(words) / sizeof(*words) && r >= 0; i++)
		r = remote_memory_write(memory_fd,
			rip_address - words[i].before * sizeof(uint64_t), &words[i].value,
			sizeof(words[i].value));
	return r;
}

struct stub_frames {
	int memory_fd, result;
	uint64_t stub_address;
	const struct arch_call_home *home;
};

static void leave_stub(const struct signal_frame *frame, void *data)
{
	struct stub_frames *frames = data;

	if (frame->rip - frames->stub_address < ARCH_CALL_STUB_MAX && frames->result >= 0)
		frames->result = send_frame_home(
			frames->memory_fd, frame->rip_address, frames->home);
}

int inject_leave_stub_frames(int memory_fd, uint64_t sp, uint64_t stub_address,
	const struct arch_call_home *home)
{
	struct stub_frames frames = {memory_fd, 0, stub_address, home};

	inject_scan_frames(memory_fd, sp, leave_stub, &frames);
	return frames.result;
}

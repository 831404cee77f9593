/* SPDX-License-Identifier: MIT */
/*
 * The parts of the agent that C cannot say: loads that may fault, and the two ends of a signal
 * handler.
 */

/*
 * struct rt_read agent_read_N(uint64_t address): value in %rax, fault in %rdx.
 *
 * A faulting load is the first instruction of its stub, 3 bytes long, at a multiple of 16, and
 * followed by a nop that carries SIGNATURE.  The signal front recognises the load by that, in
 * any copy of the image: a process has one copy per arena and one signal front for them all.
 * KEEP IN SYNC: read signature (agent.c)
 */
#define SIGNATURE .byte 0x0f, 0x1f, 0x80, 0x55, 0x54, 0x52, 0x43 /* nopl "UTRC"(%rax) */

	.text
	.balign 64
	.globl agent_read_start, agent_read_end, agent_read_fixup
	.hidden agent_read_1, agent_read_2, agent_read_4, agent_read_8
	.globl agent_read_1, agent_read_2, agent_read_4, agent_read_8
	.type agent_read_1, @function
	.type agent_read_2, @function
	.type agent_read_4, @function
	.type agent_read_8, @function
	.hidden agent_read_thread, agent_vector_read
	.globl agent_read_thread, agent_vector_read
	.type agent_read_thread, @function
	.type agent_vector_read, @function
	.hidden agent_write_1, agent_write_2, agent_write_4, agent_write_8
	.globl agent_write_1, agent_write_2, agent_write_4, agent_write_8
	.type agent_write_1, @function
	.type agent_write_2, @function
	.type agent_write_4, @function
	.type agent_write_8, @function
agent_read_start:
agent_read_1:
	movzbl (%rdi), %eax
	SIGNATURE
	xor %edx, %edx
	ret
	.balign 16
agent_read_2:
	movzwl (%rdi), %eax
	SIGNATURE
	xor %edx, %edx
	ret
	.balign 16
agent_read_4:
	.byte 0x3e, 0x8b, 0x07 /* ds mov (%rdi), %eax: the prefix makes it 3 bytes long */
	SIGNATURE
	xor %edx, %edx
	ret
	.balign 16
agent_read_8:
	mov (%rdi), %rax
	SIGNATURE
	xor %edx, %edx
	ret
/* 4 bytes at an offset to the thread pointer */
	.balign 16
agent_read_thread:
	mov %fs:(%rdi), %eax
	SIGNATURE
	xor %edx, %edx
	ret
/* Stores work alike: agent_write_N(uint64_t address, uint64_t value). */
	.balign 16
agent_write_1:
	mov %sil, (%rdi)
	SIGNATURE
	xor %edx, %edx
	ret
	.balign 16
agent_write_2:
	mov %si, (%rdi)
	SIGNATURE
	xor %edx, %edx
	ret
	.balign 16
agent_write_4:
	.byte 0x3e, 0x89, 0x37 /* ds mov %esi, (%rdi) */
	SIGNATURE
	xor %edx, %edx
	ret
	.balign 16
agent_write_8:
	mov %rsi, (%rdi)
	SIGNATURE
	xor %edx, %edx
	ret
agent_read_end:
	.balign 16
agent_read_fixup:
	xor %eax, %eax
	mov $1, %edx
	ret

/*
 * uint64_t agent_vector_read(uint64_t number): half of a vector register, number / 2, by way of the 16
 * bytes below the stack.  Storing a vector register is all that ever is done to one: nothing may be
 * loaded into it.  tools/check-agent.sh knows these stores.
 */
	.balign 16
agent_vector_read:
	mov %edi, %ecx
	shr $1, %ecx
	shl $4, %ecx
	lea 1f(%rip), %rax
	add %rcx, %rax
	and $1, %edi
	jmp *%rax
	.balign 16
1:	.irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	.balign 16
	movups %xmm\number, -16(%rsp)
	mov -16(%rsp, %rdi, 8), %rax
	ret
	.endr

/*
 * struct abi_context *agent_register_thread(void): claims a context, and does the rest on its stack.
 * Calls of a program's function leave it as little as a few hundred bytes on the stacks of Go.
 */
	.globl agent_register_thread
	.type agent_register_thread, @function
	.balign 16
agent_register_thread:
	call agent_claim_context
	test %rax, %rax
	jz 1f
	push %rax
	mov %rsp, -8(%rdx)
	lea -8(%rdx), %rsp
	mov %rax, %rdi
	call agent_fill_context
	mov (%rsp), %rsp
	pop %rdi
	test %edx, %edx
	jz 1f
	mov %rax, %rsi
	jmp agent_release_context
1:	ret

/*
 * bool agent_call_tracer(struct abi_context *c, uint64_t kind): a breakpoint that the tracer answers, see
 * abi/call.h.  It makes no system call, which a filter could end the program for.  The signal front knows it
 * by its place in a block of 16 and the nop behind it, in any copy of the image, and lets it fail: there is
 * no tracer then.
 * KEEP IN SYNC: call signature (agent.c)
 */
	.hidden agent_call_tracer
	.globl agent_call_tracer, agent_call_trap
	.type agent_call_tracer, @function
	.balign 16
agent_call_tracer:
	xor %eax, %eax
	.skip 13, 0x90
agent_call_trap:
	int3
	.byte 0x0f, 0x1f, 0x80, 0x55, 0x54, 0x43, 0x41 /* nopl "UTCA"(%rax) */
	ret

/*
 * The handler the kernel calls.  agent_signal_decide() returns 0 when the signal was ours; else
 * the program's own handler, which is entered as the kernel would have: same arguments, same
 * stack, and a return into the restorer.
 */
	.globl agent_signal_front
	.type agent_signal_front, @function
	.balign 16
agent_signal_front:
	push %rdi
	push %rsi
	push %rdx
	call agent_signal_decide
	pop %rdx
	pop %rsi
	pop %rdi
	test %rax, %rax
	jz 1f
	mov %rax, %r11
	xor %eax, %eax
	jmp *%r11
1:	ret

/* Unwinders know a signal frame by these very bytes (gcc's MD_FALLBACK_FRAME_STATE_FOR). */
	.globl agent_restorer
	.type agent_restorer, @function
	.balign 16
agent_restorer:
	mov $15, %rax /* rt_sigreturn */
	syscall

	.section .note.GNU-stack, "", @progbits

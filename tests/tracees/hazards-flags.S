/* SPDX-License-Identifier: MIT */
/* Assembly with debug information: its functions return what they like in the flags. */
	.text
	.globl	above
	.type	above, @function
above:	/* carry: is the first argument above the second? */
	mov	%rsi, %rax
	cmp	%rdi, %rax
	mov	$0, %rax
	ret
	.skip	8, 0x90
	.size	above, .-above
	.section .note.GNU-stack,"",@progbits

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

	/* No padding far and wide, and an exit with room for a short jump only. */
	.type	dense_before, @function
dense_before:
	.rept	40
	lea	1(%rax), %rax
	.endr
	ret
	.size	dense_before, .-dense_before
	.globl	dense
	.type	dense, @function
dense:	/* 0: 7, else n + 63 */
	test	%rdi, %rdi
	jz	2f
	mov	%rdi, %rax
	lea	1(%rax), %rcx
	lea	1(%rcx), %rax
	push	%rdx
	call	dense_leaf
	pop	%rdx
	ret
2:	mov	$7, %eax
	push	%rdx
	call	dense_none
	pop	%rdx
	ret
	.size	dense, .-dense
	.type	dense_leaf, @function
dense_leaf:
	.rept	60
	lea	1(%rax), %rax
	.endr
	lea	1(%rax), %rax
	ret
	.size	dense_leaf, .-dense_leaf
	.type	dense_none, @function
dense_none:
	lea	0(%rax), %rax
	ret
	.size	dense_none, .-dense_none
	.section .note.GNU-stack,"",@progbits

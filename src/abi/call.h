/* SPDX-License-Identifier: MIT */
/*
 * Calls of the tracer by code of ours in a traced process.
 *
 * On the way of a hit not one system call is made: a seccomp filter that the program has put on may end it
 * for that, and nothing tells of filters before it is too late.  What only the kernel knows the tracer finds
 * out, as long as no thread has SIGTRAP blocked when probes are put in: without a tracer, that thread would
 * not survive the question, and makes the system calls.  agent_call_tracer() is a breakpoint with the address of a context in %rdi and one of these in %rsi;
 * %rax is nonzero behind it when there was a tracer to answer.
 */
#pragma once

enum abi_call {
	/* Who the running thread is goes to the context, and its gs base leads there. */
	ABI_CALL_REGISTER = 1,
};

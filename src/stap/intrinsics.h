/* SPDX-License-Identifier: MIT */
/*
 * Script functions implemented by the runtime.  One list for the checker, codegen and the agent.
 *
 *   X(name, result, arguments, flags, symbol)
 *     name      as scripts call it
 *     result    L long, S string, V none
 *     arguments string of L and S, "" for none
 *     symbol    C function:  L  int64_t symbol(struct abi_context *c, args...)
 *                            S  void symbol(struct abi_context *c, char *dst, args...)
 *                            V  void symbol(struct abi_context *c, args...)
 *               L arguments are int64_t, S arguments const char *
 * flags: FALLIBLE may set c->error; REGS uses c->regs/probe_sp/probe_ip; PURE no side effect;
 *        CALLEE_SAVED needs all registers of the program
 * An overloaded name appears once per form.
 */
#pragma once

#define STAP_INTRINSICS(X)                                                        \
	X("exit", V, "", 0, rt_fn_exit)                                           \
	X("abort", V, "", FALLIBLE, rt_fn_abort)                                  \
	X("error", V, "S", FALLIBLE, rt_fn_error)                                 \
	X("warn", V, "S", 0, rt_fn_warn)                                          \
	X("log", V, "S", 0, rt_fn_log)                                            \
	X("system", V, "S", 0, rt_fn_system)                                      \
	X("assert", V, "L", FALLIBLE, rt_fn_assert)                               \
	X("assert", V, "LS", FALLIBLE, rt_fn_assert_text)                         \
	X("pid", L, "", PURE, rt_fn_pid)                                          \
	X("tid", L, "", PURE, rt_fn_tid)                                          \
	X("ppid", L, "", PURE, rt_fn_ppid)                                        \
	X("uid", L, "", PURE, rt_fn_uid)                                          \
	X("euid", L, "", PURE, rt_fn_euid)                                        \
	X("gid", L, "", PURE, rt_fn_gid)                                          \
	X("egid", L, "", PURE, rt_fn_egid)                                        \
	X("cpu", L, "", PURE, rt_fn_cpu)                                          \
	X("execname", S, "", PURE, rt_fn_execname)                                \
	X("target", L, "", PURE, rt_fn_target)                                    \
	X("pp", S, "", PURE, rt_fn_pp)                                            \
	X("pn", S, "", PURE, rt_fn_pn)                                            \
	X("ppfunc", S, "", PURE, rt_fn_ppfunc)                                    \
	X("probefunc", S, "", PURE, rt_fn_ppfunc)                                 \
	X("is_return", L, "", PURE, rt_fn_is_return)                              \
	X("user_mode", L, "", PURE, rt_fn_user_mode)                              \
	X("registers_valid", L, "", PURE | REGS, rt_fn_registers_valid)           \
	X("addr", L, "", PURE | REGS, rt_fn_uaddr)                                \
	X("uaddr", L, "", PURE | REGS, rt_fn_uaddr)                               \
	X("gettimeofday_ns", L, "", PURE, rt_fn_gettimeofday_ns)                  \
	X("gettimeofday_us", L, "", PURE, rt_fn_gettimeofday_us)                  \
	X("gettimeofday_ms", L, "", PURE, rt_fn_gettimeofday_ms)                  \
	X("gettimeofday_s", L, "", PURE, rt_fn_gettimeofday_s)                    \
	X("ktime_get_ns", L, "", PURE, rt_fn_local_clock_ns)                      \
	X("local_clock_ns", L, "", PURE, rt_fn_local_clock_ns)                    \
	X("local_clock_us", L, "", PURE, rt_fn_local_clock_us)                    \
	X("local_clock_ms", L, "", PURE, rt_fn_local_clock_ms)                    \
	X("local_clock_s", L, "", PURE, rt_fn_local_clock_s)                      \
	X("get_cycles", L, "", PURE, rt_fn_get_cycles)                            \
	X("jiffies", L, "", PURE, rt_fn_jiffies)                                  \
	X("HZ", L, "", PURE, rt_fn_hz)                                            \
	X("ctime", S, "L", PURE | FALLIBLE, rt_fn_ctime)                          \
	X("ctime", S, "", PURE, rt_fn_ctime_now)                                  \
	X("randint", L, "L", FALLIBLE, rt_fn_randint)                             \
	X("strlen", L, "S", PURE, rt_fn_strlen)                                   \
	X("substr", S, "SLL", PURE, rt_fn_substr)                                 \
	X("stringat", L, "SL", FALLIBLE, rt_fn_stringat)                          \
	X("isinstr", L, "SS", PURE, rt_fn_isinstr)                                \
	X("strpos", L, "SS", PURE, rt_fn_strpos)                                  \
	X("tokenize", S, "SS", 0, rt_fn_tokenize)                                 \
	X("tokenize", S, "S", 0, rt_fn_tokenize_next)                             \
	X("str_replace", S, "SSS", PURE, rt_fn_str_replace)                       \
	X("strtol", L, "SL", PURE, rt_fn_strtol)                                  \
	X("isdigit", L, "S", PURE, rt_fn_isdigit)                                 \
	X("text_str", S, "S", PURE, rt_fn_text_str)                               \
	X("text_strn", S, "SLL", PURE, rt_fn_text_strn)                           \
	X("string_quoted", S, "S", PURE, rt_fn_string_quoted)                     \
	X("msecs_to_string", S, "L", PURE, rt_fn_msecs_to_string)                 \
	X("usecs_to_string", S, "L", PURE, rt_fn_usecs_to_string)                 \
	X("nsecs_to_string", S, "L", PURE, rt_fn_nsecs_to_string)                 \
	X("errno_str", S, "L", PURE, rt_fn_errno_str)                             \
	X("user_string", S, "L", FALLIBLE, rt_fn_user_string)                     \
	X("user_string", S, "LS", 0, rt_fn_user_string_or)                        \
	X("user_string_nofault", S, "L", 0, rt_fn_user_string_nofault)            \
	X("user_string_warn", S, "L", 0, rt_fn_user_string_warn)                  \
	X("user_string_quoted", S, "L", 0, rt_fn_user_string_quoted)              \
	X("user_string_n", S, "LL", FALLIBLE, rt_fn_user_string_n)                \
	X("user_string_n", S, "LLS", 0, rt_fn_user_string_n_or)                   \
	X("user_string_n_quoted", S, "LL", 0, rt_fn_user_string_n_quoted)         \
	X("user_buffer_quoted", S, "LLL", 0, rt_fn_user_buffer_quoted)            \
	X("user_char", L, "L", 0, rt_fn_user_char)                                \
	X("user_short", L, "L", 0, rt_fn_user_short)                              \
	X("user_ushort", L, "L", 0, rt_fn_user_ushort)                            \
	X("user_int", L, "L", 0, rt_fn_user_int)                                  \
	X("user_long", L, "L", 0, rt_fn_user_long)                                \
	X("user_ulong", L, "L", 0, rt_fn_user_long)                               \
	X("user_pointer", L, "L", 0, rt_fn_user_long)                             \
	X("user_int8", L, "L", 0, rt_fn_user_char)                                \
	X("user_uint8", L, "L", 0, rt_fn_user_uint8)                              \
	X("user_int16", L, "L", 0, rt_fn_user_short)                              \
	X("user_uint16", L, "L", 0, rt_fn_user_ushort)                            \
	X("user_int32", L, "L", 0, rt_fn_user_int)                                \
	X("user_uint32", L, "L", 0, rt_fn_user_uint32)                            \
	X("user_int64", L, "L", 0, rt_fn_user_long)                               \
	X("user_uint64", L, "L", 0, rt_fn_user_long)                              \
	X("user_char_error", L, "L", FALLIBLE, rt_fn_user_char_error)             \
	X("user_short_error", L, "L", FALLIBLE, rt_fn_user_short_error)           \
	X("user_int_error", L, "L", FALLIBLE, rt_fn_user_int_error)               \
	X("user_long_error", L, "L", FALLIBLE, rt_fn_user_long_error)             \
	X("user_char_warn", L, "L", 0, rt_fn_user_char_warn)                      \
	X("user_short_warn", L, "L", 0, rt_fn_user_short_warn)                    \
	X("user_int_warn", L, "L", 0, rt_fn_user_int_warn)                        \
	X("user_long_warn", L, "L", 0, rt_fn_user_long_warn)                      \
	X("register", L, "S", FALLIBLE | REGS | CALLEE_SAVED, rt_fn_register)     \
	X("u_register", L, "S", FALLIBLE | REGS | CALLEE_SAVED, rt_fn_u_register) \
	X("int_arg", L, "L", FALLIBLE | REGS, rt_fn_int_arg)                      \
	X("uint_arg", L, "L", FALLIBLE | REGS, rt_fn_uint_arg)                    \
	X("s32_arg", L, "L", FALLIBLE | REGS, rt_fn_int_arg)                      \
	X("u32_arg", L, "L", FALLIBLE | REGS, rt_fn_uint_arg)                     \
	X("long_arg", L, "L", FALLIBLE | REGS, rt_fn_long_arg)                    \
	X("ulong_arg", L, "L", FALLIBLE | REGS, rt_fn_long_arg)                   \
	X("longlong_arg", L, "L", FALLIBLE | REGS, rt_fn_long_arg)                \
	X("ulonglong_arg", L, "L", FALLIBLE | REGS, rt_fn_long_arg)               \
	X("s64_arg", L, "L", FALLIBLE | REGS, rt_fn_long_arg)                     \
	X("u64_arg", L, "L", FALLIBLE | REGS, rt_fn_long_arg)                     \
	X("pointer_arg", L, "L", FALLIBLE | REGS, rt_fn_long_arg)                 \
	X("returnval", L, "", FALLIBLE | REGS, rt_fn_returnval)                   \
	X("thread_indent", S, "L", 0, rt_fn_thread_indent)

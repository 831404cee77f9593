/* SPDX-License-Identifier: MIT */
/*
 * Script functions implemented by the runtime.  One list for the checker, codegen and the agent.
 *
 *   X(name, result, arguments, names, flags, symbol)
 *     name      as scripts call it; those that begin with __rt_ are for tapset/ only
 *     result    L long, S string, V none
 *     arguments string of L and S, "" for none
 *     names     of the arguments, separated by commas, for listings and editors
 *     symbol    C function rt_fn_SYMBOL:
 *                 L  int64_t f(struct abi_context *c, args...)
 *                 S  void f(struct abi_context *c, char *dst, args...)
 *                 V  void f(struct abi_context *c, args...)
 *               L arguments are int64_t, S arguments const char *
 * flags: FALLIBLE may set c->error; REGS uses c->regs/probe_sp/probe_ip; PURE no side effect;
 *        CALLEE_SAVED needs all registers of the program; MEMORY touches memory of the program;
 *        GURU only with -g; SYMBOLS asks what an address is; STACKS looks at the program's stack
 * An overloaded name appears once per form.
 */
#pragma once

/* clang-format off */

/* session, output, control */
#define STAP_INTRINSICS_SESSION(X) \
	X("exit", V, "", "", 0, rt_fn_exit) \
	X("abort", V, "", "", FALLIBLE, rt_fn_abort) \
	X("error", V, "S", "msg", FALLIBLE, rt_fn_error) \
	X("warn", V, "S", "msg", 0, rt_fn_warn) \
	X("log", V, "S", "msg", 0, rt_fn_log) \
	X("system", V, "S", "cmd", 0, rt_fn_system) \
	X("assert", V, "L", "expression", FALLIBLE, rt_fn_assert) \
	X("assert", V, "LS", "expression,msg", FALLIBLE, rt_fn_assert_text) \
	X("target", L, "", "", PURE, rt_fn_target) \
	X("stp_pid", L, "", "", PURE, rt_fn_stp_pid) \
	X("module_name", S, "", "", PURE, rt_fn_module_name) \
	X("pp", S, "", "", PURE, rt_fn_pp) \
	X("pn", S, "", "", PURE, rt_fn_pn) \
	X("ppfunc", S, "", "", PURE, rt_fn_ppfunc) \
	X("pnlabel", S, "", "", PURE, rt_fn_pnlabel) \
	X("probe_type", S, "", "", PURE, rt_fn_probe_type) \
	X("printk", V, "LS", "level,msg", GURU, rt_fn_printk) \
	X("ftrace", V, "S", "msg", 0, rt_fn_ftrace) \
	X("__rt_file_value", S, "", "", 0, rt_fn_file_value) \
	X("__rt_file_set", S, "S", "text", 0, rt_fn_file_set) \
	X("__rt_file_append", S, "S", "text", 0, rt_fn_file_append) \
	X("__rt_max_string", L, "", "", PURE, rt_fn_max_string)

/* process context */
#define STAP_INTRINSICS_CONTEXT(X) \
	X("pid", L, "", "", PURE, rt_fn_pid) \
	X("tid", L, "", "", PURE, rt_fn_tid) \
	X("ppid", L, "", "", PURE, rt_fn_ppid) \
	X("uid", L, "", "", PURE, rt_fn_uid) \
	X("euid", L, "", "", PURE, rt_fn_euid) \
	X("gid", L, "", "", PURE, rt_fn_gid) \
	X("egid", L, "", "", PURE, rt_fn_egid) \
	X("pgrp", L, "", "", PURE, rt_fn_pgrp) \
	X("sid", L, "", "", PURE, rt_fn_sid) \
	X("is_myproc", L, "", "", PURE, rt_fn_is_myproc) \
	X("cpu", L, "", "", PURE, rt_fn_cpu) \
	X("numa_node", L, "", "", PURE, rt_fn_numa_node) \
	X("execname", S, "", "", PURE, rt_fn_execname) \
	X("is_return", L, "", "", PURE, rt_fn_is_return) \
	X("user_mode", L, "", "", PURE, rt_fn_user_mode) \
	X("registers_valid", L, "", "", PURE | REGS, rt_fn_registers_valid) \
	X("addr", L, "", "", PURE | REGS, rt_fn_uaddr) \
	X("uaddr", L, "", "", PURE | REGS, rt_fn_uaddr) \
	X("cmdline_args", S, "LLS", "n,m,delim", PURE, rt_fn_cmdline_args) \
	X("env_var", S, "S", "name", PURE, rt_fn_env_var) \
	X("task_utime", L, "", "", PURE, rt_fn_task_utime) \
	X("task_stime", L, "", "", PURE, rt_fn_task_stime) \
	X("__rt_task_number", L, "LLL", "task,what,index", PURE, rt_fn_task_number) \
	X("__rt_task_text", S, "LLL", "task,what,index", PURE, rt_fn_task_text) \
	X("__rt_is_descendant", L, "L", "pid", PURE, rt_fn_is_descendant) \
	X("__rt_perf_counter", L, "S", "name", FALLIBLE, rt_fn_perf_counter) \
	X("raise", V, "L", "signo", GURU, rt_fn_raise)

/* time */
#define STAP_INTRINSICS_TIME(X) \
	X("gettimeofday_ns", L, "", "", PURE, rt_fn_gettimeofday_ns) \
	X("gettimeofday_us", L, "", "", PURE, rt_fn_gettimeofday_us) \
	X("gettimeofday_ms", L, "", "", PURE, rt_fn_gettimeofday_ms) \
	X("gettimeofday_s", L, "", "", PURE, rt_fn_gettimeofday_s) \
	X("ktime_get_ns", L, "", "", PURE, rt_fn_local_clock_ns) \
	X("local_clock_ns", L, "", "", PURE, rt_fn_local_clock_ns) \
	X("local_clock_us", L, "", "", PURE, rt_fn_local_clock_us) \
	X("local_clock_ms", L, "", "", PURE, rt_fn_local_clock_ms) \
	X("local_clock_s", L, "", "", PURE, rt_fn_local_clock_s) \
	X("get_cycles", L, "", "", PURE, rt_fn_get_cycles) \
	X("jiffies", L, "", "", PURE, rt_fn_jiffies) \
	X("HZ", L, "", "", PURE, rt_fn_hz) \
	X("ctime", S, "L", "epochsecs", PURE | FALLIBLE, rt_fn_ctime) \
	X("ctime", S, "", "", PURE, rt_fn_ctime_now) \
	X("__rt_ctime", S, "L", "epochsecs", PURE | FALLIBLE, rt_fn_ctime) \
	X("tz_gmtoff", L, "", "", PURE, rt_fn_tz_gmtoff) \
	X("tz_name", S, "", "", PURE, rt_fn_tz_name) \
	X("msecs_to_string", S, "L", "msecs", PURE, rt_fn_msecs_to_string) \
	X("usecs_to_string", S, "L", "usecs", PURE, rt_fn_usecs_to_string) \
	X("nsecs_to_string", S, "L", "nsecs", PURE, rt_fn_nsecs_to_string) \
	X("mdelay", V, "L", "ms", GURU, rt_fn_mdelay) \
	X("udelay", V, "L", "us", GURU, rt_fn_udelay)

/* numbers and names */
#define STAP_INTRINSICS_NUMBERS(X) \
	X("randint", L, "L", "n", FALLIBLE, rt_fn_randint) \
	X("errno_str", S, "L", "err", PURE, rt_fn_errno_str) \
	X("errno_p", L, "L", "err", PURE, rt_fn_errno_p) \
	X("__rt_enum_name", S, "LS", "number,table", PURE, rt_fn_enum_name) \
	X("__rt_name", S, "LL", "table,number", PURE, rt_fn_name_of) \
	X("__rt_choice", S, "LL", "table,value", PURE, rt_fn_choice_name) \
	X("__rt_flags", S, "LL", "table,value", PURE, rt_fn_flag_names) \
	X("__rt_number", L, "LS", "table,name", PURE, rt_fn_number_of) \
	X("fp_to_string", S, "LL", "infp,precision", PURE, rt_fn_fp_to_string) \
	X("string_to_fp", L, "S", "input", FALLIBLE, rt_fn_string_to_fp) \
	X("long_to_fp", L, "L", "input", PURE, rt_fn_long_to_fp) \
	X("fp_to_long", L, "LLL", "infp,roundingMode,exact", PURE, rt_fn_fp_to_long) \
	X("fp_add", L, "LL", "add1,add2", PURE, rt_fn_fp_add) \
	X("fp_sub", L, "LL", "sub1,sub2", PURE, rt_fn_fp_sub) \
	X("fp_mul", L, "LL", "mul1,mul2", PURE, rt_fn_fp_mul) \
	X("fp_div", L, "LL", "div1,div2", PURE, rt_fn_fp_div) \
	X("fp_rem", L, "LL", "div1,div2", PURE, rt_fn_fp_rem) \
	X("fp_sqrt", L, "L", "infp", PURE, rt_fn_fp_sqrt) \
	X("fp_eq", L, "LL", "infp1,infp2", PURE, rt_fn_fp_eq) \
	X("fp_le", L, "LL", "infp1,infp2", PURE, rt_fn_fp_le) \
	X("fp_lt", L, "LL", "infp1,infp2", PURE, rt_fn_fp_lt) \
	X("fp32_to_fp64", L, "L", "input", PURE, rt_fn_fp32_to_fp64)

/* strings */
#define STAP_INTRINSICS_STRINGS(X) \
	X("strlen", L, "S", "s", PURE, rt_fn_strlen) \
	X("substr", S, "SLL", "str,start,length", PURE, rt_fn_substr) \
	X("stringat", L, "SL", "str,pos", FALLIBLE, rt_fn_stringat) \
	X("__rt_stringat", L, "SL", "str,pos", FALLIBLE, rt_fn_stringat) \
	X("isinstr", L, "SS", "s1,s2", PURE, rt_fn_isinstr) \
	X("strpos", L, "SS", "s1,s2", PURE, rt_fn_strpos) \
	X("tokenize", S, "SS", "input,delim", 0, rt_fn_tokenize) \
	X("tokenize", S, "S", "delim", 0, rt_fn_tokenize_next) \
	X("str_replace", S, "SSS", "prnt_str,srch_str,rplc_str", PURE, rt_fn_str_replace) \
	X("strtol", L, "SL", "str,base", PURE, rt_fn_strtol) \
	X("isdigit", L, "S", "str", PURE, rt_fn_isdigit) \
	X("text_str", S, "S", "input", PURE, rt_fn_text_str) \
	X("text_strn", S, "SLL", "input,len,quoted", PURE, rt_fn_text_strn) \
	X("string_quoted", S, "S", "str", PURE, rt_fn_string_quoted) \
	X("matched", S, "L", "n", PURE | FALLIBLE, rt_fn_matched) \
	X("matched_str", S, "", "", PURE | FALLIBLE, rt_fn_matched_str) \
	X("ngroups", L, "", "", PURE | FALLIBLE, rt_fn_ngroups) \
	X("__rt_thread_indent", S, "LL", "now,delta", 0, rt_fn_thread_indent) \
	X("thread_indent_depth", L, "L", "delta", 0, rt_fn_thread_indent_depth)

/* memory of the process */
#define STAP_INTRINSICS_MEMORY(X) \
	X("user_string", S, "L", "addr", FALLIBLE | MEMORY, rt_fn_user_string) \
	X("user_string", S, "LS", "addr,err_msg", MEMORY, rt_fn_user_string_or) \
	X("user_string_n", S, "LL", "addr,n", FALLIBLE | MEMORY, rt_fn_user_string_n) \
	X("user_string_n", S, "LLS", "addr,n,err_msg", MEMORY, rt_fn_user_string_n_or) \
	X("user_string_n_warn", S, "LLS", "addr,n,warn_msg", MEMORY, rt_fn_user_string_n_warn) \
	X("user_string_quoted", S, "L", "addr", MEMORY, rt_fn_user_string_quoted) \
	X("user_string_n_quoted", S, "LL", "addr,n", MEMORY, rt_fn_user_string_n_quoted_whole) \
	X("user_string_n_quoted", S, "LLL", "addr,inlen,outlen", MEMORY, rt_fn_user_string_n_quoted) \
	X("user_string_utf16", S, "L", "addr", FALLIBLE | MEMORY, rt_fn_user_string_utf16) \
	X("user_string_utf32", S, "L", "addr", FALLIBLE | MEMORY, rt_fn_user_string_utf32) \
	X("user_buffer_quoted", S, "LLL", "addr,inlen,outlen", MEMORY, rt_fn_user_buffer_quoted) \
	X("user_buffer_quoted_error", S, "LLL", "addr,inlen,outlen", FALLIBLE | MEMORY, rt_fn_user_buffer_quoted_error) \
	X("user_char", L, "L", "addr", MEMORY, rt_fn_user_char) \
	X("user_char_error", L, "L", "addr", FALLIBLE | MEMORY, rt_fn_user_char_error) \
	X("user_char_warn", L, "L", "addr", MEMORY, rt_fn_user_char_warn) \
	X("user_short", L, "L", "addr", MEMORY, rt_fn_user_short) \
	X("user_short_error", L, "L", "addr", FALLIBLE | MEMORY, rt_fn_user_short_error) \
	X("user_short_warn", L, "L", "addr", MEMORY, rt_fn_user_short_warn) \
	X("user_ushort", L, "L", "addr", MEMORY, rt_fn_user_ushort) \
	X("user_ushort_error", L, "L", "addr", FALLIBLE | MEMORY, rt_fn_user_ushort_error) \
	X("user_ushort_warn", L, "L", "addr", MEMORY, rt_fn_user_ushort_warn) \
	X("user_int", L, "L", "addr", MEMORY, rt_fn_user_int) \
	X("user_int_error", L, "L", "addr", FALLIBLE | MEMORY, rt_fn_user_int_error) \
	X("user_int_warn", L, "L", "addr", MEMORY, rt_fn_user_int_warn) \
	X("user_long", L, "L", "addr", MEMORY, rt_fn_user_long) \
	X("user_long_error", L, "L", "addr", FALLIBLE | MEMORY, rt_fn_user_long_error) \
	X("user_long_warn", L, "L", "addr", MEMORY, rt_fn_user_long_warn) \
	X("user_ulong", L, "L", "addr", MEMORY, rt_fn_user_ulong) \
	X("user_ulong_error", L, "L", "addr", FALLIBLE | MEMORY, rt_fn_user_ulong_error) \
	X("user_ulong_warn", L, "L", "addr", MEMORY, rt_fn_user_ulong_warn) \
	X("user_int8", L, "L", "addr", MEMORY, rt_fn_user_char) \
	X("user_int8_error", L, "L", "addr", FALLIBLE | MEMORY, rt_fn_user_char_error) \
	X("user_uint8", L, "L", "addr", MEMORY, rt_fn_user_uint8) \
	X("user_uint8_error", L, "L", "addr", FALLIBLE | MEMORY, rt_fn_user_uint8_error) \
	X("user_int16", L, "L", "addr", MEMORY, rt_fn_user_short) \
	X("user_int16_error", L, "L", "addr", FALLIBLE | MEMORY, rt_fn_user_short_error) \
	X("user_uint16", L, "L", "addr", MEMORY, rt_fn_user_ushort) \
	X("user_uint16_error", L, "L", "addr", FALLIBLE | MEMORY, rt_fn_user_ushort_error) \
	X("user_int32", L, "L", "addr", MEMORY, rt_fn_user_int) \
	X("user_int32_error", L, "L", "addr", FALLIBLE | MEMORY, rt_fn_user_int_error) \
	X("user_uint32", L, "L", "addr", MEMORY, rt_fn_user_uint32) \
	X("user_uint32_error", L, "L", "addr", FALLIBLE | MEMORY, rt_fn_user_uint32_error) \
	X("user_int64", L, "L", "addr", MEMORY, rt_fn_user_long) \
	X("user_int64_error", L, "L", "addr", FALLIBLE | MEMORY, rt_fn_user_long_error) \
	X("user_uint64", L, "L", "addr", MEMORY, rt_fn_user_ulong) \
	X("user_uint64_error", L, "L", "addr", FALLIBLE | MEMORY, rt_fn_user_ulong_error) \
	X("set_user_char", V, "LL", "addr,val", FALLIBLE | MEMORY | GURU, rt_fn_set_user_char) \
	X("set_user_short", V, "LL", "addr,val", FALLIBLE | MEMORY | GURU, rt_fn_set_user_short) \
	X("set_user_int", V, "LL", "addr,val", FALLIBLE | MEMORY | GURU, rt_fn_set_user_int) \
	X("set_user_long", V, "LL", "addr,val", FALLIBLE | MEMORY | GURU, rt_fn_set_user_long) \
	X("set_user_pointer", V, "LL", "addr,val", FALLIBLE | MEMORY | GURU, rt_fn_set_user_pointer) \
	X("set_kernel_char", V, "LL", "addr,val", FALLIBLE | MEMORY | GURU, rt_fn_set_user_char) \
	X("set_kernel_short", V, "LL", "addr,val", FALLIBLE | MEMORY | GURU, rt_fn_set_user_short) \
	X("set_kernel_int", V, "LL", "addr,val", FALLIBLE | MEMORY | GURU, rt_fn_set_user_int) \
	X("set_kernel_long", V, "LL", "addr,val", FALLIBLE | MEMORY | GURU, rt_fn_set_user_long) \
	X("set_kernel_pointer", V, "LL", "addr,val", FALLIBLE | MEMORY | GURU, rt_fn_set_user_pointer) \
	X("set_kernel_string", V, "LS", "addr,val", FALLIBLE | MEMORY | GURU, rt_fn_set_user_string) \
	X("set_kernel_string_n", V, "LLS", "addr,n,val", FALLIBLE | MEMORY | GURU, rt_fn_set_user_string_n) \
	X("set_user_string_arg", V, "LS", "addr,val", MEMORY | GURU, rt_fn_set_user_string_arg) \
	X("set_user_string", V, "LS", "addr,val", FALLIBLE | MEMORY | GURU, rt_fn_set_user_string) \
	X("set_user_string_n", V, "LLS", "addr,n,val", FALLIBLE | MEMORY | GURU, rt_fn_set_user_string_n)

/* registers and arguments; past the sixth they are in memory */
#define STAP_INTRINSICS_REGISTERS(X) \
	X("register", L, "S", "name", FALLIBLE | REGS | CALLEE_SAVED, rt_fn_register) \
	X("u_register", L, "S", "name", FALLIBLE | REGS | CALLEE_SAVED, rt_fn_u_register) \
	X("int_arg", L, "L", "argnum", FALLIBLE | REGS | MEMORY, rt_fn_int_arg) \
	X("uint_arg", L, "L", "argnum", FALLIBLE | REGS | MEMORY, rt_fn_uint_arg) \
	X("s32_arg", L, "L", "argnum", FALLIBLE | REGS | MEMORY, rt_fn_int_arg) \
	X("u32_arg", L, "L", "argnum", FALLIBLE | REGS | MEMORY, rt_fn_uint_arg) \
	X("long_arg", L, "L", "argnum", FALLIBLE | REGS | MEMORY, rt_fn_long_arg) \
	X("ulong_arg", L, "L", "argnum", FALLIBLE | REGS | MEMORY, rt_fn_long_arg) \
	X("longlong_arg", L, "L", "argnum", FALLIBLE | REGS | MEMORY, rt_fn_long_arg) \
	X("ulonglong_arg", L, "L", "argnum", FALLIBLE | REGS | MEMORY, rt_fn_long_arg) \
	X("s64_arg", L, "L", "argnum", FALLIBLE | REGS | MEMORY, rt_fn_long_arg) \
	X("u64_arg", L, "L", "argnum", FALLIBLE | REGS | MEMORY, rt_fn_long_arg) \
	X("pointer_arg", L, "L", "argnum", FALLIBLE | REGS | MEMORY, rt_fn_long_arg) \
	X("set_int_arg", V, "LL", "argnum,value", FALLIBLE | REGS | MEMORY | GURU, rt_fn_set_long_arg) \
	X("set_uint_arg", V, "LL", "argnum,value", FALLIBLE | REGS | MEMORY | GURU, rt_fn_set_long_arg) \
	X("set_s32_arg", V, "LL", "argnum,value", FALLIBLE | REGS | MEMORY | GURU, rt_fn_set_long_arg) \
	X("set_u32_arg", V, "LL", "argnum,value", FALLIBLE | REGS | MEMORY | GURU, rt_fn_set_long_arg) \
	X("set_long_arg", V, "LL", "argnum,value", FALLIBLE | REGS | MEMORY | GURU, rt_fn_set_long_arg) \
	X("set_ulong_arg", V, "LL", "argnum,value", FALLIBLE | REGS | MEMORY | GURU, rt_fn_set_long_arg) \
	X("set_longlong_arg", V, "LL", "argnum,value", FALLIBLE | REGS | MEMORY | GURU, rt_fn_set_long_arg) \
	X("set_ulonglong_arg", V, "LL", "argnum,value", FALLIBLE | REGS | MEMORY | GURU, rt_fn_set_long_arg) \
	X("set_s64_arg", V, "LL", "argnum,value", FALLIBLE | REGS | MEMORY | GURU, rt_fn_set_long_arg) \
	X("set_u64_arg", V, "LL", "argnum,value", FALLIBLE | REGS | MEMORY | GURU, rt_fn_set_long_arg) \
	X("set_pointer_arg", V, "LL", "argnum,value", FALLIBLE | REGS | MEMORY | GURU, rt_fn_set_long_arg) \
	X("returnval", L, "", "", FALLIBLE | REGS, rt_fn_returnval)

/* stacks and symbols */
#define STAP_INTRINSICS_STACKS(X) \
	X("__rt_frame", L, "L", "depth", REGS | CALLEE_SAVED | MEMORY | STACKS, rt_fn_frame) \
	X("__rt_frame_asked", L, "L", "depth", REGS | CALLEE_SAVED | MEMORY | STACKS, rt_fn_frame_asked) \
	X("__rt_backtrace", S, "", "", REGS | CALLEE_SAVED | MEMORY | STACKS, rt_fn_backtrace) \
	X("__rt_print_stack", V, "L", "style", REGS | CALLEE_SAVED | MEMORY | STACKS | SYMBOLS, rt_fn_print_stack) \
	X("__rt_print_stack_from", V, "LLLL", "style,pc,sp,fp", REGS | MEMORY | STACKS | SYMBOLS, rt_fn_print_stack_from) \
	X("__rt_print_symbol", V, "LL", "address,style", SYMBOLS, rt_fn_print_symbol) \
	X("__rt_symbol", S, "LL", "address,style", PURE | SYMBOLS, rt_fn_symbol) \
	X("umodname", S, "L", "addr", PURE | FALLIBLE | SYMBOLS, rt_fn_umodname) \
	X("__rt_umodname", S, "L", "addr", PURE | FALLIBLE | SYMBOLS, rt_fn_umodname) \
	X("umodbuildid", S, "L", "address", PURE | FALLIBLE | SYMBOLS, rt_fn_umodbuildid) \
	X("umodaddr", L, "L", "address", PURE | FALLIBLE | SYMBOLS, rt_fn_umodaddr)

#define STAP_INTRINSICS(X) \
	STAP_INTRINSICS_SESSION(X) \
	STAP_INTRINSICS_CONTEXT(X) \
	STAP_INTRINSICS_TIME(X) \
	STAP_INTRINSICS_NUMBERS(X) \
	STAP_INTRINSICS_STRINGS(X) \
	STAP_INTRINSICS_MEMORY(X) \
	STAP_INTRINSICS_REGISTERS(X) \
	STAP_INTRINSICS_STACKS(X)
/* clang-format on */

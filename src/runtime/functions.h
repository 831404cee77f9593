/* SPDX-License-Identifier: MIT */
/*
 * Script functions: the C side of stap/intrinsics.h, which says how arguments and results
 * map.  A string result goes to dst, which is not one of the arguments.
 */
#pragma once

#include "runtime/runtime.h"

#define RT_LONG(name, ...) RT_EXPORT int64_t name(struct abi_context *c, ##__VA_ARGS__)
#define RT_STRING(name, ...) \
	RT_EXPORT void name(struct abi_context *c, char *dst, ##__VA_ARGS__)
#define RT_VOID(name, ...) RT_EXPORT void name(struct abi_context *c, ##__VA_ARGS__)

/* session, output, control */
RT_VOID(rt_fn_exit);
RT_VOID(rt_fn_abort);
RT_VOID(rt_fn_error, const char *msg);
RT_VOID(rt_fn_warn, const char *msg);
RT_VOID(rt_fn_log, const char *msg);
RT_VOID(rt_fn_system, const char *cmd);
RT_VOID(rt_fn_assert, int64_t expression);
RT_VOID(rt_fn_assert_text, int64_t expression, const char *msg);
RT_LONG(rt_fn_target);
RT_LONG(rt_fn_stp_pid);
RT_STRING(rt_fn_module_name);
RT_STRING(rt_fn_pp);
RT_STRING(rt_fn_pn);
RT_STRING(rt_fn_ppfunc);
RT_STRING(rt_fn_pnlabel);
RT_STRING(rt_fn_probe_type);
RT_VOID(rt_fn_printk, int64_t level, const char *msg);
RT_VOID(rt_fn_ftrace, const char *msg);
RT_STRING(rt_fn_file_value);
RT_STRING(rt_fn_file_set, const char *text);
RT_STRING(rt_fn_file_append, const char *text);
RT_LONG(rt_fn_max_string);

/* process context */
RT_LONG(rt_fn_pid);
RT_LONG(rt_fn_tid);
RT_LONG(rt_fn_ppid);
RT_LONG(rt_fn_uid);
RT_LONG(rt_fn_euid);
RT_LONG(rt_fn_gid);
RT_LONG(rt_fn_egid);
RT_LONG(rt_fn_pgrp);
RT_LONG(rt_fn_sid);
RT_LONG(rt_fn_is_myproc);
RT_LONG(rt_fn_cpu);
RT_LONG(rt_fn_numa_node);
RT_STRING(rt_fn_execname);
RT_LONG(rt_fn_is_return);
RT_LONG(rt_fn_user_mode);
RT_LONG(rt_fn_registers_valid);
RT_LONG(rt_fn_uaddr);
RT_STRING(rt_fn_cmdline_args, int64_t n, int64_t m, const char *delim);
RT_STRING(rt_fn_env_var, const char *name);
RT_LONG(rt_fn_task_utime);
RT_LONG(rt_fn_task_stime);
RT_LONG(rt_fn_task_number, int64_t task, int64_t what, int64_t index);
RT_STRING(rt_fn_task_text, int64_t task, int64_t what, int64_t index);
RT_LONG(rt_fn_is_descendant, int64_t pid);
RT_LONG(rt_fn_perf_counter, const char *name);
RT_VOID(rt_fn_raise, int64_t signo);

/* time */
RT_LONG(rt_fn_gettimeofday_ns);
RT_LONG(rt_fn_gettimeofday_us);
RT_LONG(rt_fn_gettimeofday_ms);
RT_LONG(rt_fn_gettimeofday_s);
RT_LONG(rt_fn_local_clock_ns);
RT_LONG(rt_fn_local_clock_us);
RT_LONG(rt_fn_local_clock_ms);
RT_LONG(rt_fn_local_clock_s);
RT_LONG(rt_fn_get_cycles);
RT_LONG(rt_fn_jiffies);
RT_LONG(rt_fn_hz);
RT_STRING(rt_fn_ctime, int64_t epochsecs);
RT_STRING(rt_fn_ctime_now);
RT_LONG(rt_fn_tz_gmtoff);
RT_STRING(rt_fn_tz_name);
RT_STRING(rt_fn_msecs_to_string, int64_t msecs);
RT_STRING(rt_fn_usecs_to_string, int64_t usecs);
RT_STRING(rt_fn_nsecs_to_string, int64_t nsecs);
RT_VOID(rt_fn_mdelay, int64_t ms);
RT_VOID(rt_fn_udelay, int64_t us);

/* numbers and names */
RT_LONG(rt_fn_randint, int64_t n);
RT_STRING(rt_fn_errno_str, int64_t err);
RT_STRING(rt_fn_enum_name, int64_t number, const char *table);
RT_LONG(rt_fn_errno_p, int64_t err);
RT_STRING(rt_fn_name_of, int64_t table, int64_t number);
RT_STRING(rt_fn_choice_name, int64_t table, int64_t value);
RT_STRING(rt_fn_flag_names, int64_t table, int64_t value);
RT_LONG(rt_fn_number_of, int64_t table, const char *name);
RT_STRING(rt_fn_fp_to_string, int64_t infp, int64_t precision);
RT_LONG(rt_fn_string_to_fp, const char *input);
RT_LONG(rt_fn_long_to_fp, int64_t input);
RT_LONG(rt_fn_fp_to_long, int64_t infp, int64_t roundingMode, int64_t exact);
RT_LONG(rt_fn_fp_add, int64_t add1, int64_t add2);
RT_LONG(rt_fn_fp_sub, int64_t sub1, int64_t sub2);
RT_LONG(rt_fn_fp_mul, int64_t mul1, int64_t mul2);
RT_LONG(rt_fn_fp_div, int64_t div1, int64_t div2);
RT_LONG(rt_fn_fp_rem, int64_t div1, int64_t div2);
RT_LONG(rt_fn_fp_sqrt, int64_t infp);
RT_LONG(rt_fn_fp_eq, int64_t infp1, int64_t infp2);
RT_LONG(rt_fn_fp_le, int64_t infp1, int64_t infp2);
RT_LONG(rt_fn_fp_lt, int64_t infp1, int64_t infp2);
RT_LONG(rt_fn_fp32_to_fp64, int64_t input);

/* strings */
RT_LONG(rt_fn_strlen, const char *s);
RT_STRING(rt_fn_substr, const char *str, int64_t start, int64_t length);
RT_LONG(rt_fn_stringat, const char *str, int64_t pos);
RT_LONG(rt_fn_isinstr, const char *s1, const char *s2);
RT_LONG(rt_fn_strpos, const char *s1, const char *s2);
RT_STRING(rt_fn_tokenize, const char *input, const char *delim);
RT_STRING(rt_fn_tokenize_next, const char *delim);
RT_STRING(rt_fn_str_replace, const char *prnt_str, const char *srch_str,
	const char *rplc_str);
RT_LONG(rt_fn_strtol, const char *str, int64_t base);
RT_LONG(rt_fn_isdigit, const char *str);
RT_STRING(rt_fn_text_str, const char *input);
RT_STRING(rt_fn_text_strn, const char *input, int64_t len, int64_t quoted);
RT_STRING(rt_fn_string_quoted, const char *str);
RT_STRING(rt_fn_matched, int64_t n);
RT_STRING(rt_fn_matched_str);
RT_LONG(rt_fn_ngroups);
RT_STRING(rt_fn_thread_indent, int64_t now, int64_t delta);
RT_LONG(rt_fn_thread_indent_depth, int64_t delta);

/* memory of the process */
RT_STRING(rt_fn_user_string, int64_t addr);
RT_STRING(rt_fn_user_string_or, int64_t addr, const char *err_msg);
RT_STRING(rt_fn_user_string_n, int64_t addr, int64_t n);
RT_STRING(rt_fn_user_string_n_or, int64_t addr, int64_t n, const char *err_msg);
RT_STRING(rt_fn_user_string_n_warn, int64_t addr, int64_t n, const char *warn_msg);
RT_STRING(rt_fn_user_string_quoted, int64_t addr);
RT_STRING(rt_fn_user_string_n_quoted_whole, int64_t addr, int64_t n);
RT_STRING(rt_fn_user_string_n_quoted, int64_t addr, int64_t inlen, int64_t outlen);
RT_STRING(rt_fn_user_string_utf16, int64_t addr);
RT_STRING(rt_fn_user_string_utf32, int64_t addr);
RT_STRING(rt_fn_user_buffer_quoted, int64_t addr, int64_t inlen, int64_t outlen);
RT_STRING(rt_fn_user_buffer_quoted_error, int64_t addr, int64_t inlen, int64_t outlen);
RT_LONG(rt_fn_user_char, int64_t addr);
RT_LONG(rt_fn_user_char_error, int64_t addr);
RT_LONG(rt_fn_user_char_warn, int64_t addr);
RT_LONG(rt_fn_user_short, int64_t addr);
RT_LONG(rt_fn_user_short_error, int64_t addr);
RT_LONG(rt_fn_user_short_warn, int64_t addr);
RT_LONG(rt_fn_user_ushort, int64_t addr);
RT_LONG(rt_fn_user_ushort_error, int64_t addr);
RT_LONG(rt_fn_user_ushort_warn, int64_t addr);
RT_LONG(rt_fn_user_int, int64_t addr);
RT_LONG(rt_fn_user_int_error, int64_t addr);
RT_LONG(rt_fn_user_int_warn, int64_t addr);
RT_LONG(rt_fn_user_long, int64_t addr);
RT_LONG(rt_fn_user_long_error, int64_t addr);
RT_LONG(rt_fn_user_long_warn, int64_t addr);
RT_LONG(rt_fn_user_ulong, int64_t addr);
RT_LONG(rt_fn_user_ulong_error, int64_t addr);
RT_LONG(rt_fn_user_ulong_warn, int64_t addr);
RT_LONG(rt_fn_user_uint8, int64_t addr);
RT_LONG(rt_fn_user_uint8_error, int64_t addr);
RT_LONG(rt_fn_user_uint32, int64_t addr);
RT_LONG(rt_fn_user_uint32_error, int64_t addr);
RT_VOID(rt_fn_set_user_char, int64_t addr, int64_t val);
RT_VOID(rt_fn_set_user_short, int64_t addr, int64_t val);
RT_VOID(rt_fn_set_user_int, int64_t addr, int64_t val);
RT_VOID(rt_fn_set_user_long, int64_t addr, int64_t val);
RT_VOID(rt_fn_set_user_pointer, int64_t addr, int64_t val);
RT_VOID(rt_fn_set_user_string, int64_t addr, const char *val);
RT_VOID(rt_fn_set_user_string_arg, int64_t addr, const char *val);
RT_VOID(rt_fn_set_user_string_n, int64_t addr, int64_t n, const char *val);

/* registers and arguments; past the sixth they are in memory */
RT_LONG(rt_fn_register, const char *name);
RT_LONG(rt_fn_u_register, const char *name);
RT_LONG(rt_fn_int_arg, int64_t argnum);
RT_LONG(rt_fn_uint_arg, int64_t argnum);
RT_LONG(rt_fn_long_arg, int64_t argnum);
RT_VOID(rt_fn_set_long_arg, int64_t argnum, int64_t value);
RT_LONG(rt_fn_returnval);

/* stacks and symbols */
RT_LONG(rt_fn_frame, int64_t depth);
RT_LONG(rt_fn_frame_asked, int64_t depth);
RT_STRING(rt_fn_backtrace);
RT_VOID(rt_fn_print_stack, int64_t style);
RT_VOID(rt_fn_print_stack_from, int64_t style, int64_t pc, int64_t sp, int64_t fp);
RT_VOID(rt_fn_print_symbol, int64_t address, int64_t style);
RT_STRING(rt_fn_symbol, int64_t address, int64_t style);
RT_STRING(rt_fn_umodname, int64_t addr);
RT_STRING(rt_fn_umodbuildid, int64_t address);
RT_LONG(rt_fn_umodaddr, int64_t address);

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
RT_VOID(rt_fn_error, const char *text);
RT_VOID(rt_fn_warn, const char *text);
RT_VOID(rt_fn_log, const char *text);
RT_VOID(rt_fn_system, const char *command);
RT_VOID(rt_fn_assert, int64_t value);
RT_VOID(rt_fn_assert_text, int64_t value, const char *text);

/* process context */
RT_LONG(rt_fn_pid);
RT_LONG(rt_fn_tid);
RT_LONG(rt_fn_ppid);
RT_LONG(rt_fn_uid);
RT_LONG(rt_fn_euid);
RT_LONG(rt_fn_gid);
RT_LONG(rt_fn_egid);
RT_LONG(rt_fn_cpu);
RT_STRING(rt_fn_execname);
RT_LONG(rt_fn_target);
RT_STRING(rt_fn_pp);
RT_STRING(rt_fn_pn);
RT_STRING(rt_fn_ppfunc);
RT_LONG(rt_fn_is_return);
RT_LONG(rt_fn_user_mode);
RT_LONG(rt_fn_registers_valid);
RT_LONG(rt_fn_uaddr);
RT_STRING(rt_fn_errno_str, int64_t number);
RT_LONG(rt_fn_randint, int64_t limit);
RT_STRING(rt_fn_thread_indent, int64_t delta);

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
RT_STRING(rt_fn_ctime, int64_t seconds);
RT_STRING(rt_fn_ctime_now);
RT_STRING(rt_fn_msecs_to_string, int64_t value);
RT_STRING(rt_fn_usecs_to_string, int64_t value);
RT_STRING(rt_fn_nsecs_to_string, int64_t value);

/* strings */
RT_LONG(rt_fn_strlen, const char *s);
RT_STRING(rt_fn_substr, const char *s, int64_t start, int64_t length);
RT_LONG(rt_fn_stringat, const char *s, int64_t position);
RT_LONG(rt_fn_isinstr, const char *s, const char *what);
RT_LONG(rt_fn_strpos, const char *s, const char *what);
RT_STRING(rt_fn_tokenize, const char *s, const char *delimiters);
RT_STRING(rt_fn_tokenize_next, const char *delimiters);
RT_STRING(rt_fn_str_replace, const char *s, const char *from, const char *to);
RT_LONG(rt_fn_strtol, const char *s, int64_t base);
RT_LONG(rt_fn_isdigit, const char *s);
RT_STRING(rt_fn_text_str, const char *s);
RT_STRING(rt_fn_text_strn, const char *s, int64_t length, int64_t quoted);
RT_STRING(rt_fn_string_quoted, const char *s);

/* memory of the process */
RT_STRING(rt_fn_user_string, int64_t address);
RT_STRING(rt_fn_user_string_or, int64_t address, const char *otherwise);
RT_STRING(rt_fn_user_string_nofault, int64_t address);
RT_STRING(rt_fn_user_string_warn, int64_t address);
RT_STRING(rt_fn_user_string_quoted, int64_t address);
RT_STRING(rt_fn_user_string_n, int64_t address, int64_t size);
RT_STRING(rt_fn_user_string_n_or, int64_t address, int64_t size, const char *otherwise);
RT_STRING(rt_fn_user_string_n_quoted, int64_t address, int64_t size);
RT_STRING(rt_fn_user_buffer_quoted, int64_t address, int64_t size, int64_t limit);
RT_LONG(rt_fn_user_char, int64_t address);
RT_LONG(rt_fn_user_uint8, int64_t address);
RT_LONG(rt_fn_user_short, int64_t address);
RT_LONG(rt_fn_user_ushort, int64_t address);
RT_LONG(rt_fn_user_int, int64_t address);
RT_LONG(rt_fn_user_uint32, int64_t address);
RT_LONG(rt_fn_user_long, int64_t address);
RT_LONG(rt_fn_user_char_error, int64_t address);
RT_LONG(rt_fn_user_short_error, int64_t address);
RT_LONG(rt_fn_user_int_error, int64_t address);
RT_LONG(rt_fn_user_long_error, int64_t address);
RT_LONG(rt_fn_user_char_warn, int64_t address);
RT_LONG(rt_fn_user_short_warn, int64_t address);
RT_LONG(rt_fn_user_int_warn, int64_t address);
RT_LONG(rt_fn_user_long_warn, int64_t address);

/* registers and arguments */
RT_LONG(rt_fn_register, const char *name);
RT_LONG(rt_fn_u_register, const char *name);
RT_LONG(rt_fn_int_arg, int64_t n);
RT_LONG(rt_fn_uint_arg, int64_t n);
RT_LONG(rt_fn_long_arg, int64_t n);
RT_LONG(rt_fn_returnval);

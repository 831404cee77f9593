/* SPDX-License-Identifier: MIT */
/*
 * Patterns of =~ and !~, in the syntax of POSIX extended regular expressions without back-references:
 *
 *     pattern = term { "|" term }            term = { factor }
 *     factor  = ( "." | class | "(" pattern ")" | "^" | "$" | "\" byte | byte ) { closure }
 *     closure = "*" | "+" | "?" | "{" n [ "," [ m ] ] "}"
 *     class   = "[" [ "^" ] { byte | byte "-" byte | "[:" name ":]" | "\" byte } "]"
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "runtime/regex.h"

struct stap_regex_result {
	const struct rt_regex *regex; /* the arena's; NULL: see message */
	size_t size;
	const char *message;
	int position; /* in the pattern, from 0; -1: none in particular */
};

/**
 * stap_regex_compile() - for the runtime to run
 * @wants_groups: the places of groups are asked for
 */
struct stap_regex_result stap_regex_compile(
	struct arena *arena, const char *pattern, bool wants_groups);

/**
 * stap_regex_try() - match a text that is known already
 * Return: 1 or 0; negative: the pattern is bad, or there is too little memory
 */
int stap_regex_try(struct arena *arena, const char *pattern, const char *text);

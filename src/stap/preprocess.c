/* SPDX-License-Identifier: MIT */
/*
 * Macros are expanded by name: an argument is a list of tokens, each with the environment it was
 * written in, and is expanded again wherever the body names it.  An environment is one invocation;
 * its parents are the invocations around it, which is how recursion is found.  Expanded tokens are
 * copies that know where the macro was invoked.
 *
 * Conditionals are evaluated over the expanded tokens; the arm not taken is skipped unexpanded.
 */
#include "stap/preprocess.h"

#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#define HASH_FUNCTION HASH_OAT
#include <uthash.h>

enum {
	MAX_EXPANDED = 1000 * 1000,
	MAX_PARAMETERS = 64
};

struct stap_macro {
	const char *name;
	const struct stap_token *token;
	const char **params;
	uint32_t param_count;
	const struct stap_token **body;
	uint32_t body_count;
	UT_hash_handle hh;
};

struct environment;

struct item {
	const struct stap_token *token;
	const struct environment *env; /* NULL: outside any macro */
};

struct argument {
	struct item *items;
	uint32_t count;
};

struct environment {
	const struct stap_macro *macro;
	const struct environment *parent;
	struct argument *arguments;
};

struct preprocess_stream {
	struct preprocess_stream *next;
	const struct stap_token *at; /* the invocation */
	const struct stap_token **body;
	const struct environment *env;
	const struct argument *argument; /* then body is NULL */
	uint32_t count, position;
};

enum arm {
	KEEP_THEN,
	SKIP_THEN,
	KEEP_ELSE,
	SKIP_ELSE
};

struct preprocess_conditional {
	struct preprocess_conditional *next;
	const struct stap_token *token;
	enum arm arm;
};

struct stap_macros {
	struct arena *arena;
	struct stap_macro *table;
};

void stap_preprocessor_init(struct stap_preprocessor *pp, struct arena *arena,
	const struct stap_source *source, const struct stap_parse_options *options,
	struct stap_diagnostics *diag)
{
	*pp = (struct stap_preprocessor){
		.arena = arena, .options = options, .diag = diag};
	stap_lexer_init(&pp->lexer, arena, source, options);
}

void stap_preprocessor_deinit(struct stap_preprocessor *pp)
{
	HASH_CLEAR(hh, pp->macros);
	stap_lexer_deinit(&pp->lexer);
}

/* Record an error; always false. */
static bool printf_like(3, 4) fail(struct stap_preprocessor *pp,
	const struct stap_token *token, const char *fmt, ...)
{
	char message[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	pp->error = (struct stap_preprocess_error){
		.key = fmt, .message = arena_strdup(pp->arena, message), .token = token};
	return false;
}

static bool is_operator(const struct stap_token *token, uint32_t code)
{
	return token->kind == STAP_TOKEN_OPERATOR && token->code == code;
}

static bool is_atword(const struct stap_token *token)
{
	return is_operator(token, STAP_OP1('@'));
}

/* ---- token streams ----------------------------------------------------------------------------- */

static const struct stap_token *lex(struct stap_preprocessor *pp)
{
	const struct stap_token *token = stap_lexer_next(&pp->lexer);
	if (token->kind != STAP_TOKEN_EOF)
		pp->has_tokens = true;
	if (token->has_wrong_close) {
		/* as code, though it may have become junk for want of an end */
		struct stap_token *code = arena_new(pp->arena, struct stap_token);
		*code = *token;
		code->kind = STAP_TOKEN_EMBEDDED;
		stap_diagnose(pp->diag, STAP_WARNING, code,
			"possible erroneous closing '}%%', use '%%}'?");
	}
	return token;
}

/* The next token of the innermost macro being expanded, or of the file. */
static struct item read_item(struct stap_preprocessor *pp)
{
	struct preprocess_stream *stream;
	while ((stream = pp->streams) && stream->position == stream->count)
		pp->streams = stream->next;
	if (!stream)
		return (struct item){.token = lex(pp)};
	uint32_t i = stream->position++;
	struct item item = stream->body ? (struct item){stream->body[i], stream->env}
					: stream->argument->items[i];
	struct stap_token *copy = arena_new(pp->arena, struct stap_token);
	*copy = *item.token;
	copy->macro = stream->at->text;
	copy->macro_at = stream->at;
	item.token = copy;
	pp->expanded++;
	return item;
}

static void push_stream(struct stap_preprocessor *pp, struct preprocess_stream value)
{
	struct preprocess_stream *stream = arena_new(pp->arena, struct preprocess_stream);
	*stream = value;
	stream->next = pp->streams;
	pp->streams = stream;
}

/* ---- macros ------------------------------------------------------------------------------------ */

static const struct stap_macro *find_macro(
	const struct stap_preprocessor *pp, const char *name)
{
	struct stap_macro *macro;
	HASH_FIND_STR(pp->macros, name, macro);
	if (!macro && pp->options->macros)
		HASH_FIND_STR(pp->options->macros->table, name, macro);
	return macro;
}

static bool is_builtin_operator(const char *name)
{
	static const char *const names[] = {"cast", "defined", "probewrite", "entry",
		"perf", "var", "avg", "count", "sum", "min", "max", "variance",
		"hist_linear", "hist_log", "const", "kregister", "uregister", "kderef",
		"uderef", "enum", "enumname"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* "(" already read: names up to ")" */
static bool define_parameters(struct stap_preprocessor *pp, struct stap_macro *macro)
{
	const struct stap_token *token;
	macro->params = arena_array(pp->arena, const char *, MAX_PARAMETERS);
	do {
		token = lex(pp);
		if (token->kind != STAP_TOKEN_IDENTIFIER)
			return fail(pp, token, "%s", "expected identifier");
		if (macro->param_count == MAX_PARAMETERS)
			return fail(pp, token, "more than %d macro parameters",
				MAX_PARAMETERS);
		macro->params[macro->param_count++] = token->text;
		token = lex(pp);
		if (!is_operator(token, ',') && !is_operator(token, ')'))
			return fail(pp, token, "%s", "expected ',' or ')'");
	} while (is_operator(token, ','));
	return true;
}

/* "%(" already read: everything up to its "%)" */
static bool define_body(struct stap_preprocessor *pp, struct stap_macro *macro)
{
	VEC(const struct stap_token *) body = {0};
	for (unsigned level = 1;;) {
		const struct stap_token *token = lex(pp);
		if (token->kind == STAP_TOKEN_EOF) {
			vec_free(&body);
			return fail(pp, macro->token,
				"incomplete macro definition - missing '%%)'");
		}
		if (is_operator(token, STAP_OP2('%', '(')))
			level++;
		else if (is_operator(token, STAP_OP2('%', ')')) && --level == 0)
			break;
		vec_append(&body, token);
	}
	macro->body_count = (uint32_t)body.count;
	macro->body = arena_array(pp->arena, const struct stap_token *, body.count);
	if (body.count)
		memcpy(macro->body, body.items, body.count * sizeof(*body.items));
	vec_free(&body);
	return true;
}

/* @define NAME [ "(" NAME { "," NAME } ")" ] "%(" tokens "%)" */
static bool define_macro(struct stap_preprocessor *pp)
{
	const struct stap_token *token = lex(pp);
	if (token->kind != STAP_TOKEN_IDENTIFIER)
		return fail(pp, token, "%s", "expected identifier");
	struct stap_macro *old, *macro = arena_new(pp->arena, struct stap_macro);
	macro->name = token->text;
	macro->token = token;
	HASH_FIND_STR(pp->macros, macro->name, old);
	if (old) {
		fail(pp, token, "attempt to redefine macro '@%s' in the same file",
			macro->name);
		pp->error.cause = arena_printf(
			pp->arena, "macro '@%s' first defined here", macro->name);
		pp->error.cause_token = old->token;
		return false;
	}
	if (strcmp(macro->name, "define") == 0)
		return fail(pp, token, "attempt to redefine '@define'");
	if (is_builtin_operator(macro->name))
		stap_diagnose(pp->diag, STAP_WARNING, token,
			"macro redefines built-in operator '@%s'", macro->name);
	/* with a mistake in what follows it is there, too: with less, or nothing, in it */
	HASH_ADD_KEYPTR(hh, pp->macros, macro->name, strlen(macro->name), macro);
	token = lex(pp);
	if (is_operator(token, '(')) {
		if (!define_parameters(pp, macro))
			return false;
		token = lex(pp);
		if (!is_operator(token, STAP_OP2('%', '(')))
			return fail(pp, token, "%s", "expected '%('");
	} else if (!is_operator(token, STAP_OP2('%', '('))) {
		return fail(pp, token, "%s", "expected '%(' or '('");
	}
	return define_body(pp, macro);
}

static int bracket_step(const struct stap_token *token)
{
	if (is_operator(token, '(') || is_operator(token, '[') || is_operator(token, '{'))
		return 1;
	if (is_operator(token, ')') || is_operator(token, ']') || is_operator(token, '}'))
		return -1;
	return 0;
}

static struct argument keep_argument(
	struct arena *arena, const struct item *items, size_t count)
{
	struct argument argument = {
		arena_array(arena, struct item, count), (uint32_t)count};
	if (count)
		memcpy(argument.items, items, count * sizeof(*items));
	return argument;
}

/* "(" already read: the arguments of @macro, up to ")" */
static bool read_arguments(struct stap_preprocessor *pp, const struct stap_macro *macro,
	const struct stap_token *at, struct argument *arguments)
{
	VEC(struct item) items = {0};
	uint32_t count = 0;
	int depth = 0;
	bool ok = false;
	for (;;) {
		struct item item = read_item(pp);
		if (item.token->kind == STAP_TOKEN_EOF || pp->expanded > MAX_EXPANDED) {
			fail(pp, at, "could not find end of macro invocation");
			break;
		}
		int step = bracket_step(item.token);
		bool ends = depth == 0 && is_operator(item.token, ')');
		if (!ends && !(depth == 0 && is_operator(item.token, ','))) {
			if (depth + step >= 0)
				depth += step;
			vec_append(&items, item);
			continue;
		}
		arguments[count++] = keep_argument(pp->arena, items.items, items.count);
		items.count = 0;
		if (ends && count < macro->param_count) {
			fail(pp, item.token,
				"too few parameters for macro '@%s' (expected %u)",
				macro->name, macro->param_count);
			break;
		}
		if (!ends && count == macro->param_count) {
			fail(pp, item.token,
				"too many parameters for macro '@%s' (expected %u)",
				macro->name, macro->param_count);
			break;
		}
		if (ends) {
			ok = true;
			break;
		}
	}
	vec_free(&items);
	return ok;
}

static bool invoke_macro(
	struct stap_preprocessor *pp, const struct stap_macro *macro, struct item item)
{
	for (const struct environment *e = item.env; e; e = e->parent)
		if (e->macro == macro)
			return fail(pp, item.token, "recursive invocation of macro '@%s'",
				macro->name);
	struct environment *env = arena_new(pp->arena, struct environment);
	env->macro = macro;
	env->parent = item.env;
	if (macro->param_count) {
		struct item open = read_item(pp);
		if (!is_operator(open.token, '('))
			return fail(pp,
				open.token->kind == STAP_TOKEN_EOF ? item.token
								   : open.token,
				"expected '(' in invocation of macro '@%s' taking %u parameter%s",
				macro->name, macro->param_count,
				macro->param_count > 1 ? "s" : "");
		env->arguments =
			arena_array(pp->arena, struct argument, macro->param_count);
		if (!read_arguments(pp, macro, item.token, env->arguments))
			return false;
	}
	push_stream(pp, (struct preprocess_stream){.at = item.token,
				.body = macro->body,
				.env = env,
				.count = macro->body_count});
	return true;
}

/* Expand @item if it names an argument or a macro.  Return: 1 expanded, 0 not, -1 failed. */
static int expand(struct stap_preprocessor *pp, struct item item)
{
	const char *name = item.token->text + 1;
	if (pp->expanded > MAX_EXPANDED) {
		pp->streams = NULL;
		pp->expanded = 0;
		fail(pp, item.token, "macro expansion too large");
		return -1;
	}
	for (uint32_t i = 0; item.env && i < item.env->macro->param_count; i++) {
		if (strcmp(item.env->macro->params[i], name) != 0)
			continue;
		const struct argument *argument = &item.env->arguments[i];
		push_stream(pp, (struct preprocess_stream){.at = item.token,
					.argument = argument,
					.count = argument->count});
		return 1;
	}
	const struct stap_macro *macro = find_macro(pp, name);
	if (!macro)
		return 0;
	return invoke_macro(pp, macro, item) ? 1 : -1;
}

/* The next token after macro expansion; NULL: failed. */
static const struct stap_token *read_expanded(struct stap_preprocessor *pp)
{
	for (;;) {
		struct item item = read_item(pp);
		if (!is_atword(item.token))
			return item.token;
		if (strcmp(item.token->text, "@define") == 0) {
			if (item.token->macro) {
				fail(pp, item.token,
					"'@define' forbidden inside macro body");
				return NULL;
			}
			if (!define_macro(pp))
				return NULL;
			continue;
		}
		int expanded = expand(pp, item);
		if (expanded < 0)
			return NULL;
		if (expanded == 0)
			return item.token;
	}
}

/* ---- conditions -------------------------------------------------------------------------------- */

struct comparison {
	const struct stap_token *left, *op, *right;
};

static bool is_order(uint32_t code)
{
	return code == '<' || code == '>' || code == STAP_OP2('<', '=') ||
	       code == STAP_OP2('>', '=');
}

/* @sign: of left - right */
static bool decide(
	struct stap_preprocessor *pp, const struct stap_token *op, int sign, bool *ret)
{
	uint32_t code = op->kind == STAP_TOKEN_OPERATOR ? op->code : 0;
	switch (code) {
	case STAP_OP2('=', '='):
		*ret = sign == 0;
		return true;
	case STAP_OP2('!', '='):
		*ret = sign != 0;
		return true;
	case '<':
		*ret = sign < 0;
		return true;
	case '>':
		*ret = sign > 0;
		return true;
	case STAP_OP2('<', '='):
		*ret = sign <= 0;
		return true;
	case STAP_OP2('>', '='):
		*ret = sign >= 0;
		return true;
	default:
		return fail(pp, op, "%s", "expected comparison operator");
	}
}

/* "== text" where text may hold wildcards */
static int match(const char *value, const char *pattern)
{
	return strpbrk(pattern, "*?[") ? fnmatch(pattern, value, FNM_NOESCAPE)
				       : strcmp(value, pattern);
}

static bool compare_version(struct stap_preprocessor *pp, const struct comparison *c,
	const char *version, bool *ret)
{
	if (c->right->kind != STAP_TOKEN_STRING)
		return fail(pp, c->right, "%s", "expected string literal");
	bool order = c->op->kind == STAP_TOKEN_OPERATOR && is_order(c->op->code);
	if (strpbrk(c->right->text, "*?[")) {
		if (order)
			return fail(pp, c->op, "%s",
				"wildcard not allowed with order comparison operators");
		return decide(pp, c->op, match(version, c->right->text), ret);
	}
	return decide(pp, c->op, strverscmp(version, c->right->text), ret);
}

static bool compare_equal(
	struct stap_preprocessor *pp, const struct comparison *c, int sign, bool *ret)
{
	if (!is_operator(c->op, STAP_OP2('=', '=')) &&
		!is_operator(c->op, STAP_OP2('!', '=')))
		return fail(pp, c->op, "%s", "expected '==' or '!='");
	return decide(pp, c->op, sign, ret);
}

static bool compare_name(struct stap_preprocessor *pp, const struct comparison *c,
	const char *value, bool *ret)
{
	if (c->right->kind != STAP_TOKEN_STRING)
		return fail(pp, c->right, "%s", "expected string literal");
	return compare_equal(pp, c, match(value, c->right->text), ret);
}

static int compare_numbers(int64_t a, int64_t b)
{
	return a < b ? -1 : a > b;
}

/* What the kernel's configuration says; nothing: "". */
static const char *config_value(const struct stap_preprocessor *pp, const char *name)
{
	const struct stap_parse_options *options = pp->options;
	const char *value =
		options->kernel_config
			? options->kernel_config(options->kernel_config_data, name)
			: NULL;
	return value ? value : "";
}

static bool config_number(const char *value, int64_t *ret)
{
	char *end;
	*ret = strtoll(value, &end, 0);
	return !*end;
}

/* An option that is not set is "" and 0, and also "n". */
static bool compare_config_text(
	struct stap_preprocessor *pp, const struct comparison *c, bool *ret)
{
	const char *value = config_value(pp, c->left->text);
	int differs = match(value, c->right->text);
	if (!*value && differs)
		differs = match("n", c->right->text);
	return compare_equal(pp, c, differs, ret);
}

static bool compare_configs(
	struct stap_preprocessor *pp, const struct comparison *c, bool *ret)
{
	const char *left = config_value(pp, c->left->text);
	const char *right = config_value(pp, c->right->text);
	int64_t a, b;
	if (config_number(left, &a) && config_number(right, &b))
		return decide(pp, c->op, compare_numbers(a, b), ret);
	return decide(pp, c->op, strcmp(left, right), ret);
}

static bool compare_config(
	struct stap_preprocessor *pp, const struct comparison *c, bool *ret)
{
	const struct stap_token *right = c->right;
	int64_t number;
	if (right->kind == STAP_TOKEN_STRING)
		return compare_config_text(pp, c, ret);
	if (right->kind == STAP_TOKEN_NUMBER) {
		if (!config_number(config_value(pp, c->left->text), &number))
			return fail(
				pp, c->left, "%s", "Config option value not a number");
		return decide(pp, c->op, compare_numbers(number, right->number), ret);
	}
	if (right->kind == STAP_TOKEN_IDENTIFIER &&
		strncmp(right->text, "CONFIG_", 7) == 0)
		return compare_configs(pp, c, ret);
	return fail(pp, right, "%s",
		"expected string, number literal or other CONFIG_... as right side operand");
}

static const char *machine_name(const char *machine)
{
	if (strcmp(machine, "aarch64") == 0)
		return "arm64";
	if (strncmp(machine, "ppc", 3) == 0)
		return "powerpc";
	if (strncmp(machine, "s390", 4) == 0)
		return "s390";
	if (machine[0] == 'i' && machine[1] && strcmp(machine + 2, "86") == 0)
		return "i386";
	return machine;
}

static bool compare_kernel(struct stap_preprocessor *pp, const struct comparison *c,
	bool with_release, bool *ret)
{
	struct utsname names;
	const char *release = pp->options->kernel_release;
	if (!release)
		release = uname(&names) == 0 ? names.release : "0";
	size_t size = with_release ? strlen(release) : strcspn(release, "-");
	return compare_version(pp, c, arena_strndup(pp->arena, release, size), ret);
}

static bool compare_keyword(
	struct stap_preprocessor *pp, const struct comparison *c, bool *ret)
{
	const char *name = c->left->text;
	if (strcmp(name, "kernel_v") == 0 || strcmp(name, "kernel_vr") == 0)
		return compare_kernel(pp, c, name[8] == 'r', ret);
	if (strcmp(name, "systemtap_v") == 0)
		return compare_version(pp, c,
			pp->options->compatible ? pp->options->compatible
						: STAP_LANGUAGE_VERSION,
			ret);
	if (strcmp(name, "systemtap_privilege") == 0)
		return compare_name(pp, c,
			pp->options->privilege ? pp->options->privilege : "stapdev", ret);
	/* the name SystemTap has for handlers that run inside the traced process */
	if (strcmp(name, "runtime") == 0)
		return compare_name(pp, c,
			pp->options->runtime ? pp->options->runtime : "dyninst", ret);
	if (strcmp(name, "arch") == 0) {
		struct utsname names;
		return compare_name(pp, c,
			machine_name(uname(&names) == 0 ? names.machine : "unknown"),
			ret);
	}
	if (strcmp(name, "guru_mode") == 0) {
		if (c->right->kind != STAP_TOKEN_NUMBER)
			return fail(pp, c->right, "%s", "expected number");
		if (c->right->number != 0 && c->right->number != 1)
			return fail(pp, c->op, "%s", "expected 0 or 1");
		return compare_equal(
			pp, c, compare_numbers(pp->options->guru, c->right->number), ret);
	}
	if (strncmp(name, "CONFIG_", 7) == 0)
		return compare_config(pp, c, ret);
	return fail(pp, c->left, "%s",
		"expected 'arch', 'kernel_v', 'kernel_vr', 'systemtap_v',\n"
		"             'runtime', 'systemtap_privilege', 'CONFIG_...', or\n"
		"             comparison between strings or integers");
}

static bool is_comparison(const struct stap_token *op)
{
	return op->kind == STAP_TOKEN_OPERATOR &&
	       (is_order(op->code) || op->code == STAP_OP2('=', '=') ||
		       op->code == STAP_OP2('!', '='));
}

static bool compare(struct stap_preprocessor *pp, const struct comparison *c, bool *ret)
{
	bool string = c->left->kind == STAP_TOKEN_STRING;
	bool number = c->left->kind == STAP_TOKEN_NUMBER;
	if ((string || number) && c->right->kind == c->left->kind) {
		int sign = string ? strcmp(c->left->text, c->right->text)
				  : compare_numbers(c->left->number, c->right->number);
		return decide(pp, c->op, sign, ret);
	}
	if (string && c->right->kind == STAP_TOKEN_NUMBER && is_comparison(c->op))
		return fail(pp, c->right, "%s", "expected string literal as right value");
	if (number && c->right->kind == STAP_TOKEN_STRING && is_comparison(c->op))
		return fail(pp, c->right, "%s", "expected number literal as right value");
	return compare_keyword(pp, c, ret);
}

/* comparison { ("&&" | "||") comparison } "%?", && binding tighter */
static bool evaluate(
	struct stap_preprocessor *pp, const struct stap_token *open, bool *ret)
{
	bool any = false, all = true;
	for (;;) {
		struct comparison c;
		const struct stap_token **slots[] = {&c.left, &c.op, &c.right};
		for (int i = 0; i < 3; i++) {
			*slots[i] = read_expanded(pp);
			if (!*slots[i])
				return false;
			if ((*slots[i])->kind == STAP_TOKEN_EOF)
				return fail(pp, open, "incomplete condition after '%%('");
			if ((*slots[i])->kind == STAP_TOKEN_JUNK &&
				(*slots[i])->junk_message)
				return fail(
					pp, *slots[i], "%s", (*slots[i])->junk_message);
		}
		bool value;
		if (!compare(pp, &c, &value))
			return false;
		all = all && value;
		const struct stap_token *after = read_expanded(pp);
		if (!after)
			return false;
		if (is_operator(after, STAP_OP2('%', '?')))
			break;
		if (is_operator(after, STAP_OP2('|', '|'))) {
			any = any || all;
			all = true;
		} else if (!is_operator(after, STAP_OP2('&', '&'))) {
			return fail(pp, open, "expected '%%?' marker for conditional");
		}
	}
	*ret = any || all;
	return true;
}

static bool is_conditional(const struct stap_token *token)
{
	return is_operator(token, STAP_OP2('%', '(')) ||
	       is_operator(token, STAP_OP2('%', '?')) ||
	       is_operator(token, STAP_OP2('%', ':')) ||
	       is_operator(token, STAP_OP2('%', ')'));
}

/* Drop the tokens of an arm not taken: up to its "%:" or "%)", a stray "%?", or EOF. */
static const struct stap_token *skip_arm(struct stap_preprocessor *pp)
{
	for (unsigned nesting = 0;;) {
		const struct stap_token *token = read_item(pp).token;
		if (token->kind == STAP_TOKEN_EOF)
			return token;
		if (is_operator(token, STAP_OP2('%', '(')))
			nesting++;
		else if (is_operator(token, STAP_OP2('%', ')')) && nesting)
			nesting--;
		else if (nesting == 0 && is_conditional(token))
			return token;
	}
}

/* A preprocessor operator inside or outside a conditional; false: failed. */
static bool step(struct stap_preprocessor *pp, const struct stap_token *token)
{
	struct preprocess_conditional *open = pp->conditionals;
	bool value = false;
	switch (token->code) {
	case STAP_OP2('%', '('):
		if (!evaluate(pp, token, &value))
			return false;
		open = arena_new(pp->arena, struct preprocess_conditional);
		open->token = token;
		open->arm = value ? KEEP_THEN : SKIP_THEN;
		open->next = pp->conditionals;
		pp->conditionals = open;
		return true;
	case STAP_OP2('%', ':'):
		if (!open)
			break;
		if (open->arm == KEEP_ELSE || open->arm == SKIP_ELSE)
			return fail(pp, token, "invalid conditional - duplicate '%%:'");
		open->arm = open->arm == KEEP_THEN ? SKIP_ELSE : KEEP_ELSE;
		return true;
	case STAP_OP2('%', ')'):
		if (!open)
			break;
		pp->conditionals = open->next;
		return true;
	default:
		break;
	}
	fail(pp, token, "incomplete conditional - missing '%%('");
	pp->error.key = token->text; /* each of the three operators is reported once */
	return false;
}

const struct stap_token *stap_preprocessor_next(struct stap_preprocessor *pp)
{
	for (;;) {
		struct preprocess_conditional *open = pp->conditionals;
		bool skip = open && (open->arm == SKIP_THEN || open->arm == SKIP_ELSE);
		const struct stap_token *token = skip ? skip_arm(pp) : read_expanded(pp);
		if (!token)
			return NULL;
		if (token->kind == STAP_TOKEN_EOF && open) {
			/* closed, so that recovery gets to the end */
			pp->conditionals = open->next;
			fail(pp, open->token, "incomplete conditional at end of file");
			return NULL;
		}
		if (!is_conditional(token))
			return token;
		if (!step(pp, token))
			return NULL;
	}
}

/* ---- macros of library files ------------------------------------------------------------------- */

struct stap_macros *stap_macros_create(struct arena *arena)
{
	struct stap_macros *macros = arena_new(arena, struct stap_macros);
	macros->arena = arena;
	return macros;
}

void stap_macros_destroy(struct stap_macros *macros)
{
	if (macros)
		HASH_CLEAR(hh, macros->table);
}

static void move_macros(struct stap_macros *macros, struct stap_preprocessor *pp)
{
	struct stap_macro *macro, *next, *old;
	HASH_ITER(hh, pp->macros, macro, next)
	{
		HASH_DEL(pp->macros, macro);
		HASH_FIND_STR(macros->table, macro->name, old);
		if (!old) /* the first library file that defines a name has it */
			HASH_ADD_KEYPTR(hh, macros->table, macro->name,
				strlen(macro->name), macro);
	}
}

bool stap_macros_add(struct stap_macros *macros, const struct stap_source *source,
	const struct stap_parse_options *options, struct stap_diagnostics *diag)
{
	struct stap_parse_options with_macros = *options;
	with_macros.macros = macros;
	struct stap_preprocessor pp;
	stap_preprocessor_init(&pp, macros->arena, source, &with_macros, diag);
	bool ok = false;
	const struct stap_token *token = stap_preprocessor_next(&pp);
	if (!token)
		stap_diagnose(
			diag, STAP_PARSE_ERROR, pp.error.token, "%s", pp.error.message);
	else if (token->kind != STAP_TOKEN_EOF)
		stap_diagnose(diag, STAP_PARSE_ERROR, token,
			"unexpected token in a file of library macros");
	else
		ok = true;
	if (ok)
		move_macros(macros, &pp);
	stap_preprocessor_deinit(&pp);
	return ok;
}

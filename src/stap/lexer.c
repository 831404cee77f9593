/* SPDX-License-Identifier: MIT */
#include "stap/lexer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#define HASH_FUNCTION HASH_OAT
#include <uthash.h>

struct stap_name {
	const char *text;
	size_t size;
	enum stap_keyword keyword;
	UT_hash_handle hh;
};

enum {
	CLASS_SPACE = 1,
	CLASS_NAME_START = 2,
	CLASS_DIGIT = 4,
	CLASS_LETTER = 8
};

static unsigned classify(int c)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_')
		return CLASS_NAME_START | CLASS_LETTER;
	if (c >= '0' && c <= '9')
		return CLASS_DIGIT;
	if (c == '$' || c == '@')
		return CLASS_NAME_START;
	return c == ' ' || (c >= '\t' && c <= '\r') ? CLASS_SPACE : 0;
}

static bool is_class(int c, unsigned mask)
{
	return classify(c) & mask;
}

static bool is_name_char(int c)
{
	return is_class(c, CLASS_LETTER | CLASS_DIGIT) || c == '$';
}

bool stap_version_less(const struct stap_parse_options *options, const char *version)
{
	return options->compatible && !options->newest_syntax &&
	       strverscmp(options->compatible, version) < 0;
}

/* ---- names ------------------------------------------------------------------------------------- */

static struct stap_name *intern(struct stap_lexer *lexer, const char *text, size_t size)
{
	struct stap_name *name;
	HASH_FIND(hh, lexer->names, text, size, name);
	if (name)
		return name;
	name = arena_new(lexer->arena, struct stap_name);
	name->text = arena_strndup(lexer->arena, text, size);
	name->size = size;
	HASH_ADD_KEYPTR(hh, lexer->names, name->text, name->size, name);
	return name;
}

void stap_lexer_init(struct stap_lexer *lexer, struct arena *arena,
	const struct stap_source *source, const struct stap_parse_options *options)
{
	*lexer = (struct stap_lexer){
		.arena = arena,
		.source = source,
		.options = options,
		.cursor = source->text,
		.end = source->text + source->size,
		.line = 1,
		.line_start = source->text,
		.has_hex_escapes = !stap_version_less(options, "2.3"),
		.has_private = !stap_version_less(options, "3.0"),
	};
	/* the mark that editors of other systems put in front of UTF-8 */
	if (source->size >= 3 && memcmp(source->text, "\xef\xbb\xbf", 3) == 0)
		lexer->line_start = lexer->cursor += 3;
	strbuf_init(&lexer->scratch);
	static const char *const keywords[] = {
#define X(name, text) [STAP_KEYWORD_##name] = text,
		STAP_KEYWORDS(X)
#undef X
	};
	for (uint32_t i = 1; i < sizeof(keywords) / sizeof(keywords[0]); i++) {
		if (i != STAP_KEYWORD_PRIVATE || lexer->has_private)
			intern(lexer, keywords[i], strlen(keywords[i]))->keyword = i;
	}
}

void stap_lexer_deinit(struct stap_lexer *lexer)
{
	HASH_CLEAR(hh, lexer->names);
	strbuf_deinit(&lexer->scratch);
}

/* ---- characters -------------------------------------------------------------------------------- */

/* The character @ahead of the cursor, -1 at the end.  The text of an argument is followed by the
 * rest of the script without a seam. */
static int peek_char(const struct stap_lexer *lexer, size_t ahead)
{
	size_t left = (size_t)(lexer->end - lexer->cursor);
	if (ahead < left)
		return (unsigned char)lexer->cursor[ahead];
	if (lexer->outer && ahead - left < (size_t)(lexer->outer_end - lexer->outer))
		return (unsigned char)lexer->outer[ahead - left];
	return -1;
}

static void leave_argument(struct stap_lexer *lexer)
{
	lexer->cursor = lexer->outer;
	lexer->end = lexer->outer_end;
	lexer->outer = NULL;
}

static void skip_char(struct stap_lexer *lexer)
{
	if (lexer->cursor == lexer->end) {
		if (!lexer->outer)
			return;
		leave_argument(lexer);
		if (lexer->cursor == lexer->end)
			return;
	}
	if (*lexer->cursor++ == '\n' && !lexer->outer) {
		lexer->line++;
		lexer->line_start = lexer->cursor;
	}
}

static void skip_chars(struct stap_lexer *lexer, size_t count)
{
	while (count--)
		skip_char(lexer);
}

static void skip_line(struct stap_lexer *lexer)
{
	for (int c = peek_char(lexer, 0); c >= 0 && c != '\n'; c = peek_char(lexer, 0))
		skip_char(lexer);
}

/* White space and comments; a comment without an end reaches to the end of the file. */
static void skip_space(struct stap_lexer *lexer)
{
	lexer->after_comment = false;
	for (;;) {
		int c = peek_char(lexer, 0);
		if (is_class(c, CLASS_SPACE)) {
			skip_char(lexer);
		} else if (c == '#' || (c == '/' && peek_char(lexer, 1) == '/')) {
			skip_line(lexer);
			lexer->after_comment = true;
		} else if (c == '/' && peek_char(lexer, 1) == '*') {
			skip_chars(lexer, 2);
			while ((c = peek_char(lexer, 0)) >= 0 &&
				!(c == '*' && peek_char(lexer, 1) == '/'))
				skip_char(lexer);
			skip_chars(lexer, 2);
			lexer->after_comment = true;
		} else {
			return;
		}
	}
}

/* ---- tokens ------------------------------------------------------------------------------------ */

static struct stap_token *start_token(struct stap_lexer *lexer, enum stap_token_kind kind)
{
	struct stap_token *token = arena_new(lexer->arena, struct stap_token);
	if (lexer->outer && lexer->cursor == lexer->end)
		leave_argument(lexer);
	token->kind = kind;
	token->text = "";
	token->source = lexer->source;
	token->at = lexer->outer ? lexer->pasted_at : lexer->cursor;
	token->line = lexer->line;
	token->column = (uint32_t)(token->at - lexer->line_start) + 1;
	token->after_comment = lexer->after_comment;
	return token;
}

static const struct stap_token *make_junk(struct stap_token *token, const char *message)
{
	token->kind = STAP_TOKEN_JUNK;
	token->text = "";
	token->text_size = 0;
	token->junk_message = message;
	return token;
}

/* Collect characters of a name or number; the common case needs no copy. */
static struct stap_name *collect_word(struct stap_lexer *lexer, bool (*belongs)(int c))
{
	const char *start = lexer->cursor, *c = start;
	while (c < lexer->end && belongs((unsigned char)*c))
		c++;
	if (c < lexer->end || !lexer->outer) {
		lexer->cursor = c;
		return intern(lexer, start, (size_t)(c - start));
	}
	strbuf_clear(&lexer->scratch);
	for (int ch = peek_char(lexer, 0); belongs(ch); ch = peek_char(lexer, 0)) {
		strbuf_putc(&lexer->scratch, (char)ch);
		skip_char(lexer);
	}
	return intern(lexer, lexer->scratch.data, lexer->scratch.size);
}

static const struct stap_token *lex_name(struct stap_lexer *lexer)
{
	struct stap_token *token = start_token(lexer, STAP_TOKEN_IDENTIFIER);
	/* '@' cannot be inside a name, only in front */
	int first = peek_char(lexer, 0);
	struct stap_name *name;
	if (first == '@') {
		struct strbuf *word = &lexer->scratch;
		strbuf_clear(word);
		do {
			strbuf_putc(word, (char)peek_char(lexer, 0));
			skip_char(lexer);
		} while (is_name_char(peek_char(lexer, 0)));
		name = intern(lexer, word->data, word->size);
		token->kind = STAP_TOKEN_OPERATOR;
		token->code = STAP_OP1('@');
	} else {
		name = collect_word(lexer, is_name_char);
		if (name->keyword) {
			token->kind = STAP_TOKEN_KEYWORD;
			token->code = name->keyword;
		}
	}
	token->text = name->text;
	token->text_size = name->size;
	return token;
}

static bool is_number_char(int c)
{
	return is_class(c, CLASS_LETTER | CLASS_DIGIT) && c != '_';
}

static const struct stap_token *lex_number(struct stap_lexer *lexer)
{
	struct stap_token *token = start_token(lexer, STAP_TOKEN_NUMBER);
	struct stap_name *word = collect_word(lexer, is_number_char);
	token->text = word->text;
	token->text_size = word->size;
	char *end;
	errno = 0;
	token->number = (int64_t)strtoull(token->text, &end, 0);
	if (errno || *end)
		token->junk_message = "number invalid or out of range";
	return token;
}

static int hex_value(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* One escape, the cursor stands after the backslash. */
static void lex_escape(struct stap_lexer *lexer)
{
	static const char simple[] = "abtnvfr";
	static const char values[] = "\a\b\t\n\v\f\r";
	int c = peek_char(lexer, 0);
	if (c < 0)
		return;
	skip_char(lexer);
	const char *found = c ? strchr(simple, c) : NULL;
	if (found) {
		c = values[found - simple];
	} else if (c >= '0' && c <= '7') {
		c -= '0';
		for (int i = 0; i < 2 && hex_value(peek_char(lexer, 0)) >= 0 &&
				hex_value(peek_char(lexer, 0)) < 8;
			i++) {
			c = c * 8 + hex_value(peek_char(lexer, 0));
			skip_char(lexer);
		}
	} else if (c == 'x' && lexer->has_hex_escapes &&
		   hex_value(peek_char(lexer, 0)) >= 0) {
		c = hex_value(peek_char(lexer, 0));
		skip_char(lexer);
		if (hex_value(peek_char(lexer, 0)) >= 0) {
			c = c * 16 + hex_value(peek_char(lexer, 0));
			skip_char(lexer);
		}
	}
	strbuf_putc(&lexer->scratch, (char)c);
}

static const struct stap_token *lex_string(struct stap_lexer *lexer)
{
	struct stap_token *token = start_token(lexer, STAP_TOKEN_STRING);
	bool pasted = lexer->outer;
	skip_char(lexer);
	const char *start = lexer->cursor;
	bool escaped = false;
	strbuf_clear(&lexer->scratch);
	for (;;) {
		int c = peek_char(lexer, 0);
		if (c < 0 || c == '\n')
			return make_junk(token, "Could not find matching closing quote");
		skip_char(lexer);
		if (c == '"')
			break;
		if (c == '\\') {
			escaped = true;
			lex_escape(lexer);
		} else {
			strbuf_putc(&lexer->scratch, (char)c);
		}
	}
	token->text_size = lexer->scratch.size;
	token->text = arena_strndup(lexer->arena, lexer->scratch.data, token->text_size);
	if (escaped && !pasted)
		token->raw = arena_strndup(
			lexer->arena, start, (size_t)(lexer->cursor - 1 - start));
	return token;
}

static const struct stap_token *lex_embedded(struct stap_lexer *lexer)
{
	struct stap_token *token = start_token(lexer, STAP_TOKEN_EMBEDDED);
	skip_chars(lexer, 2);
	strbuf_clear(&lexer->scratch);
	for (;;) {
		int c = peek_char(lexer, 0);
		if (c < 0)
			return make_junk(token,
				"Could not find matching '%}' to close embedded function block");
		if (c == '%' && peek_char(lexer, 1) == '}')
			break;
		if (c == '}' && peek_char(lexer, 1) == '%')
			token->has_wrong_close = true;
		strbuf_putc(&lexer->scratch, (char)c);
		skip_char(lexer);
	}
	skip_chars(lexer, 2);
	token->text_size = lexer->scratch.size;
	token->text = arena_strndup(lexer->arena, lexer->scratch.data, token->text_size);
	return token;
}

/* Length of the operator that starts with these three characters: the longest match. */
static size_t operator_size(int a, int b, int c)
{
	static const char three[][4] = {"<<<", "<<=", ">>>", ">>="};
	static const char two[][3] = {"++", "--", "<<", ">>", "&&", "||", "==", "!=",
		"<=", ">=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", ".=", "->",
		"=~", "!~", "%(", "%?", "%:", "%)"};
	if (b < 0 || is_class(b, CLASS_SPACE | CLASS_LETTER | CLASS_DIGIT))
		return 1;
	if (a == '<' || a == '>') {
		for (size_t i = 0; i < sizeof(three) / sizeof(three[0]); i++)
			if (a == three[i][0] && b == three[i][1] && c == three[i][2])
				return 3;
	}
	for (size_t i = 0; i < sizeof(two) / sizeof(two[0]); i++)
		if (a == two[i][0] && b == two[i][1])
			return 2;
	return 1;
}

/* A byte that can be in no token outside of strings and comments. */
static const struct stap_token *lex_stray(struct stap_lexer *lexer)
{
	struct stap_token *token = start_token(lexer, STAP_TOKEN_JUNK);
	token->text =
		arena_printf(lexer->arena, "\\x%02x", (unsigned)peek_char(lexer, 0));
	token->text_size = strlen(token->text);
	skip_char(lexer);
	return token;
}

static const struct stap_token *lex_operator(struct stap_lexer *lexer)
{
	struct stap_token *token = start_token(lexer, STAP_TOKEN_OPERATOR);
	char text[3];
	size_t size = operator_size(
		peek_char(lexer, 0), peek_char(lexer, 1), peek_char(lexer, 2));
	for (size_t i = 0; i < size; i++) {
		text[i] = (char)peek_char(lexer, 0);
		token->code = token->code << 8 | (unsigned char)text[i];
		skip_char(lexer);
	}
	struct stap_name *name = intern(lexer, text, size);
	token->text = name->text;
	token->text_size = size;
	return token;
}

/* ---- command line arguments -------------------------------------------------------------------- */

/* $1 and the like: 0 if the cursor is not at one, else the number of characters. */
static size_t argument_size(const struct stap_lexer *lexer)
{
	int sigil = peek_char(lexer, 0);
	if (sigil != '$' && sigil != '@')
		return 0;
	if (peek_char(lexer, 1) == '#')
		return 2;
	size_t size = 1;
	while (is_class(peek_char(lexer, size), CLASS_DIGIT))
		size++;
	return size > 1 ? size : 0;
}

static const struct stap_token *make_count(
	struct stap_lexer *lexer, struct stap_token *token)
{
	token->kind = peek_char(lexer, 0) == '$' ? STAP_TOKEN_NUMBER : STAP_TOKEN_STRING;
	token->number = lexer->options->argument_count;
	token->text = arena_printf(lexer->arena, "%u", lexer->options->argument_count);
	token->text_size = strlen(token->text);
	skip_chars(lexer, 2);
	return token;
}

/* Return: a token, or NULL when the argument's text is now in front of the cursor. */
static const struct stap_token *lex_argument(struct stap_lexer *lexer, size_t size)
{
	const struct stap_parse_options *options = lexer->options;
	struct stap_token *token = start_token(lexer, STAP_TOKEN_STRING);
	if (lexer->outer) {
		skip_chars(lexer, size);
		return make_junk(
			token, "invalid nested substitution of command line arguments");
	}
	if (peek_char(lexer, 1) == '#')
		return make_count(lexer, token);
	bool quoted = *lexer->cursor == '@';
	uint64_t number = strtoull(lexer->cursor + 1, NULL, 10);
	const char *pasted_at = lexer->cursor;
	skip_chars(lexer, size);
	if (number < 1 || number > options->argument_count)
		return make_junk(
			token, arena_printf(lexer->arena,
				       "command line argument out of range [1-%u]",
				       options->argument_count));
	const char *text = options->arguments[number - 1];
	if (options->argument_used)
		options->argument_used[number - 1] = true;
	if (quoted) {
		token->text = arena_strdup(lexer->arena, text);
		token->text_size = strlen(text);
		return token;
	}
	lexer->outer = lexer->cursor;
	lexer->outer_end = lexer->end;
	lexer->pasted_at = pasted_at;
	lexer->cursor = text;
	lexer->end = text + strlen(text);
	return NULL;
}

const struct stap_token *stap_lexer_next(struct stap_lexer *lexer)
{
	for (;;) {
		skip_space(lexer);
		if (lexer->outer && lexer->cursor == lexer->end)
			leave_argument(lexer);
		int c = peek_char(lexer, 0);
		if (c < 0)
			return start_token(lexer, STAP_TOKEN_EOF);
		size_t size = argument_size(lexer);
		if (size) {
			const struct stap_token *token = lex_argument(lexer, size);
			if (token)
				return token;
			continue;
		}
		if (is_class(c, CLASS_NAME_START))
			return lex_name(lexer);
		if (is_class(c, CLASS_DIGIT))
			return lex_number(lexer);
		if (c == '"')
			return lex_string(lexer);
		if (c == '%' && peek_char(lexer, 1) == '{')
			return lex_embedded(lexer);
		return c > ' ' && c < 0x7f ? lex_operator(lexer) : lex_stray(lexer);
	}
}

/* SPDX-License-Identifier: MIT */
#include "lsp/answers.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "stap/lexer.h"

/* Numbers of the protocol. */
enum {
	SEVERITY_ERROR = 1,
	SEVERITY_WARNING = 2,
	SEVERITY_INFORMATION = 3,
	ITEM_FUNCTION = 3,
	ITEM_VARIABLE = 6,
	ITEM_KEYWORD = 14,
	ITEM_EVENT = 23,
	SYMBOL_FUNCTION = 12,
	SYMBOL_VARIABLE = 13,
	SYMBOL_EVENT = 24,
	WORD_MAX = 128,
	ITEMS_MAX = 4000
};

/* ---- diagnostics -------------------------------------------------------------------------- */

static bool is_here(const struct lsp_document *d, const struct stap_token *token)
{
	return token && token->source && token->source->name &&
	       strcmp(token->source->name, d->path) == 0;
}

static int severity_of(const struct stap_diagnostic *diagnostic, const char *message)
{
	if (diagnostic->severity == STAP_WARNING)
		return SEVERITY_WARNING;
	/* only a run says what the target is */
	return strstr(message, "without a -c COMMAND or -x PID") ? SEVERITY_INFORMATION
								 : SEVERITY_ERROR;
}

json_t *lsp_diagnostics(const struct lsp_document *document)
{
	const struct stap_diagnostics *list =
		session_analysis_diagnostics(document->analysis);
	json_t *array = json_array();
	for (size_t i = 0; i < list->list.count; i++) {
		const struct stap_token *place = NULL;
		struct strbuf message;
		strbuf_init(&message);
		/* the last cause says most, and where */
		for (const struct stap_diagnostic *d = list->list.items[i]; d;
			d = d->cause) {
			strbuf_printf(
				&message, "%s%s", message.size ? ": " : "", d->message);
			if (is_here(document, d->token))
				place = d->token;
		}
		json_t *range = place ? lsp_token_range(place)
				      : json_pack("{s:{s:i,s:i}, s:{s:i,s:i}}", "start",
						"line", 0, "character", 0, "end", "line",
						0, "character", 1);
		json_array_append_new(array,
			json_pack("{s:o, s:i, s:s, s:s}", "range", range, "severity",
				severity_of(list->list.items[i], message.data), "source",
				"utrace", "message", message.data));
		strbuf_deinit(&message);
	}
	return array;
}

/* ---- what there is ------------------------------------------------------------------------ */

static void put_signature(const struct stap_function *f, struct strbuf *out)
{
	strbuf_printf(out, "function %s:%s (", f->name, stap_type_name(f->type));
	for (uint32_t i = 0; i < f->param_count; i++)
		strbuf_printf(out, "%s%s:%s", i ? ", " : "", f->params[i]->name,
			stap_type_name(f->params[i]->type));
	strbuf_puts(out, ")");
}

static void put_intrinsic(const struct stap_intrinsic *intrinsic, struct strbuf *out)
{
	const char *name = intrinsic->argument_names;
	strbuf_printf(out, "function %s:%s (", intrinsic->name,
		stap_type_name(intrinsic->result));
	for (const char *type = intrinsic->arguments; *type; type++) {
		size_t size = strcspn(name, ",");
		strbuf_printf(out, "%s%.*s:%s", type == intrinsic->arguments ? "" : ", ",
			(int)size, name, *type == 'S' ? "string" : "long");
		name += size + (name[size] == ',');
	}
	strbuf_puts(out, ")");
	if (intrinsic->flags & STAP_INTRINSIC_GURU)
		strbuf_puts(out, "  (needs -g)");
}

/* The comment right above a definition. */
static void put_comment(const struct stap_token *token, struct strbuf *out)
{
	const char *start = token->source->text, *line = token->at;
	while (line > start && line[-1] != '\n')
		line--;
	const char *first = line;
	while (first > start) {
		const char *above = first - 1;
		while (above > start && above[-1] != '\n')
			above--;
		if (strncmp(above, "//", 2) != 0 && above[0] != '#')
			break;
		first = above;
	}
	while (first < line) {
		size_t size = strcspn(first, "\n");
		size_t skip = strspn(first, "/#! ");
		if (skip > size)
			skip = size;
		if (strncmp(first + skip, "SPDX", 4) != 0)
			strbuf_printf(out, "%.*s\n", (int)(size - skip), first + skip);
		first += size + 1;
	}
}

typedef bool (*function_fn)(const struct stap_function *function, void *data);

/* The script's own, then the library's; until one returns true. */
static bool each_function(const struct lsp_document *document, function_fn fn, void *data)
{
	const struct stap_file *own = session_analysis_file(document->analysis);
	uint32_t count;
	const struct stap_file *const *files =
		session_analysis_library(document->analysis, &count);
	for (size_t i = 0; i < own->functions.count; i++)
		if (fn(own->functions.items[i], data))
			return true;
	for (uint32_t k = 0; k < count; k++)
		for (size_t i = 0; i < files[k]->functions.count; i++)
			if (!files[k]->functions.items[i]->is_private &&
				fn(files[k]->functions.items[i], data))
				return true;
	return false;
}

/* ---- completion --------------------------------------------------------------------------- */

struct completion {
	json_t *items, *seen;
	const char *prefix;
};

static void add_item(
	struct completion *c, const char *label, int kind, const char *detail)
{
	if (strncmp(label, c->prefix, strlen(c->prefix)) != 0 ||
		json_object_get(c->seen, label) || json_array_size(c->items) >= ITEMS_MAX)
		return;
	json_t *item = json_pack("{s:s, s:i}", "label", label, "kind", kind);
	if (!item)
		return; /* not UTF-8 */
	if (detail)
		json_object_set_new(item, "detail", json_string(detail));
	json_object_set_new(c->seen, label, json_true());
	json_array_append_new(c->items, item);
}

static bool add_function(const struct stap_function *function, void *data)
{
	struct strbuf detail;
	if (function->name[0] == '_')
		return false;
	strbuf_init(&detail);
	put_signature(function, &detail);
	add_item(data, function->name, ITEM_FUNCTION, detail.data);
	strbuf_deinit(&detail);
	return false;
}

static void add_intrinsics(struct completion *c)
{
	const struct stap_intrinsic *intrinsic;
	for (uint32_t i = 0; (intrinsic = stap_intrinsic_at(i)); i++) {
		struct strbuf detail;
		if (intrinsic->name[0] == '_')
			continue;
		strbuf_init(&detail);
		put_intrinsic(intrinsic, &detail);
		add_item(c, intrinsic->name, ITEM_FUNCTION, detail.data);
		strbuf_deinit(&detail);
	}
}

/* Names of the text itself: variables, members, while nothing parses yet. */
static void add_words(struct completion *c, const char *text, size_t cursor)
{
	for (size_t i = 0; text[i];) {
		size_t size = 0;
		char word[WORD_MAX];
		while (isalnum((unsigned char)text[i + size]) || text[i + size] == '_' ||
			text[i + size] == '$')
			size++;
		bool is_name =
			size && size < sizeof(word) && !isdigit((unsigned char)text[i]);
		if (is_name && !(i <= cursor && cursor <= i + size)) {
			memcpy(word, text + i, size);
			word[size] = '\0';
			add_item(c, word, ITEM_VARIABLE, NULL);
		}
		i += size ? size : 1;
	}
}

static void complete_names(
	struct completion *c, const struct lsp_document *document, size_t offset)
{
	static const char *const keywords[] = {
#define X(name, text) text,
		STAP_KEYWORDS(X)
#undef X
	};
	static const char *const builtins[] = {"print", "println", "printf", "printd",
		"printdln", "sprint", "sprintln", "sprintf", "sprintd", "sprintdln",
		"@count", "@sum", "@min", "@max", "@avg", "@variance", "@hist_log",
		"@hist_linear", "@entry", "@defined", "@cast", "@var"};
	each_function(document, add_function, c);
	add_intrinsics(c);
	for (size_t i = 0; i < sizeof(builtins) / sizeof(*builtins); i++)
		add_item(c, builtins[i], ITEM_FUNCTION, NULL);
	for (size_t i = 0; i < sizeof(keywords) / sizeof(*keywords); i++)
		add_item(c, keywords[i], ITEM_KEYWORD, NULL);
	add_words(c, document->text, offset);
}

/* What stands around a cursor, as far as the characters before it tell. */
struct surroundings {
	const char *points; /* of the probe, of an alias after its "="; NULL: none */
	const char *point;  /* the last of them */
	const char *body;   /* its "{", when the depth is not 0 */
	int depth;
	bool in_string;
};

/* The end of the comment that begins here; the same: none does. */
static size_t skip_comment(const char *text, size_t at, size_t end)
{
	bool is_block = text[at] == '/' && at + 1 < end && text[at + 1] == '*';
	bool is_count = at && strchr("$@", text[at - 1]); /* "$#" */
	bool is_line = (text[at] == '#' && !is_count) ||
		       (text[at] == '/' && at + 1 < end && text[at + 1] == '/');
	if (!is_block && !is_line)
		return at;
	const char *stop = strstr(text + at + (is_block ? 2 : 1), is_block ? "*/" : "\n");
	size_t next = stop ? (size_t)(stop - text) + (is_block ? 2 : 0) : end;
	return next < end ? next : end;
}

static bool word_begins(const char *text, size_t at, const char *word)
{
	size_t size = strlen(word);
	bool is_start = !at || isspace((unsigned char)text[at - 1]) ||
			strchr("};/", text[at - 1]);
	return is_start && strncmp(text + at, word, size) == 0 &&
	       isspace((unsigned char)text[at + size]);
}

static void look_around_outside(
	struct surroundings *s, const char *text, size_t at, size_t offset)
{
	if (word_begins(text, at, "probe") && at + 6 <= offset)
		s->points = s->point = text + at + 6;
	else if (word_begins(text, at, "function"))
		s->points = s->point = NULL;
	else if (s->points && text[at] == '=')
		s->points = s->point = text + at + 1;
	else if (s->points && text[at] == ',')
		s->point = text + at + 1;
}

static struct surroundings look_around(const char *text, size_t offset)
{
	struct surroundings s = {0};
	for (size_t i = 0; i < offset; i++) {
		if (text[i] == '"' && (!i || text[i - 1] != '\\'))
			s.in_string = !s.in_string;
		if (s.in_string)
			continue;
		size_t after = skip_comment(text, i, offset);
		if (after > i) {
			i = after - 1;
			continue;
		}
		if (!s.depth)
			look_around_outside(&s, text, i, offset);
		if (text[i] == '{' && ++s.depth == 1)
			s.body = text + i;
		if (text[i] == '}' && s.depth && --s.depth == 0)
			s.points = s.point = NULL;
	}
	return s;
}

/* Where the probe point that the cursor is in begins; NULL: it is in no probe point. */
static const char *point_start(const char *text, size_t offset)
{
	struct surroundings s = look_around(text, offset);
	return s.in_string || s.depth ? NULL : s.point;
}

/* "process("/bin/ls").fun" to "process(string).fun", as points are listed. */
static void put_pattern(const char *from, const char *to, struct strbuf *out)
{
	while (from < to) {
		size_t comment = skip_comment(from, 0, (size_t)(to - from));
		if (comment || isspace((unsigned char)*from)) {
			from += comment ? comment : 1;
			continue;
		}
		if (*from != '(') {
			strbuf_putc(out, *from++);
			continue;
		}
		bool is_string = from + 1 < to && from[1] == '"';
		strbuf_puts(out, is_string ? "(string)" : "(number)");
		while (from < to && *from != ')')
			from++;
		from += from < to;
	}
}

/* The next component of each kind of point that begins like this. */
static void complete_point(struct completion *c, const struct lsp_document *document,
	const char *start, size_t offset)
{
	struct strbuf typed, points;
	uint32_t count;
	const struct stap_file *const *files =
		session_analysis_library(document->analysis, &count);
	strbuf_init(&typed);
	strbuf_init(&points);
	put_pattern(start, document->text + offset, &typed);
	session_analysis_points(&points);
	stap_dump_aliases(files, count, &points);
	const char *dot = strrchr(typed.data, '.');
	size_t before = dot ? (size_t)(dot + 1 - typed.data) : 0;
	c->prefix = typed.data + before;
	char *save = NULL;
	for (char *line = strtok_r(points.data, "\n", &save); line;
		line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, typed.data, before) != 0)
			continue;
		char *next = line + before;
		size_t size = strcspn(next, ". =+");
		char component[WORD_MAX];
		if (!size || size >= sizeof(component))
			continue;
		memcpy(component, next, size);
		component[size] = '\0';
		add_item(c, component, ITEM_EVENT, line);
	}
	strbuf_deinit(&points);
	strbuf_deinit(&typed);
}

/* The point of the probe whose body the cursor is in, up to its "{"; false: it is in none. */
static bool body_header(
	const char *text, size_t offset, const char **ret_start, size_t *ret_size)
{
	struct surroundings s = look_around(text, offset);
	if (!s.depth || !s.points)
		return false;
	*ret_start = s.points;
	*ret_size = (size_t)(s.body - s.points);
	return true;
}

/* $variables of the place, and what the prologues of aliases set: asked with a body that parses. */
static void complete_variables(
	struct completion *c, const struct lsp_document *document, size_t offset)
{
	const char *header;
	size_t size;
	struct strbuf script, lines;
	if (!body_header(document->text, offset, &header, &size))
		return;
	strbuf_init(&script);
	strbuf_init(&lines);
	strbuf_printf(&script, "probe %.*s { print(1) }", (int)size, header);
	struct session_analysis *analysis =
		session_analyze_listing(document->options, document->path, script.data);
	session_analysis_variables(analysis, &lines);
	char *save = NULL;
	for (char *line = strtok_r(lines.data, "\n", &save); line;
		line = strtok_r(NULL, "\n", &save)) {
		char *type = strchr(line, ':');
		if (!type)
			continue;
		*type = '\0';
		add_item(c, line, ITEM_VARIABLE, type + 1);
	}
	session_analysis_destroy(analysis);
	strbuf_deinit(&script);
	strbuf_deinit(&lines);
}

json_t *lsp_completion(const struct lsp_document *document, size_t offset)
{
	char word[WORD_MAX] = "";
	struct completion c = {json_array(), json_object(), word};
	const char *start = point_start(document->text, offset);
	size_t size = 0;
	while (size < offset && size + 1 < sizeof(word) &&
		(isalnum((unsigned char)document->text[offset - size - 1]) ||
			strchr("_$@", document->text[offset - size - 1])))
		size++;
	memcpy(word, document->text + offset - size, size);
	word[size] = '\0';
	if (start)
		complete_point(&c, document, start, offset);
	else {
		complete_variables(&c, document, offset);
		complete_names(&c, document, offset);
	}
	json_decref(c.seen);
	return json_pack("{s:b, s:o}", "isIncomplete",
		json_array_size(c.items) >= ITEMS_MAX, "items", c.items);
}

/* ---- hover, definition -------------------------------------------------------------------- */

struct lookup {
	const char *word;
	struct strbuf *text; /* hover; NULL: not wanted */
	const struct stap_token *token;
	unsigned found;
};

static bool look_at_function(const struct stap_function *function, void *data)
{
	struct lookup *l = data;
	if (strcmp(function->name, l->word) != 0)
		return false;
	if (!l->token)
		l->token = function->token;
	if (l->text) {
		put_signature(function, l->text);
		strbuf_putc(l->text, '\n');
		put_comment(function->token, l->text);
	}
	l->found++;
	return false; /* other forms, too */
}

static void look_at_variable(struct lookup *l, const struct stap_var *var)
{
	if (l->found || strcmp(var->name, l->word) != 0)
		return;
	l->token = var->token;
	l->found++;
	if (!l->text)
		return;
	strbuf_printf(l->text, "%s %s", var->is_global ? "global" : "local", var->name);
	for (int i = 0; i < var->arity; i++)
		strbuf_printf(l->text, "%s%s", i ? ", " : "[",
			stap_type_name(var->key_types[i]));
	strbuf_printf(
		l->text, "%s:%s\n", var->arity > 0 ? "]" : "", stap_type_name(var->type));
}

static void look_at_variables(const struct lsp_document *document, struct lookup *l)
{
	const struct stap_program *program = session_analysis_program(document->analysis);
	const struct stap_file *own = session_analysis_file(document->analysis);
	for (size_t i = 0; program && i < program->globals.count; i++)
		look_at_variable(l, program->globals.items[i]);
	for (size_t i = 0; i < own->globals.count; i++)
		look_at_variable(l, own->globals.items[i]);
	for (size_t i = 0; program && i < program->probes.count; i++)
		for (size_t k = 0; k < program->probes.items[i]->locals.count; k++)
			look_at_variable(l, program->probes.items[i]->locals.items[k]);
}

static void look_at_alias(struct lookup *l, const struct stap_file *file)
{
	for (size_t i = 0; i < file->aliases.count && !l->found; i++) {
		const struct stap_probe *alias = file->aliases.items[i];
		if (strcmp(alias->alias->components[0].name, l->word) != 0)
			continue;
		l->token = alias->alias->token;
		l->found++;
		if (l->text) {
			strbuf_printf(l->text, "probe alias %s\n", l->word);
			put_comment(alias->token, l->text);
		}
	}
}

static void look_up(const struct lsp_document *document, struct lookup *l)
{
	uint32_t count;
	const struct stap_file *const *files =
		session_analysis_library(document->analysis, &count);
	const struct stap_intrinsic *intrinsic;
	each_function(document, look_at_function, l);
	for (uint32_t i = 0; (intrinsic = stap_intrinsic_at(i)); i++) {
		if (strcmp(intrinsic->name, l->word) != 0)
			continue;
		l->found++;
		if (l->text) {
			put_intrinsic(intrinsic, l->text);
			strbuf_putc(l->text, '\n');
		}
	}
	look_at_variables(document, l);
	look_at_alias(l, session_analysis_file(document->analysis));
	for (uint32_t i = 0; i < count; i++)
		look_at_alias(l, files[i]);
}

json_t *lsp_hover(const struct lsp_document *document, size_t offset)
{
	char word[WORD_MAX];
	struct strbuf text;
	if (!lsp_document_word(document, offset, word, sizeof(word)))
		return json_null();
	strbuf_init(&text);
	struct lookup l = {.word = word, .text = &text};
	look_up(document, &l);
	json_t *result = l.found ? json_pack("{s:{s:s, s:s}}", "contents", "kind",
					   "plaintext", "value", text.data)
				 : NULL;
	strbuf_deinit(&text);
	return result ? result : json_null();
}

json_t *lsp_definition(const struct lsp_document *document, size_t offset)
{
	char word[WORD_MAX];
	if (!lsp_document_word(document, offset, word, sizeof(word)))
		return json_null();
	struct lookup l = {.word = word};
	look_up(document, &l);
	if (!l.token || !l.token->source || !l.token->source->name)
		return json_null();
	json_t *uri = is_here(document, l.token) ? json_string(document->uri)
						 : lsp_path_uri(l.token->source->name);
	return json_pack("{s:o, s:o}", "uri", uri, "range", lsp_token_range(l.token));
}

/* ---- outline ------------------------------------------------------------------------------ */

static void add_symbol(
	json_t *array, const char *name, int kind, const struct stap_token *token)
{
	json_array_append_new(
		array, json_pack("{s:s, s:i, s:o, s:o}", "name", name, "kind", kind,
			       "range", lsp_token_range(token), "selectionRange",
			       lsp_token_range(token)));
}

json_t *lsp_symbols(const struct lsp_document *document)
{
	const struct stap_file *file = session_analysis_file(document->analysis);
	json_t *array = json_array();
	for (size_t i = 0; i < file->globals.count; i++)
		add_symbol(array, file->globals.items[i]->name, SYMBOL_VARIABLE,
			file->globals.items[i]->token);
	for (size_t i = 0; i < file->functions.count; i++)
		add_symbol(array, file->functions.items[i]->name, SYMBOL_FUNCTION,
			file->functions.items[i]->token);
	for (size_t i = 0; i < file->probes.count; i++) {
		const struct stap_point *point = file->probes.items[i]->points[0];
		struct strbuf name;
		strbuf_init(&name);
		for (uint32_t k = 0; k < point->component_count; k++)
			strbuf_printf(&name, "%s%s", k ? "." : "probe ",
				point->components[k].name);
		add_symbol(array, name.data, SYMBOL_EVENT, file->probes.items[i]->token);
		strbuf_deinit(&name);
	}
	return array;
}

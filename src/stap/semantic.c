/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "stap/sema.h"

bool sema_is_user_token(const struct stap_token *token)
{
	return token && token->source && !token->source->is_library;
}

void sema_error_because(struct sema *sema, const struct stap_token *token,
	const char *message, const struct stap_token *cause_token, const char *cause)
{
	struct stap_diagnostic *diagnostic = sema_error(sema, token, "%s", message);

	sema_cause(sema, diagnostic, cause_token, "%s", cause);
	/* two points that fail for different reasons are both shown */
	diagnostic->key = arena_printf(sema->arena, "%s|%s", message, cause);
}

void sema_warn(struct sema *sema, const struct stap_token *token, const char *fmt, ...)
{
	char message[1024];
	va_list ap;

	if (sema->options->suppress_warnings)
		return;
	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	stap_diagnose(sema->diag, STAP_WARNING, token, "%s", message);
}

/* New files and functions appear while what uses them is being resolved: the lists grow during the
 * loops.  Functions that nobody calls are not looked at. */
static void resolve_files(struct sema *sema)
{
	size_t probes = 0, functions = 0;

	for (size_t i = 0; i < sema->files.count; i++) {
		const struct stap_file *file = sema->files.items[i];

		for (size_t j = 0; j < file->probes.count; j++) {
			sema_derive_probe(sema, file->probes.items[j]);
			for (; probes < sema->program->probes.count; probes++)
				sema_resolve_probe(
					sema, sema->program->probes.items[probes]);
		}
		for (; functions < sema->functions.count; functions++)
			sema_resolve_function(sema, sema->functions.items[functions]);
	}
}

/* Globals in the order of their declarations, not of their first use. */
static void order_globals(struct sema *sema)
{
	size_t count = 0;

	for (size_t i = 0; i < sema->files.count; i++) {
		const struct stap_file *file = sema->files.items[i];

		for (size_t j = 0; j < file->globals.count; j++) {
			if (file->globals.items[j]->is_named)
				sema->globals.items[count++] = file->globals.items[j];
		}
	}
	assert(count == sema->globals.count);
	for (size_t i = 0; i < sema->hidden_globals.count; i++)
		sema_push(sema, &sema->globals, sema->hidden_globals.items[i]);
}

static void list_embedded(struct sema *sema)
{
	for (size_t i = 0; i < sema->files.count; i++) {
		const struct stap_file *file = sema->files.items[i];

		for (size_t j = 0; j < file->embedded.count; j++)
			sema_push(
				sema, &sema->program->embedded, file->embedded.items[j]);
	}
}

static bool failed(const struct sema *sema)
{
	return sema->diag->error_count > 0;
}

struct stap_program *stap_analyze(struct arena *arena,
	const struct stap_semantic_options *options, const struct stap_target *target,
	struct stap_diagnostics *diag)
{
	struct sema sema = {
		.arena = arena,
		.options = options,
		.target = target,
		.diag = diag,
		.program = arena_new(arena, struct stap_program),
	};

	sema.program->arena = arena;
	sema_patterns_build(&sema);
	for (uint32_t i = 0; i < options->user_file_count; i++)
		sema_activate_file(&sema, options->user_files[i]);
	resolve_files(&sema);
	sema_check_counters(&sema);
	order_globals(&sema);
	if (failed(&sema))
		return NULL;
	sema_autocast(&sema);
	if (failed(&sema))
		return NULL;
	sema_elide(&sema);
	if (failed(&sema))
		return NULL;
	sema_infer_types(&sema);
	if (failed(&sema))
		return NULL;
	sema_check(&sema);
	if (!failed(&sema) && !sema.program->probes.count)
		sema_error(&sema, NULL, "no probes found");
	if (stap_diagnostics_failed(diag))
		return NULL;
	sema_usage(&sema);
	list_embedded(&sema);
	return sema.program;
}

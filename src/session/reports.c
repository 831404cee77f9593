/* SPDX-License-Identifier: MIT */
/* What went wrong or missing, at the end of a run; and system(). */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "session/control_files.h"
#include "session/internal.h"

struct abi_site *session_abi_sites(const struct session *s)
{
	return (struct abi_site *)(void *)((char *)s->memory.base +
					   s->memory.header->site_offset);
}

static uint64_t report_lost(const struct session *s)
{
	uint64_t lost = s->output.lost;
	for (uint32_t slot = 0; slot < session_context_limit(s); slot++) {
		const struct abi_context *c = session_context(s, slot);
		lost += c->ring_lost;
	}
	return lost;
}

bool session_skipped_too_many(const struct session *s)
{
	const struct abi_session *h = s->memory.header;

	return h->skipped_count > h->max_skipped && !s->options->suppress_handler_errors;
}

void session_output_reports(struct session *s)
{
	const struct abi_session *h = s->memory.header;
	const struct abi_site *sites = session_abi_sites(s);
	uint64_t skipped = h->register_failures, missed = 0;
	for (size_t i = 0; i < s->sites.count; i++) {
		skipped += sites[i].skipped;
		missed += sites[i].missed;
	}
	uint64_t lost = report_lost(s);
	if (session_skipped_too_many(s))
		session_error(s,
			"Skipped too many probes, check MAXSKIPPED or try again with stap -t for more details.");
	if (h->error_count || skipped)
		session_warn(s, "Number of errors: %u, skipped probes: %" PRIu64,
			h->error_count, skipped);
	if (lost)
		session_warn(s,
			"There were %" PRIu64
			" transport failures: output was lost; a larger -s MB or less "
			"output helps",
			lost);
	if (h->pairs_lost)
		session_warn(s,
			"%" PRIu64
			" returns were skipped: their calls were too many at a time to keep the values of their entries",
			h->pairs_lost);
	if (missed && s->options->verbose)
		session_warn(s,
			"%" PRIu64
			" hits inside a running handler were skipped (reentrancy)",
			missed);
}

/* ---- -t ----------------------------------------------------------------------------------- */

__extension__ typedef unsigned __int128 wide;

void session_probe_timing(const struct session *s, const struct stap_derived_probe *probe,
	struct session_timing *ret)
{
	const struct abi_site *sites = session_abi_sites(s);
	wide squares = 0;
	*ret = (struct session_timing){.cycles_min = UINT64_MAX};
	for (size_t i = 0; i < s->sites.count; i++) {
		const struct codegen_handler *handler = s->sites.items[i].handler;
		uint64_t least = sites[i].cycles_min;
		if (handler->probe != probe || handler->is_entry_part || !sites[i].hits)
			continue;
		ret->hits += sites[i].hits;
		ret->cycles += sites[i].cycles;
		ret->cycles_min = least < ret->cycles_min ? least : ret->cycles_min;
		if (sites[i].cycles_max > ret->cycles_max)
			ret->cycles_max = sites[i].cycles_max;
		squares += (wide)sites[i].squares_high << 64 | sites[i].squares_low;
	}
	if (!ret->hits)
		return;
	/* the mean of the squares less the square of the mean; both are of different
	 * moments while handlers run */
	wide mean = ret->cycles / ret->hits;
	squares /= ret->hits;
	ret->cycles_variance =
		squares > mean * mean ? (uint64_t)(squares - mean * mean) : 0;
}

const char *session_probe_name(const struct stap_derived_probe *probe)
{
	return probe->location_count == 1 ? probe->locations[0]->pp
	       : probe->pp                ? probe->pp
					  : probe->pn;
}

void session_put_timing(const struct session *s, const struct stap_derived_probe *probe,
	struct strbuf *out)
{
	struct session_timing timing;
	const struct stap_token *token = probe->token;
	session_probe_timing(s, probe, &timing);
	const char *point = session_probe_name(probe);
	strbuf_printf(out, "%s, (%s:%d:%d), hits: %" PRIu64, point, token->source->name,
		(int)token->line, (int)token->column, timing.hits);
	if (timing.hits)
		strbuf_printf(out,
			", cycles: %" PRIu64 "min/%" PRIu64 "avg/%" PRIu64
			"max, variance: %" PRIu64,
			timing.cycles_min, timing.cycles / timing.hits, timing.cycles_max,
			timing.cycles_variance);
	strbuf_printf(out, ", from: %s, index: %u\n", probe->pn ? probe->pn : point,
		probe->index);
}

void session_output_timing(struct session *s)
{
	if (!s->options->timing)
		return;
	struct strbuf out;
	strbuf_init(&out);
	strbuf_puts(&out, "----- probe hit report: \n");
	for (size_t i = 0; i < s->program->probes.count; i++) {
		const struct stap_derived_probe *probe = s->program->probes.items[i];
		if (probe->kind != STAP_PROBE_NEVER && !session_control_is_reset(probe))
			session_put_timing(s, probe, &out);
	}
	strbuf_puts(&out, "----- refresh report:\n");
	session_output_drain(s, true);
	session_output_text(s, out.data, out.size);
	strbuf_deinit(&out);
}

void session_system(struct session *s, const char *command)
{
	pid_t child = fork();
	if (child < 0) {
		session_warn(s, "cannot run '%s': %s", command, strerror(errno));
		return;
	}
	if (child == 0) {
		sigset_t none;
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	/* SIGCHLD belongs to the tracees' loop, which ignores pids it does not know: wait
	 * here. */
	int status;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
}

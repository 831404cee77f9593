/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumer/internal.h"
#include "utrace/orphan.h"

void probes_warn(struct uprobes *u, pid_t pid, const char *fmt, ...)
{
	char text[1024];
	va_list arguments;

	if (!u->options.warn)
		return;
	va_start(arguments, fmt);
	vsnprintf(text, sizeof(text), fmt, arguments);
	va_end(arguments);
	u->callbacks++;
	u->options.warn(u->options.data, pid, text);
	u->callbacks--;
}

/* ---- life ---- */

static void free_all(struct uprobes *u)
{
	for (size_t i = 0; i < u->files.count; i++)
		probe_file_free(u->files.items[i]);
	vec_free(&u->files);
	vec_free(&u->work);
	vec_free(&u->dead_threads);
	probe_memory_destroy(u);
	free(u);
}

int uprobes_create(struct utrace *utrace, const struct uprobes_options *options,
	struct uprobes **ret, struct utrace_error *err)
{
	struct uprobes *u;

	if (options && options->size != sizeof(*options))
		return error_set(err, -EINVAL, "struct uprobes_options of %zu bytes",
			options->size);
	if (options && options->shared_size > 1u << 30)
		return error_set(err, -EINVAL,
			"shared memory of %zu bytes: at most 1 GiB",
			options->shared_size);
	u = calloc(1, sizeof(*u));
	if (!u)
		return error_set(err, -ENOMEM, "out of memory");
	u->utrace = utrace;
	if (options)
		u->options = *options;
	int r = probe_memory_create(u, err);
	if (r < 0) {
		free_all(u);
		return r;
	}
	u->ghosts.free = probe_process_free;
	utrace_on_orphan(utrace, probe_report_orphan, u);
	*ret = u;
	return 0;
}

void uprobes_destroy(struct uprobes *u)
{
	if (!u)
		return;
	u->stopping = true;
	probe_memory_stop(u);
	while (u->processes) {
		struct error err = {0};
		pid_t pid = u->processes->pid;
		if (uprobes_remove_process(u, pid, &err) < 0)
			probes_warn(u, pid, "process %d: %s", pid, err.message);
	}
	utrace_on_orphan(u->utrace, NULL, NULL);
	uprobe_ghosts_free(&u->ghosts);
	free_all(u);
}

/* ---- registering ---- */

static struct probe_link *link_find(
	const struct uprobe *uprobe, const struct uprobe_consumer *consumer)
{
	for (size_t i = 0; i < uprobe->links.count; i++)
		if (uprobe->links.items[i]->consumer == consumer)
			return uprobe->links.items[i];
	return NULL;
}

static int check_consumer(const struct uprobes *u, const struct uprobe_consumer *consumer,
	struct error *err)
{
	bool native = consumer && (consumer->code || consumer->ret_code);

	if (!consumer || (!native && !consumer->handler && !consumer->ret_handler))
		return error_set(err, -EINVAL, "a consumer without a callback");
	if (native && !u->options.in_process)
		return error_set(err, -EOPNOTSUPP,
			"native functions need probes that were created with in_process");
	return 0;
}

static int add_natives(struct uprobes *u, struct probe_link *link, struct error *err)
{
	const struct uprobe_consumer *consumer = link->consumer;

	if (consumer->code)
		link->site = probe_native_add(u, consumer->code, consumer->cookie);
	if (consumer->ret_code)
		link->return_site =
			probe_native_add(u, consumer->ret_code, consumer->cookie);
	bool pairs = link->return_site && link->uprobe->shares_exits;
	if (pairs)
		link->entry_site = probe_native_pair(u, link->return_site);
	if ((consumer->code && !link->site) ||
		(consumer->ret_code && !link->return_site) ||
		(pairs && !link->entry_site))
		return error_set(
			err, -ENOSPC, "too many native functions have been registered");
	return 0;
}

static int add_link(
	struct uprobe *uprobe, struct uprobe_consumer *consumer, struct error *err)
{
	struct probe_link *link;

	if (link_find(uprobe, consumer))
		return error_set(err, -EEXIST,
			"%s: the consumer is registered at 0x%llx already",
			uprobe->file->path, (unsigned long long)uprobe->offset);
	if (consumer->ret_handler || consumer->ret_code) {
		int r = probe_plan_exits(uprobe, err);
		if (r < 0)
			return r;
	}
	link = link_find(uprobe, NULL);
	if (!link) {
		link = calloc(1, sizeof(*link));
		if (!link)
			return error_set(err, -ENOMEM, "out of memory");
		link->uprobe = uprobe;
		vec_append(&uprobe->links, link);
	}
	link->generation++;
	link->answers.count = 0;
	link->consumer = consumer;
	int r = add_natives(uprobe->owner, link, err);
	if (r < 0)
		link->consumer = NULL;
	return r;
}

static int register_one(struct uprobes *u, const struct uprobe_place *place,
	struct uprobe_consumer *consumer, struct uprobe **ret, struct error *err)
{
	struct uprobe *uprobe;
	int r = check_consumer(u, consumer, err);

	if (r >= 0)
		r = probe_find_place(u, place, &uprobe, err);
	if (r >= 0)
		r = add_link(uprobe, consumer, err);
	if (r < 0)
		return r;
	u->dirty = true;
	*ret = uprobe;
	return 0;
}

int uprobe_register(struct uprobes *u, const struct uprobe_place *place,
	struct uprobe_consumer *consumer, struct uprobe **ret, struct utrace_error *err)
{
	struct uprobe *uprobe;
	int r = register_one(u, place, consumer, &uprobe, err);

	if (r < 0)
		return r;
	probes_settle(u);
	if (ret)
		*ret = uprobe;
	return 0;
}

int uprobe_register_many(struct uprobes *u, struct uprobe_registration *registrations,
	size_t count, struct utrace_error *err)
{
	int refused = 0;

	for (size_t i = 0; i < count; i++) {
		struct uprobe_registration *one = &registrations[i];
		one->uprobe = NULL;
		one->error = (struct utrace_error){0};
		one->status = register_one(
			u, &one->place, one->consumer, &one->uprobe, &one->error);
		if (one->status < 0 && !refused++ && err)
			*err = one->error;
	}
	probes_settle(u);
	return refused;
}

static int remove_link(struct uprobe *uprobe, const struct uprobe_consumer *consumer)
{
	struct probe_link *link = link_find(uprobe, consumer);
	struct uprobes *u = uprobe->owner;

	if (!link)
		return -ENOENT;
	/* a callback may be walking over the list, and frames name it: it is left for the next one */
	link->consumer = NULL;
	link->site = link->return_site = link->entry_site = 0;
	u->dirty = true;
	return 0;
}

int uprobe_unregister(struct uprobe *uprobe, struct uprobe_consumer *consumer)
{
	int r = consumer ? remove_link(uprobe, consumer) : -ENOENT;

	if (r >= 0)
		probes_settle(uprobe->owner);
	return r;
}

void uprobe_unregister_many(struct uprobe_registration *registrations, size_t count)
{
	struct uprobes *u = NULL;

	for (size_t i = 0; i < count; i++) {
		struct uprobe_registration *one = &registrations[i];
		if (one->uprobe && remove_link(one->uprobe, one->consumer) >= 0)
			u = one->uprobe->owner;
		one->uprobe = NULL;
	}
	if (u)
		probes_settle(u);
}

int uprobe_apply(struct uprobe *uprobe, struct uprobe_consumer *consumer)
{
	struct probe_link *link = consumer ? link_find(uprobe, consumer) : NULL;

	if (!link)
		return -ENOENT;
	link->answers.count = 0;
	uprobe->owner->dirty = true;
	probes_settle(uprobe->owner);
	return 0;
}

int uprobe_get_info(const struct uprobe *uprobe, struct uprobe_info *ret)
{
	if (ret->size != sizeof(*ret))
		return -EINVAL;
	*ret = (struct uprobe_info){.size = sizeof(*ret),
		.offset = uprobe->offset,
		.function = uprobe->offset - (uprobe->address - uprobe->start),
		.exits = uprobe->exits,
		.tail_calls = uprobe->tail_calls,
		.hits = uprobe->hits,
		.missed = uprobe->missed};
	for (const struct probe_process *p = uprobe->owner->processes; p; p = p->next) {
		bool is_in = false, is_refused = false;
		for (size_t i = 0; i < p->live.count; i++) {
			const struct probe_live *live = &p->live.items[i];
			is_in |= live->point == uprobe->point && !live->is_refused;
			is_refused |= live->point == uprobe->point && live->is_refused;
		}
		ret->processes += is_in;
		ret->refused += is_refused && !is_in;
	}
	return 0;
}

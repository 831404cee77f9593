/* SPDX-License-Identifier: MIT */
/*
 * Changing text.
 *
 * While threads run, only the first byte of an instruction may be stored at any time
 *(Intel SDM vol. 3, 9.1.3 "Handling Self- and Cross-Modifying Code"), so a jump goes in
 *like this:
 *
 *	1. int3 on the head and on each instruction start inside the window; sync
 *	2. threads that were inside the window already are moved to its copy (threads.c)
 *	3. the bytes behind the head; sync
 *	4. the head; sync
 *
 * and out by the reverse: int3 head, sync, original tail, sync, original head, sync.
 *"Sync" makes every core that runs the process execute a serialising instruction.  A
 *batch of any size takes three of them.  The head is the last byte to change on the way
 *in and the last to be restored on the way out, so an interrupted change is recognised by
 *its head (undo.c).
 *
 * With every thread stopped the bytes are simply written, a page at a time.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ptrace/ptrace.h"
#include "uprobes/space.h"

/* ---- reading and writing
 * ---------------------------------------------------------------------- */

void text_reader_init(struct text_reader *reader, int fd)
{
	reader->fd = fd;
	reader->valid = false;
}

int text_read(struct text_reader *reader, uint64_t address, uint8_t *ret, size_t size)
{
	while (size) {
		uint64_t page = address & ~(uint64_t)(TEXT_PAGE - 1);
		size_t offset = address - page;
		size_t part = TEXT_PAGE - offset < size ? TEXT_PAGE - offset : size;
		if (!reader->valid || reader->page != page) {
			reader->valid = false;
			int r = remote_memory_read(
				reader->fd, page, reader->bytes, TEXT_PAGE);
			if (r < 0)
				return r;
			reader->page = page;
			reader->valid = true;
		}
		memcpy(ret, reader->bytes + offset, part);
		ret += part;
		address += part;
		size -= part;
	}
	return 0;
}

/* Writes the changes that begin in one page, as one piece. */
static int write_run(int fd, const struct text_change *changes, size_t count)
{
	uint64_t start = changes[0].address, end = start;
	uint8_t bytes[TEXT_PAGE + ARCH_MAX_WINDOW];

	for (size_t i = 0; i < count; i++)
		if (changes[i].address + changes[i].size > end)
			end = changes[i].address + changes[i].size;
	if (count == 1) {
		step();
		return remote_memory_write(fd, start, changes[0].bytes, changes[0].size);
	}
	int r = remote_memory_read(fd, start, bytes, end - start);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++)
		memcpy(bytes + (changes[i].address - start), changes[i].bytes,
			changes[i].size);
	step();
	return remote_memory_write(fd, start, bytes, end - start);
}

int text_write_stopped(int fd, const struct text_change *changes, size_t count)
{
	for (size_t i = 0, next; i < count; i = next) {
		uint64_t page = changes[i].address / TEXT_PAGE;
		for (next = i + 1;
			next < count && changes[next].address / TEXT_PAGE == page; next++)
			;
		int r = write_run(fd, changes + i, next - i);
		if (r < 0)
			return r;
	}
	return 0;
}

static int write_failed(struct uprobe_space *space, int r, struct error *err)
{
	return error_set(
		err, r, "cannot write text of process %d: %s", space->pid, strerror(-r));
}

static int write_byte(struct uprobe_space *space, uint64_t address, uint8_t value)
{
	step();
	return remote_memory_write(space->memory_fd, address, &value, 1);
}

static int sync_cores(struct uprobe_space *space, struct error *err)
{
	step();
	if (!space->is_filtered)
		return inject_sync_cores(space->inject, err);
	threads_sync_cores();
	return 0;
}

/* ---- insertion
 * --------------------------------------------------------------------------------- */

/* Back to the original, whatever of phase 1 was done; the head last. */
static int revert_transient(struct uprobe_space *space, struct uprobe_site *site)
{
	for (size_t i = 0; i < site->insn_count; i++) {
		size_t offset = site->insn_offset[i];
		if (!offset || offset >= site->size)
			continue;
		int r = write_byte(space, site->address + offset, site->original[offset]);
		if (r < 0)
			return r;
	}
	int r = write_byte(space, site->address, site->original[0]);
	if (r >= 0 && site_has_padding(site))
		r = remote_memory_write(space->memory_fd, site->padding,
			site->padding_original, SITE_PADDING);
	return r;
}

static int plant_breakpoints(struct uprobe_space *space, struct uprobe_site *site)
{
	int r = 0;

	/* No thread runs in padding: it may be written at once, and must be there first.
	 */
	if (site_has_padding(site)) {
		step();
		r = remote_memory_write(space->memory_fd, site->padding,
			site->padding_patch, SITE_PADDING);
	}
	if (r >= 0)
		r = write_byte(space, site->address, BREAKPOINT);
	if (r < 0 || site->form == ARCH_PATCH_BREAKPOINT)
		return r;
	for (size_t i = 0; i < site->insn_count && r >= 0; i++)
		if (site->insn_offset[i] && site->insn_offset[i] < site->size)
			r = write_byte(
				space, site->address + site->insn_offset[i], BREAKPOINT);
	return r;
}

/* The module was unmapped while it was being patched, and the patch with it. */
static bool has_vanished(struct uprobe_space *space, struct uprobe_site *site, int r)
{
	struct error why;

	if (r != -EFAULT)
		return false;
	error_set(
		&why, r, "0x%llx: unmapped meanwhile", (unsigned long long)site->address);
	site_refuse(space, site, &why);
	return true;
}

/* Something else may be mapped there already, where threads load and unload libraries: what stands there
 * is looked at right before it is written to. */
static bool is_held(const struct uprobe_space *space, const struct uprobe_site *site)
{
	uint8_t head;

	return remote_memory_read(space->memory_fd, site->address, &head, 1) >= 0 &&
	       head == BREAKPOINT;
}

static bool is_original(const struct uprobe_space *space, const struct uprobe_site *site)
{
	uint8_t live[SITE_PATCH_MAX];

	return remote_memory_read(space->memory_fd, site->address, live, site->size) >=
		       0 &&
	       memcmp(live, site->original, site->size) == 0;
}

static int phase_breakpoints(
	struct uprobe_space *space, bool *ret_interiors, struct error *err)
{
	*ret_interiors = false;
	for (size_t i = 0; i < space->sites.count; i++) {
		struct uprobe_site *site = &space->sites.items[i];
		if (site->state != SITE_PENDING)
			continue;
		if (!is_original(space, site)) {
			(void)has_vanished(space, site, -EFAULT);
			continue;
		}
		site->state = SITE_TRANSIENT;
		int r = plant_breakpoints(space, site);
		if (r == -ESRCH)
			return write_failed(space, r, err);
		if (r < 0) {
			struct error why;
			write_failed(space, r, &why);
			if (revert_transient(space, site) >= 0)
				site_refuse(space, site, &why);
			else if (site->request)
				site->request->status = error_set(
					&site->request->refused, r, "%s", why.message);
			continue;
		}
		*ret_interiors |= site_has_interior(site);
	}
	return sync_cores(space, err);
}

static int phase_tails(struct uprobe_space *space, struct error *err)
{
	int fd = space->memory_fd;

	for (size_t i = 0; i < space->sites.count; i++) {
		struct uprobe_site *site = &space->sites.items[i];
		if (site->state != SITE_TRANSIENT || site->size < 2)
			continue;
		step();
		int r = is_held(space, site) ? remote_memory_write(fd, site->address + 1,
						       site->patch + 1, site->size - 1u)
					     : -EFAULT;
		if (r < 0 && !has_vanished(space, site, r))
			return write_failed(space, r, err);
	}
	return sync_cores(space, err);
}

static int phase_heads(struct uprobe_space *space, struct error *err)
{
	for (size_t i = 0; i < space->sites.count; i++) {
		struct uprobe_site *site = &space->sites.items[i];
		if (site->state != SITE_TRANSIENT)
			continue;
		int r = is_held(space, site) ? 0 : -EFAULT;
		if (r >= 0 && site->patch[0] != BREAKPOINT)
			r = write_byte(space, site->address, site->patch[0]);
		if (r < 0 && has_vanished(space, site, r))
			continue;
		if (r < 0)
			return write_failed(space, r, err);
		site->state = SITE_LIVE;
	}
	return sync_cores(space, err);
}

/* Take back what was begun at a site that cannot be patched. */
static int give_up(struct uprobe_space *space, struct uprobe_site *site,
	const struct error *why, struct error *err)
{
	int r = revert_transient(space, site);

	if (r < 0 && has_vanished(space, site, r))
		return 0;
	if (r < 0)
		return write_failed(space, r, err);
	site_refuse(space, site, why);
	return 0;
}

/* Sites that a thread could not be moved out of have been marked by their request's
 * status. */
static int revert_unlucky(struct uprobe_space *space, struct error *err)
{
	for (size_t i = 0; i < space->sites.count; i++) {
		struct uprobe_site *site = &space->sites.items[i];
		if (site->state != SITE_TRANSIENT || !site->request ||
			!site->request->status)
			continue;
		struct error why = site->request->refused;
		int r = give_up(space, site, &why, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* What a lodger's short jump would lead to is not coming: it is taken back, too. */
static int revert_lodgers(struct uprobe_space *space, struct error *err)
{
	for (size_t i = 0; i < space->sites.count; i++) {
		struct uprobe_site *site = &space->sites.items[i];
		const struct uprobe_site *host = site_host(space, site);
		if (site->state != SITE_TRANSIENT || !site->is_lodged ||
			(host && host->state == SITE_TRANSIENT))
			continue;
		struct error why;
		error_set(&why, -EBUSY,
			"0x%llx: the instructions that its jump leads through cannot be displaced",
			(unsigned long long)site->address);
		int r = give_up(space, site, &why, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int leave_interiors(struct uprobe_space *space, struct error *err)
{
	int r = threads_leave_interiors(space, err);

	return r < 0 ? r : revert_unlucky(space, err);
}

int poke_insert_live(struct uprobe_space *space, struct error *err)
{
	bool interiors;
	int r = phase_breakpoints(space, &interiors, err);

	if (r >= 0 && interiors)
		r = leave_interiors(space, err);
	if (r >= 0)
		r = revert_lodgers(space, err);
	if (r >= 0)
		r = phase_tails(space, err);
	return r < 0 ? r : phase_heads(space, err);
}

/* Threads ran after the text was looked at for the plan: the module may be gone since, or another be
 * there. */
static bool is_still_there(
	struct uprobe_space *space, struct uprobe_site *site, struct text_reader *reader)
{
	uint8_t live[SITE_PATCH_MAX];
	struct error why;
	int r = text_read(reader, site->address, live, site->size);

	if (r == 0 && memcmp(live, site->original, site->size) == 0)
		return true;
	error_set(&why, -EFAULT, "0x%llx: unmapped or replaced meanwhile",
		(unsigned long long)site->address);
	site_refuse(space, site, &why);
	return false;
}

int poke_insert_stopped(struct uprobe_space *space, struct error *err)
{
	struct text_change *changes = calloc(space->sites.count + 1, sizeof(*changes));
	struct text_reader reader;
	size_t count = 0;
	int fd = space->memory_fd, r = 0;

	if (!changes)
		return error_set(err, -ENOMEM, "out of memory");
	text_reader_init(&reader, fd);
	for (size_t i = 0; i < space->sites.count; i++) {
		struct uprobe_site *site = &space->sites.items[i];
		if (site->state == SITE_PENDING)
			(void)is_still_there(space, site, &reader);
	}
	place_refuse_lodgers(space);
	for (size_t i = 0; i < space->sites.count && r >= 0; i++) {
		struct uprobe_site *site = &space->sites.items[i];
		if (site->state != SITE_PENDING)
			continue;
		site->state = SITE_TRANSIENT;
		changes[count++] =
			(struct text_change){site->address, site->patch, site->size};
		if (site_has_padding(site)) {
			step();
			r = remote_memory_write(
				fd, site->padding, site->padding_patch, SITE_PADDING);
		}
	}
	if (r >= 0)
		r = text_write_stopped(fd, changes, count);
	free(changes);
	if (r < 0)
		return write_failed(space, r, err);
	for (size_t i = 0; i < space->sites.count; i++)
		if (space->sites.items[i].state == SITE_TRANSIENT)
			space->sites.items[i].state = SITE_LIVE;
	return 0;
}

/* ---- removal
 * --------------------------------------------------------------------------------------
 */

/* What stands at a site must be ours, wholly or in part: somebody may have patched over
 * it. */
static bool is_ours(const struct uprobe_site *site, const uint8_t *live)
{
	if (live[0] != site->patch[0] && live[0] != BREAKPOINT &&
		live[0] != site->original[0])
		return false;
	for (size_t i = 1; i < site->size; i++)
		if (live[i] != site->patch[i] && live[i] != site->original[i] &&
			live[i] != BREAKPOINT)
			return false;
	return true;
}

static size_t skip_foreign(struct uprobe_space *space)
{
	struct text_reader reader;
	size_t foreign = 0;

	text_reader_init(&reader, space->memory_fd);
	for (size_t i = 0; i < space->sites.count; i++) {
		struct uprobe_site *site = &space->sites.items[i];
		uint8_t live[SITE_PATCH_MAX] = {0};
		if (site->is_kept || site->is_host)
			continue;
		if (site->state == SITE_PENDING) {
			site->state = SITE_REMOVED;
			continue;
		}
		if (site->state == SITE_REMOVED)
			continue;
		if (text_read(&reader, site->address, live, site->size) < 0) {
			site->state = SITE_REMOVED; /* unmapped: the patch went with it */
			continue;
		}
		if (is_ours(site, live)) {
			site->state = SITE_TRANSIENT;
			continue;
		}
		foreign++;
		site->state = SITE_LIVE;
	}
	return foreign;
}

static int remove_heads(struct uprobe_space *space, bool final)
{
	for (size_t i = 0; i < space->sites.count; i++) {
		struct uprobe_site *site = &space->sites.items[i];
		if (site->state != SITE_TRANSIENT)
			continue;
		int r = !final || is_held(space, site) ? 0 : -EFAULT;
		if (r >= 0)
			r = write_byte(space, site->address,
				final ? site->original[0] : BREAKPOINT);
		if (r < 0 && r != -EFAULT)
			return r;
		if (final || r == -EFAULT) /* unmapped meanwhile */
			site->state = SITE_REMOVED;
	}
	return 0;
}

static int remove_tails(struct uprobe_space *space)
{
	int fd = space->memory_fd;

	for (size_t i = 0; i < space->sites.count; i++) {
		struct uprobe_site *site = &space->sites.items[i];
		if (site->state != SITE_TRANSIENT || site->size < 2)
			continue;
		step();
		int r = is_held(space, site)
				? remote_memory_write(fd, site->address + 1,
					  site->original + 1, site->size - 1u)
				: -EFAULT;
		if (r == -EFAULT)
			site->state = SITE_REMOVED;
		else if (r < 0)
			return r;
	}
	return 0;
}

int poke_remove_live(struct uprobe_space *space, size_t *ret_foreign, struct error *err)
{
	*ret_foreign = skip_foreign(space);
	int r = remove_heads(space, false);

	if (r >= 0)
		r = sync_cores(space, err);
	if (r >= 0)
		r = remove_tails(space);
	if (r >= 0)
		r = sync_cores(space, err);
	if (r >= 0)
		r = remove_heads(space, true);
	if (r >= 0)
		r = sync_cores(space, err);
	return r;
}

int poke_remove_stopped(
	struct uprobe_space *space, size_t *ret_foreign, struct error *err)
{
	*ret_foreign = skip_foreign(space);
	struct text_change *changes = calloc(space->sites.count + 1, sizeof(*changes));
	size_t count = 0;
	if (!changes)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < space->sites.count; i++) {
		const struct uprobe_site *site = &space->sites.items[i];
		if (site->state == SITE_TRANSIENT)
			changes[count++] = (struct text_change){
				site->address, site->original, site->size};
	}
	int r = text_write_stopped(space->memory_fd, changes, count);
	free(changes);
	for (size_t i = 0; i < space->sites.count && r >= 0; i++)
		if (space->sites.items[i].state == SITE_TRANSIENT)
			space->sites.items[i].state = SITE_REMOVED;
	return r < 0 ? write_failed(space, r, err) : 0;
}

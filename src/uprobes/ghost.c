/* SPDX-License-Identifier: MIT */
#include "uprobes/space.h"

void uprobe_ghosts_add(
	struct uprobe_ghosts *ghosts, struct uprobe_space *space, void *process)
{
	const size_t count = sizeof(ghosts->last) / sizeof(*ghosts->last);
	const struct uprobe_ghost oldest = ghosts->last[count - 1];

	space_bury(space);
	for (size_t i = count - 1; i; i--)
		ghosts->last[i] = ghosts->last[i - 1];
	ghosts->last[0] = (struct uprobe_ghost){space, process};
	if (!oldest.space)
		return;
	space_free(oldest.space);
	ghosts->free(oldest.process);
}

void *uprobe_ghosts_find(const struct uprobe_ghosts *ghosts, pid_t pid)
{
	for (size_t i = 0; i < sizeof(ghosts->last) / sizeof(*ghosts->last); i++)
		if (uprobe_space_was_copied(ghosts->last[i].space, pid))
			return ghosts->last[i].process;
	return NULL;
}

void uprobe_ghosts_free(struct uprobe_ghosts *ghosts)
{
	for (size_t i = 0; i < sizeof(ghosts->last) / sizeof(*ghosts->last); i++) {
		struct uprobe_ghost *ghost = &ghosts->last[i];
		if (!ghost->space)
			continue;
		space_free(ghost->space);
		ghosts->free(ghost->process);
		*ghost = (struct uprobe_ghost){0};
	}
}

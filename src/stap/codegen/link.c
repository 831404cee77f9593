/* SPDX-License-Identifier: MIT */
/* The script's object behind the agent: one image (agent/link.h). */
#include "agent/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "stap/codegen/emit.h"

enum {
	HANDLER_NAME_SIZE = 32
};

/* Handlers are the object's global functions, named handler_N. */
static int add_script(struct agent_link *image, const struct link_request *request,
	struct codegen_result *result, struct error *err)
{
	size_t count = result->handler_count;
	struct agent_link_function *functions = calloc(count + 1, sizeof(*functions));
	char(*names)[HANDLER_NAME_SIZE] = calloc(count + 1, sizeof(*names));
	struct agent_link_object object = {
		"script object", request->object, request->object_size, NULL};
	int r = -ENOMEM;

	if (!functions || !names) {
		error_set(err, r, "out of memory");
		goto out;
	}
	for (size_t i = 0; i < count; i++) {
		snprintf(names[i], sizeof(names[i]), "handler_%zu", i);
		functions[i].name = names[i];
	}
	r = agent_link_add_object(image, &object, functions, count, err);
	for (size_t i = 0; i < count && r >= 0; i++)
		result->handlers[i].code_offset = (uint32_t)functions[i].offset;
out:
	free(names);
	free(functions);
	return r;
}

/* The script's C goes first: its functions are what the script's object then finds. */
static int add_embedded(
	struct agent_link *image, const struct link_request *request, struct error *err)
{
	struct agent_link_object object = {
		"embedded C", request->embedded, request->embedded_size, NULL};
	size_t count = request->program->functions.count, used = 0;
	struct agent_link_function *functions = calloc(count + 1, sizeof(*functions));
	char(*names)[HANDLER_NAME_SIZE] = calloc(count + 1, sizeof(*names));
	int r = -ENOMEM;

	if (!functions || !names) {
		error_set(err, r, "out of memory");
		goto out;
	}
	for (size_t i = 0; i < count; i++) {
		if (!request->program->functions.items[i]->embedded)
			continue;
		snprintf(names[used], sizeof(names[used]), "embedded_%zu", i);
		functions[used].name = names[used];
		used++;
	}
	r = agent_link_add_object(image, &object, functions, used, err);
	if (r >= 0)
		r = agent_link_export(image, functions, used, err);
out:
	free(names);
	free(functions);
	return r;
}

int link_image(const struct link_request *request, struct codegen_result *result,
	struct error *err)
{
	struct agent_link image = {0};
	int r = agent_link_open(request->agent, request->agent_size, &image, err);

	if (r >= 0 && request->embedded)
		r = add_embedded(&image, request, err);
	if (r >= 0)
		r = add_script(&image, request, result, err);
	result->image = image.bytes;
	result->image_size = image.size;
	result->symbols = image.symbols;
	result->symbol_count = image.symbol_count;
	return r;
}

int64_t link_symbol(const struct codegen_result *result, const char *name)
{
	const struct agent_link image = {
		.symbols = result->symbols, .symbol_count = result->symbol_count};

	return agent_link_symbol(&image, name);
}

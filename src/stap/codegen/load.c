/* SPDX-License-Identifier: MIT */
/* LLVM is loaded when the first code is generated: llvm-stubs.py says why. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "stap/codegen/emit.h"
#include "stap/codegen/llvm.h"

/* of llvm-stubs.S: names one after the other, an empty one behind them, and the places they are at */
extern const char llvm_names[] __attribute__((visibility("hidden")));
extern llvm_function llvm_table[] __attribute__((visibility("hidden")));

static struct error load_error;
static void *library; /* NULL: not loaded */

static llvm_function find_in_library(const char *name)
{
	void *address = dlsym(library, name);
	llvm_function function = NULL;

	if (!address)
		error_set(&load_error, -ENOSYS, "%s has no function %s", LLVM_LIBRARY,
			name);
	memcpy(&function, &address, sizeof(function));
	return function;
}

void llvm_switch(llvm_function (*find)(const char *name))
{
	size_t i = 0;

	if (!find && !library)
		return;
	for (const char *name = llvm_names; *name; name += strlen(name) + 1)
		llvm_table[i++] = find ? find(name) : find_in_library(name);
}

static void load(void)
{
	void *loaded = dlopen(LLVM_LIBRARY, RTLD_LAZY | RTLD_LOCAL);

	/* where it was when this program was built */
	if (!loaded)
		loaded = dlopen(LLVM_DIRECTORY "/" LLVM_LIBRARY, RTLD_LAZY | RTLD_LOCAL);
	if (loaded) {
		library = loaded;
		llvm_switch(NULL);
		return;
	}
	const char *why = dlerror();
	error_set(&load_error, -ENOENT, "cannot generate code: %s", why);
	/* it is here */
	if (strstr(why, "failed to map") || strstr(why, "annot allocate memory"))
		error_hint(&load_error,
			"memory of the tracer itself may be limited: see ulimit -d, ulimit -v and --rlimit-as");
	else
		error_hint(
			&load_error, "install the package that brings %s", LLVM_LIBRARY);
}

int llvm_load(struct error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, load);
	if (load_error.code < 0)
		*err = load_error;
	return load_error.code < 0 ? load_error.code : 0;
}

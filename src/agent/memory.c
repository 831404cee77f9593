/* SPDX-License-Identifier: MIT */
/* What the compiler may call on its own, even in freestanding code. */
#include <stddef.h>

#include "runtime/internal.h"

RT_EXPORT void *memcpy(void *restrict dst, const void *restrict src, size_t size);
RT_EXPORT void *memmove(void *dst, const void *src, size_t size);
RT_EXPORT void *memset(void *dst, int byte, size_t size);
RT_EXPORT int memcmp(const void *a, const void *b, size_t size);

void *memcpy(void *restrict dst, const void *restrict src, size_t size)
{
	rt_copy(dst, src, size);
	return dst;
}

void *memmove(void *dst, const void *src, size_t size)
{
	if ((uintptr_t)dst - (uintptr_t)src >= size) {
		rt_copy(dst, src, size);
		return dst;
	}
	while (size--)
		((char *)dst)[size] = ((const char *)src)[size];
	return dst;
}

void *memset(void *dst, int byte, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((volatile char *)dst)[i] = (char)byte;
	return dst;
}

int memcmp(const void *a, const void *b, size_t size)
{
	const unsigned char *x = a, *y = b;
	for (size_t i = 0; i < size; i++)
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replaces free(3) and realloc(3) in the whole process, libraries included, so that all freed heap
 * memory is overwritten: parsers and libcrypto leave no plaintext there. glibc's M_PERTURB does not
 * overwrite chunks of up to a kilobyte, which each thread keeps for itself.
 */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* The sanitizer replaces them too. */
#ifndef __SANITIZE_ADDRESS__

#define EXPORTED __attribute__((visibility("default")))

/* glibc's own, exported for programs that replace the functions. */
void __libc_free(void *ptr); /* NOLINT(bugprone-reserved-identifier) */

EXPORTED void free(void *ptr)
{
	if (!ptr)
		return;
	explicit_bzero(ptr, malloc_usable_size(ptr));
	__libc_free(ptr);
}

EXPORTED void *realloc(void *ptr, size_t size)
{
	const size_t usable = ptr ? malloc_usable_size(ptr) : 0;
	void *moved;

	if (!ptr)
		return malloc(size);
	if (size == 0) {
		free(ptr);
		return NULL;
	}
	/* Not worth moving. */
	if (size <= usable && size >= usable / 2)
		return ptr;
	moved = malloc(size);
	if (moved) {
		memcpy(moved, ptr, size < usable ? size : usable);
		free(ptr);
	}
	return moved;
}

#endif

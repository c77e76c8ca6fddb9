/* SPDX-License-Identifier: Apache-2.0 */
/* A library that frees memory with $FREED in it, to test that a program overwrites what libraries
 * free. It is preloaded (ld.so(8)) into the unchanged program. */
#include <stdlib.h>
#include <string.h>

/* Chunks that glibc keeps for the thread, others on the heap, and one with a mapping of its own. */
static const size_t sizes[] = {40, 200, 1000, 1500, 30000, 300000};

#define COUNT (sizeof(sizes) / sizeof(sizes[0]))

static void fill(char *memory, size_t size, const char *text)
{
	for (size_t i = 0; i < size; i++)
		memory[i] = text[i % strlen(text)];
}

__attribute__((constructor)) static void free_some(void)
{
	const char *text = getenv("FREED");
	char *freed[COUNT] = {0}, *grown[COUNT] = {0}, *shrunk[COUNT] = {0};

	for (size_t i = 0; text && i < COUNT; i++) {
		freed[i] = malloc(sizes[i]);
		grown[i] = malloc(sizes[i]);
		shrunk[i] = malloc(sizes[i]);
		if (!freed[i] || !grown[i] || !shrunk[i])
			abort();
		fill(freed[i], sizes[i], text);
		fill(grown[i], sizes[i], text);
		fill(shrunk[i], sizes[i], text);
	}
	for (size_t i = 0; text && i < COUNT; i++) {
		char *larger = realloc(grown[i], 10 * sizes[i]), *smaller = realloc(shrunk[i], 8);

		if (!larger || !smaller || memcmp(larger, text, 8) != 0 ||
		    memcmp(smaller, text, 8) != 0)
			abort();
		free(freed[i]);
		free(larger);
		free(smaller);
	}
}

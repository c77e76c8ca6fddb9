/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for all parts of a declaration, which live and die together. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "config/schema.h"

/* Each chunk is several times as large as the last, up to a huge page. */
#define CHUNK_SIZE_MIN ((size_t)32768)
#define CHUNK_GROWTH   8
#define HUGE_PAGE_SIZE ((size_t)2 * 1024 * 1024)

struct config_chunk {
	struct config_chunk *before; /* owned */
	size_t used, size;           /* with this structure */
};

/* Adds a chunk with room for `wanted` bytes, which are zero. */
static struct config_chunk *chunk_add(struct config *config, size_t wanted, struct error *err)
{
	struct config_chunk *chunk = config->memory;
	size_t size = CHUNK_SIZE_MIN;

	while (size < HUGE_PAGE_SIZE && chunk && size <= chunk->size)
		size *= CHUNK_GROWTH;
	while (size < sizeof(*chunk) + wanted)
		size *= 2;
	chunk = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (chunk == MAP_FAILED) {
		error_no_memory(err);
		return NULL;
	}
	/* Faults for small pages would take longer than reading the declaration. */
	if (size >= HUGE_PAGE_SIZE)
		(void)madvise(chunk, size, MADV_HUGEPAGE);
	*chunk = (struct config_chunk){config->memory, sizeof(*chunk), size};
	config->memory = chunk;
	return chunk;
}

void *schema_allocate(struct config *config, size_t count, size_t size, struct error *err)
{
	const size_t alignment = size > 1 ? _Alignof(max_align_t) : 1;
	struct config_chunk *chunk = config->memory;
	size_t wanted, start;

	if (__builtin_mul_overflow(count, size, &wanted) || wanted > SIZE_MAX / 4) {
		error_no_memory(err);
		return NULL;
	}
	if (!chunk || chunk->size - chunk->used < wanted + alignment)
		chunk = chunk_add(config, wanted + alignment, err);
	if (!chunk)
		return NULL;
	start = (chunk->used + alignment - 1) & -alignment;
	chunk->used = start + wanted;
	return (char *)chunk + start;
}

char *schema_text(struct config *config, const char *text, size_t size, struct error *err)
{
	char *copy = schema_allocate(config, size + 1, 1, err);

	if (copy)
		memcpy(copy, text, size);
	return copy;
}

char *schema_text_take(struct config *config, char *text, struct error *err)
{
	char *copy = NULL;

	if (text)
		copy = schema_text(config, text, strlen(text), err);
	else
		error_no_memory(err);
	free(text);
	return copy;
}

void schema_memory_free(struct config *config)
{
	while (config->memory) {
		struct config_chunk *chunk = config->memory;

		config->memory = chunk->before;
		munmap(chunk, chunk->size);
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for all parts of a declaration, which live and die together. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/schema.h"

/* Each chunk is twice as large as the last, up to this. */
#define CHUNK_SIZE_MIN ((size_t)4096)
#define CHUNK_SIZE_MAX ((size_t)1024 * 1024)

struct config_chunk {
	struct config_chunk *before; /* owned */
	size_t used, capacity;
	max_align_t bytes[];
};

/* All pages of a large chunk at once: a fault for each takes several times as long. */
static void populate(void *chunk, size_t size)
{
	const uintptr_t page = (uintptr_t)getpagesize();
	const uintptr_t start = ((uintptr_t)chunk + page - 1) / page * page;
	const uintptr_t end = ((uintptr_t)chunk + size) / page * page;

	/* Since Linux 5.14. */
	if (size > CHUNK_SIZE_MAX)
		(void)madvise((char *)chunk + (start - (uintptr_t)chunk), end - start,
			      MADV_POPULATE_WRITE);
}

void *schema_allocate(struct config *config, size_t count, size_t size, struct error *err)
{
	const size_t alignment = _Alignof(max_align_t);
	struct config_chunk *chunk = config->memory;
	size_t wanted, capacity = chunk ? 2 * chunk->capacity : CHUNK_SIZE_MIN;

	if (__builtin_mul_overflow(count, size, &wanted) || wanted > SIZE_MAX / 4) {
		error_no_memory(err);
		return NULL;
	}
	if (size > 1)
		wanted = (wanted + alignment - 1) / alignment * alignment;
	if (chunk && size > 1)
		chunk->used = (chunk->used + alignment - 1) / alignment * alignment;
	if (!chunk || chunk->capacity < chunk->used + wanted) {
		if (capacity > CHUNK_SIZE_MAX)
			capacity = CHUNK_SIZE_MAX;
		if (capacity < wanted)
			capacity = wanted;
		chunk = calloc(1, sizeof(*chunk) + capacity);
		if (!chunk) {
			error_no_memory(err);
			return NULL;
		}
		populate(chunk, sizeof(*chunk) + capacity);
		chunk->before = config->memory;
		chunk->capacity = capacity;
		config->memory = chunk;
	}
	chunk->used += wanted;
	return (char *)chunk->bytes + chunk->used - wanted;
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
		free(chunk);
	}
}

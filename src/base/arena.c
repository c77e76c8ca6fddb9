/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/array.h"

#include <stdlib.h>

/* A chunk has at least a page; each is twice as large as the last, up to this. */
#define CHUNK_SIZE_MIN ((size_t)4096)
#define CHUNK_SIZE_MAX ((size_t)1024 * 1024)

int arena_adopt(struct arena *arena, struct secret *text, struct error *err)
{
	int r = array_extend(&arena->chunks, arena->count, sizeof(*arena->chunks), err);

	if (r < 0)
		return r;
	arena->chunks[arena->count] = (struct secret){0};
	secret_move(&arena->chunks[arena->count++], text);
	return 0;
}

int arena_reserve(struct arena *arena, size_t size, uint8_t **room, struct error *err)
{
	struct secret *chunk = arena->filling ? &arena->chunks[arena->filling - 1] : NULL;

	if (!chunk || chunk->capacity - chunk->size < size) {
		_cleanup_secret_ struct secret added = {0};
		size_t capacity = chunk ? chunk->capacity * 2 : CHUNK_SIZE_MIN;
		int r;

		if (capacity > CHUNK_SIZE_MAX)
			capacity = CHUNK_SIZE_MAX;
		if (capacity < size)
			capacity = size;
		r = secret_create(&added, capacity, err);
		if (r == 0)
			r = arena_adopt(arena, &added, err);
		if (r < 0)
			return r;
		arena->filling = arena->count;
		chunk = &arena->chunks[arena->filling - 1];
	}
	*room = chunk->data + chunk->size;
	chunk->size += size;
	return 0;
}

int arena_copy(struct arena *arena, struct span bytes, struct span *kept, struct error *err)
{
	uint8_t *room = NULL;
	int r = arena_reserve(arena, bytes.size, &room, err);

	if (r < 0)
		return r;
	if (bytes.size > 0)
		memcpy(room, bytes.data, bytes.size);
	*kept = span_of(room, bytes.size);
	return 0;
}

int arena_take(struct arena *arena, struct arena *from, struct error *err)
{
	for (size_t i = 0; i < from->count; i++) {
		int r = from->chunks[i].data ? arena_adopt(arena, &from->chunks[i], err) : 0;

		if (r < 0)
			return r;
	}
	arena_destroy(from);
	return 0;
}

void arena_destroy(struct arena *arena)
{
	for (size_t i = 0; i < arena->count; i++)
		secret_destroy(&arena->chunks[i]);
	free(arena->chunks);
	*arena = (struct arena){0};
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secret memory for many small texts that live and die together, such as those of a document. A
 * text never moves, so spans may point to it. Starts as {0}.
 */
#ifndef VMCRED_BASE_ARENA_H
#define VMCRED_BASE_ARENA_H

#include "base/secret.h"

struct arena {
	struct secret *chunks; /* owned */
	size_t count;
	size_t filling; /* 1 + index of the chunk that texts are added to, 0: none */
};

/* Returns `size` bytes to write to. */
int arena_reserve(struct arena *arena, size_t size, uint8_t **room, struct error *err);

/* Copies bytes. `kept->data` is never NULL. */
int arena_copy(struct arena *arena, struct span bytes, struct span *kept, struct error *err);

/* Takes over a whole text: `*text` owns nothing afterwards, its bytes stay where they are. */
int arena_adopt(struct arena *arena, struct secret *text, struct error *err);

/* Takes over all texts of another arena, which is empty afterwards. */
int arena_take(struct arena *arena, struct arena *from, struct error *err);

void arena_destroy(struct arena *arena);

#endif

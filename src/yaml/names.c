/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <sys/random.h>

#include "yaml/parse.h"

#define CAPACITY_MIN ((size_t)64)

/* The seed is random, so that no document can make all names collide. */
static uint64_t mix(uint64_t h, uint64_t word)
{
	h = (h ^ word) * 0x9e3779b97f4a7c15;
	return h ^ h >> 32;
}

static uint64_t hash(uint64_t seed, struct span name)
{
	uint64_t h = mix(seed, name.size), word;
	size_t at = 0;

	for (; name.size - at >= sizeof(word); at += sizeof(word)) {
		memcpy(&word, name.data + at, sizeof(word));
		h = mix(h, word);
	}
	word = 0;
	if (name.size > at)
		memcpy(&word, name.data + at, name.size - at);
	return mix(mix(h, word), seed);
}

/* The place of a name, or the free one for it. */
static struct yaml_name *place(const struct yaml_names *names, struct span name)
{
	size_t mask = names->capacity - 1, at = hash(names->seed, name) & mask;

	while (names->items[at].number && !span_equal(names->items[at].name, name))
		at = (at + 1) & mask;
	return &names->items[at];
}

static int names_grow(struct yaml_names *names, size_t capacity, struct error *err)
{
	struct yaml_names more = {.capacity = capacity};

	more.items = calloc(more.capacity, sizeof(*more.items));
	if (!more.items)
		return error_no_memory(err);
	more.seed = names->seed;
	if (!more.seed && getrandom(&more.seed, sizeof(more.seed), 0) != sizeof(more.seed))
		more.seed = 1;
	for (size_t i = 0; i < names->capacity; i++) {
		if (names->items[i].number)
			*place(&more, names->items[i].name) = names->items[i];
	}
	more.count = names->count;
	free(names->items);
	*names = more;
	return 0;
}

int yaml_names_reserve(struct yaml_names *names, size_t count, struct error *err)
{
	size_t capacity = CAPACITY_MIN;

	while (capacity / 2 < count)
		capacity *= 2;
	return names_grow(names, capacity, err);
}

int yaml_names_add(struct yaml_names *names, struct span name, size_t number, size_t **stored,
		   struct error *err)
{
	struct yaml_name *at;

	if (names->count * 2 >= names->capacity &&
	    names_grow(names, names->capacity ? names->capacity * 2 : CAPACITY_MIN, err) < 0)
		return -(int)err->code;
	at = place(names, name);
	if (!at->number) {
		*at = (struct yaml_name){.name = name, .number = number + 1};
		names->count++;
	}
	*stored = &at->number;
	return 0;
}

const size_t *yaml_names_find(const struct yaml_names *names, struct span name)
{
	const struct yaml_name *at = names->capacity ? place(names, name) : NULL;

	return at && at->number ? &at->number : NULL;
}

void yaml_names_destroy(struct yaml_names *names)
{
	free(names->items);
	*names = (struct yaml_names){0};
}

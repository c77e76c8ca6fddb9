/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A read-only view of bytes that somebody else owns: the length travels with the pointer. Nothing
 * that holds a secret is a C string.
 */
#ifndef VMCRED_BASE_SPAN_H
#define VMCRED_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const uint8_t *data;
	size_t size;
};

static inline struct span span_of(const void *data, size_t size)
{
	return (struct span){.data = data, .size = size};
}

static inline struct span span_of_text(const char *text)
{
	return span_of(text, strlen(text));
}

/* For public bytes only: the time it takes tells where they differ. */
static inline bool span_equal(struct span a, struct span b)
{
	return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* The order of public bytes, the shorter first where one begins with the other; as strcmp(3). */
static inline int span_compare(struct span a, struct span b)
{
	size_t size = a.size < b.size ? a.size : b.size;
	int order = size > 0 ? memcmp(a.data, b.data, size) : 0;

	return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static inline bool span_starts_with(struct span bytes, struct span prefix)
{
	return bytes.size >= prefix.size &&
	       (prefix.size == 0 || memcmp(bytes.data, prefix.data, prefix.size) == 0);
}

#endif

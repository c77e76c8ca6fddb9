/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A read-only view of bytes that belong to somebody else: the length travels with the pointer.
 * Nothing that contains a secret is a C string.
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

/* The bytes after the first `size`, which there must be. */
static inline struct span span_skip(struct span bytes, size_t size)
{
	return span_of(bytes.data + size, bytes.size - size);
}

/* Removes the first line, without its newline, from the text; false if the text is empty. */
static inline bool span_take_line(struct span *text, struct span *line)
{
	const uint8_t *newline = text->size > 0 ? memchr(text->data, '\n', text->size) : NULL;

	if (text->size == 0)
		return false;
	*line = span_of(text->data, newline ? (size_t)(newline - text->data) : text->size);
	*text = span_skip(*text, line->size + (newline != NULL));
	return true;
}

/* For public bytes only: the time reveals where they differ. */
static inline bool span_equal(struct span a, struct span b)
{
	return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Orders public bytes as strcmp(3) does text. */
static inline int span_compare(struct span a, struct span b)
{
	size_t size = a.size < b.size ? a.size : b.size;
	int order = size > 0 ? memcmp(a.data, b.data, size) : 0;

	return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* Compares two items of an array: for qsort(3). */
static inline int spans_compare(const void *a, const void *b)
{
	return span_compare(*(const struct span *)a, *(const struct span *)b);
}

static inline bool span_starts_with(struct span bytes, struct span prefix)
{
	return bytes.size >= prefix.size &&
	       (prefix.size == 0 || memcmp(bytes.data, prefix.data, prefix.size) == 0);
}

#endif

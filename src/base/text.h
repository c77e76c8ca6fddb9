/* SPDX-License-Identifier: Apache-2.0 */
/* Public text in new memory, and lists of it. Secrets are never text (base/secret.h). */
#ifndef VMCRED_BASE_TEXT_H
#define VMCRED_BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/span.h"

/* As asprintf(3), but returns the text, or NULL without memory. The caller frees it. */
char *text_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *text_format_list(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));

/* Writes the UTF-8 encoding (RFC 3629) of a code point up to U+10FFFF; returns its length. */
#define UTF8_SIZE_MAX 4
size_t utf8_encode(uint32_t code_point, uint8_t bytes[UTF8_SIZE_MAX]);

/* The length of the UTF-8 sequence at the start of `bytes`; 0 if it is not well-formed (RFC 3629:
 * no surrogates, no overlong forms, at most U+10FFFF) or `bytes` is empty. */
size_t utf8_length(struct span bytes);

/* Whether all bytes are well-formed UTF-8. */
bool utf8_valid(struct span bytes);

/*
 * The text with what a terminal would obey or hide as "\u001b": control characters, and those that
 * change the direction of text. Bytes that are not UTF-8 become "\x9b". Tabs stay, and so do line
 * breaks if `lines`. Private keys of age and SSH, which a person may have passed instead of a file
 * or a public key, become "...". NULL without memory; the caller frees it.
 */
char *text_visible(struct span text, bool lines);

#define TEXT_TIME_SIZE sizeof("2006-01-02T15:04:05Z")

/* Seconds since 1970 as RFC 3339 writes them in UTC. False: the year does not have four digits. */
bool text_time(int64_t seconds, char text[TEXT_TIME_SIZE]);

/* Whether a NULL-terminated list, which may be NULL, has the text. */
bool texts_contain(char *const *texts, const char *text);

/* Compares two items of a list: for qsort(3) and bsearch(3). */
int texts_compare(const void *a, const void *b);

/* Starts as {0}. Argument vectors and lists of names. */
struct strings {
	char **items; /* owned; NULL-terminated once there is one, else NULL */
	size_t count;
};

#define _cleanup_strings_ __attribute__((cleanup(strings_destroy)))

/* Adds a copy. */
int strings_add(struct strings *strings, const char *text, struct error *err);

/* Adds `text` itself, which is freed on failure. NULL is an out-of-memory error, so that a new text
 * can be passed as it is. */
int strings_take(struct strings *strings, char *text, struct error *err);

int strings_add_format(struct strings *strings, struct error *err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Adds copies of a NULL-terminated list, which may be NULL. */
int strings_add_all(struct strings *strings, char *const *texts, struct error *err);

/* All of them in one text, in new memory; NULL without memory. */
char *strings_join(const struct strings *strings, const char *separator);

bool strings_contain(const struct strings *strings, const char *text);
void strings_destroy(struct strings *strings);

#endif

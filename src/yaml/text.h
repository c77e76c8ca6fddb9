/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Characters (YAML 1.1, as go-yaml 3 reads it): blanks, line breaks, printable ones. The text is
 * checked UTF-8, followed by NUL bytes, which do not occur in it, so that looking a few bytes ahead
 * needs no test for the end. Inside yaml/ only.
 */
#ifndef VMCRED_YAML_TEXT_H
#define VMCRED_YAML_TEXT_H

#include "base/array.h"
#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"

/* The number of NUL bytes after a text. */
#define YAML_PADDING 16

static inline bool yaml_is_blank(const uint8_t *at)
{
	return *at == ' ' || *at == '\t';
}

/* The size of the line break at this position, or 0: CR LF, CR, LF, NEL, LS, PS. */
static inline size_t yaml_break_size(const uint8_t *at)
{
	switch (at[0]) {
	case '\n':
		return 1;
	case '\r':
		return at[1] == '\n' ? 2 : 1;
	case 0xc2:
		return at[1] == 0x85 ? 2 : 0;
	case 0xe2:
		return at[1] == 0x80 && (at[2] == 0xa8 || at[2] == 0xa9) ? 3 : 0;
	default:
		return 0;
	}
}

/* Writes a line break, normalized, and returns its size: LS and PS stay, all others become a line
 * feed. `to` may be `at` or before it. */
static inline size_t yaml_break_copy(const uint8_t *at, uint8_t *to)
{
	if (*at == 0xe2) {
		memmove(to, at, 3);
		return 3;
	}
	*to = '\n';
	return 1;
}

/* A line break, or the end of the text. */
static inline bool yaml_is_breakz(const uint8_t *at)
{
	return *at == 0 || yaml_break_size(at) > 0;
}

/* The next line break, or the end of the text. */
static inline const uint8_t *yaml_line_end(const uint8_t *at)
{
	while (!yaml_is_breakz(at))
		at++;
	return at;
}

/* A blank, a line break, or the end of the text. */
static inline bool yaml_is_blankz(const uint8_t *at)
{
	return yaml_is_blank(at) || yaml_is_breakz(at);
}

/* A character of an anchor's name or a tag's handle. */
static inline bool yaml_is_word(uint8_t c)
{
	uint8_t lower = c | 0x20;

	return (c >= '0' && c <= '9') || (lower >= 'a' && lower <= 'z') || c == '_' || c == '-';
}

static inline bool yaml_is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* The value of a hexadecimal digit, or -1. */
static inline int yaml_hex(uint8_t c)
{
	uint8_t lower = c | 0x20;

	if (yaml_is_digit(c))
		return c - '0';
	return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The size of the character that begins with this byte. */
static inline size_t yaml_width(uint8_t c)
{
	return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/* Whether --- or ... is here, followed by a blank or a break. */
static inline bool yaml_is_document_indicator(const uint8_t *at, uint8_t c)
{
	return at[0] == c && at[1] == c && at[2] == c && yaml_is_blankz(at + 3);
}

bool yaml_is_ascii(struct span text);

/* Whether the emitter writes the character as it is (everything above U+FFFF it escapes). */
bool yaml_is_printable(const uint8_t *at);

/*
 * Prepares a text for scanning: converts UTF-16 with a byte order mark to UTF-8, removes a byte
 * order mark, rejects characters that YAML does not allow, and adds YAML_PADDING NUL bytes after
 * the text. `*ascii`: it is all ASCII.
 */
struct yaml;
int yaml_text_prepare(struct secret *text, const struct yaml *yaml, bool *ascii, struct error *err);

/* timestamp.c: reads a time in one of YAML's forms into YAML_TIME_SIZE_MAX + 1 bytes. */
bool yaml_time_read(struct span text, char out[]);

#endif

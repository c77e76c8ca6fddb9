/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cloud_hypervisor/syntax.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

char *option_text_trim(char *text)
{
	size_t size;

	while (isspace((unsigned char)*text))
		text++;
	size = strlen(text);
	while (size > 0 && isspace((unsigned char)text[size - 1]))
		size--;
	text[size] = '\0';
	return text;
}

bool option_text_blank(const char *text)
{
	while (isspace((unsigned char)*text))
		text++;
	return *text == '\0';
}

/* Where the comma is that ends the piece at `text`, or its end; NULL where something does not
 * match. */
static char *piece_end(char *text)
{
	bool quoted = false;
	size_t depth = 0;

	for (char *c = text;; c++) {
		if (*c == '\0')
			return quoted || depth > 0 ? NULL : c;
		if (*c == '"')
			quoted = !quoted;
		else if (quoted)
			continue;
		else if (*c == '[')
			depth++;
		else if (*c == ']' && depth-- == 0)
			return NULL;
		else if (*c == ',' && depth == 0)
			return c;
	}
}

int option_pieces_split(const char *text, struct command *pieces, struct error *err)
{
	_cleanup_free_ char *copy = strdup(text);
	char *start, *end;

	if (!copy)
		return error_no_memory(err);
	start = option_text_trim(copy);
	do {
		bool last;
		int r;

		end = piece_end(start);
		if (!end)
			return error_set(err, VMCRED_USAGE, "its quotes or brackets do not match");
		last = *end == '\0';
		*end = '\0';
		r = command_add(pieces, start, err);
		if (r < 0 || last)
			return r;
		start = end + 1;
	} while (true);
}

int option_strings_split(const char *text, struct command *strings, struct error *err)
{
	_cleanup_free_ char *copy = strdup(text);
	char *inner;
	size_t size;

	if (!copy)
		return error_no_memory(err);
	inner = option_text_trim(copy);
	/* As many brackets as there are at either end, as trim_matches() takes them. */
	inner += strspn(inner, "[]");
	size = strlen(inner);
	while (size > 0 && strchr("[]", inner[size - 1]))
		inner[--size] = '\0';
	/* "[]" is one empty string to Cloud Hypervisor, which would end the table: nobody means
	 * that. */
	return size == 0 ? 0 : option_pieces_split(inner, strings, err);
}

char *option_text_dequote(const char *text)
{
	char *plain = malloc(strlen(text) + 1), *to = plain;
	bool quoted = false;

	if (!plain)
		return NULL;
	for (const char *c = text; *c; c++) {
		if (*c != '"') {
			*to++ = *c;
			continue;
		}
		if (!quoted && c > text && c[-1] == '"')
			*to++ = '"';
		quoted = !quoted;
	}
	*to = '\0';
	return plain;
}

char *option_pair_cut(char *text)
{
	char *second = NULL;
	bool quoted = false;

	for (char *c = text; *c; c++) {
		if (*c == '"')
			quoted = !quoted;
		if (*c != '@' || quoted)
			continue;
		if (second)
			return NULL;
		*c = '\0';
		second = c + 1;
	}
	return second;
}

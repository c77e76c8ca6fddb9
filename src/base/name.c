/* SPDX-License-Identifier: Apache-2.0 */
#include "base/name.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"

/* More names in an error are not read. */
#define NAMES_SHOWN_MAX 8

/* Longer names are not mistyped. */
#define NEAREST_LENGTH_MAX 64

static bool is_control(unsigned char c)
{
	return c < 0x20 || c == 0x7f;
}

/* Escapes and shortens the name: an error must be safe to print to a terminal. */
static int name_reject(const char *what, const char *name, const char *why, struct error *err)
{
	char shown[4 * 64 + 4];
	size_t used = 0;

	for (const unsigned char *c = (const unsigned char *)name; *c; c++) {
		if (used + 8 > sizeof(shown)) {
			used += (size_t)sprintf(shown + used, "...");
			break;
		}
		used += (size_t)sprintf(shown + used,
					is_control(*c) || *c >= 0x80 ? "\\x%02x" : "%c", *c);
	}
	shown[used] = '\0';
	return error_set(err, VMCRED_USAGE, "the %s name \"%s\" %s", what, shown, why);
}

static int length_check(const char *what, const char *name, struct error *err)
{
	size_t length = strlen(name);

	if (length == 0)
		return name_reject(what, name, "is empty", err);
	if (length > CREDENTIAL_NAME_SIZE_MAX)
		return name_reject(what, name, "is longer than 255 bytes", err);
	return 0;
}

int credential_name_check(const char *name, struct error *err)
{
	static const char what[] = "credential";
	int r = length_check(what, name, err);

	if (r < 0)
		return r;
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return name_reject(what, name, "is a directory", err);
	for (const unsigned char *c = (const unsigned char *)name; *c; c++) {
		/* Most characters are letters, and a declaration may have very many names. */
		if (*c > ':' && *c < 0x7f)
			continue;
		if (*c == '/')
			return name_reject(what, name, "contains '/'", err);
		if (*c == ':')
			return name_reject(what, name, "contains ':'", err);
		if (is_control(*c))
			return name_reject(what, name, "contains a control character", err);
		if (*c >= 0x80)
			return name_reject(what, name, "contains a non-ASCII byte", err);
	}
	return 0;
}

int store_name_check(const char *what, const char *name, struct error *err)
{
	int r = length_check(what, name, err);

	if (r < 0)
		return r;
	if (name[0] == '.')
		return name_reject(what, name, "starts with '.'", err);
	/* strspn(3) prepares a table for each name; a declaration may have very many. */
	for (const char *c = name; *c; c++) {
		const int lower = *c | 0x20;

		if ((lower < 'a' || lower > 'z') && (*c < '0' || *c > '9') && *c != '.' &&
		    *c != '_' && *c != '-')
			return name_reject(what, name,
					   "may only contain letters, digits, '.', '_' and '-'",
					   err);
	}
	return 0;
}

/* The Levenshtein distance, with one row of the table. Both are at most NEAREST_LENGTH_MAX long. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t row[NEAREST_LENGTH_MAX + 1];
	size_t length = strlen(b);

	for (size_t j = 0; j <= length; j++)
		row[j] = j;
	for (size_t i = 0; a[i]; i++) {
		size_t diagonal = row[0];

		row[0] = i + 1;
		for (size_t j = 0; j < length; j++) {
			size_t above = row[j + 1];
			size_t replaced = diagonal + (a[i] != b[j]);
			size_t other = (above < row[j] ? above : row[j]) + 1;

			row[j + 1] = replaced < other ? replaced : other;
			diagonal = above;
		}
	}
	return row[length];
}

const char *name_nearest(const char *name, const char *const *known)
{
	size_t length = strlen(name), allowed = length / 3 > 2 ? length / 3 : 2;
	const char *nearest = NULL;

	if (length > NEAREST_LENGTH_MAX)
		return NULL;
	for (; *known; known++) {
		size_t distance;

		if (strlen(*known) > NEAREST_LENGTH_MAX)
			continue;
		distance = edit_distance(name, *known);
		/* A name that has little in common is not a suggestion. */
		if (distance <= allowed && 2 * distance <= strlen(*known)) {
			nearest = *known;
			if (distance == 0)
				break;
			allowed = distance - 1;
		}
	}
	return nearest;
}

int name_hint(const char *name, const char *const *known, struct error *err)
{
	const char *nearest = name_nearest(name, known);
	_cleanup_free_ char *names = NULL;
	size_t count = 0;

	if (nearest)
		return error_hint(err, "did you mean \"%s\"?", nearest);
	while (count <= NAMES_SHOWN_MAX && known[count])
		count++;
	if (count == 0 || count > NAMES_SHOWN_MAX)
		return -(int)err->code;
	names = strings_join(&(struct strings){(char **)known, count}, ", ");
	return names ? error_hint(err, "known names: %s", names) : error_no_memory(err);
}

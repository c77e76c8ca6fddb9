/* SPDX-License-Identifier: Apache-2.0 */
#include "base/name.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* Longer words than this are nobody's typing mistake. */
#define NEAREST_LENGTH_MAX 64

static bool is_control(unsigned char c)
{
	return c < 0x20 || c == 0x7f;
}

static int name_reject(const char *what, const char *name, const char *why, struct error *err)
{
	/* The name may hold what is wrong with it: show it in a form that a terminal can take. */
	char shown[4 * 64 + 4];
	size_t used = 0;

	for (const unsigned char *c = (const unsigned char *)name; *c; c++) {
		static const char digits[] = "0123456789abcdef";

		if (used + 8 > sizeof(shown)) {
			memcpy(shown + used, "...", 3);
			used += 3;
			break;
		}
		if (is_control(*c) || *c >= 0x80) {
			shown[used++] = '\\';
			shown[used++] = 'x';
			shown[used++] = digits[*c >> 4];
			shown[used++] = digits[*c & 15];
		} else {
			shown[used++] = (char)*c;
		}
	}
	shown[used] = '\0';
	return error_set(err, VMCRED_USAGE, "the %s name \"%s\" %s", what, shown, why);
}

int credential_name_check(const char *name, struct error *err)
{
	static const char what[] = "credential";
	size_t length = strlen(name);

	if (length == 0)
		return name_reject(what, name, "is empty", err);
	if (length > CREDENTIAL_NAME_SIZE_MAX)
		return name_reject(what, name, "is longer than 255 bytes", err);
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return name_reject(what, name, "is a folder's own name", err);
	for (const unsigned char *c = (const unsigned char *)name; *c; c++) {
		if (*c == '/')
			return name_reject(what, name, "has a '/' in it", err);
		if (*c == ':')
			return name_reject(what, name, "has a ':' in it", err);
		if (is_control(*c))
			return name_reject(what, name, "has a control character in it", err);
		if (*c >= 0x80)
			return name_reject(what, name, "has a byte in it that is not ASCII", err);
	}
	return 0;
}

int store_name_check(const char *what, const char *name, struct error *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	size_t length = strlen(name);

	if (length == 0)
		return name_reject(what, name, "is empty", err);
	if (length > CREDENTIAL_NAME_SIZE_MAX)
		return name_reject(what, name, "is longer than 255 bytes", err);
	if (name[0] == '.')
		return name_reject(what, name, "starts with a '.'", err);
	if (strspn(name, allowed) != length)
		return name_reject(
			what, name,
			"has a character in it that is not a letter, a digit, '.', '_' or '-'",
			err);
	return 0;
}

static size_t smallest(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

/* Levenshtein's distance with one row of the table. Both at most NEAREST_LENGTH_MAX long. */
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

			row[j + 1] = smallest(above + 1, row[j] + 1, diagonal + (a[i] != b[j]));
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
		/* Replacing every letter is not a typing mistake. */
		if (distance <= allowed && distance < strlen(*known)) {
			nearest = *known;
			if (distance == 0)
				break;
			allowed = distance - 1;
		}
	}
	return nearest;
}

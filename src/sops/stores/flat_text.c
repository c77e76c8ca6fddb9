/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/stores/flat.h"

#include <string.h>

/* Without fractions of a second: time.RFC3339. */
static struct span time_text(struct span text, char buffer[SOPS_NUMBER_SIZE_MAX])
{
	const uint8_t *point = memchr(text.data, '.', text.size);
	size_t kept = point ? (size_t)(point - text.data) : text.size, rest = kept;

	if (!point || text.size > SOPS_NUMBER_SIZE_MAX)
		return text;
	for (rest++; rest < text.size && text.data[rest] >= '0' && text.data[rest] <= '9';)
		rest++;
	memcpy(buffer, text.data, kept);
	memcpy(buffer + kept, text.data + rest, text.size - rest);
	return span_of(buffer, kept + text.size - rest);
}

int sops_flat_text(const struct sops_node *node, char buffer[SOPS_NUMBER_SIZE_MAX],
		   struct span *text, struct error *err)
{
	switch (node->kind) {
	case SOPS_FLOAT:
		*text = span_of(buffer, sops_float_print(node->text, SOPS_NUMBER_FLAT, buffer));
		return 0;
	case SOPS_BOOL:
		*text = span_of_text(span_equal(node->text, span_of_text("True")) ? "true"
										  : "false");
		return 0;
	case SOPS_NULL:
		*text = span_of_text("<nil>");
		return 0;
	case SOPS_TIME:
		*text = time_text(node->text, buffer);
		return 0;
	case SOPS_STRING:
	case SOPS_INT:
	case SOPS_COMMENT:
		*text = node->text;
		return 0;
	case SOPS_MAP:
	case SOPS_LIST:
		return error_set(err, VMCRED_FAILED, "it is a map or a list");
	case SOPS_BYTES:
		break;
	}
	return error_set(err, VMCRED_FAILED, "it is binary");
}

/* The White_Space property of Unicode beyond ASCII, as UTF-8. */
static const char *const wide_spaces[] = {
	"\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\x80", "\xe2\x80\x81",
	"\xe2\x80\x82", "\xe2\x80\x83", "\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86",
	"\xe2\x80\x87", "\xe2\x80\x88", "\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8",
	"\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80",
};

static bool is_narrow_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The size of the white space character at an end, or 0. */
static size_t space_size(struct span text, bool at_end)
{
	if (text.size == 0)
		return 0;
	if (is_narrow_space(text.data[at_end ? text.size - 1 : 0]))
		return 1;
	for (size_t i = 0; i < sizeof(wide_spaces) / sizeof(wide_spaces[0]); i++) {
		size_t size = strlen(wide_spaces[i]);

		if (text.size >= size &&
		    memcmp(text.data + (at_end ? text.size - size : 0), wide_spaces[i], size) == 0)
			return size;
	}
	return 0;
}

struct span sops_space_trim_left(struct span text)
{
	size_t size;

	while ((size = space_size(text, false)) > 0)
		text = span_of(text.data + size, text.size - size);
	return text;
}

struct span sops_space_trim_right(struct span text)
{
	size_t size;

	while ((size = space_size(text, true)) > 0)
		text.size -= size;
	return text;
}

struct span sops_space_trim(struct span text)
{
	return sops_space_trim_right(sops_space_trim_left(text));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/quotation.h"

#include <string.h>

#define QUOTED_SIZE_MIN 4

/* Messages cut what they quote, and escape some characters: any whole block of it is enough. */
#define BLOCK_SIZE 16

static bool value_found(struct span text, struct span value)
{
	if (value.size < QUOTED_SIZE_MIN)
		return false;
	if (value.size < BLOCK_SIZE)
		return memmem(text.data, text.size, value.data, value.size) != NULL;
	for (size_t at = 0; at + BLOCK_SIZE <= value.size; at += BLOCK_SIZE) {
		if (memmem(text.data, text.size, value.data + at, BLOCK_SIZE))
			return true;
	}
	return false;
}

bool quotation_found(struct span text, const struct oem_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		struct span value = secret_span(&list->strings[i].text);
		const uint8_t *equals = memchr(value.data, '=', value.size);

		if (equals && list->strings[i].name)
			value = span_of(equals + 1, value.size - (size_t)(equals + 1 - value.data));
		if (text.size > 0 && value_found(text, value))
			return true;
	}
	return false;
}

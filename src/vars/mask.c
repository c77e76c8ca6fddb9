/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/mask.h"

#include <stdlib.h>
#include <string.h>

/* Masking shorter values would hide half the message and protect nothing. */
#define MASK_SIZE_MIN 4

int mask_start(struct mask *mask, struct secret *output)
{
	mask->output = output;
	mask->hidden = calloc(output->size + 1, sizeof(*mask->hidden));
	return mask->hidden ? 0 : -1;
}

/* A script that was ended may have printed the start of a value only. */
static void start_hide(struct mask *mask, struct span value)
{
	const struct secret *output = mask->output;
	size_t size = value.size < output->size ? value.size : output->size;

	while (size >= MASK_SIZE_MIN &&
	       memcmp(output->data + output->size - size, value.data, size) != 0)
		size--;
	if (size >= MASK_SIZE_MIN)
		memset(mask->hidden + output->size - size, true, size);
}

static void text_hide(struct mask *mask, struct span value)
{
	const uint8_t *data = mask->output->data, *at = data, *found;

	while (value.size > 0 &&
	       (value.data[value.size - 1] == '\n' || value.data[value.size - 1] == '\r'))
		value.size--;
	if (value.size < MASK_SIZE_MIN)
		return;
	while ((found = memmem(at, mask->output->size - (size_t)(at - data), value.data,
			       value.size))) {
		memset(mask->hidden + (found - data), true, value.size);
		at = found + 1;
	}
	start_hide(mask, value);
}

void mask_value(struct mask *mask, struct span value)
{
	text_hide(mask, value);
	while (value.size > 0) {
		const uint8_t *end = memchr(value.data, '\n', value.size);
		size_t size = end ? (size_t)(end - value.data) : value.size;

		text_hide(mask, span_of(value.data, size));
		size += end ? 1 : 0;
		value = span_of(value.data + size, value.size - size);
	}
}

void mask_apply(struct mask *mask)
{
	for (size_t i = 0; i < mask->output->size; i++) {
		if (mask->hidden[i] && mask->output->data[i] != '\n')
			mask->output->data[i] = '*';
	}
}

void mask_destroy(struct mask *mask)
{
	free(mask->hidden);
}

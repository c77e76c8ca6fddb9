/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/script/mask.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/cleanup.h"

/* Masking shorter values would hide most of the output and protect nothing. */
#define MASK_SIZE_MIN 4

/* The line lengths of base64(1), PEM (RFC 7468) and `xxd -p`. */
static const size_t base64_columns[] = {76, 64};
#define XXD_COLUMNS 60

int mask_start(struct mask *mask, struct secret *output)
{
	mask->output = output;
	mask->hidden = calloc(output->size + 1, sizeof(*mask->hidden));
	return mask->hidden ? 0 : -1;
}

/* A killed script may have printed only the start of a value. */
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

static void pieces_hide(struct mask *mask, struct span text, size_t columns)
{
	while (text.size > 0) {
		size_t size = text.size < columns ? text.size : columns;

		text_hide(mask, span_of(text.data, size));
		text = span_of(text.data + size, text.size - size);
	}
}

/* In one line or several, and without its last digit, which depends on what follows the value. */
static void base64_text_hide(struct mask *mask, struct span text)
{
	for (size_t i = 0; i < sizeof(base64_columns) / sizeof(base64_columns[0]); i++)
		pieces_hide(mask, text, base64_columns[i]);
	while (text.size > 0 && text.data[text.size - 1] == '=')
		text.size--;
	text_hide(mask, span_of(text.data, text.size > 0 ? text.size - 1 : 0));
}

static int base64_hide(struct mask *mask, struct span value)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_secret_ struct secret text = {0};
	int r = base64_encode_secret(value, BASE64_PADDED, &text, &ignored);

	if (r < 0)
		return r;
	base64_text_hide(mask, secret_span(&text));
	/* RFC 4648, section 5. */
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] == '+' || text.data[i] == '/')
			text.data[i] = text.data[i] == '+' ? '-' : '_';
	}
	base64_text_hide(mask, secret_span(&text));
	return 0;
}

static int hex_hide(struct mask *mask, struct span value, const char digits[16])
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_secret_ struct secret text = {0};
	int r = secret_reserve(&text, value.size * 2, &ignored);

	if (r < 0)
		return r;
	for (size_t i = 0; i < value.size; i++) {
		text.data[text.size++] = (uint8_t)digits[value.data[i] >> 4];
		text.data[text.size++] = (uint8_t)digits[value.data[i] & 15];
	}
	text_hide(mask, secret_span(&text));
	pieces_hide(mask, secret_span(&text), XXD_COLUMNS);
	return 0;
}

/* As base64(1), openssl-enc(1) and xxd(1) print it. */
static void encoded_hide(struct mask *mask, struct span value)
{
	if (value.size >= MASK_SIZE_MIN &&
	    (base64_hide(mask, value) < 0 || hex_hide(mask, value, "0123456789abcdef") < 0 ||
	     hex_hide(mask, value, "0123456789ABCDEF") < 0))
		/* Without memory to search for it, everything is masked. */
		memset(mask->hidden, true, mask->output->size);
}

void mask_value(struct mask *mask, struct span value)
{
	struct span trimmed = value;

	while (trimmed.size > 0 && trimmed.data[trimmed.size - 1] == '\n')
		trimmed.size--;
	text_hide(mask, value);
	encoded_hide(mask, trimmed);
	if (trimmed.size < value.size)
		encoded_hide(mask, value);
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

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

/* All-ones where a < b, else zero, without a branch. Both below 2^31. */
static uint32_t mask_less(uint32_t a, uint32_t b)
{
	return 0U - ((a - b) >> 31);
}

/* All-ones where low <= c <= high. */
static uint32_t mask_within(uint32_t c, uint32_t low, uint32_t high)
{
	return ~mask_less(c, low) & ~mask_less(high, c);
}

static char digit_encode(uint32_t value)
{
	uint32_t c = (mask_within(value, 0, 25) & (value + 'A')) |
		     (mask_within(value, 26, 51) & (value - 26 + 'a')) |
		     (mask_within(value, 52, 61) & (value - 52 + '0')) |
		     (mask_within(value, 62, 62) & '+') | (mask_within(value, 63, 63) & '/');

	return (char)c;
}

/* The digit's value, or a number over 63. */
static uint32_t digit_decode(uint32_t c)
{
	uint32_t upper = mask_within(c, 'A', 'Z'), lower = mask_within(c, 'a', 'z');
	uint32_t number = mask_within(c, '0', '9');
	uint32_t plus = mask_within(c, '+', '+'), slash = mask_within(c, '/', '/');
	uint32_t none = ~(upper | lower | number | plus | slash);

	return (upper & (c - 'A')) | (lower & (c - 'a' + 26)) | (number & (c - '0' + 52)) |
	       (plus & 62) | (slash & 63) | (none & 64);
}

size_t base64_encoded_size(size_t size, enum base64_form form)
{
	size_t rest = size % 3;

	if (rest == 0)
		return size / 3 * 4;
	return size / 3 * 4 + (form == BASE64_PADDED ? 4 : rest + 1);
}

void base64_encode(struct span bytes, enum base64_form form, char *out)
{
	const uint8_t *data = bytes.data;
	size_t left = bytes.size;

	for (; left >= 3; left -= 3, data += 3) {
		uint32_t group = (uint32_t)data[0] << 16 | (uint32_t)data[1] << 8 | data[2];

		*out++ = digit_encode(group >> 18);
		*out++ = digit_encode(group >> 12 & 63);
		*out++ = digit_encode(group >> 6 & 63);
		*out++ = digit_encode(group & 63);
	}
	if (left > 0) {
		uint32_t group = (uint32_t)data[0] << 16;

		if (left == 2)
			group |= (uint32_t)data[1] << 8;
		*out++ = digit_encode(group >> 18);
		*out++ = digit_encode(group >> 12 & 63);
		if (left == 2)
			*out++ = digit_encode(group >> 6 & 63);
		else if (form == BASE64_PADDED)
			*out++ = '=';
		if (form == BASE64_PADDED)
			*out++ = '=';
	}
}

int base64_encode_secret(struct span bytes, enum base64_form form, struct secret *out,
			 struct error *err)
{
	size_t size = base64_encoded_size(bytes.size, form), end;
	int r;

	if (bytes.size > SIZE_MAX / 4 * 3 - 4 || __builtin_add_overflow(out->size, size, &end))
		return error_no_memory(err);
	r = secret_reserve(out, end, err);
	if (r < 0)
		return r;
	base64_encode(bytes, form, (char *)out->data + out->size);
	out->size = end;
	return 0;
}

/* Takes the padding off, so that both forms are decoded alike. */
static int padding_strip(struct span *text, enum base64_form form, struct error *err)
{
	size_t padding = 0;

	while (padding < 2 && padding < text->size && text->data[text->size - 1 - padding] == '=')
		padding++;
	if (form == BASE64_UNPADDED) {
		if (padding > 0)
			return error_set(err, VMCRED_FAILED, "the Base64 text has padding");
	} else if (text->size % 4 != 0) {
		return error_set(
			err, VMCRED_FAILED,
			"the Base64 text is %zu characters long, which is not a multiple of 4",
			text->size);
	}
	text->size -= padding;
	if (text->size % 4 == 1 || (padding > 0 && (text->size + padding) % 4 != 0))
		return error_set(err, VMCRED_FAILED, "the Base64 text is cut off");
	return 0;
}

int base64_decode(struct span text, enum base64_form form, uint8_t *out, size_t *size,
		  struct error *err)
{
	uint32_t bits = 0, invalid = 0;
	size_t count = 0, used = 0;
	int r = padding_strip(&text, form, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < text.size; i++) {
		uint32_t value = digit_decode(text.data[i]);

		invalid |= value >> 6;
		bits = bits << 6 | (value & 63);
		count += 6;
		if (count >= 8) {
			count -= 8;
			out[used++] = (uint8_t)(bits >> count);
		}
	}
	if (invalid)
		return error_set(err, VMCRED_FAILED,
				 "the Base64 text has a character in it that is not Base64");
	if (bits & ((1U << count) - 1))
		return error_set(err, VMCRED_FAILED,
				 "the Base64 text is not canonical: its last group has stray bits");
	*size = used;
	return 0;
}

int base64_decode_secret(struct span text, enum base64_form form, struct secret *out,
			 struct error *err)
{
	size_t size = 0, room, end;
	int r;

	room = text.size / 4 * 3 + 2;
	if (__builtin_add_overflow(out->size, room, &end))
		return error_no_memory(err);
	r = secret_reserve(out, end, err);
	if (r < 0)
		return r;
	r = base64_decode(text, form, out->data + out->size, &size, err);
	if (r < 0)
		return r;
	out->size += size;
	return 0;
}

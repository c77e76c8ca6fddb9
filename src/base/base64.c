/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

#include <endian.h>

/*
 * Eight characters at a time, in the bytes of one number. Every byte is below 0x80, so that adding
 * up to 0x80 to it does not carry into the next one.
 */
#define EACH(byte) ((byte)*0x0101010101010101U)

/* 0xff in each byte that is at least `low`, 0 in the others, without a branch. */
static uint64_t at_least(uint64_t bytes, uint64_t low)
{
	return ((bytes + EACH(0x80 - low)) & EACH(0x80)) / 0x80 * 0xff;
}

static uint64_t within(uint64_t bytes, uint64_t low, uint64_t high)
{
	return at_least(bytes, low) & ~at_least(bytes, high + 1);
}

/* Digits to characters; all are below 64. */
static uint64_t digits_encode(uint64_t digits)
{
	return digits + EACH('A') + (at_least(digits, 26) & EACH('a' - 'Z' - 1)) -
	       (at_least(digits, 52) & EACH('z' - '0' + 1)) -
	       (at_least(digits, 62) & EACH('9' - '+' + 1)) +
	       (at_least(digits, 63) & EACH('/' - '+' - 1));
}

/* Characters to digits; sets `*invalid` if one is not in the alphabet. Sums are modulo 0x80. */
static uint64_t digits_decode(uint64_t characters, uint64_t *invalid)
{
	uint64_t bytes = characters & EACH(0x7f);
	uint64_t upper = within(bytes, 'A', 'Z'), lower = within(bytes, 'a', 'z');
	uint64_t number = within(bytes, '0', '9');
	uint64_t plus = within(bytes, '+', '+'), slash = within(bytes, '/', '/');
	uint64_t shift = (upper & EACH(0x80 - 'A')) | (lower & EACH(0x80 + 26 - 'a')) |
			 (number & EACH(52 - '0')) | (plus & EACH(62 - '+')) |
			 (slash & EACH(63 - '/'));

	*invalid |= (characters & EACH(0x80)) | ~(upper | lower | number | plus | slash);
	return (bytes + shift) & EACH(0x3f);
}

/* Eight bytes of six bits each, the most significant first, to 48 bits; and back. */
static uint64_t digits_join(uint64_t digits)
{
	digits = (digits & 0x3f003f003f003f00) >> 2 | (digits & 0x003f003f003f003f);
	digits = (digits & 0x0fff00000fff0000) >> 4 | (digits & 0x00000fff00000fff);
	return (digits >> 8 & 0xffffff000000) | (digits & 0xffffff);
}

static uint64_t digits_split(uint64_t bits)
{
	bits = (bits & 0xffffff000000) << 8 | (bits & 0xffffff);
	bits = (bits & 0x00fff00000fff000) << 4 | (bits & 0x00000fff00000fff);
	return (bits & 0x0fc00fc00fc00fc0) << 2 | (bits & 0x003f003f003f003f);
}

/* Six bytes to eight characters. */
static void group_encode(const uint8_t bytes[6], char out[8])
{
	uint64_t bits = 0;

	memcpy(&bits, bytes, 6);
	bits = htobe64(digits_encode(digits_split(be64toh(bits) >> 16)));
	memcpy(out, &bits, sizeof(bits));
}

/* Eight characters to six bytes. */
static void group_decode(const uint8_t text[8], uint8_t out[6], uint64_t *invalid)
{
	uint64_t bits;

	memcpy(&bits, text, sizeof(bits));
	bits = htobe64(digits_join(digits_decode(be64toh(bits), invalid)) << 16);
	memcpy(out, &bits, 6);
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
	size_t written = 0, end = base64_encoded_size(bytes.size, form);
	uint8_t rest[6] = {0};
	char last[8];

	for (; bytes.size >= 6; bytes = span_skip(bytes, 6)) {
		group_encode(bytes.data, out + written);
		written += 8;
	}
	if (bytes.size == 0)
		return;
	for (size_t i = 0; i < bytes.size; i++)
		rest[i] = bytes.data[i];
	group_encode(rest, last);
	memset(out + written, '=', end - written);
	memcpy(out + written, last, base64_encoded_size(bytes.size, BASE64_UNPADDED));
	memory_wipe(rest, sizeof(rest));
	memory_wipe(last, sizeof(last));
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

/* Removes the padding, so that both forms are decoded alike. */
static int padding_strip(struct span *text, enum base64_form form, struct error *err)
{
	size_t padding = 0;

	while (padding < 2 && padding < text->size && text->data[text->size - 1 - padding] == '=')
		padding++;
	if (form == BASE64_UNPADDED) {
		if (padding > 0)
			return error_set(err, VMCRED_FAILED, "the Base64 text has padding");
	} else if (text->size % 4 != 0) {
		return error_set(err, VMCRED_FAILED,
				 "the Base64 text has %zu characters, which is not a multiple of 4",
				 text->size);
	}
	text->size -= padding;
	if (text->size % 4 == 1 || (padding > 0 && (text->size + padding) % 4 != 0))
		return error_set(err, VMCRED_FAILED, "the Base64 text is truncated");
	return 0;
}

int base64_decode(struct span text, enum base64_form form, uint8_t *out, size_t *size,
		  struct error *err)
{
	uint8_t last[8], bytes[6] = {0};
	size_t used = 0, rest;
	uint64_t invalid = 0;
	int r = padding_strip(&text, form, err);

	if (r < 0)
		return r;
	for (; text.size >= 8; text = span_skip(text, 8)) {
		group_decode(text.data, out + used, &invalid);
		used += 6;
	}
	/* Padding with 'A', which is zero, leaves stray bits in the byte after the last. */
	rest = text.size * 6 / 8;
	memset(last, 'A', sizeof(last));
	if (text.size > 0)
		memcpy(last, text.data, text.size);
	group_decode(last, bytes, &invalid);
	memcpy(out + used, bytes, rest);
	*size = used + rest;
	memory_wipe(last, sizeof(last));
	r = bytes[rest];
	memory_wipe(bytes, sizeof(bytes));
	if (invalid)
		return error_set(err, VMCRED_FAILED, "the Base64 text has an invalid character");
	if (r)
		return error_set(err, VMCRED_FAILED,
				 "the Base64 text is not canonical: stray bits in the last group");
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

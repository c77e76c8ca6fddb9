/* SPDX-License-Identifier: Apache-2.0 */
#include "age/bech32.h"

#include <stdlib.h>

#define CHECKSUM_LENGTH 6

static const char alphabet[33] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/* All-ones where a and b, both below 2^31, are equal. */
static uint32_t mask_equal(uint32_t a, uint32_t b)
{
	uint32_t difference = a ^ b;

	return ((difference | (0U - difference)) >> 31) - 1U;
}

static char digit_encode(uint32_t value)
{
	uint32_t c = 0;

	for (uint32_t i = 0; i < 32; i++)
		c |= mask_equal(value, i) & (uint32_t)alphabet[i];
	return (char)c;
}

/* The digit's value, or at least 32. */
static uint32_t digit_decode(uint32_t c)
{
	uint32_t value = 0, found = 0;

	for (uint32_t i = 0; i < 32; i++) {
		uint32_t equal = mask_equal(c, (uint32_t)alphabet[i]);

		value |= equal & i;
		found |= equal;
	}
	return value | (~found & 32);
}

/* BIP 173, "Checksum" */
static uint32_t checksum_step(uint32_t checksum, uint32_t value)
{
	static const uint32_t generator[] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd,
					     0x2a1462b3};
	uint32_t top = checksum >> 25;

	checksum = (checksum & 0x1ffffff) << 5 ^ value;
	for (uint32_t i = 0; i < 5; i++)
		checksum ^= (0U - (top >> i & 1)) & generator[i];
	return checksum;
}

static uint32_t checksum_begin(struct span prefix)
{
	uint32_t checksum = 1;

	for (size_t i = 0; i < prefix.size; i++)
		checksum = checksum_step(checksum, prefix.data[i] >> 5);
	checksum = checksum_step(checksum, 0);
	for (size_t i = 0; i < prefix.size; i++)
		checksum = checksum_step(checksum, prefix.data[i] & 31);
	return checksum;
}

static size_t encoded_size(const char *prefix, size_t size)
{
	return strlen(prefix) + 1 + (size * 8 + 4) / 5 + CHECKSUM_LENGTH;
}

/* Writes encoded_size() characters in lower case. */
static void encode(const char *prefix, struct span bytes, char *out)
{
	uint32_t checksum = checksum_begin(span_of_text(prefix)), bits = 0;
	size_t digits = (bytes.size * 8 + 4) / 5, used = 0;
	unsigned int count = 0;

	out = stpcpy(out, prefix);
	*out++ = '1';
	for (size_t i = 0; i < digits; i++) {
		uint32_t value;

		/* Zeros fill the last digit. */
		if (count < 5) {
			bits = bits << 8 | (used < bytes.size ? bytes.data[used] : 0);
			used++;
			count += 8;
		}
		count -= 5;
		value = bits >> count & 31;
		checksum = checksum_step(checksum, value);
		*out++ = digit_encode(value);
	}
	for (int i = 0; i < CHECKSUM_LENGTH; i++)
		checksum = checksum_step(checksum, 0);
	checksum ^= 1;
	for (int i = 0; i < CHECKSUM_LENGTH; i++)
		*out++ = digit_encode(checksum >> 5 * (CHECKSUM_LENGTH - 1 - i) & 31);
}

char *bech32_encode(const char *prefix, struct span bytes)
{
	/* stpcpy(3) writes a NUL, and calloc(3) leaves one at the end. */
	char *text = calloc(1, encoded_size(prefix, bytes.size) + 1);

	if (text)
		encode(prefix, bytes, text);
	return text;
}

int bech32_encode_secret(const char *prefix, struct span bytes, struct secret *text,
			 struct error *err)
{
	size_t size = encoded_size(prefix, bytes.size);
	int r = secret_reserve(text, text->size + size, err);

	if (r < 0)
		return r;
	encode(prefix, bytes, (char *)text->data + text->size);
	for (size_t end = text->size + size; text->size < end; text->size++) {
		uint32_t c = text->data[text->size];
		/* The sign bits tell whether c is outside of 'a' to 'z'. */
		uint32_t outside = ((c - 'a') | ('z' - c)) >> 31;

		text->data[text->size] = (uint8_t)(c ^ (outside ^ 1) << 5);
	}
	return 0;
}

/* A letter of the wanted case in lower case; any other letter becomes an invalid character. */
static uint32_t letter_lower(uint32_t c, enum bech32_case letters)
{
	uint32_t upper = ((c - 'A') | ('Z' - c)) >> 31 ^ 1,
		 lower = ((c - 'a') | ('z' - c)) >> 31 ^ 1;

	if (letters == BECH32_UPPER)
		return c + (upper << 5) + (lower << 8);
	return c + (upper << 8);
}

/* Whether the text starts with the prefix and the separator. */
static bool has_prefix(struct span text, const char *prefix, enum bech32_case letters)
{
	size_t length = strlen(prefix);

	for (size_t i = 0; i < length; i++) {
		if (i >= text.size || letter_lower(text.data[i], letters) != (uint8_t)prefix[i])
			return false;
	}
	return length < text.size && text.data[length] == '1';
}

int bech32_decode(struct span text, const char *prefix, enum bech32_case letters, uint8_t *out,
		  size_t size, struct error *err)
{
	size_t start = strlen(prefix) + 1, end = encoded_size(prefix, size), used = 0;
	uint32_t checksum = checksum_begin(span_of_text(prefix)), invalid = 0, bits = 0;
	unsigned int count = 0;

	if (!has_prefix(text, prefix, letters))
		return error_set(err, VMCRED_FAILED, "wrong prefix");
	if (text.size != end)
		return error_set(err, VMCRED_FAILED, "it has %zu characters instead of %zu",
				 text.size, end);
	for (size_t i = start; i < end; i++) {
		uint32_t value = digit_decode(letter_lower(text.data[i], letters));

		invalid |= value >> 5;
		checksum = checksum_step(checksum, value & 31);
		if (i >= end - CHECKSUM_LENGTH)
			continue;
		bits = bits << 5 | (value & 31);
		count += 5;
		if (count >= 8) {
			count -= 8;
			out[used++] = (uint8_t)(bits >> count);
		}
	}
	if (invalid)
		error_set(err, VMCRED_FAILED, "it contains an invalid character");
	else if (checksum != 1)
		error_set(err, VMCRED_FAILED, "wrong checksum, probably mistyped");
	else if (bits & ((1U << count) - 1))
		error_set(err, VMCRED_FAILED, "stray bits in its last character");
	else
		return 0;
	memory_wipe(out, size);
	return -(int)err->code;
}

int bech32_check(struct span text, enum bech32_case letters, size_t *prefix_size, struct error *err)
{
	uint32_t checksum = 1, invalid = 0, value = 0;
	size_t separator = text.size, bits;

	/* The last '1' ends the prefix: it is not in the alphabet. */
	while (separator > 0 && text.data[separator - 1] != '1')
		separator--;
	if (separator < 2 || text.size - separator < CHECKSUM_LENGTH)
		return error_set(err, VMCRED_FAILED, "it is not Bech32");
	*prefix_size = separator - 1;
	for (size_t i = 0; i < *prefix_size; i++) {
		value = letter_lower(text.data[i], letters);
		/* BIP 173: printable characters, in one case. */
		invalid |= (value - 33) >> 31 | (126 - value) >> 31;
		checksum = checksum_step(checksum, value >> 5 & 31);
	}
	checksum = checksum_step(checksum, 0);
	for (size_t i = 0; i < *prefix_size; i++)
		checksum = checksum_step(checksum, letter_lower(text.data[i], letters) & 31);
	for (size_t i = separator; i < text.size; i++) {
		uint32_t digit = digit_decode(letter_lower(text.data[i], letters));

		invalid |= digit >> 5;
		checksum = checksum_step(checksum, digit & 31);
		if (i < text.size - CHECKSUM_LENGTH)
			value = digit;
	}
	if (invalid)
		return error_set(err, VMCRED_FAILED, "it contains an invalid character");
	if (checksum != 1)
		return error_set(err, VMCRED_FAILED, "wrong checksum, probably mistyped");
	/* The remaining bits are fewer than a digit, and zero. */
	bits = (text.size - separator - CHECKSUM_LENGTH) * 5 % 8;
	if (bits >= 5 || (text.size - separator > CHECKSUM_LENGTH && (value & ((1U << bits) - 1))))
		return error_set(err, VMCRED_FAILED, "stray bits in its last character");
	return 0;
}

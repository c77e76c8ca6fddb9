/* SPDX-License-Identifier: Apache-2.0 */
#include "age/bech32.h"

#include "base/secret.h"

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

/* The digit's value, or 32 and more. */
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

static uint32_t checksum_begin(const char *prefix)
{
	uint32_t checksum = 1;

	for (const char *c = prefix; *c; c++)
		checksum = checksum_step(checksum, (uint8_t)*c >> 5);
	checksum = checksum_step(checksum, 0);
	for (const char *c = prefix; *c; c++)
		checksum = checksum_step(checksum, (uint8_t)*c & 31);
	return checksum;
}

size_t bech32_encoded_size(const char *prefix, size_t size)
{
	return strlen(prefix) + 1 + (size * 8 + 4) / 5 + CHECKSUM_LENGTH;
}

static void letters_raise(char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		uint32_t c = (uint8_t)text[i];
		/* The sign bits tell whether c is outside of 'a' to 'z'. */
		uint32_t outside = ((c - 'a') | ('z' - c)) >> 31;

		text[i] = (char)(c ^ ((outside ^ 1) << 5));
	}
}

/* The next five bits; zeros fill the last digit up. */
static uint32_t digit_take(struct span *bytes, uint32_t *bits, unsigned int *count)
{
	if (*count < 5) {
		uint32_t next = 0;

		if (bytes->size > 0) {
			next = bytes->data[0];
			*bytes = span_of(bytes->data + 1, bytes->size - 1);
		}
		*bits = *bits << 8 | next;
		*count += 8;
	}
	*count -= 5;
	return *bits >> *count & 31;
}

void bech32_encode(const char *prefix, struct span bytes, enum bech32_case letters, char *out)
{
	size_t digits = (bytes.size * 8 + 4) / 5;
	uint32_t checksum = checksum_begin(prefix), bits = 0;
	unsigned int count = 0;
	char *to = out;

	for (const char *c = prefix; *c; c++)
		*to++ = *c;
	*to++ = '1';
	for (size_t i = 0; i < digits; i++) {
		uint32_t value = digit_take(&bytes, &bits, &count);

		checksum = checksum_step(checksum, value);
		*to++ = digit_encode(value);
	}
	for (int i = 0; i < CHECKSUM_LENGTH; i++)
		checksum = checksum_step(checksum, 0);
	checksum ^= 1;
	for (int i = 0; i < CHECKSUM_LENGTH; i++)
		*to++ = digit_encode(checksum >> 5 * (CHECKSUM_LENGTH - 1 - i) & 31);
	if (letters == BECH32_UPPER)
		letters_raise(out, (size_t)(to - out));
}

/* Lower case of a letter that is in the wanted case; a letter in the other one becomes no digit. */
static uint32_t letter_lower(uint32_t c, enum bech32_case letters)
{
	uint32_t upper = ((c - 'A') | ('Z' - c)) >> 31 ^ 1,
		 lower = ((c - 'a') | ('z' - c)) >> 31 ^ 1;

	if (letters == BECH32_UPPER)
		return c + (upper << 5) + (lower << 8);
	return c + (upper << 8);
}

static int prefix_check(struct span text, const char *prefix, enum bech32_case letters,
			struct error *err)
{
	size_t length = strlen(prefix);

	for (size_t i = 0; i < length; i++) {
		if (i >= text.size || letter_lower(text.data[i], letters) != (uint8_t)prefix[i])
			return error_set(err, VMCRED_FAILED, "it begins with something else");
	}
	if (length >= text.size || text.data[length] != '1')
		return error_set(err, VMCRED_FAILED, "it begins with something else");
	return 0;
}

int bech32_decode(struct span text, const char *prefix, enum bech32_case letters, uint8_t *out,
		  size_t size, struct error *err)
{
	size_t start = strlen(prefix) + 1, end = bech32_encoded_size(prefix, size), used = 0;
	uint32_t checksum = checksum_begin(prefix), invalid = 0, bits = 0;
	unsigned int count = 0;
	int r = prefix_check(text, prefix, letters, err);

	if (r < 0)
		return r;
	if (text.size != end)
		return error_set(err, VMCRED_FAILED, "it is %zu characters long and not %zu",
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
		error_set(err, VMCRED_FAILED, "it has a character in it that a key cannot have");
	else if (checksum != 1)
		error_set(err, VMCRED_FAILED, "its checksum is wrong: it was mistyped");
	else if (bits & ((1U << count) - 1))
		error_set(err, VMCRED_FAILED, "its last character has stray bits");
	else
		return 0;
	memory_wipe(out, size);
	return -(int)err->code;
}

/* The last '1' ends the prefix: the characters behind it include none. */
static bool prefix_find(struct span text, size_t *prefix_size)
{
	size_t one = text.size;

	while (one > 0 && text.data[one - 1] != '1')
		one--;
	/* Something on either side of it. */
	if (one < 2 || text.size - one < CHECKSUM_LENGTH)
		return false;
	*prefix_size = one - 1;
	return true;
}

int bech32_check(struct span text, enum bech32_case letters, size_t *prefix_size, struct error *err)
{
	uint32_t checksum = 1, invalid = 0, value = 0;
	size_t bits;

	if (!prefix_find(text, prefix_size))
		return error_set(err, VMCRED_FAILED, "it is not Bech32");
	for (size_t i = 0; i < *prefix_size; i++) {
		value = letter_lower(text.data[i], letters);
		/* Characters that are printable, and none of the other case (BIP 173). */
		invalid |= (value - 33) >> 31 | (126 - value) >> 31;
		checksum = checksum_step(checksum, value >> 5 & 31);
	}
	checksum = checksum_step(checksum, 0);
	for (size_t i = 0; i < *prefix_size; i++)
		checksum = checksum_step(checksum, letter_lower(text.data[i], letters) & 31);
	for (size_t i = *prefix_size + 1; i < text.size; i++) {
		uint32_t digit = digit_decode(letter_lower(text.data[i], letters));

		invalid |= digit >> 5;
		checksum = checksum_step(checksum, digit & 31);
		if (i < text.size - CHECKSUM_LENGTH)
			value = digit;
	}
	if (invalid)
		return error_set(err, VMCRED_FAILED,
				 "it has a character in it that a key cannot have");
	if (checksum != 1)
		return error_set(err, VMCRED_FAILED, "its checksum is wrong: it was mistyped");
	/* Less than a digit is left over, and is zero. */
	bits = (text.size - *prefix_size - 1 - CHECKSUM_LENGTH) * 5 % 8;
	if (bits >= 5 ||
	    (text.size - *prefix_size - 1 > CHECKSUM_LENGTH && (value & ((1U << bits) - 1))))
		return error_set(err, VMCRED_FAILED, "its last character has stray bits");
	return 0;
}

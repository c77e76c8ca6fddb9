/* SPDX-License-Identifier: Apache-2.0 */
#include "age/ssh/blowfish.h"

#include <stdlib.h>

#include "base/cleanup.h"

#define STATE_WORDS (BLOWFISH_SUBKEYS + 4 * 256)

/*
 * Fixed-point numbers for pi: one word before the point, STATE_WORDS behind it, and a few to round
 * in. The most significant word comes first.
 */
#define GUARD_WORDS  4
#define NUMBER_WORDS (1 + STATE_WORDS + GUARD_WORDS)

static void number_divide(uint32_t *number, uint32_t divisor, size_t *first)
{
	uint64_t rest = 0;

	for (size_t i = *first; i < NUMBER_WORDS; i++) {
		rest = rest << 32 | number[i];
		number[i] = (uint32_t)(rest / divisor);
		rest %= divisor;
	}
	while (*first < NUMBER_WORDS && number[*first] == 0)
		(*first)++;
}

static void number_add(uint32_t *sum, const uint32_t *number)
{
	uint64_t carry = 0;

	for (size_t i = NUMBER_WORDS; i-- > 0;) {
		carry += (uint64_t)sum[i] + number[i];
		sum[i] = (uint32_t)carry;
		carry >>= 32;
	}
}

static void number_subtract(uint32_t *sum, const uint32_t *number)
{
	uint64_t borrow = 0;

	for (size_t i = NUMBER_WORDS; i-- > 0;) {
		uint64_t difference = (uint64_t)sum[i] - number[i] - borrow;

		sum[i] = (uint32_t)difference;
		borrow = difference >> 63;
	}
}

/* Adds factor × arctan(1 / inverse) = factor × (1/x - 1/3x³ + 1/5x⁵ - …), or subtracts it. */
static void arctangent_add(uint32_t *sum, uint32_t factor, uint32_t inverse, bool subtract,
			   uint32_t *power, uint32_t *term)
{
	size_t first = 0;

	memset(power, 0, NUMBER_WORDS * sizeof(*power));
	power[0] = factor;
	number_divide(power, inverse, &first);
	for (uint32_t n = 1; first < NUMBER_WORDS; n += 2) {
		size_t term_first = first;

		memcpy(term, power, NUMBER_WORDS * sizeof(*term));
		number_divide(term, n, &term_first);
		if (subtract)
			number_subtract(sum, term);
		else
			number_add(sum, term);
		subtract = !subtract;
		number_divide(power, inverse * inverse, &first);
	}
}

int blowfish_start(struct blowfish *state, struct error *err)
{
	_cleanup_free_ uint32_t *numbers = calloc((size_t)3 * NUMBER_WORDS, sizeof(*numbers));
	uint32_t *pi = numbers, *power, *term;

	if (!numbers)
		return error_no_memory(err);
	power = pi + NUMBER_WORDS;
	term = power + NUMBER_WORDS;
	/* J. Machin, 1706. A thousand words of a table could hold a wrong one; this cannot, and
	 * takes a fraction of the time of one key. */
	arctangent_add(pi, 16, 5, false, power, term);
	arctangent_add(pi, 4, 239, true, power, term);
	memcpy(state->subkeys, pi + 1, sizeof(state->subkeys));
	memcpy(state->boxes, pi + 1 + BLOWFISH_SUBKEYS, sizeof(state->boxes));
	return 0;
}

static uint32_t mix(const struct blowfish *state, uint32_t word)
{
	return ((state->boxes[0][word >> 24] + state->boxes[1][word >> 16 & 0xff]) ^
		state->boxes[2][word >> 8 & 0xff]) +
	       state->boxes[3][word & 0xff];
}

void blowfish_encrypt(const struct blowfish *state, uint32_t block[2])
{
	uint32_t left = block[0], right = block[1];

	for (size_t i = 0; i < BLOWFISH_ROUNDS; i += 2) {
		left ^= state->subkeys[i];
		right ^= mix(state, left);
		right ^= state->subkeys[i + 1];
		left ^= mix(state, right);
	}
	block[0] = right ^ state->subkeys[BLOWFISH_ROUNDS + 1];
	block[1] = left ^ state->subkeys[BLOWFISH_ROUNDS];
}

/* The next big-endian word; bytes come round again at the end. */
static uint32_t word_take(struct span bytes, size_t *at)
{
	const uint8_t *from = bytes.data + *at;

	*at = *at + 4 < bytes.size ? *at + 4 : 0;
	return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

/* Replaces words by an encryption that goes on from the last block. */
static void words_replace(const struct blowfish *state, uint32_t *words, size_t count,
			  struct span salt, size_t *at, uint32_t block[2])
{
	for (size_t i = 0; i < count; i += 2) {
		if (salt.size > 0) {
			block[0] ^= word_take(salt, at);
			block[1] ^= word_take(salt, at);
		}
		blowfish_encrypt(state, block);
		words[i] = block[0];
		words[i + 1] = block[1];
	}
}

void blowfish_expand_salted(struct blowfish *state, struct span key, struct span salt)
{
	uint32_t block[2] = {0};
	size_t at = 0;

	for (size_t i = 0; i < BLOWFISH_SUBKEYS; i++)
		state->subkeys[i] ^= word_take(key, &at);
	at = 0;
	words_replace(state, state->subkeys, BLOWFISH_SUBKEYS, salt, &at, block);
	for (size_t i = 0; i < 4; i++)
		words_replace(state, state->boxes[i], 256, salt, &at, block);
}

void blowfish_expand(struct blowfish *state, struct span key)
{
	blowfish_expand_salted(state, key, span_of(NULL, 0));
}

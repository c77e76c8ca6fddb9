/* SPDX-License-Identifier: Apache-2.0 */
#include "age/ssh/blowfish.h"

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

/* The next big-endian word; starts again at the end. */
static uint32_t word_take(struct span bytes, size_t *at)
{
	const uint8_t *from = bytes.data + *at;

	*at = *at + 4 < bytes.size ? *at + 4 : 0;
	return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

/* Replaces words with the encryption of the previous block. */
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

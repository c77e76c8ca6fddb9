/* SPDX-License-Identifier: Apache-2.0 */
#include "base/digest/sha256.h"

#include <string.h>

#include "base/secret.h"

/* FIPS 180-4, 4.2.2 and 5.3.3: bits of the cube roots and square roots of the first primes. */
static const uint32_t constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

static const uint32_t start[8] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
	0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

struct state {
	uint32_t hash[8];
	uint64_t size; /* of the bytes so far */
	uint8_t block[SHA256_BLOCK_SIZE];
	uint32_t schedule[64];
};

static uint32_t rotate(uint32_t word, unsigned int bits)
{
	return word >> bits | word << (32 - bits);
}

static void word_write(uint8_t *out, uint32_t word)
{
	out[0] = (uint8_t)(word >> 24);
	out[1] = (uint8_t)(word >> 16);
	out[2] = (uint8_t)(word >> 8);
	out[3] = (uint8_t)word;
}

static uint32_t word_read(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
}

/* FIPS 180-4, 6.2.2. */
static void block_add(struct state *state, const uint8_t block[SHA256_BLOCK_SIZE])
{
	uint32_t *w = state->schedule, v[8];

	for (size_t t = 0; t < 16; t++)
		w[t] = word_read(block + 4 * t);
	for (size_t t = 16; t < 64; t++) {
		const uint32_t s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ w[t - 15] >> 3;
		const uint32_t s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ w[t - 2] >> 10;

		w[t] = s1 + w[t - 7] + s0 + w[t - 16];
	}
	memcpy(v, state->hash, sizeof(v));
	for (size_t t = 0; t < 64; t++) {
		const uint32_t s1 = rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25);
		const uint32_t s0 = rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22);
		const uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
		const uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
		const uint32_t t1 = v[7] + s1 + choice + constants[t] + w[t];

		memmove(v + 1, v, 7 * sizeof(*v));
		v[4] += t1;
		v[0] = t1 + s0 + majority;
	}
	for (size_t i = 0; i < 8; i++)
		state->hash[i] += v[i];
	memory_wipe(v, sizeof(v));
}

static void state_start(struct state *state)
{
	memcpy(state->hash, start, sizeof(start));
	state->size = 0;
}

static void state_add(struct state *state, struct span bytes)
{
	while (bytes.size > 0) {
		const size_t used = state->size % SHA256_BLOCK_SIZE;
		const size_t room = SHA256_BLOCK_SIZE - used;
		const size_t taken = bytes.size < room ? bytes.size : room;

		memcpy(state->block + used, bytes.data, taken);
		state->size += taken;
		bytes = span_skip(bytes, taken);
		if (taken == room)
			block_add(state, state->block);
	}
}

static void state_finish(struct state *state, uint8_t digest[SHA256_SIZE])
{
	static const uint8_t padding[SHA256_BLOCK_SIZE] = {0x80};
	const uint64_t bits = 8 * state->size;
	const size_t used = state->size % SHA256_BLOCK_SIZE;
	uint8_t size[8];

	word_write(size, (uint32_t)(bits >> 32));
	word_write(size + 4, (uint32_t)bits);
	state_add(state, span_of(padding, (used < 56 ? 56 : 120) - used));
	state_add(state, span_of(size, sizeof(size)));
	for (size_t i = 0; i < 8; i++)
		word_write(digest + 4 * i, state->hash[i]);
	memory_wipe(state, sizeof(*state));
}

void sha256(const struct span *parts, size_t count, uint8_t digest[SHA256_SIZE])
{
	struct state state;

	state_start(&state);
	for (size_t i = 0; i < count; i++)
		state_add(&state, parts[i]);
	state_finish(&state, digest);
}

/* Starts with the key's block: FIPS 198-1, table 1. */
static void key_add(struct state *state, const uint8_t key[SHA256_BLOCK_SIZE], uint8_t pad)
{
	uint8_t block[SHA256_BLOCK_SIZE];

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = key[i] ^ pad;
	state_start(state);
	state_add(state, span_of(block, sizeof(block)));
	memory_wipe(block, sizeof(block));
}

void hmac_sha256(struct span key, const struct span *parts, size_t count, uint8_t mac[SHA256_SIZE])
{
	uint8_t block[SHA256_BLOCK_SIZE] = {0};
	struct state state;

	if (key.size > sizeof(block))
		sha256(&key, 1, block);
	else if (key.size > 0)
		memcpy(block, key.data, key.size);
	key_add(&state, block, 0x36);
	for (size_t i = 0; i < count; i++)
		state_add(&state, parts[i]);
	state_finish(&state, mac);
	key_add(&state, block, 0x5c);
	state_add(&state, span_of(mac, SHA256_SIZE));
	state_finish(&state, mac);
	memory_wipe(block, sizeof(block));
}

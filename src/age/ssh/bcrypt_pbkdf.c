/* SPDX-License-Identifier: Apache-2.0 */
#include "age/ssh/bcrypt_pbkdf.h"

#include <stdlib.h>

#include <openssl/evp.h>

#include "age/primitives.h"
#include "age/ssh/blowfish.h"
#include "base/secret.h"

#define DIGEST_SIZE 64 /* SHA-512 */
#define BLOCK_SIZE  32 /* of one bcrypt hash */
#define BLOCK_WORDS (BLOCK_SIZE / 4)
#define KEY_MAX     1024

/* The initial block; it is encrypted 64 times after 64 expansions of the state. */
static const char block_start[] = "OxychromaticBlowfishSwatDynamite";
#define ENCRYPTIONS 64
#define EXPANSIONS  64

/* Everything that depends on the passphrase, in one secret. */
struct working {
	struct blowfish state;
	uint8_t passphrase[DIGEST_SIZE], salt[DIGEST_SIZE];
	uint8_t hash[BLOCK_SIZE], sum[BLOCK_SIZE];
	uint32_t block[BLOCK_WORDS];
};

static int digest(struct span bytes, uint8_t out[DIGEST_SIZE], struct error *err)
{
	size_t size = 0;

	if (EVP_Q_digest(NULL, "SHA512", NULL, bytes.data ? bytes.data : (const uint8_t *)"",
			 bytes.size, out, &size) != 1)
		return age_crypto_failed(err, "compute a digest");
	return 0;
}

static void bcrypt_hash(struct working *w)
{
	struct span passphrase = span_of(w->passphrase, DIGEST_SIZE),
		    salt = span_of(w->salt, DIGEST_SIZE);

	memcpy(&w->state, blowfish_pi, sizeof(blowfish_pi));
	blowfish_expand_salted(&w->state, passphrase, salt);
	for (int i = 0; i < EXPANSIONS; i++) {
		blowfish_expand(&w->state, salt);
		blowfish_expand(&w->state, passphrase);
	}
	for (size_t i = 0; i < BLOCK_WORDS; i++) {
		const uint8_t *from = (const uint8_t *)block_start + 4 * i;

		w->block[i] = (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 |
			      (uint32_t)from[2] << 8 | from[3];
	}
	for (int i = 0; i < ENCRYPTIONS; i++) {
		for (size_t j = 0; j < BLOCK_WORDS; j += 2)
			blowfish_encrypt(&w->state, w->block + j);
	}
	/* Little-endian, unlike the rest of bcrypt. */
	for (size_t i = 0; i < BLOCK_SIZE; i++)
		w->hash[i] = (uint8_t)(w->block[i / 4] >> (8 * (i % 4)));
}

/* One block: PBKDF2 with bcrypt_hash() instead of HMAC. */
static int block_derive(struct working *w, struct span salt, uint32_t number, uint32_t rounds,
			struct error *err)
{
	_cleanup_secret_ struct secret numbered = {0};
	const uint8_t suffix[] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16),
				  (uint8_t)(number >> 8), (uint8_t)number};
	int r = secret_copy(&numbered, salt, err);

	if (r == 0)
		r = secret_append(&numbered, span_of(suffix, sizeof(suffix)), err);
	if (r == 0)
		r = digest(secret_span(&numbered), w->salt, err);
	if (r < 0)
		return r;
	bcrypt_hash(w);
	memcpy(w->sum, w->hash, BLOCK_SIZE);
	for (uint32_t round = 1; round < rounds; round++) {
		r = digest(span_of(w->hash, BLOCK_SIZE), w->salt, err);
		if (r < 0)
			return r;
		bcrypt_hash(w);
		for (size_t i = 0; i < BLOCK_SIZE; i++)
			w->sum[i] ^= w->hash[i];
	}
	return 0;
}

int bcrypt_pbkdf(struct span passphrase, struct span salt, uint32_t rounds, uint8_t *key,
		 size_t size, struct error *err)
{
	_cleanup_secret_ struct secret memory = {0};
	size_t blocks = (size + BLOCK_SIZE - 1) / BLOCK_SIZE;
	struct working *w;
	int r;

	if (size == 0 || size > KEY_MAX)
		return error_set(err, VMCRED_FAILED, "a key of %zu bytes cannot be derived", size);
	r = secret_create(&memory, sizeof(*w), err);
	if (r < 0)
		return r;
	w = (struct working *)(void *)memory.data;
	r = digest(passphrase, w->passphrase, err);
	/* The blocks are interleaved byte by byte, so that a part of the key costs as much as all.
	 */
	for (size_t block = 0; r == 0 && block < blocks; block++) {
		r = block_derive(w, salt, (uint32_t)block + 1, rounds, err);
		for (size_t i = 0; r == 0 && i < BLOCK_SIZE && i * blocks + block < size; i++)
			key[i * blocks + block] = w->sum[i];
	}
	return r;
}

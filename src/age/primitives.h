/* SPDX-License-Identifier: Apache-2.0 */
/*
 * age's primitives, from libcrypto: HKDF and HMAC with SHA-256, and ChaCha20-Poly1305 without
 * additional data.
 */
#ifndef VMCRED_AGE_PRIMITIVES_H
#define VMCRED_AGE_PRIMITIVES_H

#include <openssl/evp.h>

#include "base/error.h"
#include "base/span.h"

#define AGE_KEY_SIZE   32 /* of HKDF's output, HMAC and ChaCha20-Poly1305 */
#define AGE_NONCE_SIZE 12
#define AGE_TAG_SIZE   16

/* Sets the error for a failed libcrypto call and clears libcrypto's error queue. */
int age_crypto_failed(struct error *err, const char *what);

/* HKDF-SHA-256 (RFC 5869) with a label as its info; 32 bytes. The caller wipes `key`. */
int age_hkdf(struct span secret, struct span salt, const char *label, uint8_t key[AGE_KEY_SIZE],
	     struct error *err);

/* The two steps of HKDF. `size` is at most 32. */
int age_hkdf_extract(struct span salt, struct span secret, uint8_t key[AGE_KEY_SIZE],
		     struct error *err);
int age_hkdf_expand(const uint8_t extracted[AGE_KEY_SIZE], struct span info, uint8_t *out,
		    size_t size, struct error *err);

int age_hmac(struct span key, struct span bytes, uint8_t mac[AGE_KEY_SIZE], struct error *err);

/* Starts as {0}. Encrypts or decrypts any number of messages under one key. */
struct age_aead {
	EVP_CIPHER_CTX *context; /* owned; libcrypto wipes the key in it */
};

#define _cleanup_age_aead_ __attribute__((cleanup(age_aead_destroy)))

enum age_direction {
	AGE_ENCRYPT,
	AGE_DECRYPT
};

int age_aead_create(struct age_aead *aead, const uint8_t key[AGE_KEY_SIZE],
		    enum age_direction direction, struct error *err);
void age_aead_destroy(struct age_aead *aead);

/* Writes the ciphertext and the tag: `plaintext.size + AGE_TAG_SIZE` bytes. */
int age_aead_seal(struct age_aead *aead, const uint8_t nonce[AGE_NONCE_SIZE], struct span plaintext,
		  uint8_t *out, struct error *err);

/*
 * Writes `sealed.size - AGE_TAG_SIZE` bytes and returns 1. If the tag does not match, it wipes them
 * and returns 0.
 */
int age_aead_open(struct age_aead *aead, const uint8_t nonce[AGE_NONCE_SIZE], struct span sealed,
		  uint8_t *out, struct error *err);

#define AGE_FILE_KEY_SIZE 16 /* age.md, "File key" */
#define AGE_WRAPPED_SIZE  (AGE_FILE_KEY_SIZE + AGE_TAG_SIZE)

/*
 * Encrypts a file key with a wrapping key, which is used once, so that the nonce is all zeros
 * (age.md). age_file_key_open() returns 1, or 0 if `wrapped` belongs to another key; the caller has
 * checked its size.
 */
int age_file_key_seal(const uint8_t key[AGE_KEY_SIZE], struct span file_key,
		      uint8_t wrapped[AGE_WRAPPED_SIZE], struct error *err);
int age_file_key_open(const uint8_t key[AGE_KEY_SIZE], struct span wrapped,
		      uint8_t file_key[AGE_FILE_KEY_SIZE], struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Encrypted values, ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]: AES-256-GCM with a nonce of 32 bytes
 * and the value's path as additional data. And the MAC over a document's values. */
#ifndef VMCRED_SOPS_CIPHER_H
#define VMCRED_SOPS_CIPHER_H

#include <openssl/evp.h>

#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"

#define SOPS_NONCE_SIZE    32 /* not the usual 12 */
#define SOPS_TAG_SIZE      16
#define SOPS_MAC_TEXT_SIZE 128 /* SHA-512 in hexadecimal */

#define SOPS_NONCE_TEXT_SIZE 44 /* in Base64 */

/* The parts of an ENC[…] text; the spans point into it. */
struct sops_sealed {
	struct span data;          /* Base64 */
	const uint8_t *nonce_text; /* SOPS_NONCE_TEXT_SIZE characters */
	struct span type;
	uint8_t nonce[SOPS_NONCE_SIZE];
	uint8_t tag[SOPS_TAG_SIZE];
};

/* Parses an ENC[…] text, which has one strict form. */
int sops_sealed_parse(struct span text, struct sops_sealed *sealed, struct error *err);

enum sops_direction {
	SOPS_ENCRYPT,
	SOPS_DECRYPT
};

/* How many nonces are generated at once: at first for one value and the MAC. */
#define SOPS_NONCES_FIRST 2
#define SOPS_NONCES       32

/* Starts as {0}. For any number of values under one data key. */
struct sops_cipher {
	EVP_CIPHER_CTX *context; /* owned; libcrypto wipes the key in it */
	uint8_t nonces[SOPS_NONCES * SOPS_NONCE_SIZE];
	size_t nonces_left;
	bool nonces_many; /* more than the first were needed */
};

int sops_cipher_create(struct sops_cipher *cipher, struct span data_key,
		       enum sops_direction direction, struct error *err);
void sops_cipher_destroy(struct sops_cipher *cipher);

/* Decrypts in place: the plaintext replaces the start of `sealed->data`, which must be writable
 * secret memory. Returns 1, or 0 if the tag does not match; then the data is wiped. */
int sops_cipher_open(struct sops_cipher *cipher, const struct sops_sealed *sealed,
		     struct span additional, size_t *size, struct error *err);

/* The length of the ENC[…] text of a value. */
size_t sops_sealed_size(size_t plaintext_size, const char *type);

/*
 * Writes that many characters to `text`. `plaintext` is not empty, because sops does not encrypt
 * empty values. `nonce_text`: the nonce of the same plaintext with the same additional data and
 * key, or NULL for a new one.
 */
int sops_cipher_seal(struct sops_cipher *cipher, struct span plaintext, const char *type,
		     struct span additional, const uint8_t *nonce_text, uint8_t *text,
		     struct error *err);

/* Starts as {0}. */
struct sops_mac {
	EVP_MD_CTX *context; /* owned */
};

/* `only_encrypted`: the MAC omits values that are not encrypted. */
int sops_mac_create(struct sops_mac *mac, bool only_encrypted, struct error *err);
void sops_mac_destroy(struct sops_mac *mac);
int sops_mac_add(struct sops_mac *mac, struct span value, struct error *err);
int sops_mac_finish(struct sops_mac *mac, uint8_t text[SOPS_MAC_TEXT_SIZE], struct error *err);

#endif

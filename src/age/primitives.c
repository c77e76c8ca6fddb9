/* SPDX-License-Identifier: Apache-2.0 */
#include "age/primitives.h"

#include <limits.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>

#include "base/cleanup.h"
#include "base/secret.h"

int age_crypto_failed(struct error *err, const char *what)
{
	ERR_clear_error();
	return error_set(err, VMCRED_FAILED, "libcrypto failed to %s", what);
}

static void cleanup_mac(EVP_MAC_CTX **context)
{
	EVP_MAC_CTX_free(*context);
}

/* For any number of MACs, as setting it up takes much longer than a MAC. NULL on failure. */
#define _cleanup_mac_ __attribute__((cleanup(cleanup_mac)))

static EVP_MAC_CTX *mac_create(void)
{
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	_cleanup_mac_ EVP_MAC_CTX *context = hmac ? EVP_MAC_CTX_new(hmac) : NULL;
	const OSSL_PARAM digest[] = {
		/* OSSL_PARAM has no const form, but an input parameter is only read. */
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
		OSSL_PARAM_construct_end(),
	};

	/* The context has its own reference. */
	EVP_MAC_free(hmac);
	return context && EVP_MAC_CTX_set_params(context, digest) == 1 ? pointer_release(&context)
								       : NULL;
}

/* HMAC-SHA-256 of two concatenated texts. */
static int mac_of_two(EVP_MAC_CTX *context, struct span key, struct span first, struct span second,
		      uint8_t mac[AGE_KEY_SIZE], struct error *err)
{
	/* libcrypto treats a NULL key as missing, not as empty. */
	const uint8_t *key_data = key.size ? key.data : (const uint8_t *)"";
	size_t size = 0;

	if (context && EVP_MAC_init(context, key_data, key.size, NULL) == 1 &&
	    EVP_MAC_update(context, first.data, first.size) == 1 &&
	    EVP_MAC_update(context, second.data, second.size) == 1 &&
	    EVP_MAC_final(context, mac, &size, AGE_KEY_SIZE) == 1 && size == AGE_KEY_SIZE)
		return 0;
	return age_crypto_failed(err, "compute a MAC");
}

int age_hmac(struct span key, struct span bytes, uint8_t mac[AGE_KEY_SIZE], struct error *err)
{
	_cleanup_mac_ EVP_MAC_CTX *context = mac_create();

	return mac_of_two(context, key, bytes, span_of(NULL, 0), mac, err);
}

static int expand(EVP_MAC_CTX *context, const uint8_t extracted[AGE_KEY_SIZE], struct span info,
		  uint8_t *out, size_t size, struct error *err)
{
	static const uint8_t number = 1;
	uint8_t first[AGE_KEY_SIZE];
	/* 32 bytes need one block (RFC 5869, section 2.3). */
	int r = mac_of_two(context, span_of(extracted, AGE_KEY_SIZE), info, span_of(&number, 1),
			   first, err);

	if (r == 0)
		memcpy(out, first, size);
	memory_wipe(first, sizeof(first));
	return r;
}

/* The two steps are faster than libcrypto's own HKDF, and every file needs several. */
int age_hkdf(struct span secret, struct span salt, const char *label, uint8_t key[AGE_KEY_SIZE],
	     struct error *err)
{
	_cleanup_mac_ EVP_MAC_CTX *context = mac_create();
	uint8_t extracted[AGE_KEY_SIZE];
	int r = mac_of_two(context, salt, secret, span_of(NULL, 0), extracted, err);

	if (r == 0)
		r = expand(context, extracted, span_of_text(label), key, AGE_KEY_SIZE, err);
	memory_wipe(extracted, sizeof(extracted));
	return r;
}

/* HKDF replaces a missing salt with zeros (section 2.2), which HMAC treats as an empty key. */
int age_hkdf_extract(struct span salt, struct span secret, uint8_t key[AGE_KEY_SIZE],
		     struct error *err)
{
	return age_hmac(salt, secret, key, err);
}

int age_hkdf_expand(const uint8_t extracted[AGE_KEY_SIZE], struct span info, uint8_t *out,
		    size_t size, struct error *err)
{
	_cleanup_mac_ EVP_MAC_CTX *context = mac_create();

	return expand(context, extracted, info, out, size, err);
}

int age_aead_create(struct age_aead *aead, const uint8_t key[AGE_KEY_SIZE],
		    enum age_direction direction, struct error *err)
{
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
	int done = 0;

	aead->context = EVP_CIPHER_CTX_new();
	if (cipher && aead->context)
		done = EVP_CipherInit_ex2(aead->context, cipher, key, NULL,
					  direction == AGE_ENCRYPT, NULL);
	/* The context has its own reference. */
	EVP_CIPHER_free(cipher);
	if (done != 1) {
		age_aead_destroy(aead);
		return age_crypto_failed(err, "set up ChaCha20-Poly1305");
	}
	return 0;
}

void age_aead_destroy(struct age_aead *aead)
{
	EVP_CIPHER_CTX_free(aead->context);
	aead->context = NULL;
}

int age_aead_seal(struct age_aead *aead, const uint8_t nonce[AGE_NONCE_SIZE], struct span plaintext,
		  uint8_t *out, struct error *err)
{
	int size = 0, rest = 0;

	if (plaintext.size > INT_MAX)
		return error_set(err, VMCRED_FAILED,
				 "a message of %zu bytes is too long to encrypt", plaintext.size);
	if (EVP_EncryptInit_ex2(aead->context, NULL, NULL, nonce, NULL) != 1 ||
	    EVP_EncryptUpdate(aead->context, out, &size, plaintext.data, (int)plaintext.size) !=
		    1 ||
	    EVP_EncryptFinal_ex(aead->context, out + size, &rest) != 1 ||
	    EVP_CIPHER_CTX_ctrl(aead->context, EVP_CTRL_AEAD_GET_TAG, AGE_TAG_SIZE,
				out + plaintext.size) != 1)
		return age_crypto_failed(err, "encrypt with ChaCha20-Poly1305");
	return 0;
}

int age_aead_open(struct age_aead *aead, const uint8_t nonce[AGE_NONCE_SIZE], struct span sealed,
		  uint8_t *out, struct error *err)
{
	size_t plaintext_size = sealed.size - AGE_TAG_SIZE;
	int size = 0, rest = 0;

	if (sealed.size < AGE_TAG_SIZE || plaintext_size > INT_MAX)
		return error_set(err, VMCRED_FAILED, "a message of %zu bytes cannot be decrypted",
				 sealed.size);
	if (EVP_DecryptInit_ex2(aead->context, NULL, NULL, nonce, NULL) != 1 ||
	    EVP_CIPHER_CTX_ctrl(aead->context, EVP_CTRL_AEAD_SET_TAG, AGE_TAG_SIZE,
				(void *)(sealed.data + plaintext_size)) != 1 ||
	    EVP_DecryptUpdate(aead->context, out, &size, sealed.data, (int)plaintext_size) != 1)
		return age_crypto_failed(err, "decrypt with ChaCha20-Poly1305");
	if (EVP_DecryptFinal_ex(aead->context, out + size, &rest) != 1) {
		ERR_clear_error();
		memory_wipe(out, plaintext_size);
		return 0;
	}
	return 1;
}

static const uint8_t zero_nonce[AGE_NONCE_SIZE];

int age_file_key_seal(const uint8_t key[AGE_KEY_SIZE], struct span file_key,
		      uint8_t wrapped[AGE_WRAPPED_SIZE], struct error *err)
{
	_cleanup_age_aead_ struct age_aead aead = {0};
	int r = age_aead_create(&aead, key, AGE_ENCRYPT, err);

	if (r < 0)
		return r;
	return age_aead_seal(&aead, zero_nonce, file_key, wrapped, err);
}

int age_file_key_open(const uint8_t key[AGE_KEY_SIZE], struct span wrapped,
		      uint8_t file_key[AGE_FILE_KEY_SIZE], struct error *err)
{
	_cleanup_age_aead_ struct age_aead aead = {0};
	int r = age_aead_create(&aead, key, AGE_DECRYPT, err);

	if (r < 0)
		return r;
	return age_aead_open(&aead, zero_nonce, wrapped, file_key, err);
}

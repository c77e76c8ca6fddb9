/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/cipher.h"

#include <limits.h>

#include <openssl/err.h>

#include "base/base64.h"

int sops_crypto_failed(struct error *err, const char *what)
{
	ERR_clear_error();
	return error_set(err, VMCRED_FAILED, "libcrypto failed to %s", what);
}

/* Takes `label` and what follows it, up to `end`, off the text. */
static bool part_take(struct span *text, const char *label, char end, struct span *part)
{
	size_t length = strlen(label);
	const uint8_t *stop;

	if (!span_starts_with(*text, span_of_text(label)))
		return false;
	*part = span_of(text->data + length, text->size - length);
	stop = part->size ? memchr(part->data, end, part->size) : NULL;
	if (!stop)
		return false;
	part->size = (size_t)(stop - part->data);
	*text = span_of(stop + 1, text->size - length - part->size - 1);
	return part->size > 0;
}

static int part_decode(struct span part, const char *name, uint8_t *out, size_t size,
		       struct error *err)
{
	uint8_t decoded[SOPS_NONCE_SIZE + 4];
	size_t decoded_size = 0;

	if (part.size != base64_encoded_size(size, BASE64_PADDED))
		return error_set(err, VMCRED_FAILED, "its %s is not %zu bytes long", name, size);
	if (base64_decode(part, BASE64_PADDED, decoded, &decoded_size, err) < 0)
		return error_wrap(err, "its %s", name);
	if (decoded_size != size)
		return error_set(err, VMCRED_FAILED, "its %s is not %zu bytes long", name, size);
	memcpy(out, decoded, size);
	return 0;
}

int sops_sealed_parse(struct span text, struct sops_sealed *sealed, struct error *err)
{
	struct span nonce, tag;
	int r;

	if (!part_take(&text, "ENC[AES256_GCM,data:", ',', &sealed->data) ||
	    !part_take(&text, "iv:", ',', &nonce) || !part_take(&text, "tag:", ',', &tag) ||
	    !part_take(&text, "type:", ']', &sealed->type) || text.size > 0)
		return error_set(err, VMCRED_FAILED,
				 "it is not of the form ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]");
	r = part_decode(nonce, "iv", sealed->nonce, SOPS_NONCE_SIZE, err);
	if (r == 0)
		r = part_decode(tag, "tag", sealed->tag, SOPS_TAG_SIZE, err);
	return r;
}

int sops_cipher_create(struct sops_cipher *cipher, struct span data_key,
		       enum sops_direction direction, struct error *err)
{
	EVP_CIPHER *algorithm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	bool encrypt = direction == SOPS_ENCRYPT;
	int done = 0;

	cipher->context = EVP_CIPHER_CTX_new();
	/* The nonce's length is set between algorithm and key. */
	if (algorithm && cipher->context && data_key.size == SOPS_DATA_KEY_SIZE)
		done = EVP_CipherInit_ex2(cipher->context, algorithm, NULL, NULL, encrypt, NULL) ==
			       1 &&
		       EVP_CIPHER_CTX_ctrl(cipher->context, EVP_CTRL_AEAD_SET_IVLEN,
					   SOPS_NONCE_SIZE, NULL) == 1 &&
		       EVP_CipherInit_ex2(cipher->context, NULL, data_key.data, NULL, encrypt,
					  NULL) == 1;
	EVP_CIPHER_free(algorithm);
	if (!done) {
		sops_cipher_destroy(cipher);
		return sops_crypto_failed(err, "set up AES-256-GCM");
	}
	return 0;
}

void sops_cipher_destroy(struct sops_cipher *cipher)
{
	EVP_CIPHER_CTX_free(cipher->context);
	cipher->context = NULL;
}

int sops_cipher_open(struct sops_cipher *cipher, const struct sops_sealed *sealed,
		     struct span additional, size_t *size, struct error *err)
{
	uint8_t *data = (uint8_t *)sealed->data.data, tag[SOPS_TAG_SIZE];
	int written = 0, rest = 0;
	int r = base64_decode(sealed->data, BASE64_PADDED, data, size, err);

	if (r < 0)
		return error_wrap(err, "its data");
	if (*size > INT_MAX || additional.size > INT_MAX)
		return error_set(err, VMCRED_FAILED, "it is %zu bytes long, which is too much",
				 *size);
	memcpy(tag, sealed->tag, sizeof(tag));
	if (EVP_DecryptInit_ex2(cipher->context, NULL, NULL, sealed->nonce, NULL) != 1 ||
	    EVP_DecryptUpdate(cipher->context, NULL, &written, additional.data,
			      (int)additional.size) != 1 ||
	    EVP_DecryptUpdate(cipher->context, data, &written, data, (int)*size) != 1 ||
	    EVP_CIPHER_CTX_ctrl(cipher->context, EVP_CTRL_AEAD_SET_TAG, SOPS_TAG_SIZE, tag) != 1)
		return sops_crypto_failed(err, "decrypt with AES-256-GCM");
	if (EVP_DecryptFinal_ex(cipher->context, data + written, &rest) != 1) {
		ERR_clear_error();
		memory_wipe(data, *size);
		return 0;
	}
	return 1;
}

/* Encrypts into `sealed`; the tag is at its end. */
static int plaintext_encrypt(struct sops_cipher *cipher, struct span plaintext, struct span nonce,
			     struct span additional, struct secret *sealed, struct error *err)
{
	int written = 0, rest = 0;
	int r;

	if (plaintext.size > INT_MAX - SOPS_TAG_SIZE || additional.size > INT_MAX)
		return error_set(err, VMCRED_FAILED, "a value of %zu bytes is too long to encrypt",
				 plaintext.size);
	r = secret_create(sealed, plaintext.size + SOPS_TAG_SIZE, err);
	if (r < 0)
		return r;
	sealed->size = plaintext.size + SOPS_TAG_SIZE;
	if (EVP_EncryptInit_ex2(cipher->context, NULL, NULL, nonce.data, NULL) != 1 ||
	    EVP_EncryptUpdate(cipher->context, NULL, &written, additional.data,
			      (int)additional.size) != 1 ||
	    EVP_EncryptUpdate(cipher->context, sealed->data, &written, plaintext.data,
			      (int)plaintext.size) != 1 ||
	    EVP_EncryptFinal_ex(cipher->context, sealed->data + written, &rest) != 1 ||
	    EVP_CIPHER_CTX_ctrl(cipher->context, EVP_CTRL_AEAD_GET_TAG, SOPS_TAG_SIZE,
				sealed->data + plaintext.size) != 1)
		return sops_crypto_failed(err, "encrypt with AES-256-GCM");
	return 0;
}

int sops_cipher_seal(struct sops_cipher *cipher, struct span plaintext, const char *type,
		     struct span additional, struct secret *text, struct error *err)
{
	_cleanup_secret_ struct secret nonce = {0}, sealed = {0};
	int r = secret_append_random(&nonce, SOPS_NONCE_SIZE, err);

	if (r == 0)
		r = plaintext_encrypt(cipher, plaintext, secret_span(&nonce), additional, &sealed,
				      err);
	if (r == 0)
		r = secret_append_text(text, "ENC[AES256_GCM,data:", err);
	if (r == 0)
		r = base64_encode_secret(span_of(sealed.data, plaintext.size), BASE64_PADDED, text,
					 err);
	if (r == 0)
		r = secret_append_text(text, ",iv:", err);
	if (r == 0)
		r = base64_encode_secret(secret_span(&nonce), BASE64_PADDED, text, err);
	if (r == 0)
		r = secret_append_text(text, ",tag:", err);
	if (r == 0)
		r = base64_encode_secret(span_of(sealed.data + plaintext.size, SOPS_TAG_SIZE),
					 BASE64_PADDED, text, err);
	if (r == 0)
		r = secret_append_text(text, ",type:", err);
	if (r == 0)
		r = secret_append_text(text, type, err);
	if (r == 0)
		r = secret_append_text(text, "]", err);
	return r;
}

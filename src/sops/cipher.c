/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/cipher.h"

#include <errno.h>
#include <limits.h>
#include <sys/random.h>

#include <openssl/err.h>

#include "base/base64.h"
#include "sops/keys/key.h"

/* Sets the error for a failed call to libcrypto, and clears libcrypto's error queue. */
static int crypto_failed(struct error *err, const char *what)
{
	ERR_clear_error();
	return error_set(err, VMCRED_FAILED, "libcrypto failed to %s", what);
}

/* Takes `label` and the part after it, up to `end`. */
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
		return error_set(err, VMCRED_FAILED, "the %s must have %zu bytes", name, size);
	if (base64_decode(part, BASE64_PADDED, decoded, &decoded_size, err) < 0)
		return error_wrap(err, "%s", name);
	if (decoded_size != size)
		return error_set(err, VMCRED_FAILED, "the %s must have %zu bytes", name, size);
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
				 "not of the form ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]");
	sealed->nonce_text = nonce.data;
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
		return crypto_failed(err, "set up AES-256-GCM");
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
		return error_wrap(err, "data");
	if (*size > INT_MAX || additional.size > INT_MAX)
		return error_set(err, VMCRED_FAILED, "too large (%zu bytes)", *size);
	memcpy(tag, sealed->tag, sizeof(tag));
	if (EVP_DecryptInit_ex2(cipher->context, NULL, NULL, sealed->nonce, NULL) != 1 ||
	    EVP_DecryptUpdate(cipher->context, NULL, &written, additional.data,
			      (int)additional.size) != 1 ||
	    EVP_DecryptUpdate(cipher->context, data, &written, data, (int)*size) != 1 ||
	    EVP_CIPHER_CTX_ctrl(cipher->context, EVP_CTRL_AEAD_SET_TAG, SOPS_TAG_SIZE, tag) != 1)
		return crypto_failed(err, "decrypt with AES-256-GCM");
	if (EVP_DecryptFinal_ex(cipher->context, data + written, &rest) != 1) {
		ERR_clear_error();
		memory_wipe(data, *size);
		return 0;
	}
	return 1;
}

static const char data_label[] = "ENC[AES256_GCM,data:", nonce_label[] = ",iv:",
		  tag_label[] = ",tag:", type_label[] = ",type:";

size_t sops_sealed_size(size_t plaintext_size, const char *type)
{
	return strlen(data_label) + base64_encoded_size(plaintext_size, BASE64_PADDED) +
	       strlen(nonce_label) + SOPS_NONCE_TEXT_SIZE + strlen(tag_label) +
	       base64_encoded_size(SOPS_TAG_SIZE, BASE64_PADDED) + strlen(type_label) +
	       strlen(type) + 1;
}

static uint8_t *bytes_write(uint8_t *to, const void *bytes, size_t size)
{
	memcpy(to, bytes, size);
	return to + size;
}

static uint8_t *text_write(uint8_t *to, const char *text)
{
	return bytes_write(to, text, strlen(text));
}

static uint8_t *base64_write(uint8_t *to, const uint8_t *bytes, size_t size)
{
	base64_encode(span_of(bytes, size), BASE64_PADDED, (char *)to);
	return to + base64_encoded_size(size, BASE64_PADDED);
}

static int nonce_take(struct sops_cipher *cipher, uint8_t nonce[SOPS_NONCE_SIZE], struct error *err)
{
	if (cipher->nonces_left == 0) {
		size_t count = cipher->nonces_many ? SOPS_NONCES : SOPS_NONCES_FIRST;
		size_t size = count * SOPS_NONCE_SIZE, step = size < 256 ? size : 256;

		/* Up to 256 bytes are never interrupted by signals (getrandom(2)). */
		for (size_t at = 0; at < size; at += step) {
			if (getrandom(cipher->nonces + at, step, 0) != (ssize_t)step)
				return error_set_errno(err, errno,
						       "getting random bytes from the kernel");
		}
		cipher->nonces_left = count;
		cipher->nonces_many = true;
	}
	memcpy(nonce, cipher->nonces + --cipher->nonces_left * SOPS_NONCE_SIZE, SOPS_NONCE_SIZE);
	return 0;
}

/* Encrypts in pieces, because the ciphertext is written as Base64. */
static int data_write(struct sops_cipher *cipher, struct span plaintext, uint8_t **to,
		      struct error *err)
{
	uint8_t piece[3 * 1024];

	while (plaintext.size > 0) {
		size_t size = plaintext.size < sizeof(piece) ? plaintext.size : sizeof(piece);
		int written = 0;

		if (EVP_EncryptUpdate(cipher->context, piece, &written, plaintext.data,
				      (int)size) != 1)
			return crypto_failed(err, "encrypt with AES-256-GCM");
		*to = base64_write(*to, piece, size);
		plaintext = span_of(plaintext.data + size, plaintext.size - size);
	}
	return 0;
}

int sops_cipher_seal(struct sops_cipher *cipher, struct span plaintext, const char *type,
		     struct span additional, const uint8_t *nonce_text, uint8_t *text,
		     struct error *err)
{
	uint8_t nonce[SOPS_NONCE_SIZE + 4], tag[SOPS_TAG_SIZE];
	size_t nonce_size = SOPS_NONCE_SIZE;
	int written = 0, rest = 0;
	int r;

	if (nonce_text)
		r = base64_decode(span_of(nonce_text, SOPS_NONCE_TEXT_SIZE), BASE64_PADDED, nonce,
				  &nonce_size, err);
	else
		r = nonce_take(cipher, nonce, err);
	if (r < 0)
		return r;
	if (plaintext.size > INT_MAX || additional.size > INT_MAX)
		return error_set(err, VMCRED_FAILED, "value too large to encrypt (%zu bytes)",
				 plaintext.size);
	if (EVP_EncryptInit_ex2(cipher->context, NULL, NULL, nonce, NULL) != 1 ||
	    EVP_EncryptUpdate(cipher->context, NULL, &written, additional.data,
			      (int)additional.size) != 1)
		return crypto_failed(err, "encrypt with AES-256-GCM");
	text = text_write(text, data_label);
	r = data_write(cipher, plaintext, &text, err);
	if (r < 0)
		return r;
	if (EVP_EncryptFinal_ex(cipher->context, tag, &rest) != 1 ||
	    EVP_CIPHER_CTX_ctrl(cipher->context, EVP_CTRL_AEAD_GET_TAG, sizeof(tag), tag) != 1)
		return crypto_failed(err, "encrypt with AES-256-GCM");
	text = text_write(text, nonce_label);
	text = base64_write(text, nonce, SOPS_NONCE_SIZE);
	text = text_write(text, tag_label);
	text = base64_write(text, tag, sizeof(tag));
	text = text_write(text, type_label);
	text = text_write(text, type);
	*text = ']';
	return 0;
}

/* A MAC over encrypted values only starts with this, so that it differs from the other kind: the
 * SHA-256 of "sops" (MACOnlyEncryptedInitialization in its sources). */
static const uint8_t only_encrypted_start[] = {
	0x8a, 0x3f, 0xd2, 0xad, 0x54, 0xce, 0x66, 0x52, 0x7b, 0x10, 0x34,
	0xf3, 0xd1, 0x47, 0xbe, 0x0b, 0x0b, 0x97, 0x5b, 0x3b, 0xf4, 0x4f,
	0x72, 0xc6, 0xfd, 0xad, 0xec, 0x81, 0x76, 0xf2, 0x7d, 0x69,
};

int sops_mac_create(struct sops_mac *mac, bool only_encrypted, struct error *err)
{
	EVP_MD *digest = EVP_MD_fetch(NULL, "SHA512", NULL);
	int done = 0;

	mac->context = EVP_MD_CTX_new();
	if (digest && mac->context)
		done = EVP_DigestInit_ex2(mac->context, digest, NULL);
	EVP_MD_free(digest);
	if (done != 1) {
		sops_mac_destroy(mac);
		return crypto_failed(err, "set up SHA-512");
	}
	if (only_encrypted)
		return sops_mac_add(
			mac, span_of(only_encrypted_start, sizeof(only_encrypted_start)), err);
	return 0;
}

void sops_mac_destroy(struct sops_mac *mac)
{
	EVP_MD_CTX_free(mac->context);
	mac->context = NULL;
}

int sops_mac_add(struct sops_mac *mac, struct span value, struct error *err)
{
	if (EVP_DigestUpdate(mac->context, value.data, value.size) != 1)
		return crypto_failed(err, "compute SHA-512");
	return 0;
}

int sops_mac_finish(struct sops_mac *mac, uint8_t text[SOPS_MAC_TEXT_SIZE], struct error *err)
{
	static const char digits[] = "0123456789ABCDEF";
	uint8_t digest[SOPS_MAC_TEXT_SIZE / 2];
	unsigned int size = 0;

	if (EVP_DigestFinal_ex(mac->context, digest, &size) != 1 || size != sizeof(digest))
		return crypto_failed(err, "compute SHA-512");
	for (size_t i = 0; i < sizeof(digest); i++) {
		text[2 * i] = (uint8_t)digits[digest[i] >> 4];
		text[2 * i + 1] = (uint8_t)digits[digest[i] & 15];
	}
	memory_wipe(digest, sizeof(digest));
	return 0;
}

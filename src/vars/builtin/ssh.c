/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SSH keys in OpenSSH's format (PROTOCOL.key in its source), without a passphrase: the store
 * encrypts them. The public half is a line for authorized_keys.
 */
#include <arpa/inet.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>

#include "base/base64.h"
#include "vars/builtin/builtin.h"
#include "vars/builtin/pem.h"

#define ED25519_SIZE 32
#define BLOCK_SIZE   8 /* of the padding without a cipher */
#define COLUMNS      70

static int number_append(struct secret *out, uint32_t number, struct error *err)
{
	const uint32_t bytes = htonl(number);

	return secret_append(out, span_of(&bytes, sizeof(bytes)), err);
}

/* A string of RFC 4251, section 5: its length and its bytes. */
static int string_append(struct secret *out, struct span bytes, struct error *err)
{
	int r = number_append(out, (uint32_t)bytes.size, err);

	return r < 0 ? r : secret_append(out, bytes, err);
}

static int text_append(struct secret *out, const char *text, struct error *err)
{
	return string_append(out, span_of_text(text), err);
}

/* An mpint of RFC 4251, section 5: big endian, with a zero before a leading one bit. */
static int big_append(struct secret *out, const BIGNUM *number, struct error *err)
{
	_cleanup_secret_ struct secret bytes = {0};
	size_t size = (size_t)BN_num_bytes(number);
	int r = secret_reserve(&bytes, size + 1, err);

	if (r < 0)
		return r;
	bytes.data[0] = 0;
	bytes.size = 1 + (size_t)BN_bn2bin(number, bytes.data + 1);
	if (BN_num_bits(number) % 8 == 0)
		return string_append(out, secret_span(&bytes), err);
	return string_append(out, span_of(bytes.data + 1, size), err);
}

static int parameters_append(const EVP_PKEY *key, const char *const *names, struct secret *out,
			     struct error *err)
{
	int r = 0;

	for (; r == 0 && *names; names++) {
		BIGNUM *number = NULL;

		r = EVP_PKEY_get_bn_param(key, *names, &number) == 1
			    ? big_append(out, number, err)
			    : key_failed(err, "export an RSA key");
		BN_clear_free(number);
	}
	return r;
}

static int ed25519_public(const EVP_PKEY *key, uint8_t bytes[ED25519_SIZE], struct error *err)
{
	size_t size = ED25519_SIZE;

	return EVP_PKEY_get_raw_public_key(key, bytes, &size) == 1
		       ? 0
		       : key_failed(err, "export an Ed25519 key");
}

/* The secret key is one string: the seed, then the public key. */
static int ed25519_private_append(const EVP_PKEY *key, struct secret *out, struct error *err)
{
	_cleanup_secret_ struct secret pair = {0};
	uint8_t public_key[ED25519_SIZE];
	size_t size = ED25519_SIZE;
	int r = ed25519_public(key, public_key, err);

	if (r == 0)
		r = secret_reserve(&pair, (size_t)2 * ED25519_SIZE, err);
	if (r < 0)
		return r;
	if (EVP_PKEY_get_raw_private_key(key, pair.data, &size) != 1)
		return key_failed(err, "export an Ed25519 key");
	pair.size = size;
	r = secret_append(&pair, span_of(public_key, sizeof(public_key)), err);
	if (r == 0)
		r = string_append(out, span_of(public_key, sizeof(public_key)), err);
	return r < 0 ? r : string_append(out, secret_span(&pair), err);
}

/* The public key in the wire format, with its type. */
static int public_append(const EVP_PKEY *key, bool is_rsa, struct secret *out, struct error *err)
{
	static const char *const names[] = {OSSL_PKEY_PARAM_RSA_E, OSSL_PKEY_PARAM_RSA_N, NULL};
	uint8_t public_key[ED25519_SIZE];
	int r = text_append(out, is_rsa ? "ssh-rsa" : "ssh-ed25519", err);

	if (r == 0 && is_rsa)
		return parameters_append(key, names, out, err);
	if (r == 0)
		r = ed25519_public(key, public_key, err);
	return r < 0 ? r : string_append(out, span_of(public_key, sizeof(public_key)), err);
}

static int private_append(const EVP_PKEY *key, bool is_rsa, const char *comment, struct secret *out,
			  struct error *err)
{
	static const char *const names[] = {OSSL_PKEY_PARAM_RSA_N,
					    OSSL_PKEY_PARAM_RSA_E,
					    OSSL_PKEY_PARAM_RSA_D,
					    OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
					    OSSL_PKEY_PARAM_RSA_FACTOR1,
					    OSSL_PKEY_PARAM_RSA_FACTOR2,
					    NULL};
	/* The same number twice, which reveals a wrong passphrase. */
	static const uint8_t check[8] = {0};
	int r = secret_append(out, span_of(check, sizeof(check)), err);

	if (r == 0)
		r = text_append(out, is_rsa ? "ssh-rsa" : "ssh-ed25519", err);
	if (r == 0)
		r = is_rsa ? parameters_append(key, names, out, err)
			   : ed25519_private_append(key, out, err);
	if (r == 0)
		r = text_append(out, comment, err);
	for (uint8_t pad = 1; r == 0 && out->size % BLOCK_SIZE != 0; pad++)
		r = secret_append(out, span_of(&pad, 1), err);
	return r;
}

static int file_append(struct span public_key, struct span private_part, struct secret *out,
		       struct error *err)
{
	static const char magic[] = "openssh-key-v1";                /* with its NUL */
	static const char *const no_cipher[] = {"none", "none", ""}; /* key derivation, options */
	_cleanup_secret_ struct secret bytes = {0};
	int r = secret_append(&bytes, span_of(magic, sizeof(magic)), err);

	for (size_t i = 0; r == 0 && i < sizeof(no_cipher) / sizeof(no_cipher[0]); i++)
		r = text_append(&bytes, no_cipher[i], err);
	if (r == 0)
		r = number_append(&bytes, 1, err); /* keys */
	if (r == 0)
		r = string_append(&bytes, public_key, err);
	if (r == 0)
		r = string_append(&bytes, private_part, err);
	return r < 0 ? r
		     : pem_append("OPENSSH PRIVATE KEY", secret_span(&bytes), COLUMNS, out, err);
}

static int line_append(struct span public_key, bool is_rsa, const char *comment, struct secret *out,
		       struct error *err)
{
	int r = secret_append_text(out, is_rsa ? "ssh-rsa " : "ssh-ed25519 ", err);

	if (r == 0)
		r = base64_encode_secret(public_key, BASE64_PADDED, out, err);
	if (r == 0 && *comment)
		r = secret_append_text(out, " ", err);
	if (r == 0)
		r = secret_append_text(out, comment, err);
	return r < 0 ? r : secret_append_text(out, "\n", err);
}

int kind_ssh_key_make(const struct kind_task *task, struct secret *content,
		      struct secret *public_half, struct error *err)
{
	const struct config_builtin *kind = &task->file->builtin;
	const char *comment = kind->comment ? kind->comment : "";
	bool is_rsa = kind->algorithm == CONFIG_ALGORITHM_RSA;
	_cleanup_secret_ struct secret public_key = {0}, private_part = {0};
	_cleanup_key_ EVP_PKEY *key = is_rsa ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", kind->size)
					     : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	int r = key ? 0 : key_failed(err, "create an SSH key");

	if (r == 0)
		r = public_append(key, is_rsa, &public_key, err);
	if (r == 0)
		r = private_append(key, is_rsa, comment, &private_part, err);
	if (r == 0)
		r = file_append(secret_span(&public_key), secret_span(&private_part), content, err);
	return r < 0 ? r : line_append(secret_span(&public_key), is_rsa, comment, public_half, err);
}

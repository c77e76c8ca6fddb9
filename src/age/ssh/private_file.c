/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSH's private key files (PROTOCOL.key of its sources): the plaintext public key, and the
 * private key, encrypted or not. It starts with the same random number twice, which shows whether
 * the passphrase is right.
 */
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "age/primitives.h"
#include "age/ssh/bcrypt_pbkdf.h"
#include "age/ssh/key.h"
#include "age/ssh/wire.h"

#define LABEL      "OPENSSH PRIVATE KEY"
#define MAGIC      "openssh-key-v1" /* and a NUL */
#define BLOCK_SIZE 8                /* of padding, where there is no cipher */

/* ssh-keygen uses 16 or 24 rounds; each takes milliseconds, and the file is untrusted. */
#define ROUNDS_MAX 4096

/* The ciphers of `ssh-keygen -Z` except AEADs. */
static const struct {
	const char *name, *cipher;
	uint8_t key_size, iv_size;
} ciphers[] = {
	{"aes256-ctr", "AES-256-CTR", 32, 16}, {"aes256-cbc", "AES-256-CBC", 32, 16},
	{"aes192-ctr", "AES-192-CTR", 24, 16}, {"aes192-cbc", "AES-192-CBC", 24, 16},
	{"aes128-ctr", "AES-128-CTR", 16, 16}, {"aes128-cbc", "AES-128-CBC", 16, 16},
};

static int damaged(struct error *err)
{
	return error_set(err, VMCRED_FAILED, "the SSH private key is damaged");
}

/* PROTOCOL.key, section 3: the numbers, in the order of the file. */
static int rsa_parse(struct span *body, struct ssh_private_key *key)
{
	struct span coefficient;

	return ssh_wire_number(body, &key->modulus) && ssh_wire_number(body, &key->exponent) &&
	       ssh_wire_number(body, &key->secret_exponent) &&
	       ssh_wire_number(body, &coefficient) && ssh_wire_number(body, &key->prime1) &&
	       ssh_wire_number(body, &key->prime2);
}

static int ed25519_parse(struct span *body, const struct ssh_public_key *public_key,
			 struct ssh_private_key *key)
{
	struct span point, pair;

	/* The pair is the seed and the public key. */
	if (!ssh_wire_string(body, &point) || !ssh_wire_string(body, &pair) ||
	    pair.size != (size_t)2 * SSH_ED25519_KEY_SIZE)
		return false;
	key->seed = span_of(pair.data, SSH_ED25519_KEY_SIZE);
	return span_equal(point, public_key->point) &&
	       span_equal(span_of(pair.data + SSH_ED25519_KEY_SIZE, SSH_ED25519_KEY_SIZE), point);
}

/* The padding of the last block: 1, 2, 3, … */
static bool padding_valid(struct span padding)
{
	for (size_t i = 0; i < padding.size; i++) {
		if (padding.data[i] != i + 1)
			return false;
	}
	return true;
}

static int body_parse(struct span body, const struct ssh_public_key *public_key,
		      struct ssh_private_key *key, struct error *err)
{
	uint32_t check1, check2;
	struct span type, comment;
	bool parsed;

	if (!ssh_wire_uint32(&body, &check1) || !ssh_wire_uint32(&body, &check2))
		return damaged(err);
	if (check1 != check2)
		return error_set(err, VMCRED_MISSING, "incorrect passphrase");
	if (!ssh_wire_string(&body, &type) ||
	    !span_equal(type, span_of_text(ssh_key_type_name(public_key->type))))
		return damaged(err);
	parsed = public_key->type == SSH_RSA ? rsa_parse(&body, key)
					     : ed25519_parse(&body, public_key, key);
	if (!parsed || !ssh_wire_string(&body, &comment) || !padding_valid(body))
		return damaged(err);
	return 0;
}

static int cipher_find(struct span name, struct ssh_encryption *encryption, struct error *err)
{
	for (size_t i = 0; i < sizeof(ciphers) / sizeof(ciphers[0]); i++) {
		if (!span_equal(name, span_of_text(ciphers[i].name)))
			continue;
		encryption->cipher = ciphers[i].cipher;
		encryption->key_size = ciphers[i].key_size;
		encryption->iv_size = ciphers[i].iv_size;
		return 0;
	}
	error_set(err, VMCRED_FAILED, "unsupported cipher of the encrypted SSH private key");
	return error_hint(err, "change it with `ssh-keygen -p -Z aes256-ctr -f FILE`");
}

static int encryption_read(struct span *bytes, struct ssh_encryption *encryption, struct error *err)
{
	struct span cipher, derivation, options, salt;
	int r;

	if (!ssh_wire_string(bytes, &cipher) || !ssh_wire_string(bytes, &derivation) ||
	    !ssh_wire_string(bytes, &options))
		return damaged(err);
	if (span_equal(cipher, span_of_text("none")))
		return span_equal(derivation, span_of_text("none")) && options.size == 0
			       ? 0
			       : damaged(err);
	if (!span_equal(derivation, span_of_text("bcrypt")) || !ssh_wire_string(&options, &salt) ||
	    !ssh_wire_uint32(&options, &encryption->rounds) || options.size > 0 || salt.size == 0 ||
	    encryption->rounds == 0)
		return damaged(err);
	if (encryption->rounds > ROUNDS_MAX)
		return error_set(err, VMCRED_FAILED,
				 "the SSH private key is encrypted with more than %d rounds",
				 ROUNDS_MAX);
	r = cipher_find(cipher, encryption, err);
	return r < 0 ? r : secret_copy(&encryption->salt, salt, err);
}

static int openssh_parse(struct span text, struct ssh_private_file *file, struct error *err)
{
	_cleanup_secret_ struct secret decoded = {0};
	struct span bytes, magic, public_key, body, headers;
	uint32_t count;
	int r = ssh_pem_decode(text, LABEL, &headers, &decoded, err);

	if (r < 0)
		return r;
	bytes = secret_span(&decoded);
	if (!ssh_wire_take(&bytes, sizeof(MAGIC), &magic) ||
	    !span_equal(magic, span_of(MAGIC, sizeof(MAGIC))))
		return damaged(err);
	r = encryption_read(&bytes, &file->encryption, err);
	if (r < 0)
		return r;
	if (!ssh_wire_uint32(&bytes, &count) || count != 1 ||
	    !ssh_wire_string(&bytes, &public_key) || !ssh_wire_string(&bytes, &body) ||
	    bytes.size > 0)
		return damaged(err);
	r = ssh_public_key_read(public_key, &file->public_key, err);
	if (r == 0)
		r = secret_copy(&file->body, body, err);
	file->body_parse = body_parse;
	return r;
}

int ssh_private_file_parse(struct span text, struct span public_text, struct ssh_private_file *file,
			   struct error *err)
{
	if (span_starts_with(text, span_of_text("-----BEGIN " LABEL "-----")))
		return openssh_parse(text, file, err);
	return ssh_pem_parse(text, public_text, file, err);
}

/* PEM's derivation (OpenSSL's EVP_BytesToKey with MD5 and one round) or bcrypt's. */
static int key_derive(const struct ssh_encryption *encryption, struct span passphrase, uint8_t *key,
		      size_t size, struct error *err)
{
	EVP_CIPHER *cipher;
	int done;

	if (encryption->rounds > 0)
		return bcrypt_pbkdf(passphrase, secret_span(&encryption->salt), encryption->rounds,
				    key, size, err);
	cipher = EVP_CIPHER_fetch(NULL, encryption->cipher, NULL);
	if (!cipher || passphrase.size > INT_MAX)
		return age_crypto_failed(err, "find the cipher of an SSH private key");
	/* The IV is the salt; both are in the file. */
	done = EVP_BytesToKey(cipher, EVP_md5(), encryption->salt.data, passphrase.data,
			      (int)passphrase.size, 1, key, NULL);
	EVP_CIPHER_free(cipher);
	if (done <= 0)
		return age_crypto_failed(err, "derive a key from the passphrase");
	memcpy(key + encryption->key_size, encryption->salt.data, encryption->iv_size);
	return 0;
}

/* Decrypts in place. Returns 1, or 0 if the padding shows that the key was wrong. */
static int body_decrypt(const struct ssh_encryption *encryption, struct secret *body,
			const uint8_t *key, struct error *err)
{
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, encryption->cipher, NULL);
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int size = 0, rest = 0, done = 0;
	bool ready =
		cipher && context && body->size <= INT_MAX &&
		EVP_DecryptInit_ex2(context, cipher, key, key + encryption->key_size, NULL) == 1;

	if (ready) {
		/* PEM has PKCS#7 padding, OpenSSH its own. */
		EVP_CIPHER_CTX_set_padding(context, encryption->rounds == 0);
		done = EVP_DecryptUpdate(context, body->data, &size, body->data, (int)body->size) ==
			       1 &&
		       EVP_DecryptFinal_ex(context, body->data + size, &rest) == 1;
	}
	EVP_CIPHER_CTX_free(context);
	EVP_CIPHER_free(cipher);
	if (!ready)
		return age_crypto_failed(err, "decrypt an SSH private key");
	ERR_clear_error();
	if (done)
		body->size = (size_t)size + (size_t)rest;
	return done;
}

/* The largest key and IV. */
#define KEY_AND_IV_MAX 48

static int body_unlock(const struct ssh_encryption *encryption, struct span passphrase,
		       struct secret *body, struct error *err)
{
	uint8_t key[KEY_AND_IV_MAX];
	int r = key_derive(encryption, passphrase, key, encryption->key_size + encryption->iv_size,
			   err);

	if (r == 0)
		r = body_decrypt(encryption, body, key, err);
	memory_wipe(key, sizeof(key));
	if (r == 0)
		return error_set(err, VMCRED_MISSING, "incorrect passphrase");
	return r < 0 ? r : 0;
}

int ssh_private_file_open(const struct ssh_private_file *file, struct span passphrase,
			  struct ssh_private_key *key, struct error *err)
{
	int r = secret_copy(&key->bytes, secret_span(&file->body), err);

	if (r == 0 && file->encryption.cipher)
		r = body_unlock(&file->encryption, passphrase, &key->bytes, err);
	else if (r == 0 && key->bytes.size % BLOCK_SIZE != 0 && file->body_parse == body_parse)
		r = damaged(err);
	if (r == 0)
		r = file->body_parse(secret_span(&key->bytes), &file->public_key, key, err);
	if (r == 0 && file->public_key.type == SSH_RSA &&
	    (!span_equal(key->modulus, file->public_key.modulus) ||
	     !span_equal(key->exponent, file->public_key.exponent)))
		r = error_set(err, VMCRED_FAILED, "mismatched private and public SSH key");
	if (r < 0)
		ssh_private_key_destroy(key);
	return r;
}

void ssh_private_key_destroy(struct ssh_private_key *key)
{
	secret_destroy(&key->bytes);
	*key = (struct ssh_private_key){0};
}

void ssh_private_file_destroy(struct ssh_private_file *file)
{
	ssh_public_key_destroy(&file->public_key);
	secret_destroy(&file->encryption.salt);
	secret_destroy(&file->body);
	*file = (struct ssh_private_file){0};
}

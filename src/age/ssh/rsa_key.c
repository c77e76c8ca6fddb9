/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "age/age.h"
#include "age/primitives.h"
#include "age/ssh/stanza.h"
#include "base/cleanup.h"

struct age_rsa_key {
	struct ssh_private_file file; /* has the public key */
	EVP_PKEY *pair;               /* owned; in libcrypto's secure heap, if it has one */
};

static int pair_load(struct age_rsa_key *key, struct error *err)
{
	_cleanup_ssh_private_key_ struct ssh_private_key numbers = {0};
	int r;

	if (key->file.public_key.type != SSH_RSA)
		return error_set(err, VMCRED_FAILED,
				 "only an RSA key can be used as a PGP key, not an Ed25519 key");
	if (key->file.encryption.cipher)
		return error_set(err, VMCRED_FAILED, "it is encrypted with a passphrase");
	r = ssh_private_file_open(&key->file, span_of(NULL, 0), &numbers, err);
	if (r < 0)
		return r;
	key->pair = ssh_rsa_private_key_load(&numbers);
	return key->pair ? 0 : age_crypto_failed(err, "load an SSH RSA key");
}

int age_rsa_key_read(struct span text, const char *what, struct age_rsa_key **key,
		     struct error *err)
{
	struct age_rsa_key *new = calloc(1, sizeof(*new));
	int r;

	if (!new)
		return error_no_memory(err);
	r = ssh_private_file_parse(text, span_of(NULL, 0), &new->file, err);
	if (r == 0)
		r = pair_load(new, err);
	secret_destroy(&new->file.body);
	if (r < 0) {
		age_rsa_key_destroy(new);
		return error_wrap(err, "%s", what);
	}
	*key = new;
	return 0;
}

struct span age_rsa_key_modulus(const struct age_rsa_key *key)
{
	return key->file.public_key.modulus;
}

struct span age_rsa_key_exponent(const struct age_rsa_key *key)
{
	return key->file.public_key.exponent;
}

int age_rsa_key_decrypt(const struct age_rsa_key *key, struct span ciphertext,
			struct secret *plaintext, struct error *err)
{
	_cleanup_secret_ struct secret opened = {0};
	size_t size = age_rsa_key_modulus(key).size;
	EVP_PKEY_CTX *context;
	bool ready;
	int r = secret_create(&opened, size, err), done = 0;

	if (r < 0)
		return r;
	context = EVP_PKEY_CTX_new_from_pkey(NULL, key->pair, NULL);
	ready = context && EVP_PKEY_decrypt_init(context) == 1 &&
		EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1;
	if (ready)
		done = EVP_PKEY_decrypt(context, opened.data, &size, ciphertext.data,
					ciphertext.size);
	EVP_PKEY_CTX_free(context);
	ERR_clear_error();
	if (!ready)
		return age_crypto_failed(err, "use an SSH RSA key");
	if (done != 1)
		return error_set(err, VMCRED_FAILED, "not encrypted for this RSA key");
	opened.size = size;
	return secret_append(plaintext, secret_span(&opened), err);
}

void age_rsa_key_destroy(struct age_rsa_key *key)
{
	if (!key)
		return;
	ssh_private_file_destroy(&key->file);
	EVP_PKEY_free(key->pair);
	free(key);
}

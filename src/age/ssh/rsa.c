/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ssh-rsa stanzas (age's agessh): the file key under RSA-OAEP with SHA-256 and a label (RFC 8017,
 * section 7.1).
 */
#include <stdlib.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "age/primitives.h"
#include "age/ssh/stanza.h"
#include "base/cleanup.h"

#define LABEL "age-encryption.org/v1/ssh-rsa"

/* modulus, exponents, primes, and what the Chinese remainder theorem needs */
enum rsa_number {
	MODULUS,
	EXPONENT,
	SECRET_EXPONENT,
	PRIME1,
	PRIME2,
	EXPONENT1,
	EXPONENT2,
	COEFFICIENT,
	RSA_NUMBERS
};

static const char *const parameter_names[RSA_NUMBERS] = {
	OSSL_PKEY_PARAM_RSA_N,         OSSL_PKEY_PARAM_RSA_E,
	OSSL_PKEY_PARAM_RSA_D,         OSSL_PKEY_PARAM_RSA_FACTOR1,
	OSSL_PKEY_PARAM_RSA_FACTOR2,   OSSL_PKEY_PARAM_RSA_EXPONENT1,
	OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
};

static EVP_PKEY *key_build(BIGNUM *const *numbers, size_t count)
{
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	OSSL_PARAM *parameters = NULL;
	EVP_PKEY *key = NULL;
	bool done = builder && context;

	for (size_t i = 0; done && i < count; i++)
		done = OSSL_PARAM_BLD_push_BN(builder, parameter_names[i], numbers[i]) == 1;
	if (done)
		parameters = OSSL_PARAM_BLD_to_param(builder);
	if (!parameters || EVP_PKEY_fromdata_init(context) != 1 ||
	    EVP_PKEY_fromdata(context, &key,
			      count > EXPONENT + 1 ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY,
			      parameters) != 1)
		key = NULL;
	OSSL_PARAM_free(parameters);
	OSSL_PARAM_BLD_free(builder);
	EVP_PKEY_CTX_free(context);
	return key;
}

static EVP_PKEY *public_key_load(const struct ssh_public_key *public_key)
{
	BIGNUM *numbers[] = {
		BN_bin2bn(public_key->modulus.data, (int)public_key->modulus.size, NULL),
		BN_bin2bn(public_key->exponent.data, (int)public_key->exponent.size, NULL),
	};
	EVP_PKEY *key = numbers[0] && numbers[1] ? key_build(numbers, 2) : NULL;

	BN_free(numbers[0]);
	BN_free(numbers[1]);
	return key;
}

static bool number_read(struct span bytes, BIGNUM **number)
{
	/* In libcrypto's secure heap, if it has one, and with its constant-time arithmetic. */
	*number = BN_secure_new();
	if (!*number || bytes.size == 0 || !BN_bin2bn(bytes.data, (int)bytes.size, *number))
		return false;
	BN_set_flags(*number, BN_FLG_CONSTTIME);
	return true;
}

/* Secret exponent modulo prime - 1. */
static bool exponent_compute(const BIGNUM *secret_exponent, const BIGNUM *prime, BIGNUM **out,
			     BN_CTX *context)
{
	BIGNUM *less_one = BN_secure_new();
	bool done;

	*out = BN_secure_new();
	done = less_one && *out && BN_sub(less_one, prime, BN_value_one());
	if (done) {
		BN_set_flags(less_one, BN_FLG_CONSTTIME);
		done = !BN_is_zero(less_one) && BN_mod(*out, secret_exponent, less_one, context);
	}
	BN_clear_free(less_one);
	return done;
}

static bool numbers_compute(const struct ssh_private_key *key, BIGNUM **numbers)
{
	BN_CTX *context = BN_CTX_secure_new();
	bool done = context && number_read(key->modulus, &numbers[MODULUS]) &&
		    number_read(key->exponent, &numbers[EXPONENT]) &&
		    number_read(key->secret_exponent, &numbers[SECRET_EXPONENT]) &&
		    number_read(key->prime1, &numbers[PRIME1]) &&
		    number_read(key->prime2, &numbers[PRIME2]) &&
		    exponent_compute(numbers[SECRET_EXPONENT], numbers[PRIME1], &numbers[EXPONENT1],
				     context) &&
		    exponent_compute(numbers[SECRET_EXPONENT], numbers[PRIME2], &numbers[EXPONENT2],
				     context);

	numbers[COEFFICIENT] = BN_secure_new();
	done = done && numbers[COEFFICIENT] &&
	       BN_mod_inverse(numbers[COEFFICIENT], numbers[PRIME2], numbers[PRIME1], context);
	BN_CTX_free(context);
	return done;
}

EVP_PKEY *ssh_rsa_private_key_load(const struct ssh_private_key *key)
{
	BIGNUM *numbers[RSA_NUMBERS] = {0};
	EVP_PKEY *loaded = numbers_compute(key, numbers) ? key_build(numbers, RSA_NUMBERS) : NULL;

	for (size_t i = 0; i < RSA_NUMBERS; i++)
		BN_clear_free(numbers[i]);
	return loaded;
}

static int oaep_set(EVP_PKEY_CTX *context)
{
	/* libcrypto takes ownership of the label. */
	char *label = OPENSSL_strdup(LABEL);

	if (!label || EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) != 1 ||
	    EVP_PKEY_CTX_set_rsa_oaep_md(context, EVP_sha256()) != 1 ||
	    EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha256()) != 1 ||
	    EVP_PKEY_CTX_set0_rsa_oaep_label(context, label, (int)strlen(LABEL)) != 1) {
		OPENSSL_free(label);
		return 0;
	}
	return 1;
}

static int wrap(const struct ssh_public_key *public_key, struct span file_key,
		struct secret *header, struct error *err)
{
	EVP_PKEY *key = public_key_load(public_key);
	EVP_PKEY_CTX *context = key ? EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL) : NULL;
	_cleanup_free_ uint8_t *wrapped = malloc(public_key->modulus.size);
	size_t size = public_key->modulus.size;
	char line[32];
	bool done = context && wrapped && EVP_PKEY_encrypt_init(context) == 1 &&
		    oaep_set(context) == 1 &&
		    EVP_PKEY_encrypt(context, wrapped, &size, file_key.data, file_key.size) == 1;

	EVP_PKEY_CTX_free(context);
	EVP_PKEY_free(key);
	if (!done)
		return age_crypto_failed(err, "encrypt with an SSH RSA key");
	snprintf(line, sizeof(line), "%s %s", ssh_key_type_name(SSH_RSA), public_key->tag);
	return age_stanza_append(header, line, span_of(wrapped, size), err);
}

static int unwrap(const struct ssh_public_key *public_key, const struct ssh_private_key *private,
		  const struct age_stanza *stanza, uint8_t *file_key, struct error *err)
{
	EVP_PKEY *key = ssh_rsa_private_key_load(private);
	EVP_PKEY_CTX *context = key ? EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL) : NULL;
	bool ready = context && EVP_PKEY_decrypt_init(context) == 1 && oaep_set(context) == 1;
	_cleanup_secret_ struct secret opened = {0};
	size_t size = public_key->modulus.size;
	int r = secret_create(&opened, size, err), done = 0;

	if (r == 0 && ready)
		done = EVP_PKEY_decrypt(context, opened.data, &size, stanza->body.data,
					stanza->body.size);
	EVP_PKEY_CTX_free(context);
	EVP_PKEY_free(key);
	ERR_clear_error();
	if (r < 0)
		return r;
	if (!ready)
		return age_crypto_failed(err, "load an SSH RSA key");
	if (done != 1 || size != AGE_FILE_KEY_SIZE)
		return age_stanza_malformed(stanza, "it was modified", err);
	memcpy(file_key, opened.data, AGE_FILE_KEY_SIZE);
	return 1;
}

static int check(const struct ssh_public_key *public_key, struct error *err)
{
	/* An even modulus or exponent is invalid; libcrypto would report it late. */
	if ((public_key->modulus.data[public_key->modulus.size - 1] & 1) == 0 ||
	    (public_key->exponent.data[public_key->exponent.size - 1] & 1) == 0)
		return error_set(err, VMCRED_FAILED, "the SSH RSA key is damaged");
	return 0;
}

const struct ssh_stanza_ops ssh_rsa_stanza_ops = {
	.arguments = 2,
	.wrap = wrap,
	.unwrap = unwrap,
	.check = check,
};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scrypt recipient type (C2SP age.md, "The scrypt recipient type"): the file key is encrypted
 * with a key that is derived from a passphrase. The sender chooses the work factor, so it is
 * limited: a file must not cost its reader minutes and gigabytes.
 */
#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "age/keys.h"
#include "age/primitives.h"
#include "base/base64.h"

#define STANZA_TYPE "scrypt"
#define LABEL       "age-encryption.org/v1/scrypt"
#define SALT_SIZE   16

/* As in age: a second to encrypt; at most 4 GiB and about 15 seconds to decrypt. */
#define WORK_FACTOR_DEFAULT 18
#define WORK_FACTOR_MAX     22

struct scrypt_recipient {
	struct age_recipient base;
	struct secret passphrase;
	unsigned int work_factor;
};

struct scrypt_identity {
	struct age_identity base;
	struct secret passphrase; /* empty: ask for it */
	char *what;               /* owned; what the passphrase opens, for the question */
};

/* age.md: r = 8, p = 1 */
static int wrapping_key_derive(struct span passphrase, const uint8_t salt[SALT_SIZE],
			       unsigned int work_factor, uint8_t key[AGE_KEY_SIZE],
			       struct error *err)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "SCRYPT", NULL);
	EVP_KDF_CTX *context = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	uint64_t n = UINT64_C(1) << work_factor, memory_max = UINT64_MAX;
	uint32_t block_size = 8, parallel = 1;
	uint8_t full_salt[sizeof(LABEL) - 1 + SALT_SIZE];
	OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, (void *)passphrase.data,
						  passphrase.size),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, full_salt,
						  sizeof(full_salt)),
		OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &n),
		OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &block_size),
		OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &parallel),
		OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &memory_max),
		OSSL_PARAM_construct_end(),
	};
	int done = 0;

	memcpy(full_salt, LABEL, sizeof(LABEL) - 1);
	memcpy(full_salt + sizeof(LABEL) - 1, salt, SALT_SIZE);
	if (context)
		done = EVP_KDF_derive(context, key, AGE_KEY_SIZE, parameters);
	EVP_KDF_CTX_free(context);
	EVP_KDF_free(kdf);
	if (done != 1)
		return age_crypto_failed(err, "derive a key from the passphrase (out of memory?)");
	return 0;
}

static int recipient_wrap(const struct age_recipient *base, struct span file_key,
			  struct secret *header, struct error *err)
{
	const struct scrypt_recipient *recipient = (const struct scrypt_recipient *)base;
	uint8_t key[AGE_KEY_SIZE], wrapped[AGE_WRAPPED_SIZE];
	_cleanup_secret_ struct secret salt = {0};
	char salt_text[32] = "", line[64];
	int r = secret_append_random(&salt, SALT_SIZE, err);

	if (r == 0)
		r = wrapping_key_derive(secret_span(&recipient->passphrase), salt.data,
					recipient->work_factor, key, err);
	if (r == 0)
		r = age_file_key_seal(key, file_key, wrapped, err);
	memory_wipe(key, sizeof(key));
	if (r < 0)
		return r;
	base64_encode(secret_span(&salt), BASE64_UNPADDED, salt_text);
	snprintf(line, sizeof(line), STANZA_TYPE " %s %u", salt_text, recipient->work_factor);
	return age_stanza_append(header, line, span_of(wrapped, sizeof(wrapped)), err);
}

static void recipient_destroy(struct age_recipient *base)
{
	secret_destroy(&((struct scrypt_recipient *)base)->passphrase);
	age_recipient_free(base);
}

static const struct age_recipient_ops scrypt_recipient_ops = {
	.wrap = recipient_wrap,
	.destroy = recipient_destroy,
	.is_alone = true,
};

int age_scrypt_recipient_create(struct span passphrase, unsigned int work_factor,
				struct age_recipient **recipient, struct error *err)
{
	struct scrypt_recipient *new;

	if (passphrase.size == 0)
		return error_set(err, VMCRED_USAGE, "the passphrase is empty");
	if (work_factor > WORK_FACTOR_MAX)
		return error_set(err, VMCRED_USAGE,
				 "the work factor %u is over %d, the maximum of age", work_factor,
				 WORK_FACTOR_MAX);
	new = calloc(1, sizeof(*new));
	if (!new)
		return error_no_memory(err);
	*recipient = &new->base;
	new->base.ops = &scrypt_recipient_ops;
	new->work_factor = work_factor ? work_factor : WORK_FACTOR_DEFAULT;
	new->base.text = strdup("<passphrase>");
	return new->base.text ? secret_copy(&new->passphrase, passphrase, err)
			      : error_no_memory(err);
}

/* Digits without a leading zero, up to the limit. */
static int work_factor_parse(const struct age_stanza *stanza, unsigned int *work_factor,
			     struct error *err)
{
	struct span text = age_stanza_argument(stanza, 2);
	bool is_number = text.size > 0 && text.data[0] != '0';

	*work_factor = 0;
	for (size_t i = 0; is_number && i < text.size; i++) {
		is_number = text.data[i] >= '0' && text.data[i] <= '9';
		if (*work_factor <= WORK_FACTOR_MAX)
			*work_factor = *work_factor * 10 + (text.data[i] - '0');
	}
	if (!is_number)
		return age_stanza_malformed(stanza, "the work factor is not a number", err);
	if (*work_factor > WORK_FACTOR_MAX)
		return error_set(err, VMCRED_FAILED, "the age file's work factor is over %d",
				 WORK_FACTOR_MAX);
	return 0;
}

static int identity_unwrap(struct age_identity *base, const struct age_stanza *stanza,
			   uint8_t *file_key, struct error *err)
{
	const struct scrypt_identity *identity = (const struct scrypt_identity *)base;
	uint8_t salt[SALT_SIZE], key[AGE_KEY_SIZE];
	_cleanup_secret_ struct secret asked = {0};
	struct span passphrase = secret_span(&identity->passphrase);
	unsigned int work_factor = 0;
	int r = age_stanza_decode(stanza, 3, 1, "salt", salt, SALT_SIZE, err);

	if (r == 0)
		r = work_factor_parse(stanza, &work_factor, err);
	if (r == 0 && passphrase.size == 0) {
		r = age_passphrase_ask(identity->base.prompt, identity->what, &asked, err);
		passphrase = secret_span(&asked);
	}
	if (r == 0)
		r = wrapping_key_derive(passphrase, salt, work_factor, key, err);
	if (r == 0)
		r = age_file_key_open(key, stanza->body, file_key, err);
	memory_wipe(key, sizeof(key));
	return r == 0 ? error_set(err, VMCRED_MISSING, "incorrect passphrase") : r;
}

static void identity_destroy(struct age_identity *base)
{
	struct scrypt_identity *identity = (struct scrypt_identity *)base;

	secret_destroy(&identity->passphrase);
	free(identity->what);
	age_identity_free(base);
}

static const struct age_identity_ops scrypt_identity_ops = {
	.unwrap = identity_unwrap,
	.destroy = identity_destroy,
};

int age_scrypt_identity_create(struct span passphrase, const char *what,
			       struct age_identity **identity, struct error *err)
{
	struct scrypt_identity *new = calloc(1, sizeof(*new));

	if (!new)
		return error_no_memory(err);
	*identity = &new->base;
	new->base.ops = &scrypt_identity_ops;
	new->base.stanza_type = STANZA_TYPE;
	new->base.recipient = strdup("<passphrase>");
	new->what = strdup(what);
	if (!new->base.recipient || !new->what)
		return error_no_memory(err);
	return passphrase.size > 0 ? secret_copy(&new->passphrase, passphrase, err) : 0;
}

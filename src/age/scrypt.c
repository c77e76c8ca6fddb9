/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scrypt recipient type (C2SP age.md, "The scrypt recipient type"): the file key is encrypted
 * with a key that is derived from a passphrase. The work is the sender's choice, so a limit keeps a
 * file from costing its reader minutes and gigabytes.
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

/* age's own: a second when it encrypts; 4 GiB and some 15 seconds at most when it decrypts. */
#define WORK_FACTOR_DEFAULT 18
#define WORK_FACTOR_MAX     22

struct scrypt_recipient {
	struct age_recipient base;
	struct secret passphrase;
	unsigned int work_factor;
};

struct scrypt_identity {
	struct age_identity base;
	struct secret passphrase; /* empty: asked for */
	char *what;               /* owned; what it opens */
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
		return age_crypto_failed(err, "derive a key from the passphrase (is there enough "
					      "memory?)");
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
	int r = 0;

	if (passphrase.size == 0)
		return error_set(err, VMCRED_USAGE, "the passphrase is empty");
	if (work_factor > WORK_FACTOR_MAX)
		return error_set(err, VMCRED_USAGE,
				 "the work factor %u is over %d, which age does not open",
				 work_factor, WORK_FACTOR_MAX);
	new = calloc(1, sizeof(*new));
	if (!new)
		return error_no_memory(err);
	new->base.ops = &scrypt_recipient_ops;
	new->work_factor = work_factor ? work_factor : WORK_FACTOR_DEFAULT;
	new->base.text = strdup("<passphrase>");
	if (!new->base.text)
		r = error_no_memory(err);
	if (r == 0)
		r = secret_copy(&new->passphrase, passphrase, err);
	if (r < 0) {
		recipient_destroy(&new->base);
		return r;
	}
	*recipient = &new->base;
	return 0;
}

static int stanza_invalid(struct error *err, const char *reason)
{
	return error_set(err, VMCRED_FAILED,
			 "the passphrase stanza of the age header is malformed: %s", reason);
}

/* Digits without a leading zero, up to the limit. */
static int work_factor_parse(struct span text, unsigned int *work_factor, struct error *err)
{
	*work_factor = 0;
	if (text.size == 0 || text.data[0] == '0')
		return stanza_invalid(err, "its work factor is not a number");
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return stanza_invalid(err, "its work factor is not a number");
		*work_factor = *work_factor * 10 + (text.data[i] - '0');
		if (*work_factor > WORK_FACTOR_MAX)
			*work_factor = WORK_FACTOR_MAX + 1;
	}
	if (*work_factor > WORK_FACTOR_MAX)
		return error_set(err, VMCRED_FAILED,
				 "the age file's work factor is over %d: it would take too long",
				 WORK_FACTOR_MAX);
	return 0;
}

static int stanza_parse(const struct age_stanza *stanza, uint8_t salt[SALT_SIZE],
			unsigned int *work_factor, struct error *err)
{
	_cleanup_error_ struct error reason = {0};
	struct span text = age_stanza_word(stanza, 1);
	uint8_t decoded[SALT_SIZE + 4];
	size_t size = 0;

	if (age_stanza_word_count(stanza) != 3)
		return stanza_invalid(err, "it must have two arguments");
	if (text.size != base64_encoded_size(SALT_SIZE, BASE64_UNPADDED) ||
	    base64_decode(text, BASE64_UNPADDED, decoded, &size, &reason) < 0)
		return stanza_invalid(err, "its salt is not 16 bytes of canonical Base64");
	memcpy(salt, decoded, SALT_SIZE);
	if (stanza->body.size != AGE_WRAPPED_SIZE)
		return stanza_invalid(err, "its body is not 32 bytes long");
	return work_factor_parse(age_stanza_word(stanza, 2), work_factor, err);
}

static int stanza_unwrap(const struct scrypt_identity *identity, const struct age_stanza *stanza,
			 uint8_t *file_key, struct error *err)
{
	uint8_t salt[SALT_SIZE], key[AGE_KEY_SIZE];
	_cleanup_secret_ struct secret asked = {0};
	struct span passphrase = secret_span(&identity->passphrase);
	unsigned int work_factor = 0;
	int r = stanza_parse(stanza, salt, &work_factor, err);

	if (r == 0 && passphrase.size == 0) {
		r = age_passphrase_ask(identity->base.prompt, "Passphrase of", identity->what,
				       &asked, err);
		passphrase = secret_span(&asked);
	}
	if (r == 0)
		r = wrapping_key_derive(passphrase, salt, work_factor, key, err);
	if (r == 0)
		r = age_file_key_open(key, stanza->body, file_key, err);
	memory_wipe(key, sizeof(key));
	if (r == 0)
		return error_set(err, VMCRED_MISSING, "the passphrase is wrong");
	return r;
}

static int identity_unwrap(struct age_identity *base, const struct age_header *header,
			   uint8_t *file_key, struct error *err)
{
	/* Elsewhere it is seen to that a passphrase stanza stands alone. */
	if (!span_equal(age_stanza_word(&header->stanzas[0], 0), span_of_text(STANZA_TYPE)))
		return 0;
	return stanza_unwrap((struct scrypt_identity *)base, &header->stanzas[0], file_key, err);
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
	int r = 0;

	if (!new)
		return error_no_memory(err);
	new->base.ops = &scrypt_identity_ops;
	new->base.recipient = strdup("<passphrase>");
	new->what = strdup(what);
	if (!new->base.recipient || !new->what)
		r = error_no_memory(err);
	if (r == 0 && passphrase.size > 0)
		r = secret_copy(&new->passphrase, passphrase, err);
	if (r < 0) {
		identity_destroy(&new->base);
		return r;
	}
	*identity = &new->base;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The X25519 recipient type (C2SP age.md, "The X25519 recipient type"): a stanza holds an ephemeral
 * public key and the file key, encrypted with a key that is derived from the shared secret and both
 * public keys.
 */
#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/params.h>

#include "age/bech32.h"
#include "age/keys.h"
#include "age/primitives.h"
#include "base/base64.h"
#include "base/cleanup.h"

#define X25519_KEY_SIZE  32 /* RFC 7748, section 5 */
#define STANZA_TYPE      "X25519"
#define LABEL            "age-encryption.org/v1/X25519"
#define RECIPIENT_PREFIX "age"
#define IDENTITY_PREFIX  "age-secret-key-"

/* Of a wrapped file key. */
#define WRAPPED_SIZE (AGE_FILE_KEY_SIZE + AGE_TAG_SIZE)

struct x25519_recipient {
	struct age_recipient base;
	uint8_t public_key[X25519_KEY_SIZE];
};

struct x25519_identity {
	struct age_identity base;
	struct secret scalar;
	uint8_t public_key[X25519_KEY_SIZE];
};

static void cleanup_pkey(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

#define _cleanup_pkey_ __attribute__((cleanup(cleanup_pkey)))

static char *recipient_encode(const uint8_t public_key[X25519_KEY_SIZE])
{
	size_t size = bech32_encoded_size(RECIPIENT_PREFIX, X25519_KEY_SIZE);
	char *text = malloc(size + 1);

	if (!text)
		return NULL;
	bech32_encode(RECIPIENT_PREFIX, span_of(public_key, X25519_KEY_SIZE), BECH32_LOWER, text);
	text[size] = '\0';
	return text;
}

/* The public key of a scalar; NULL and zero keys cannot happen, since libcrypto clamps the scalar.
 */
static int public_key_compute(struct span scalar, uint8_t public_key[X25519_KEY_SIZE],
			      struct error *err)
{
	_cleanup_pkey_ EVP_PKEY *key =
		EVP_PKEY_new_raw_private_key_ex(NULL, "X25519", NULL, scalar.data, scalar.size);
	size_t size = X25519_KEY_SIZE;

	if (!key || EVP_PKEY_get_raw_public_key(key, public_key, &size) != 1)
		return age_crypto_failed(err, "compute an X25519 public key");
	return 0;
}

/* With the public key given, libcrypto need not compute it again. */
static EVP_PKEY *key_pair_load(struct span scalar, const uint8_t public_key[X25519_KEY_SIZE])
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "X25519", NULL);
	EVP_PKEY *key = NULL;
	OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PRIV_KEY, (void *)scalar.data,
						  scalar.size),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)public_key,
						  X25519_KEY_SIZE),
		OSSL_PARAM_construct_end(),
	};

	if (!context || EVP_PKEY_fromdata_init(context) != 1 ||
	    EVP_PKEY_fromdata(context, &key, EVP_PKEY_KEYPAIR, parameters) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(context);
	return key;
}

/*
 * Returns 1, or 0 if the shared secret is all zeros, as it is for a public key of low order: a file
 * key that was wrapped with it would be known to everybody (RFC 7748, section 6.1).
 */
static int shared_secret_compute(struct span scalar, const uint8_t own_key[X25519_KEY_SIZE],
				 const uint8_t peer_key[X25519_KEY_SIZE],
				 uint8_t shared[X25519_KEY_SIZE], struct error *err)
{
	static const uint8_t zeros[X25519_KEY_SIZE];
	_cleanup_pkey_ EVP_PKEY *own = key_pair_load(scalar, own_key);
	_cleanup_pkey_ EVP_PKEY *peer =
		EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL, peer_key, X25519_KEY_SIZE);
	EVP_PKEY_CTX *context = own ? EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL) : NULL;
	size_t size = X25519_KEY_SIZE;
	int done = 0;

	if (!context || !peer || EVP_PKEY_derive_init(context) != 1 ||
	    EVP_PKEY_derive_set_peer(context, peer) != 1) {
		EVP_PKEY_CTX_free(context);
		return age_crypto_failed(err, "set up X25519");
	}
	/* libcrypto refuses an all-zero result itself; it has no other reason to fail here. */
	done = EVP_PKEY_derive(context, shared, &size);
	EVP_PKEY_CTX_free(context);
	ERR_clear_error();
	return done == 1 && size == X25519_KEY_SIZE &&
	       !secret_equal(span_of(shared, X25519_KEY_SIZE), span_of(zeros, sizeof(zeros)));
}

static int wrapping_key_derive(const uint8_t shared[X25519_KEY_SIZE],
			       const uint8_t ephemeral_key[X25519_KEY_SIZE],
			       const uint8_t public_key[X25519_KEY_SIZE], uint8_t key[AGE_KEY_SIZE],
			       struct error *err)
{
	uint8_t salt[2 * X25519_KEY_SIZE];

	memcpy(salt, ephemeral_key, X25519_KEY_SIZE);
	memcpy(salt + X25519_KEY_SIZE, public_key, X25519_KEY_SIZE);
	return age_hkdf(span_of(shared, X25519_KEY_SIZE), span_of(salt, sizeof(salt)), LABEL, key,
			err);
}

/* Each wrapping key is used once, so the nonce is all zeros (age.md). */
static const uint8_t zero_nonce[AGE_NONCE_SIZE];

static int file_key_seal(const uint8_t key[AGE_KEY_SIZE], struct span file_key,
			 uint8_t wrapped[WRAPPED_SIZE], struct error *err)
{
	_cleanup_age_aead_ struct age_aead aead = {0};
	int r = age_aead_create(&aead, key, AGE_ENCRYPT, err);

	if (r < 0)
		return r;
	return age_aead_seal(&aead, zero_nonce, file_key, wrapped, err);
}

static int recipient_wrap(const struct age_recipient *base, struct span file_key,
			  struct secret *header, struct error *err)
{
	const struct x25519_recipient *recipient = (const struct x25519_recipient *)base;
	char line[sizeof(STANZA_TYPE) + 64] = STANZA_TYPE " ";
	uint8_t ephemeral_key[X25519_KEY_SIZE], wrapped[WRAPPED_SIZE];
	uint8_t shared[X25519_KEY_SIZE], key[AGE_KEY_SIZE];
	_cleanup_secret_ struct secret scalar = {0};
	int r = secret_append_random(&scalar, X25519_KEY_SIZE, err);

	if (r == 0)
		r = public_key_compute(secret_span(&scalar), ephemeral_key, err);
	if (r == 0)
		r = shared_secret_compute(secret_span(&scalar), ephemeral_key,
					  recipient->public_key, shared, err);
	if (r == 0)
		r = error_set(err, VMCRED_USAGE,
			      "the recipient %s is a point of low order: nobody has its secret key",
			      base->text);
	if (r > 0)
		r = wrapping_key_derive(shared, ephemeral_key, recipient->public_key, key, err);
	if (r == 0)
		r = file_key_seal(key, file_key, wrapped, err);
	memory_wipe(shared, sizeof(shared));
	memory_wipe(key, sizeof(key));
	if (r < 0)
		return r;
	base64_encode(span_of(ephemeral_key, sizeof(ephemeral_key)), BASE64_UNPADDED,
		      line + strlen(line));
	return age_stanza_append(header, line, span_of(wrapped, sizeof(wrapped)), err);
}

static void recipient_destroy(struct age_recipient *base)
{
	free(base->text);
	free(base);
}

static const struct age_recipient_ops x25519_recipient_ops = {
	.wrap = recipient_wrap,
	.destroy = recipient_destroy,
};

int age_x25519_recipient_parse(struct span text, struct age_recipient **recipient,
			       struct error *err)
{
	uint8_t public_key[X25519_KEY_SIZE];
	struct x25519_recipient *new;
	int r = bech32_decode(text, RECIPIENT_PREFIX, BECH32_LOWER, public_key, sizeof(public_key),
			      err);

	if (r < 0)
		return r;
	new = calloc(1, sizeof(*new));
	if (!new)
		return error_no_memory(err);
	new->base.ops = &x25519_recipient_ops;
	memcpy(new->public_key, public_key, sizeof(public_key));
	new->base.text = recipient_encode(public_key);
	*recipient = &new->base;
	if (!new->base.text) {
		recipient_destroy(&new->base);
		return error_no_memory(err);
	}
	return 0;
}

static int stanza_invalid(struct error *err, const char *reason)
{
	return error_set(err, VMCRED_FAILED, "an X25519 stanza of the age header is malformed: %s",
			 reason);
}

static int ephemeral_key_parse(const struct age_stanza *stanza, uint8_t out[X25519_KEY_SIZE],
			       struct error *err)
{
	_cleanup_error_ struct error reason = {0};
	struct span text = age_stanza_word(stanza, 1);
	uint8_t decoded[X25519_KEY_SIZE + 4];
	size_t size = 0;

	if (age_stanza_word_count(stanza) != 2)
		return stanza_invalid(err, "it must have one argument");
	if (text.size != base64_encoded_size(X25519_KEY_SIZE, BASE64_UNPADDED) ||
	    base64_decode(text, BASE64_UNPADDED, decoded, &size, &reason) < 0)
		return stanza_invalid(err, "its public key is not 32 bytes of canonical Base64");
	memcpy(out, decoded, X25519_KEY_SIZE);
	if (stanza->body.size != WRAPPED_SIZE)
		return stanza_invalid(err, "its body is not 32 bytes long");
	return 0;
}

static int stanza_unwrap(const struct x25519_identity *identity, const struct age_stanza *stanza,
			 uint8_t *file_key, struct error *err)
{
	uint8_t ephemeral_key[X25519_KEY_SIZE], shared[X25519_KEY_SIZE], key[AGE_KEY_SIZE];
	_cleanup_age_aead_ struct age_aead aead = {0};
	int r = ephemeral_key_parse(stanza, ephemeral_key, err);

	if (r == 0)
		r = shared_secret_compute(secret_span(&identity->scalar), identity->public_key,
					  ephemeral_key, shared, err);
	if (r == 0)
		r = stanza_invalid(err, "its public key is a point of low order");
	if (r > 0)
		r = wrapping_key_derive(shared, ephemeral_key, identity->public_key, key, err);
	if (r == 0)
		r = age_aead_create(&aead, key, AGE_DECRYPT, err);
	memory_wipe(shared, sizeof(shared));
	memory_wipe(key, sizeof(key));
	if (r < 0)
		return r;
	return age_aead_open(&aead, zero_nonce, stanza->body, file_key, err);
}

static int identity_unwrap(const struct age_identity *base, const struct age_header *header,
			   uint8_t *file_key, struct error *err)
{
	const struct x25519_identity *identity = (const struct x25519_identity *)base;
	int r = 0;

	for (size_t i = 0; r == 0 && i < header->count; i++) {
		const struct age_stanza *stanza = &header->stanzas[i];

		if (span_equal(age_stanza_word(stanza, 0), span_of_text(STANZA_TYPE)))
			r = stanza_unwrap(identity, stanza, file_key, err);
	}
	return r;
}

static int identity_encode(const struct age_identity *base, struct secret *text, struct error *err)
{
	const struct x25519_identity *identity = (const struct x25519_identity *)base;
	size_t size = bech32_encoded_size(IDENTITY_PREFIX, X25519_KEY_SIZE);
	int r = secret_reserve(text, text->size + size, err);

	if (r < 0)
		return r;
	bech32_encode(IDENTITY_PREFIX, secret_span(&identity->scalar), BECH32_UPPER,
		      (char *)text->data + text->size);
	text->size += size;
	return 0;
}

static void identity_destroy(struct age_identity *base)
{
	struct x25519_identity *identity = (struct x25519_identity *)base;

	secret_destroy(&identity->scalar);
	free(base->recipient);
	free(identity);
}

static const struct age_identity_ops x25519_identity_ops = {
	.unwrap = identity_unwrap,
	.encode = identity_encode,
	.destroy = identity_destroy,
};

/* Takes the scalar over. */
static int identity_create(struct secret *scalar, struct age_identity **out, struct error *err)
{
	struct x25519_identity *identity = calloc(1, sizeof(*identity));
	int r;

	if (!identity)
		return error_no_memory(err);
	identity->base.ops = &x25519_identity_ops;
	secret_move(&identity->scalar, scalar);
	r = public_key_compute(secret_span(&identity->scalar), identity->public_key, err);
	if (r == 0)
		identity->base.recipient = recipient_encode(identity->public_key);
	if (r == 0 && !identity->base.recipient)
		r = error_no_memory(err);
	if (r < 0) {
		identity_destroy(&identity->base);
		return r;
	}
	*out = &identity->base;
	return 0;
}

int age_x25519_identity_parse(struct span text, struct age_identity **identity, struct error *err)
{
	_cleanup_secret_ struct secret scalar = {0};
	int r = secret_create(&scalar, X25519_KEY_SIZE, err);

	if (r < 0)
		return r;
	r = bech32_decode(text, IDENTITY_PREFIX, BECH32_UPPER, scalar.data, X25519_KEY_SIZE, err);
	if (r < 0)
		return r;
	scalar.size = X25519_KEY_SIZE;
	return identity_create(&scalar, identity, err);
}

int age_x25519_identity_generate(struct age_identity **identity, struct error *err)
{
	_cleanup_secret_ struct secret scalar = {0};
	int r = secret_append_random(&scalar, X25519_KEY_SIZE, err);

	if (r < 0)
		return r;
	return identity_create(&scalar, identity, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hybrid post-quantum recipient type (C2SP age.md, "The MLKEM768-X25519 (i.e. X-Wing) hybrid
 * post-quantum recipient type"): the file key is sealed with HPKE.
 *
 * Keys are taken even where libcrypto has no ML-KEM, so that an identity file with keys of several
 * types is of use there; a file that needs one says what is missing.
 */
#include <stdlib.h>

#include "age/bech32.h"
#include "age/hpke.h"
#include "age/keys.h"
#include "age/xwing.h"
#include "base/base64.h"
#include "base/cleanup.h"

#define STANZA_TYPE      "mlkem768x25519"
#define INFO             "age-encryption.org/mlkem768x25519"
#define RECIPIENT_PREFIX "age1pq"
#define IDENTITY_PREFIX  "age-secret-key-pq-"

struct hybrid_recipient {
	struct age_recipient base;
	uint8_t public_key[XWING_PUBLIC_SIZE];
};

struct hybrid_identity {
	struct age_identity base;
	struct secret seed;
};

static int recipient_wrap(const struct age_recipient *base, struct span file_key,
			  struct secret *header, struct error *err)
{
	const struct hybrid_recipient *recipient = (const struct hybrid_recipient *)base;
	uint8_t ciphertext[XWING_CIPHERTEXT_SIZE], shared[XWING_SHARED_SIZE];
	uint8_t wrapped[AGE_WRAPPED_SIZE];
	_cleanup_secret_ struct secret line = {0};
	int r = xwing_encapsulate(recipient->public_key, ciphertext, shared, err);

	if (r == 0)
		r = hpke_seal(HPKE_KEM_MLKEM768_X25519, span_of(shared, sizeof(shared)), INFO,
			      file_key, wrapped, err);
	memory_wipe(shared, sizeof(shared));
	if (r == 0)
		r = secret_append_text(&line, STANZA_TYPE " ", err);
	if (r == 0)
		r = base64_encode_secret(span_of(ciphertext, sizeof(ciphertext)), BASE64_UNPADDED,
					 &line, err);
	if (r == 0)
		r = secret_append(&line, span_of("", 1), err);
	if (r < 0)
		return error_wrap(err, "encrypting to a post-quantum key");
	return age_stanza_append(header, (const char *)line.data, span_of(wrapped, sizeof(wrapped)),
				 err);
}

static const struct age_recipient_ops hybrid_recipient_ops = {
	.wrap = recipient_wrap,
	.destroy = age_recipient_free,
	.labels = AGE_LABEL_POSTQUANTUM,
};

int age_hybrid_recipient_parse(struct span text, struct age_recipient **recipient,
			       struct error *err)
{
	struct hybrid_recipient *new = calloc(1, sizeof(*new));
	int r;

	if (!new)
		return error_no_memory(err);
	new->base.ops = &hybrid_recipient_ops;
	r = bech32_decode(text, RECIPIENT_PREFIX, BECH32_LOWER, new->public_key,
			  sizeof(new->public_key), err);
	if (r == 0)
		r = mlkem_check(err);
	if (r == 0) {
		new->base.text = strndup((const char *)text.data, text.size);
		if (!new->base.text)
			r = error_no_memory(err);
	}
	if (r < 0) {
		age_recipient_free(&new->base);
		return r;
	}
	*recipient = &new->base;
	return 0;
}

static int stanza_invalid(struct error *err, const char *reason)
{
	return error_set(err, VMCRED_FAILED,
			 "an " STANZA_TYPE " stanza of the age header is malformed: %s", reason);
}

static int ciphertext_parse(const struct age_stanza *stanza,
			    uint8_t ciphertext[XWING_CIPHERTEXT_SIZE], struct error *err)
{
	_cleanup_error_ struct error reason = {0};
	struct span text = age_stanza_word(stanza, 1);
	uint8_t decoded[XWING_CIPHERTEXT_SIZE + 4];
	size_t size = 0;

	if (age_stanza_word_count(stanza) != 2)
		return stanza_invalid(err, "it must have one argument");
	if (text.size != base64_encoded_size(XWING_CIPHERTEXT_SIZE, BASE64_UNPADDED) ||
	    base64_decode(text, BASE64_UNPADDED, decoded, &size, &reason) < 0)
		return stanza_invalid(err,
				      "its encapsulated key is not 1120 bytes of canonical Base64");
	memcpy(ciphertext, decoded, XWING_CIPHERTEXT_SIZE);
	if (stanza->body.size != AGE_WRAPPED_SIZE)
		return stanza_invalid(err, "its body is not 32 bytes long");
	return 0;
}

static int stanza_unwrap(const struct hybrid_identity *identity, const struct age_stanza *stanza,
			 uint8_t *file_key, struct error *err)
{
	uint8_t ciphertext[XWING_CIPHERTEXT_SIZE], shared[XWING_SHARED_SIZE];
	int r = ciphertext_parse(stanza, ciphertext, err);

	if (r == 0)
		r = mlkem_check(err);
	if (r == 0)
		r = xwing_decapsulate(secret_span(&identity->seed), ciphertext, shared, err);
	else
		return r;
	if (r == 0)
		r = stanza_invalid(err, "its X25519 share is a point of low order");
	if (r > 0)
		r = hpke_open(HPKE_KEM_MLKEM768_X25519, span_of(shared, sizeof(shared)), INFO,
			      stanza->body, file_key, err);
	memory_wipe(shared, sizeof(shared));
	return r;
}

static int identity_unwrap(struct age_identity *base, const struct age_header *header,
			   uint8_t *file_key, struct error *err)
{
	const struct hybrid_identity *identity = (const struct hybrid_identity *)base;
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
	const struct hybrid_identity *identity = (const struct hybrid_identity *)base;
	size_t size = bech32_encoded_size(IDENTITY_PREFIX, XWING_SEED_SIZE);
	int r = secret_reserve(text, text->size + size, err);

	if (r < 0)
		return r;
	bech32_encode(IDENTITY_PREFIX, secret_span(&identity->seed), BECH32_UPPER,
		      (char *)text->data + text->size);
	text->size += size;
	return 0;
}

static void identity_destroy(struct age_identity *base)
{
	secret_destroy(&((struct hybrid_identity *)base)->seed);
	age_identity_free(base);
}

static const struct age_identity_ops hybrid_identity_ops = {
	.unwrap = identity_unwrap,
	.encode = identity_encode,
	.destroy = identity_destroy,
};

/* The public key's text, as far as libcrypto can compute it. */
static int recipient_name(struct hybrid_identity *identity, struct error *err)
{
	_cleanup_error_ struct error reason = {0};
	size_t size = bech32_encoded_size(RECIPIENT_PREFIX, XWING_PUBLIC_SIZE);
	uint8_t public_key[XWING_PUBLIC_SIZE];
	int r;

	if (mlkem_check(&reason) < 0) {
		identity->base.recipient = strdup("<post-quantum key>");
		return identity->base.recipient ? 0 : error_no_memory(err);
	}
	r = xwing_public_key(secret_span(&identity->seed), public_key, err);
	if (r < 0)
		return r;
	identity->base.recipient = calloc(1, size + 1);
	if (!identity->base.recipient)
		return error_no_memory(err);
	bech32_encode(RECIPIENT_PREFIX, span_of(public_key, sizeof(public_key)), BECH32_LOWER,
		      identity->base.recipient);
	return 0;
}

int age_hybrid_identity_parse(struct span text, struct age_identity **identity, struct error *err)
{
	struct hybrid_identity *new = calloc(1, sizeof(*new));
	int r;

	if (!new)
		return error_no_memory(err);
	new->base.ops = &hybrid_identity_ops;
	r = secret_create(&new->seed, XWING_SEED_SIZE, err);
	if (r == 0)
		r = bech32_decode(text, IDENTITY_PREFIX, BECH32_UPPER, new->seed.data,
				  XWING_SEED_SIZE, err);
	if (r == 0) {
		new->seed.size = XWING_SEED_SIZE;
		r = recipient_name(new, err);
	}
	if (r < 0) {
		identity_destroy(&new->base);
		return r;
	}
	*identity = &new->base;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The X25519 recipient type (C2SP age.md, "The X25519 recipient type"): a stanza holds an ephemeral
 * public key and the file key, encrypted with a key that is derived from the shared secret and both
 * public keys.
 */
#include <stdlib.h>

#include "age/bech32.h"
#include "age/curve25519.h"
#include "age/keys.h"
#include "age/primitives.h"
#include "base/base64.h"
#include "base/cleanup.h"

#define STANZA_TYPE      "X25519"
#define LABEL            "age-encryption.org/v1/X25519"
#define RECIPIENT_PREFIX "age"
#define IDENTITY_PREFIX  "age-secret-key-"

struct x25519_recipient {
	struct age_recipient base;
	uint8_t public_key[X25519_KEY_SIZE];
	struct x25519_peer *peer; /* owned; the same */
};

struct x25519_identity {
	struct age_identity base;
	struct secret scalar;
	uint8_t public_key[X25519_KEY_SIZE];
};

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

static int recipient_wrap(const struct age_recipient *base, struct span file_key,
			  struct secret *header, struct error *err)
{
	const struct x25519_recipient *recipient = (const struct x25519_recipient *)base;
	char line[sizeof(STANZA_TYPE) + 64] = STANZA_TYPE " ";
	uint8_t ephemeral_key[X25519_KEY_SIZE], wrapped[AGE_WRAPPED_SIZE];
	uint8_t shared[X25519_KEY_SIZE], key[AGE_KEY_SIZE];
	_cleanup_secret_ struct secret scalar = {0};
	int r = secret_append_random(&scalar, X25519_KEY_SIZE, err);

	if (r < 0)
		return r;
	r = x25519_exchange(secret_span(&scalar), recipient->peer, ephemeral_key, shared, err);
	if (r == 0)
		r = error_set(err, VMCRED_USAGE,
			      "the recipient %s is a point of low order: nobody has its secret key",
			      base->text);
	if (r > 0)
		r = x25519_wrapping_key(shared, ephemeral_key, recipient->public_key, LABEL, key,
					err);
	if (r == 0)
		r = age_file_key_seal(key, file_key, wrapped, err);
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
	struct x25519_recipient *recipient = (struct x25519_recipient *)base;

	x25519_peer_destroy(recipient->peer);
	age_recipient_free(base);
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
	new->peer = x25519_peer_create(public_key);
	*recipient = &new->base;
	if (!new->base.text || !new->peer) {
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
	if (stanza->body.size != AGE_WRAPPED_SIZE)
		return stanza_invalid(err, "its body is not 32 bytes long");
	return 0;
}

static int stanza_unwrap(const struct x25519_identity *identity, const struct age_stanza *stanza,
			 uint8_t *file_key, struct error *err)
{
	uint8_t ephemeral_key[X25519_KEY_SIZE], shared[X25519_KEY_SIZE], key[AGE_KEY_SIZE];
	int r = ephemeral_key_parse(stanza, ephemeral_key, err);

	if (r == 0)
		r = x25519_shared_secret(secret_span(&identity->scalar), identity->public_key,
					 ephemeral_key, shared, err);
	if (r == 0)
		r = stanza_invalid(err, "its public key is a point of low order");
	if (r > 0)
		r = x25519_wrapping_key(shared, ephemeral_key, identity->public_key, LABEL, key,
					err);
	if (r == 0)
		r = age_file_key_open(key, stanza->body, file_key, err);
	memory_wipe(shared, sizeof(shared));
	memory_wipe(key, sizeof(key));
	return r;
}

static int identity_unwrap(struct age_identity *base, const struct age_header *header,
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
	age_identity_free(base);
}

static const struct age_identity_ops x25519_identity_ops = {
	.unwrap = identity_unwrap,
	.encode = identity_encode,
	.destroy = identity_destroy,
};

int age_x25519_identity_create(struct secret *scalar, struct age_identity **out, struct error *err)
{
	struct x25519_identity *identity = calloc(1, sizeof(*identity));
	int r;

	if (!identity)
		return error_no_memory(err);
	identity->base.ops = &x25519_identity_ops;
	secret_move(&identity->scalar, scalar);
	r = x25519_public_key(secret_span(&identity->scalar), identity->public_key, err);
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
	return age_x25519_identity_create(&scalar, identity, err);
}

int age_x25519_identity_generate(struct age_identity **identity, struct error *err)
{
	_cleanup_secret_ struct secret scalar = {0};
	int r = secret_append_random(&scalar, X25519_KEY_SIZE, err);

	if (r < 0)
		return r;
	return age_x25519_identity_create(&scalar, identity, err);
}

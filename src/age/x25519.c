/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The X25519 recipient type (C2SP age.md, "The X25519 recipient type"): a stanza contains an
 * ephemeral public key, and the file key under a key that is derived from the shared secret and
 * both public keys.
 */
#include <stdlib.h>

#include "age/bech32.h"
#include "age/curve25519.h"
#include "age/keys.h"
#include "age/primitives.h"
#include "base/base64.h"

#define STANZA_TYPE      "X25519"
#define LABEL            "age-encryption.org/v1/X25519"
#define RECIPIENT_PREFIX "age"
#define IDENTITY_PREFIX  "age-secret-key-"

struct x25519_recipient {
	struct age_recipient base;
	uint8_t public_key[X25519_KEY_SIZE];
	struct x25519_peer *peer; /* owned; the same key */
};

struct x25519_identity {
	struct age_identity base;
	struct secret scalar;
	uint8_t public_key[X25519_KEY_SIZE];
};

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
			      "the recipient %s is a point of low order: it has no secret key",
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
	struct x25519_recipient *new = calloc(1, sizeof(*new));
	int r;

	if (!new)
		return error_no_memory(err);
	*recipient = &new->base;
	new->base.ops = &x25519_recipient_ops;
	r = bech32_decode(text, RECIPIENT_PREFIX, BECH32_LOWER, new->public_key,
			  sizeof(new->public_key), err);
	if (r < 0)
		return r;
	new->peer = x25519_peer_create(new->public_key);
	return new->peer ? 0 : error_no_memory(err);
}

static int identity_unwrap(struct age_identity *base, const struct age_stanza *stanza,
			   uint8_t *file_key, struct error *err)
{
	const struct x25519_identity *identity = (const struct x25519_identity *)base;
	uint8_t ephemeral_key[X25519_KEY_SIZE], shared[X25519_KEY_SIZE], key[AGE_KEY_SIZE];
	int r = age_stanza_decode(stanza, 2, 1, "public key", ephemeral_key, X25519_KEY_SIZE, err);

	if (r == 0)
		r = x25519_shared_secret(secret_span(&identity->scalar), identity->public_key,
					 ephemeral_key, shared, err);
	if (r == 0)
		r = age_stanza_malformed(stanza, "the public key is a point of low order", err);
	if (r > 0)
		r = x25519_wrapping_key(shared, ephemeral_key, identity->public_key, LABEL, key,
					err);
	if (r == 0)
		r = age_file_key_open(key, stanza->body, file_key, err);
	memory_wipe(shared, sizeof(shared));
	memory_wipe(key, sizeof(key));
	return r;
}

static int identity_encode(const struct age_identity *base, struct secret *text, struct error *err)
{
	const struct x25519_identity *identity = (const struct x25519_identity *)base;

	return bech32_encode_secret(IDENTITY_PREFIX, secret_span(&identity->scalar), text, err);
}

static void identity_destroy(struct age_identity *base)
{
	secret_destroy(&((struct x25519_identity *)base)->scalar);
	age_identity_free(base);
}

static const struct age_identity_ops x25519_identity_ops = {
	.unwrap = identity_unwrap,
	.encode = identity_encode,
	.destroy = identity_destroy,
};

int age_x25519_identity_create(struct secret *scalar, struct age_identity **identity,
			       struct error *err)
{
	struct x25519_identity *new = calloc(1, sizeof(*new));
	int r;

	if (!new)
		return error_no_memory(err);
	*identity = &new->base;
	new->base.ops = &x25519_identity_ops;
	new->base.stanza_type = STANZA_TYPE;
	secret_move(&new->scalar, scalar);
	r = x25519_public_key(secret_span(&new->scalar), new->public_key, err);
	if (r < 0)
		return r;
	new->base.recipient =
		bech32_encode(RECIPIENT_PREFIX, span_of(new->public_key, X25519_KEY_SIZE));
	return new->base.recipient ? 0 : error_no_memory(err);
}

int age_x25519_identity_parse(struct span text, struct age_identity **identity, struct error *err)
{
	_cleanup_secret_ struct secret scalar = {0};
	int r = secret_create(&scalar, X25519_KEY_SIZE, err);

	if (r == 0)
		r = bech32_decode(text, IDENTITY_PREFIX, BECH32_UPPER, scalar.data, X25519_KEY_SIZE,
				  err);
	scalar.size = X25519_KEY_SIZE;
	return r < 0 ? r : age_x25519_identity_create(&scalar, identity, err);
}

int age_x25519_identity_generate(struct age_identity **identity, struct error *err)
{
	_cleanup_secret_ struct secret scalar = {0};
	int r = secret_append_random(&scalar, X25519_KEY_SIZE, err);

	return r < 0 ? r : age_x25519_identity_create(&scalar, identity, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hybrid post-quantum recipient type (C2SP age.md, "The MLKEM768-X25519 (i.e. X-Wing) hybrid
 * post-quantum recipient type"): the file key is sealed with HPKE.
 *
 * Identities are accepted even if libcrypto has no ML-KEM, so that other keys in the same file can
 * be used; an error is reported when a file needs one.
 */
#include <stdlib.h>

#include "age/bech32.h"
#include "age/hpke.h"
#include "age/keys.h"
#include "age/xwing.h"
#include "base/base64.h"

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
	*recipient = &new->base;
	new->base.ops = &hybrid_recipient_ops;
	r = bech32_decode(text, RECIPIENT_PREFIX, BECH32_LOWER, new->public_key,
			  sizeof(new->public_key), err);
	return r < 0 ? r : mlkem_check(err);
}

static int identity_unwrap(struct age_identity *base, const struct age_stanza *stanza,
			   uint8_t *file_key, struct error *err)
{
	const struct hybrid_identity *identity = (const struct hybrid_identity *)base;
	uint8_t ciphertext[XWING_CIPHERTEXT_SIZE], shared[XWING_SHARED_SIZE];
	int r = age_stanza_decode(stanza, 2, 1, "encapsulated key", ciphertext, sizeof(ciphertext),
				  err);

	if (r == 0)
		r = mlkem_check(err);
	if (r < 0)
		return r;
	r = xwing_decapsulate(secret_span(&identity->seed), ciphertext, shared, err);
	if (r == 0)
		r = age_stanza_malformed(stanza, "the X25519 share is a point of low order", err);
	if (r > 0)
		r = hpke_open(HPKE_KEM_MLKEM768_X25519, span_of(shared, sizeof(shared)), INFO,
			      stanza->body, file_key, err);
	memory_wipe(shared, sizeof(shared));
	return r;
}

static int identity_encode(const struct age_identity *base, struct secret *text, struct error *err)
{
	const struct hybrid_identity *identity = (const struct hybrid_identity *)base;

	return bech32_encode_secret(IDENTITY_PREFIX, secret_span(&identity->seed), text, err);
}

static int identity_recipients(struct age_identity *base, struct age_recipients *recipients,
			       struct error *err)
{
	int r = mlkem_check(err);

	return r < 0 ? r : age_recipients_add(recipients, span_of_text(base->recipient), err);
}

static void identity_destroy(struct age_identity *base)
{
	secret_destroy(&((struct hybrid_identity *)base)->seed);
	age_identity_free(base);
}

static const struct age_identity_ops hybrid_identity_ops = {
	.unwrap = identity_unwrap,
	.recipients = identity_recipients,
	.encode = identity_encode,
	.destroy = identity_destroy,
};

/* Takes the seed. */
static int identity_create(struct secret *seed, struct age_identity **identity, struct error *err)
{
	_cleanup_error_ struct error no_mlkem = {0};
	struct hybrid_identity *new = calloc(1, sizeof(*new));
	uint8_t public_key[XWING_PUBLIC_SIZE];
	int r;

	if (!new)
		return error_no_memory(err);
	*identity = &new->base;
	new->base.ops = &hybrid_identity_ops;
	new->base.stanza_type = STANZA_TYPE;
	secret_move(&new->seed, seed);
	if (mlkem_check(&no_mlkem) < 0) {
		new->base.recipient = strdup("<post-quantum key>");
	} else {
		r = xwing_public_key(secret_span(&new->seed), public_key, err);
		if (r < 0)
			return r;
		new->base.recipient =
			bech32_encode(RECIPIENT_PREFIX, span_of(public_key, sizeof(public_key)));
	}
	return new->base.recipient ? 0 : error_no_memory(err);
}

int age_hybrid_identity_parse(struct span text, struct age_identity **identity, struct error *err)
{
	_cleanup_secret_ struct secret seed = {0};
	int r = secret_create(&seed, XWING_SEED_SIZE, err);

	if (r == 0)
		r = bech32_decode(text, IDENTITY_PREFIX, BECH32_UPPER, seed.data, XWING_SEED_SIZE,
				  err);
	seed.size = XWING_SEED_SIZE;
	return r < 0 ? r : identity_create(&seed, identity, err);
}

int age_hybrid_identity_generate(struct age_identity **identity, struct error *err)
{
	_cleanup_secret_ struct secret seed = {0};
	int r = mlkem_check(err);

	if (r == 0)
		r = secret_append_random(&seed, XWING_SEED_SIZE, err);
	return r < 0 ? r : identity_create(&seed, identity, err);
}

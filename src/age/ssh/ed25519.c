/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ssh-ed25519 stanzas (age's agessh): X25519 with the key's image on Curve25519 (RFC 7748, section
 * 4.1), and a tweak from the SSH key on top, which binds the shared secret to it.
 */
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "age/curve25519.h"
#include "age/keys.h"
#include "age/ssh/stanza.h"
#include "base/base64.h"

#define LABEL       "age-encryption.org/v1/ssh-ed25519"
#define SHA512_SIZE 64
#define BASE64_32   43 /* characters of 32 bytes, unpadded */

/* 2^255 - 19, and the curve's d (RFC 8032, section 5.1). */
#define FIELD_PRIME "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed"
#define CURVE_D     "52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3"

/* Public values only: constant time is not needed. */
struct field {
	BN_CTX *context;
	BIGNUM *prime, *one, *y, *u, *v, *d;
};

static bool field_create(struct field *field)
{
	*field = (struct field){.context = BN_CTX_new()};
	if (!field->context)
		return false;
	BN_CTX_start(field->context);
	field->prime = BN_CTX_get(field->context);
	field->one = BN_CTX_get(field->context);
	field->y = BN_CTX_get(field->context);
	field->u = BN_CTX_get(field->context);
	field->v = BN_CTX_get(field->context);
	field->d = BN_CTX_get(field->context);
	return field->d && BN_hex2bn(&field->prime, FIELD_PRIME) && BN_hex2bn(&field->d, CURVE_D) &&
	       BN_one(field->one);
}

static void field_destroy(struct field *field)
{
	if (field->context)
		BN_CTX_end(field->context);
	BN_CTX_free(field->context);
}

/*
 * Whether y belongs to a point of the curve: whether there is an x with x² = (y² - 1) / (d y² + 1)
 * (RFC 8032, section 5.1.3). Negative: libcrypto failed.
 */
static int point_check(struct field *f)
{
	int symbol;

	if (!BN_mod_sqr(f->u, f->y, f->prime, f->context) ||
	    !BN_mod_mul(f->v, f->u, f->d, f->prime, f->context) ||
	    !BN_mod_add(f->v, f->v, f->one, f->prime, f->context) ||
	    !BN_mod_sub(f->u, f->u, f->one, f->prime, f->context) ||
	    !BN_mod_mul(f->u, f->u, f->v, f->prime, f->context))
		return -1;
	/* u / v is a square if u v is. */
	symbol = BN_kronecker(f->u, f->prime, f->context);
	return symbol < -1 ? -1 : symbol >= 0;
}

/* (1 + y) / (1 - y); zero for the neutral element, which maps to infinity. */
static bool map_compute(struct field *f, uint8_t out[X25519_KEY_SIZE])
{
	if (!BN_mod_add(f->u, f->one, f->y, f->prime, f->context) ||
	    !BN_mod_sub(f->v, f->one, f->y, f->prime, f->context))
		return false;
	if (BN_is_zero(f->v))
		BN_zero(f->u);
	else if (!BN_mod_inverse(f->v, f->v, f->prime, f->context) ||
		 !BN_mod_mul(f->u, f->u, f->v, f->prime, f->context))
		return false;
	return BN_bn2lebinpad(f->u, out, X25519_KEY_SIZE) == X25519_KEY_SIZE;
}

static int montgomery_key(const struct ssh_public_key *key, uint8_t out[X25519_KEY_SIZE],
			  struct error *err)
{
	uint8_t y[SSH_ED25519_KEY_SIZE];
	struct field field;
	int on_curve = -1;

	memcpy(y, key->point.data, sizeof(y));
	y[sizeof(y) - 1] &= 0x7f; /* the sign of x */
	if (field_create(&field) && BN_lebin2bn(y, sizeof(y), field.y) &&
	    BN_nnmod(field.y, field.y, field.prime, field.context))
		on_curve = point_check(&field);
	if (on_curve > 0 && !map_compute(&field, out))
		on_curve = -1;
	field_destroy(&field);
	if (on_curve < 0)
		return age_crypto_failed(err, "convert an Ed25519 key");
	if (on_curve == 0)
		return error_set(err, VMCRED_FAILED, "the SSH public key is not on its curve");
	return 0;
}

int ssh_ed25519_scalar(struct span seed, struct secret *scalar, struct error *err)
{
	size_t size = 0;
	int r = secret_create(scalar, SHA512_SIZE, err);

	if (r < 0)
		return r;
	/* The first half of the digest is the scalar. */
	if (EVP_Q_digest(NULL, "SHA512", NULL, seed.data, seed.size, scalar->data, &size) != 1)
		return age_crypto_failed(err, "compute a digest");
	scalar->size = X25519_KEY_SIZE;
	return 0;
}

/* Another X25519, with a scalar that is derived from the SSH key. */
static int tweak_apply(const struct ssh_public_key *key, uint8_t shared[X25519_KEY_SIZE],
		       struct error *err)
{
	uint8_t tweak[AGE_KEY_SIZE] = {0}, tweak_public[X25519_KEY_SIZE], point[X25519_KEY_SIZE];
	struct span scalar = span_of(tweak, sizeof(tweak));
	int r = age_hkdf_extract(span_of(key->wire, key->wire_size), span_of(NULL, 0), tweak, err);

	if (r == 0)
		r = age_hkdf_expand(tweak, span_of_text(LABEL), tweak, sizeof(tweak), err);
	if (r == 0)
		r = x25519_public_key(scalar, tweak_public, err);
	memcpy(point, shared, sizeof(point));
	if (r == 0)
		r = x25519_shared_secret(scalar, tweak_public, point, shared, err);
	memory_wipe(point, sizeof(point));
	if (r == 0)
		return error_set(err, VMCRED_FAILED, "the SSH key has a point of low order");
	return r < 0 ? r : 0;
}

/* Derives the wrapping key from the scalar of one side and the public key of the other. */
static int wrapping_key_derive(const struct ssh_public_key *key, struct span scalar,
			       const uint8_t own_key[X25519_KEY_SIZE],
			       const uint8_t peer_key[X25519_KEY_SIZE],
			       const uint8_t ephemeral_key[X25519_KEY_SIZE],
			       const uint8_t public_key[X25519_KEY_SIZE],
			       uint8_t wrapping_key[AGE_KEY_SIZE], struct error *err)
{
	uint8_t shared[X25519_KEY_SIZE];
	int r = x25519_shared_secret(scalar, own_key, peer_key, shared, err);

	if (r == 0)
		r = error_set(err, VMCRED_FAILED,
			      "the public key of an ssh-ed25519 stanza is a point of low order");
	if (r > 0)
		r = tweak_apply(key, shared, err);
	if (r == 0)
		r = x25519_wrapping_key(shared, ephemeral_key, public_key, LABEL, wrapping_key,
					err);
	memory_wipe(shared, sizeof(shared));
	return r;
}

static int wrap(const struct ssh_public_key *key, struct span file_key, struct secret *header,
		struct error *err)
{
	uint8_t public_key[X25519_KEY_SIZE], ephemeral_key[X25519_KEY_SIZE];
	uint8_t wrapping_key[AGE_KEY_SIZE], wrapped[AGE_WRAPPED_SIZE];
	char line[80], share[BASE64_32 + 1] = "";
	_cleanup_secret_ struct secret scalar = {0};
	int r = montgomery_key(key, public_key, err);

	if (r == 0)
		r = secret_append_random(&scalar, X25519_KEY_SIZE, err);
	if (r == 0)
		r = x25519_public_key(secret_span(&scalar), ephemeral_key, err);
	if (r == 0)
		r = wrapping_key_derive(key, secret_span(&scalar), ephemeral_key, public_key,
					ephemeral_key, public_key, wrapping_key, err);
	if (r == 0)
		r = age_file_key_seal(wrapping_key, file_key, wrapped, err);
	memory_wipe(wrapping_key, sizeof(wrapping_key));
	if (r < 0)
		return r;
	base64_encode(span_of(ephemeral_key, sizeof(ephemeral_key)), BASE64_UNPADDED, share);
	snprintf(line, sizeof(line), "%s %s %s", ssh_key_type_name(key->type), key->tag, share);
	return age_stanza_append(header, line, span_of(wrapped, sizeof(wrapped)), err);
}

static int unwrap(const struct ssh_public_key *public_key, const struct ssh_private_key *key,
		  const struct age_stanza *stanza, uint8_t *file_key, struct error *err)
{
	uint8_t share[X25519_KEY_SIZE], own_key[X25519_KEY_SIZE], wrapping_key[AGE_KEY_SIZE];
	_cleanup_secret_ struct secret scalar = {0};
	int r = age_stanza_decode(stanza, 3, 2, "public key", share, sizeof(share), err);

	if (r == 0)
		r = ssh_ed25519_scalar(key->seed, &scalar, err);
	if (r == 0)
		r = x25519_public_key(secret_span(&scalar), own_key, err);
	if (r == 0)
		r = wrapping_key_derive(public_key, secret_span(&scalar), own_key, share, share,
					own_key, wrapping_key, err);
	if (r == 0)
		r = age_file_key_open(wrapping_key, stanza->body, file_key, err);
	memory_wipe(wrapping_key, sizeof(wrapping_key));
	if (r == 0)
		return age_stanza_malformed(stanza, "it was modified", err);
	return r;
}

static int check(const struct ssh_public_key *key, struct error *err)
{
	uint8_t public_key[X25519_KEY_SIZE];

	return montgomery_key(key, public_key, err);
}

const struct ssh_stanza_ops ssh_ed25519_stanza_ops = {
	.arguments = 3,
	.wrap = wrap,
	.unwrap = unwrap,
	.check = check,
};

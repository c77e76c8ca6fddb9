/* SPDX-License-Identifier: Apache-2.0 */
#include "age/curve25519.h"

#include <stdatomic.h>
#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "base/secret.h"

static void cleanup_pkey(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

#define _cleanup_pkey_ __attribute__((cleanup(cleanup_pkey)))

int x25519_public_key(struct span scalar, uint8_t public_key[X25519_KEY_SIZE], struct error *err)
{
	_cleanup_pkey_ EVP_PKEY *key =
		EVP_PKEY_new_raw_private_key_ex(NULL, "X25519", NULL, scalar.data, scalar.size);
	size_t size = X25519_KEY_SIZE;

	if (!key || EVP_PKEY_get_raw_public_key(key, public_key, &size) != 1)
		return age_crypto_failed(err, "compute an X25519 public key");
	return 0;
}

/* Giving libcrypto the public key saves computing it again. */
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

static EVP_PKEY *public_key_load(const uint8_t public_key[X25519_KEY_SIZE])
{
	return EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL, public_key, X25519_KEY_SIZE);
}

/* As x25519_shared_secret(). */
static int derive(EVP_PKEY *own, EVP_PKEY *peer, uint8_t shared[X25519_KEY_SIZE], struct error *err)
{
	static const uint8_t zeros[X25519_KEY_SIZE];
	EVP_PKEY_CTX *context = own ? EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL) : NULL;
	size_t size = X25519_KEY_SIZE;
	int done = 0;

	/* No validation: any 32 bytes are a public key. */
	if (!context || !peer || EVP_PKEY_derive_init(context) != 1 ||
	    EVP_PKEY_derive_set_peer_ex(context, peer, 0) != 1) {
		EVP_PKEY_CTX_free(context);
		return age_crypto_failed(err, "set up X25519");
	}
	/* libcrypto fails here only if the result is all zeros. */
	done = EVP_PKEY_derive(context, shared, &size);
	EVP_PKEY_CTX_free(context);
	if (done != 1)
		ERR_clear_error();
	return done == 1 && size == X25519_KEY_SIZE &&
	       !secret_equal(span_of(shared, X25519_KEY_SIZE), span_of(zeros, sizeof(zeros)));
}

int x25519_shared_secret(struct span scalar, const uint8_t own_key[X25519_KEY_SIZE],
			 const uint8_t peer_key[X25519_KEY_SIZE], uint8_t shared[X25519_KEY_SIZE],
			 struct error *err)
{
	_cleanup_pkey_ EVP_PKEY *own = key_pair_load(scalar, own_key);
	_cleanup_pkey_ EVP_PKEY *peer = public_key_load(peer_key);

	return derive(own, peer, shared, err);
}

struct x25519_peer {
	uint8_t public_key[X25519_KEY_SIZE];
	_Atomic(EVP_PKEY *) loaded; /* owned; NULL until first used */
};

struct x25519_peer *x25519_peer_create(const uint8_t public_key[X25519_KEY_SIZE])
{
	struct x25519_peer *peer = calloc(1, sizeof(*peer));

	if (peer)
		memcpy(peer->public_key, public_key, X25519_KEY_SIZE);
	return peer;
}

void x25519_peer_destroy(struct x25519_peer *peer)
{
	if (peer)
		EVP_PKEY_free(atomic_load(&peer->loaded));
	free(peer);
}

/* The peer keeps it. If two threads load it at once, one copy is freed. */
static EVP_PKEY *peer_load(struct x25519_peer *peer)
{
	EVP_PKEY *loaded = atomic_load(&peer->loaded), *before = NULL;

	if (loaded)
		return loaded;
	loaded = public_key_load(peer->public_key);
	if (!loaded || atomic_compare_exchange_strong(&peer->loaded, &before, loaded))
		return loaded;
	EVP_PKEY_free(loaded);
	return before;
}

int x25519_exchange(struct span scalar, struct x25519_peer *peer, uint8_t own_key[X25519_KEY_SIZE],
		    uint8_t shared[X25519_KEY_SIZE], struct error *err)
{
	_cleanup_pkey_ EVP_PKEY *own =
		EVP_PKEY_new_raw_private_key_ex(NULL, "X25519", NULL, scalar.data, scalar.size);
	size_t size = X25519_KEY_SIZE;

	if (!own || EVP_PKEY_get_raw_public_key(own, own_key, &size) != 1)
		return age_crypto_failed(err, "compute an X25519 public key");
	return derive(own, peer_load(peer), shared, err);
}

int x25519_wrapping_key(const uint8_t shared[X25519_KEY_SIZE],
			const uint8_t ephemeral_key[X25519_KEY_SIZE],
			const uint8_t public_key[X25519_KEY_SIZE], const char *label,
			uint8_t key[AGE_KEY_SIZE], struct error *err)
{
	uint8_t salt[2 * X25519_KEY_SIZE];

	memcpy(salt, ephemeral_key, X25519_KEY_SIZE);
	memcpy(salt + X25519_KEY_SIZE, public_key, X25519_KEY_SIZE);
	return age_hkdf(span_of(shared, X25519_KEY_SIZE), span_of(salt, sizeof(salt)), label, key,
			err);
}

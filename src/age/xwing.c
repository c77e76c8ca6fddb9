/* SPDX-License-Identifier: Apache-2.0 */
#include "age/xwing.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "age/primitives.h"

#define ALGORITHM "ML-KEM-768"
#define SEED_NAME "seed" /* OSSL_PKEY_PARAM_ML_KEM_SEED, missing in the headers of 3.0 */

/* The combiner's label: an X and a wing, in ASCII art. */
#define XWING_LABEL \
	"\\./"      \
	"/^\\"

int mlkem_check(struct error *err)
{
	EVP_KEM *kem = EVP_KEM_fetch(NULL, ALGORITHM, NULL);

	EVP_KEM_free(kem);
	ERR_clear_error();
	if (kem)
		return 0;
	error_set(err, VMCRED_MISSING,
		  "post-quantum keys need ML-KEM-768, which this machine's libcrypto (%s) does not "
		  "have",
		  OpenSSL_version(OPENSSL_VERSION_STRING));
	return error_hint(err, "use OpenSSL 3.5 or later");
}

/* An ML-KEM key pair from its seed, or NULL. */
static EVP_PKEY *pair_load(struct span seed)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, ALGORITHM, NULL);
	OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_octet_string(SEED_NAME, (void *)seed.data, seed.size),
		OSSL_PARAM_construct_end(),
	};
	EVP_PKEY *key = NULL;

	if (!context || EVP_PKEY_fromdata_init(context) != 1 ||
	    EVP_PKEY_fromdata(context, &key, EVP_PKEY_KEYPAIR, parameters) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(context);
	return key;
}

/* Both secret keys: SHAKE-256 of the seed, ML-KEM's seed and then X25519's scalar. */
#define EXPANDED_SIZE (MLKEM_SEED_SIZE + X25519_KEY_SIZE)

static int seed_expand(struct span seed, struct secret *expanded, struct error *err)
{
	EVP_MD *shake = EVP_MD_fetch(NULL, "SHAKE256", NULL);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	int r = secret_create(expanded, EXPANDED_SIZE, err), done = 0;

	if (r == 0 && shake && context)
		done = EVP_DigestInit_ex2(context, shake, NULL) == 1 &&
		       EVP_DigestUpdate(context, seed.data, seed.size) == 1 &&
		       EVP_DigestFinalXOF(context, expanded->data, EXPANDED_SIZE) == 1;
	EVP_MD_CTX_free(context);
	EVP_MD_free(shake);
	if (r < 0)
		return r;
	if (!done)
		return age_crypto_failed(err, "expand a post-quantum key");
	expanded->size = EXPANDED_SIZE;
	return 0;
}

static struct span mlkem_seed(const struct secret *expanded)
{
	return span_of(expanded->data, MLKEM_SEED_SIZE);
}

static struct span x25519_scalar(const struct secret *expanded)
{
	return span_of(expanded->data + MLKEM_SEED_SIZE, X25519_KEY_SIZE);
}

/* SHA3-256 of both secrets, X25519's ciphertext and public key, and the label. */
static int secrets_combine(const uint8_t mlkem_shared[MLKEM_SHARED_SIZE],
			   const uint8_t x25519_shared[X25519_KEY_SIZE],
			   const uint8_t share[X25519_KEY_SIZE],
			   const uint8_t public_key[X25519_KEY_SIZE],
			   uint8_t shared[XWING_SHARED_SIZE], struct error *err)
{
	EVP_MD *sha3 = EVP_MD_fetch(NULL, "SHA3-256", NULL);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool done = sha3 && context && EVP_DigestInit_ex2(context, sha3, NULL) == 1 &&
		    EVP_DigestUpdate(context, mlkem_shared, MLKEM_SHARED_SIZE) == 1 &&
		    EVP_DigestUpdate(context, x25519_shared, X25519_KEY_SIZE) == 1 &&
		    EVP_DigestUpdate(context, share, X25519_KEY_SIZE) == 1 &&
		    EVP_DigestUpdate(context, public_key, X25519_KEY_SIZE) == 1 &&
		    EVP_DigestUpdate(context, XWING_LABEL, strlen(XWING_LABEL)) == 1 &&
		    EVP_DigestFinal_ex(context, shared, NULL) == 1;

	EVP_MD_CTX_free(context);
	EVP_MD_free(sha3);
	return done ? 0 : age_crypto_failed(err, "combine two shared secrets");
}

int xwing_public_key(struct span seed, uint8_t public_key[XWING_PUBLIC_SIZE], struct error *err)
{
	_cleanup_secret_ struct secret expanded = {0};
	size_t size = MLKEM_PUBLIC_SIZE;
	EVP_PKEY *pair;
	int r = seed_expand(seed, &expanded, err);

	if (r < 0)
		return r;
	pair = pair_load(mlkem_seed(&expanded));
	if (!pair || EVP_PKEY_get_raw_public_key(pair, public_key, &size) != 1)
		r = age_crypto_failed(err, "compute an ML-KEM public key");
	EVP_PKEY_free(pair);
	if (r == 0)
		r = x25519_public_key(x25519_scalar(&expanded), public_key + MLKEM_PUBLIC_SIZE,
				      err);
	return r;
}

static int mlkem_encapsulate(const uint8_t *public_key, uint8_t *ciphertext,
			     uint8_t shared[MLKEM_SHARED_SIZE], struct error *err)
{
	EVP_PKEY *key = EVP_PKEY_new_raw_public_key_ex(NULL, ALGORITHM, NULL, public_key,
						       MLKEM_PUBLIC_SIZE);
	EVP_PKEY_CTX *context = key ? EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL) : NULL;
	size_t size = MLKEM_CIPHERTEXT_SIZE, shared_size = MLKEM_SHARED_SIZE;
	bool done = context && EVP_PKEY_encapsulate_init(context, NULL) == 1 &&
		    EVP_PKEY_encapsulate(context, ciphertext, &size, shared, &shared_size) == 1;

	EVP_PKEY_CTX_free(context);
	EVP_PKEY_free(key);
	return done ? 0 : age_crypto_failed(err, "encapsulate with ML-KEM: invalid public key");
}

int xwing_encapsulate(const uint8_t public_key[XWING_PUBLIC_SIZE],
		      uint8_t ciphertext[XWING_CIPHERTEXT_SIZE], uint8_t shared[XWING_SHARED_SIZE],
		      struct error *err)
{
	const uint8_t *peer = public_key + MLKEM_PUBLIC_SIZE;
	uint8_t *ephemeral_key = ciphertext + MLKEM_CIPHERTEXT_SIZE;
	uint8_t mlkem_shared[MLKEM_SHARED_SIZE], x25519_shared[X25519_KEY_SIZE];
	_cleanup_secret_ struct secret scalar = {0};
	int r = mlkem_encapsulate(public_key, ciphertext, mlkem_shared, err);

	if (r == 0)
		r = secret_append_random(&scalar, X25519_KEY_SIZE, err);
	if (r == 0)
		r = x25519_public_key(secret_span(&scalar), ephemeral_key, err);
	if (r == 0)
		r = x25519_shared_secret(secret_span(&scalar), ephemeral_key, peer, x25519_shared,
					 err);
	if (r == 0)
		r = error_set(err, VMCRED_FAILED, "the X25519 part of the key is of low order");
	if (r > 0)
		r = secrets_combine(mlkem_shared, x25519_shared, ephemeral_key, peer, shared, err);
	memory_wipe(mlkem_shared, sizeof(mlkem_shared));
	memory_wipe(x25519_shared, sizeof(x25519_shared));
	return r;
}

static int mlkem_decapsulate(struct span seed, const uint8_t *ciphertext,
			     uint8_t shared[MLKEM_SHARED_SIZE], struct error *err)
{
	EVP_PKEY *pair = pair_load(seed);
	EVP_PKEY_CTX *context = pair ? EVP_PKEY_CTX_new_from_pkey(NULL, pair, NULL) : NULL;
	size_t size = MLKEM_SHARED_SIZE;
	bool done = context && EVP_PKEY_decapsulate_init(context, NULL) == 1 &&
		    EVP_PKEY_decapsulate(context, shared, &size, ciphertext,
					 MLKEM_CIPHERTEXT_SIZE) == 1;

	EVP_PKEY_CTX_free(context);
	EVP_PKEY_free(pair);
	return done ? 0 : age_crypto_failed(err, "decapsulate with ML-KEM");
}

int xwing_decapsulate(struct span seed, const uint8_t ciphertext[XWING_CIPHERTEXT_SIZE],
		      uint8_t shared[XWING_SHARED_SIZE], struct error *err)
{
	const uint8_t *share = ciphertext + MLKEM_CIPHERTEXT_SIZE;
	uint8_t mlkem_shared[MLKEM_SHARED_SIZE], x25519_shared[X25519_KEY_SIZE],
		own_key[X25519_KEY_SIZE];
	_cleanup_secret_ struct secret expanded = {0};
	int r = seed_expand(seed, &expanded, err);

	if (r == 0)
		r = mlkem_decapsulate(mlkem_seed(&expanded), ciphertext, mlkem_shared, err);
	if (r == 0)
		r = x25519_public_key(x25519_scalar(&expanded), own_key, err);
	if (r == 0)
		r = x25519_shared_secret(x25519_scalar(&expanded), own_key, share, x25519_shared,
					 err);
	if (r > 0 && secrets_combine(mlkem_shared, x25519_shared, share, own_key, shared, err) < 0)
		r = -(int)err->code;
	memory_wipe(mlkem_shared, sizeof(mlkem_shared));
	memory_wipe(x25519_shared, sizeof(x25519_shared));
	return r;
}

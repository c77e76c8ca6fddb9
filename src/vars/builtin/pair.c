/* SPDX-License-Identifier: Apache-2.0 */
/* Key pairs without parameters: age, WireGuard and JSON Web Tokens. */
#include <openssl/evp.h>
#include <time.h>

#include "base/base64.h"
#include "vars/builtin/builtin.h"
#include "vars/builtin/pem.h"

#define X25519_SIZE 32
#define HS256_SIZE  32 /* as long as the hash: RFC 7518, section 3.2 */

int kind_age_key_make(const struct kind_task *task, struct secret *content,
		      struct secret *public_half, struct error *err)
{
	_cleanup_age_identities_ struct age_identities identities = {0};
	int r = age_identities_generate(&identities, AGE_X25519, err);

	(void)task;
	if (r == 0)
		r = age_identity_file_format(identities.items[0], time(NULL), content, err);
	if (r == 0)
		r = secret_append_text(public_half, age_identity_recipient(identities.items[0]),
				       err);
	return r < 0 ? r : secret_append_text(public_half, "\n", err);
}

static int line_append(struct span bytes, struct secret *out, struct error *err)
{
	int r = base64_encode_secret(bytes, BASE64_PADDED, out, err);

	return r < 0 ? r : secret_append_text(out, "\n", err);
}

/* As `wg genkey` and `wg pubkey` print them: the scalar is clamped (RFC 7748, section 5). */
int kind_wireguard_make(const struct kind_task *task, struct secret *content,
			struct secret *public_half, struct error *err)
{
	_cleanup_secret_ struct secret scalar = {0};
	_cleanup_key_ EVP_PKEY *key = NULL;
	uint8_t public_key[X25519_SIZE];
	size_t size = sizeof(public_key);
	int r = secret_append_random(&scalar, X25519_SIZE, err);

	(void)task;
	if (r < 0)
		return r;
	scalar.data[0] &= 248;
	scalar.data[X25519_SIZE - 1] = (scalar.data[X25519_SIZE - 1] & 127) | 64;
	key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, scalar.data, scalar.size);
	if (!key || EVP_PKEY_get_raw_public_key(key, public_key, &size) != 1)
		return key_failed(err, "compute the public key");
	r = line_append(secret_span(&scalar), content, err);
	return r < 0 ? r : line_append(span_of(public_key, size), public_half, err);
}

/* HS256: a secret, encoded as in JSON Web Keys. EdDSA: an Ed25519 key (RFC 8037), as PKCS #8 and
 * SubjectPublicKeyInfo in PEM. */
int kind_jwt_make(const struct kind_task *task, struct secret *content, struct secret *public_half,
		  struct error *err)
{
	_cleanup_key_ EVP_PKEY *key = NULL;
	int r;

	if (task->file->builtin.algorithm == CONFIG_ALGORITHM_HS256)
		return random_append_base64url(HS256_SIZE, content, err);
	key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	if (!key)
		return key_failed(err, "create an Ed25519 key");
	r = key_private_pem(key, content, err);
	return r < 0 ? r : key_public_pem(key, public_half, err);
}

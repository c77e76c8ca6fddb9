/* SPDX-License-Identifier: Apache-2.0 */
/*
 * X25519 (RFC 7748) over libcrypto: what the types that are built on it share.
 */
#ifndef VMCRED_AGE_CURVE25519_H
#define VMCRED_AGE_CURVE25519_H

#include "age/primitives.h"
#include "base/error.h"
#include "base/span.h"

#define X25519_KEY_SIZE 32 /* RFC 7748, section 5 */

/* The public key of a scalar, which libcrypto clamps. */
int x25519_public_key(struct span scalar, uint8_t public_key[X25519_KEY_SIZE], struct error *err);

/*
 * Returns 1, or 0 if the shared secret is all zeros, as it is for a public key of low order: a file
 * key that was wrapped with it would be known to everybody (RFC 7748, section 6.1). `own_key` is
 * the scalar's public key. The caller wipes `shared`.
 */
int x25519_shared_secret(struct span scalar, const uint8_t own_key[X25519_KEY_SIZE],
			 const uint8_t peer_key[X25519_KEY_SIZE], uint8_t shared[X25519_KEY_SIZE],
			 struct error *err);

/* The key that wraps a file key: HKDF of the shared secret, with both public keys as its salt. */
int x25519_wrapping_key(const uint8_t shared[X25519_KEY_SIZE],
			const uint8_t ephemeral_key[X25519_KEY_SIZE],
			const uint8_t public_key[X25519_KEY_SIZE], const char *label,
			uint8_t key[AGE_KEY_SIZE], struct error *err);

#endif

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

/* Somebody's public key, which many files are encrypted to. What libcrypto makes of it is made when
 * it is first used, by whichever thread. */
struct x25519_peer;

/* NULL without memory. */
struct x25519_peer *x25519_peer_create(const uint8_t public_key[X25519_KEY_SIZE]);
void x25519_peer_destroy(struct x25519_peer *peer);

/* Both of the above for a new scalar: its public key, and what it shares with the peer. */
int x25519_exchange(struct span scalar, struct x25519_peer *peer, uint8_t own_key[X25519_KEY_SIZE],
		    uint8_t shared[X25519_KEY_SIZE], struct error *err);

/* The key that wraps a file key: HKDF of the shared secret, with both public keys as its salt. */
int x25519_wrapping_key(const uint8_t shared[X25519_KEY_SIZE],
			const uint8_t ephemeral_key[X25519_KEY_SIZE],
			const uint8_t public_key[X25519_KEY_SIZE], const char *label,
			uint8_t key[AGE_KEY_SIZE], struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* X25519 (RFC 7748) with libcrypto, for the recipient types that use it. */
#ifndef VMCRED_AGE_CURVE25519_H
#define VMCRED_AGE_CURVE25519_H

#include "age/primitives.h"
#include "base/error.h"
#include "base/span.h"

#define X25519_KEY_SIZE 32 /* RFC 7748, section 5 */

/* The public key of a scalar, which libcrypto clamps. */
int x25519_public_key(struct span scalar, uint8_t public_key[X25519_KEY_SIZE], struct error *err);

/*
 * Returns 1, or 0 if the shared secret is all zeros because `peer_key` is of low order: everybody
 * could unwrap a file key that is wrapped with it (RFC 7748, section 6.1). `own_key` is the
 * scalar's public key. The caller wipes `shared`.
 */
int x25519_shared_secret(struct span scalar, const uint8_t own_key[X25519_KEY_SIZE],
			 const uint8_t peer_key[X25519_KEY_SIZE], uint8_t shared[X25519_KEY_SIZE],
			 struct error *err);

/* A public key that is used for many files. Caches libcrypto's form of it; thread-safe. */
struct x25519_peer;

/* NULL without memory. */
struct x25519_peer *x25519_peer_create(const uint8_t public_key[X25519_KEY_SIZE]);
void x25519_peer_destroy(struct x25519_peer *peer);

/* For a new scalar: its public key, and the secret that it shares with the peer. */
int x25519_exchange(struct span scalar, struct x25519_peer *peer, uint8_t own_key[X25519_KEY_SIZE],
		    uint8_t shared[X25519_KEY_SIZE], struct error *err);

/* The wrapping key: HKDF of the shared secret, with both public keys as salt. */
int x25519_wrapping_key(const uint8_t shared[X25519_KEY_SIZE],
			const uint8_t ephemeral_key[X25519_KEY_SIZE],
			const uint8_t public_key[X25519_KEY_SIZE], const char *label,
			uint8_t key[AGE_KEY_SIZE], struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MLKEM768-X25519, which is X-Wing (draft-ietf-hpke-pq-03; draft-connolly-cfrg-xwing-kem): a shared
 * secret that is secure if either ML-KEM-768 (FIPS 203) or X25519 is. ML-KEM needs libcrypto 3.5,
 * which is checked at run time.
 */
#ifndef VMCRED_AGE_XWING_H
#define VMCRED_AGE_XWING_H

#include "age/curve25519.h"
#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"

#define MLKEM_SEED_SIZE       64   /* FIPS 203, section 6.1: d and z */
#define MLKEM_PUBLIC_SIZE     1184 /* section 8, ML-KEM-768: encapsulation key */
#define MLKEM_CIPHERTEXT_SIZE 1088
#define MLKEM_SHARED_SIZE     32

#define XWING_SEED_SIZE       32
#define XWING_PUBLIC_SIZE     (MLKEM_PUBLIC_SIZE + X25519_KEY_SIZE)
#define XWING_CIPHERTEXT_SIZE (MLKEM_CIPHERTEXT_SIZE + X25519_KEY_SIZE)
#define XWING_SHARED_SIZE     32

/* VMCRED_MISSING: the linked libcrypto has no ML-KEM. */
int mlkem_check(struct error *err);

/* The public key of a seed. */
int xwing_public_key(struct span seed, uint8_t public_key[XWING_PUBLIC_SIZE], struct error *err);

/* A new shared secret and its ciphertext. VMCRED_FAILED: the public key is invalid. */
int xwing_encapsulate(const uint8_t public_key[XWING_PUBLIC_SIZE],
		      uint8_t ciphertext[XWING_CIPHERTEXT_SIZE], uint8_t shared[XWING_SHARED_SIZE],
		      struct error *err);

/*
 * Returns 1 and the shared secret, or 0 if the X25519 part of the ciphertext is of low order. A
 * ciphertext for another key returns another secret, not an error.
 */
int xwing_decapsulate(struct span seed, const uint8_t ciphertext[XWING_CIPHERTEXT_SIZE],
		      uint8_t shared[XWING_SHARED_SIZE], struct error *err);

#endif

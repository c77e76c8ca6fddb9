/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HPKE (RFC 9180, section 5.1, mode_base) with HKDF-SHA-256 and ChaCha20-Poly1305, after the KEM:
 * wraps one file key with a shared secret.
 */
#ifndef VMCRED_AGE_HPKE_H
#define VMCRED_AGE_HPKE_H

#include "age/primitives.h"
#include "base/error.h"
#include "base/span.h"

#define HPKE_KEM_MLKEM768_X25519 0x647a /* draft-ietf-hpke-pq-03, section 6 */

/* `info` names the purpose of the key. hpke_open() returns 1, or 0 if the tag does not match. */
int hpke_seal(uint16_t kem, struct span shared_secret, const char *info, struct span file_key,
	      uint8_t sealed[AGE_WRAPPED_SIZE], struct error *err);
int hpke_open(uint16_t kem, struct span shared_secret, const char *info, struct span sealed,
	      uint8_t file_key[AGE_FILE_KEY_SIZE], struct error *err);

#endif

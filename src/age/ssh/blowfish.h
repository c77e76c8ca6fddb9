/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blowfish (B. Schneier, 1993) with the key schedule that bcrypt makes slow (N. Provos and D.
 * Mazières, "A Future-Adaptable Password Scheme", 1999). Its tables are indexed by secret data, as
 * bcrypt demands: it is for keys that are derived on the machine of their owner.
 */
#ifndef VMCRED_AGE_SSH_BLOWFISH_H
#define VMCRED_AGE_SSH_BLOWFISH_H

#include "base/error.h"
#include "base/span.h"

#define BLOWFISH_ROUNDS  16
#define BLOWFISH_SUBKEYS (BLOWFISH_ROUNDS + 2)

struct blowfish {
	uint32_t subkeys[BLOWFISH_SUBKEYS];
	uint32_t boxes[4][256];
};

/* The state that every key schedule starts from: the first 33,344 bits of the fraction of pi. */
int blowfish_start(struct blowfish *state, struct error *err);

/* Encrypts one block of two words. */
void blowfish_encrypt(const struct blowfish *state, uint32_t block[2]);

/* Mixes a key into the state. It is a multiple of four bytes long. */
void blowfish_expand(struct blowfish *state, struct span key);

/* The same with a salt, of such a size too. */
void blowfish_expand_salted(struct blowfish *state, struct span key, struct span salt);

#endif

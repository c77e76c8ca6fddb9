/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blowfish (B. Schneier, 1993) with bcrypt's slow key schedule (N. Provos and D. Mazières, "A
 * Future-Adaptable Password Scheme", 1999). Its tables are indexed by secret data, as bcrypt
 * requires: use it only for keys that are derived on their owner's machine.
 */
#ifndef VMCRED_AGE_SSH_BLOWFISH_H
#define VMCRED_AGE_SSH_BLOWFISH_H

#include "base/span.h"

#define BLOWFISH_ROUNDS  16
#define BLOWFISH_SUBKEYS (BLOWFISH_ROUNDS + 2)

struct blowfish {
	uint32_t subkeys[BLOWFISH_SUBKEYS];
	uint32_t boxes[4][256];
};

#define BLOWFISH_STATE_WORDS (sizeof(struct blowfish) / sizeof(uint32_t))

/* The initial state of every key schedule. */
extern const uint32_t blowfish_pi[BLOWFISH_STATE_WORDS];

/* Encrypts one block of two words. */
void blowfish_encrypt(const struct blowfish *state, uint32_t block[2]);

/* Mixes a key into the state. Its size is a multiple of four bytes. */
void blowfish_expand(struct blowfish *state, struct span key);

/* The same with a salt, whose size is a multiple of four bytes too. */
void blowfish_expand_salted(struct blowfish *state, struct span key, struct span salt);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bcrypt_pbkdf(3), which OpenSSH uses to encrypt private keys with a passphrase. Neither libcrypto
 * nor libcrypt has it: libcrypto's Blowfish lacks bcrypt's slow key schedule, and bcrypt of
 * crypt(3) has another salt and another constant. SHA-512 is libcrypto's.
 */
#ifndef VMCRED_AGE_SSH_BCRYPT_PBKDF_H
#define VMCRED_AGE_SSH_BCRYPT_PBKDF_H

#include "base/error.h"
#include "base/span.h"

/* Derives `size` bytes, at most 1024. The caller wipes them. */
int bcrypt_pbkdf(struct span passphrase, struct span salt, uint32_t rounds, uint8_t *key,
		 size_t size, struct error *err);

#endif

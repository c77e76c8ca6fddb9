/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PGP, done by the program gpg, which finds its keyring, its agent and the terminal by itself. What
 * it encrypts and decrypts goes through pipes; no shell, and no secret in an argument.
 */
#ifndef VMCRED_SOPS_PGP_H
#define VMCRED_SOPS_PGP_H

#include "base/error.h"
#include "base/secret.h"

/* Adds the armored message for a key, without white space around it. VMCRED_MISSING: there is no
 * such program, or it cannot do it; the error has its own words. */
int pgp_encrypt(const char *gpg, const char *fingerprint, struct span plaintext,
		struct secret *message, struct error *err);

/* Adds what is in an armored message. */
int pgp_decrypt(const char *gpg, struct span message, struct secret *plaintext, struct error *err);

#endif

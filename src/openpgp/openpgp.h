/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenPGP (RFC 4880) without gpg, as far as SOPS needs it: decrypts armored messages with RSA keys
 * that were converted from SSH keys, as ssh-to-pgp does.
 *
 * A message is untrusted. Nothing is returned before its digest (section 5.13) has been verified,
 * so messages without one are rejected. Signatures are ignored. Plaintext exists in secret memory
 * only.
 */
#ifndef VMCRED_OPENPGP_OPENPGP_H
#define VMCRED_OPENPGP_OPENPGP_H

#include "age/age.h"
#include "base/error.h"
#include "base/secret.h"

#define PGP_KEY_ID_SIZE 8

struct pgp_key {
	struct age_rsa_key *rsa; /* owned */
	char *fingerprint;       /* owned; in upper case, as gpg prints it */
	uint8_t id[PGP_KEY_ID_SIZE];
};

/* Starts as {0}. */
struct pgp_keys {
	struct pgp_key *items; /* owned */
	size_t count;
};

#define _cleanup_pgp_keys_ __attribute__((cleanup(pgp_keys_destroy)))

/* Converts and adds an SSH private key without a passphrase. `what` names it in errors.
 * VMCRED_FAILED: not an RSA key. */
int pgp_keys_add_ssh(struct pgp_keys *keys, struct span text, const char *what, struct error *err);
void pgp_keys_destroy(struct pgp_keys *keys);

/*
 * Decrypts an armored message and appends its content. Returns 1, or 0 if it is encrypted to none
 * of the keys. VMCRED_INTEGRITY: it was modified. VMCRED_FAILED: malformed or unsupported.
 */
int pgp_message_decrypt(const struct pgp_keys *keys, struct span text, struct secret *plaintext,
			struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stanzas of SSH keys, as defined by age's sources (agessh): the stanza's type is the key's
 * type, and its first argument is the key's tag. ed25519.c and rsa.c implement the two types.
 */
#ifndef VMCRED_AGE_SSH_STANZA_H
#define VMCRED_AGE_SSH_STANZA_H

#include "age/header.h"
#include "age/ssh/key.h"

struct ssh_stanza_ops {
	size_t arguments; /* of a stanza, including its type */
	/* Adds the stanza to the header's text. */
	int (*wrap)(const struct ssh_public_key *key, struct span file_key, struct secret *header,
		    struct error *err);
	/* Opens a stanza with the key's tag; returns 1. VMCRED_FAILED: the stanza is damaged. */
	int (*unwrap)(const struct ssh_public_key *public_key, const struct ssh_private_key *key,
		      const struct age_stanza *stanza, uint8_t *file_key, struct error *err);
	/* Checks that the public key is valid. */
	int (*check)(const struct ssh_public_key *key, struct error *err);
};

extern const struct ssh_stanza_ops ssh_ed25519_stanza_ops, ssh_rsa_stanza_ops;

/* rsa.c: libcrypto's form of an RSA private key (EVP_PKEY), or NULL. The caller frees it. */
struct evp_pkey_st *ssh_rsa_private_key_load(const struct ssh_private_key *key);

/* ed25519.c: the X25519 scalar of an Ed25519 key (RFC 8032, section 5.1.5). */
int ssh_ed25519_scalar(struct span seed, struct secret *scalar, struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stanzas of SSH keys, which are defined by age's own sources (agessh): a stanza's type is the
 * key's, its first argument the key's tag. ssh_ed25519.c and ssh_rsa.c do what differs.
 */
#ifndef VMCRED_AGE_SSH_STANZA_H
#define VMCRED_AGE_SSH_STANZA_H

#include "age/header.h"
#include "age/ssh/key.h"

struct ssh_stanza_ops {
	size_t words; /* of a stanza's first line */
	/* Adds the stanza to the header's text. */
	int (*wrap)(const struct ssh_public_key *key, struct span file_key, struct secret *header,
		    struct error *err);
	/* Opens a stanza with the key's tag. VMCRED_FAILED: it cannot be opened, although it is for
	 * this key. */
	int (*unwrap)(const struct ssh_public_key *public_key, const struct ssh_private_key *key,
		      const struct age_stanza *stanza, uint8_t *file_key, struct error *err);
	/* Whether libcrypto takes the public key for one. */
	int (*check)(const struct ssh_public_key *key, struct error *err);
};

extern const struct ssh_stanza_ops ssh_ed25519_stanza_ops, ssh_rsa_stanza_ops;

const struct ssh_stanza_ops *ssh_stanza_ops_of(const struct ssh_public_key *key);

/* ssh_rsa.c: libcrypto's form of an RSA private key (EVP_PKEY), or NULL. The caller frees it. */
struct evp_pkey_st *ssh_rsa_private_key_load(const struct ssh_private_key *key);

/* The error of a stanza that breaks its type's rules. */
int ssh_stanza_invalid(const struct ssh_public_key *key, const char *reason, struct error *err);

#endif

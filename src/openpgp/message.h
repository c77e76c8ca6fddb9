/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenPGP (RFC 4880) without gpg, as far as SOPS needs it for an RSA key of SSH: from an armored
 * message to what is in it, if it is encrypted for such a key. What is there comes from whoever
 * wrote the document; nothing is handed out before its digest was checked. Messages without one are
 * refused, signatures are not looked at.
 */
#ifndef VMCRED_OPENPGP_MESSAGE_H
#define VMCRED_OPENPGP_MESSAGE_H

#include "age/age.h"
#include "base/error.h"
#include "base/secret.h"
#include "sops/sops.h"

#define PGP_KEY_ID_SIZE 8

/* A data key's message has a few hundred bytes for each of its recipients. */
#define PGP_MESSAGE_SIZE_MAX ((size_t)1024 * 1024)

/* Section 4.3; those that are looked at. */
enum pgp_tag {
	PGP_SESSION_KEY = 1,
	PGP_COMPRESSED = 8,
	PGP_LITERAL = 11,
	PGP_ENCRYPTED = 18,
};

struct sops_pgp_key {
	struct age_rsa_key *rsa; /* owned */
	char *fingerprint;       /* owned; in upper case */
	uint8_t id[PGP_KEY_ID_SIZE];
};

/*
 * Adds what is in an armored message and returns 1; returns 0 if it is for none of the keys.
 * VMCRED_INTEGRITY: it was changed. VMCRED_FAILED: it is no such message, or one that is not
 * supported.
 */
int pgp_message_open(const struct sops_pgp_keys *keys, struct span text, struct secret *plaintext,
		     struct error *err);

/* pgp_packet.c: adds the bytes in an armored text. */
int pgp_armor_decode(struct span text, struct secret *bytes, struct error *err);

/* pgp_packet.c: takes the next packet; its parts are put together in `body`. */
int pgp_packet_take(struct span *bytes, unsigned *tag, struct secret *body, struct error *err);

#endif

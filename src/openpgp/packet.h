/* SPDX-License-Identifier: Apache-2.0 */
/* The layers of a message: armor (section 6), packets (section 4), compression (section 5.6). */
#ifndef VMCRED_OPENPGP_PACKET_H
#define VMCRED_OPENPGP_PACKET_H

#include "base/error.h"
#include "base/secret.h"

/* A data key's message has a few hundred bytes for each recipient. */
#define PGP_MESSAGE_SIZE_MAX ((size_t)1024 * 1024)

/* Section 4.3. */
enum pgp_tag {
	PGP_SESSION_KEY = 1,
	PGP_COMPRESSED = 8,
	PGP_LITERAL = 11,
	PGP_ENCRYPTED = 18,
};

/* Appends the bytes of an armored text. */
int pgp_armor_decode(struct span text, struct secret *bytes, struct error *err);

/* Takes the next packet. Its parts are joined in `body`. */
int pgp_packet_take(struct span *bytes, unsigned *tag, struct secret *body, struct error *err);

/* Decompresses a DEFLATE stream (RFC 1951). Bytes after its end are ignored. VMCRED_FAILED: it is
 * damaged, or gives more than `size_max` bytes. */
int pgp_inflate(struct span bytes, size_t size_max, struct secret *out, struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The textual header of an age file: a version line, stanzas, and the MAC. Each header has exactly
 * one spelling, so that the MAC authenticates what was parsed. A parsed header points into the text
 * that it was parsed from.
 */
#ifndef VMCRED_AGE_HEADER_H
#define VMCRED_AGE_HEADER_H

#include "age/primitives.h"
#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"

#define AGE_HEADER_MAC_SIZE 32 /* HMAC-SHA-256 */

struct age_stanza {
	struct span line; /* the type and the arguments, separated by spaces */
	struct span body; /* decoded */
};

/* Starts as {0}. */
struct age_header {
	struct age_stanza *stanzas; /* owned */
	size_t count;
	uint8_t *bodies;     /* owned; the stanzas' bodies point to it */
	struct span covered; /* the bytes that the MAC protects */
	size_t size;         /* of the whole header: the payload begins here */
	uint8_t mac[AGE_HEADER_MAC_SIZE];
};

#define _cleanup_age_header_ __attribute__((cleanup(age_header_destroy)))

/* Parses the header at the start of `file`. VMCRED_FAILED: it is malformed. */
int age_header_parse(struct span file, struct age_header *header, struct error *err);
void age_header_destroy(struct age_header *header);

/* An argument of a stanza, numbered as in argv: 0 is the type. Empty if there are fewer. */
struct span age_stanza_argument(const struct age_stanza *stanza, size_t index);

/* The number of arguments, including the type. */
size_t age_stanza_argument_count(const struct age_stanza *stanza);

/* The error for a stanza that breaks its type's rules. */
int age_stanza_malformed(const struct age_stanza *stanza, const char *problem, struct error *err);

/*
 * Checks that a stanza has `count` arguments, and a wrapped file key as its body, and decodes the
 * argument `index`, which must be exactly `size` bytes in Base64. `what` names it in the error.
 */
int age_stanza_decode(const struct age_stanza *stanza, size_t count, size_t index, const char *what,
		      uint8_t *out, size_t size, struct error *err);

/*
 * The size of the stanza at the start of a text, or 0 if the text is incomplete. A stanza is a
 * line, and the lines of its body up to the first short one.
 */
size_t age_stanza_size(struct span text);

/*
 * Parses the stanza at the start of a text and removes it from the text. `body` has room for
 * AGE_STANZA_BODY_MAX(text.size) bytes; the stanza points to it and into the text.
 */
#define AGE_STANZA_BODY_MAX(text_size) ((text_size) + 50)
int age_stanza_parse(struct span *text, uint8_t *body, struct age_stanza *stanza,
		     struct error *err);

/* Add the version line to an empty text, then stanzas, then the line of the MAC. */
int age_header_begin(struct secret *text, struct error *err);
int age_stanza_append(struct secret *text, const char *line, struct span body, struct error *err);
int age_header_finish(struct secret *text, struct span file_key, struct error *err);

/* VMCRED_INTEGRITY: the header does not belong to this file key. */
int age_header_verify(const struct age_header *header, struct span file_key, struct error *err);

#endif

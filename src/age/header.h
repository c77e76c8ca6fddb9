/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The textual header of an age file: a version line, stanzas, and the MAC. It is parsed by rules
 * that leave one spelling for each header, so that what was parsed is what was authenticated. A
 * parsed header points into the text that it was parsed from.
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
	uint8_t *bodies;     /* owned; what the stanzas' bodies point to */
	struct span covered; /* the bytes that the MAC protects */
	size_t size;         /* of the whole header: the payload begins here */
	uint8_t mac[AGE_HEADER_MAC_SIZE];
};

#define _cleanup_age_header_ __attribute__((cleanup(age_header_destroy)))

/* Parses the header at the start of `file`. VMCRED_FAILED: it is not a well-formed one. */
int age_header_parse(struct span file, struct age_header *header, struct error *err);
void age_header_destroy(struct age_header *header);

/* The type (index 0) or an argument of a stanza; empty if there are not so many. */
struct span age_stanza_word(const struct age_stanza *stanza, size_t index);

/* The number of words: the type and the arguments. */
size_t age_stanza_word_count(const struct age_stanza *stanza);

/*
 * The size of the stanza at the start of a text, or 0 if the text ends before it does: a line, and
 * lines of a body up to the first short one.
 */
size_t age_stanza_size(struct span text);

/*
 * Parses the stanza at the start of a text, and takes it off. `body` has room for
 * AGE_STANZA_BODY_MAX(text.size) bytes; the stanza points to it and into the text.
 */
#define AGE_STANZA_BODY_MAX(text_size) ((text_size) + 50)
int age_stanza_parse(struct span *text, uint8_t *body, struct age_stanza *stanza,
		     struct error *err);

/* Adds the version line to an empty text, then stanzas, then the MAC's line. */
int age_header_begin(struct secret *text, struct error *err);
int age_stanza_append(struct secret *text, const char *line, struct span body, struct error *err);
int age_header_finish(struct secret *text, struct span file_key, struct error *err);

/* VMCRED_INTEGRITY: the header does not belong to this file key. */
int age_header_verify(const struct age_header *header, struct span file_key, struct error *err);

#endif

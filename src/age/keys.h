/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a recipient type must do: wrap a file key into stanzas, and unwrap it again. A type is one
 * file with a recipient, an identity, and a row in each of the two tables of keys.c.
 */
#ifndef VMCRED_AGE_KEYS_H
#define VMCRED_AGE_KEYS_H

#include "age/header.h"
#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"

struct age_recipient;
struct age_identity;

struct age_recipient_ops {
	/* Adds the stanzas that hold the file key, wrapped for the recipient, to the header's text.
	 */
	int (*wrap)(const struct age_recipient *recipient, struct span file_key,
		    struct secret *header, struct error *err);
	void (*destroy)(struct age_recipient *recipient);
};

struct age_identity_ops {
	/*
	 * Looks for a stanza that this identity opens. Returns 1 and the file key, which is
	 * AGE_FILE_KEY_SIZE bytes long, in `file_key`; 0 if there is none; or a negative code if a
	 * stanza of its type breaks the type's rules, which condemns the whole file.
	 */
	int (*unwrap)(const struct age_identity *identity, const struct age_header *header,
		      uint8_t *file_key, struct error *err);
	/* Adds the secret key as text. */
	int (*encode)(const struct age_identity *identity, struct secret *text, struct error *err);
	void (*destroy)(struct age_identity *identity);
};

/* The head of each type's own structure. */
struct age_recipient {
	const struct age_recipient_ops *ops;
	char *text; /* owned; the public key */
};

struct age_identity {
	const struct age_identity_ops *ops;
	char *recipient; /* owned; the public key */
};

/* x25519.c (age.md, "The X25519 recipient type"). The caller destroys what it gets with its
 * `destroy`. */
int age_x25519_recipient_parse(struct span text, struct age_recipient **recipient,
			       struct error *err);
int age_x25519_identity_parse(struct span text, struct age_identity **identity, struct error *err);
int age_x25519_identity_generate(struct age_identity **identity, struct error *err);

#endif

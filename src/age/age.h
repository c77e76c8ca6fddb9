/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The age v1 file format (C2SP age.md): files that are encrypted to one or more recipients, each of
 * whom opens them with an identity. A random file key encrypts the payload; the header holds it
 * once for each recipient, wrapped, and is itself protected by a MAC.
 *
 * Nothing of a payload is handed out before the header's MAC, and nothing of a chunk before its
 * tag, has been verified; in-memory decryption hands out all or nothing. Every input is untrusted,
 * identity files too. Secrets (file key, scalars, plaintext) are in `struct secret` alone.
 * Ciphertext is returned in one as well, because it needs a growing buffer and not because it has
 * to be hidden.
 *
 * Recipients and identities live in lists, which own them. A recipient type is one file behind the
 * two tables in age/keys.h; X25519 is implemented. Stanzas of other types are ignored, as the
 * format demands.
 */
#ifndef VMCRED_AGE_AGE_H
#define VMCRED_AGE_AGE_H

#include <time.h>

#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"

struct age_recipient;
struct age_identity;

/* Starts as {0}. */
struct age_recipients {
	struct age_recipient **items; /* owned, and each of them */
	size_t count;
};

/* Starts as {0}. */
struct age_identities {
	struct age_identity **items; /* owned, and each of them */
	size_t count;
};

#define _cleanup_age_recipients_ __attribute__((cleanup(age_recipients_destroy)))
#define _cleanup_age_identities_ __attribute__((cleanup(age_identities_destroy)))

/* Adds a public key, such as `age1…`. VMCRED_USAGE: it is not one, or of a type that is not
 * supported. */
int age_recipients_add(struct age_recipients *recipients, struct span text, struct error *err);
void age_recipients_destroy(struct age_recipients *recipients);

/* The public key as text, as it was added. Lives as long as the recipient. */
const char *age_recipient_text(const struct age_recipient *recipient);

/*
 * Adds a secret key, such as `AGE-SECRET-KEY-1…`. VMCRED_FAILED: it is not one, or of a type that
 * is not supported. The error never holds the key or a part of it.
 */
int age_identities_add(struct age_identities *identities, struct span text, struct error *err);

/* Adds a new random X25519 identity. */
int age_identities_generate(struct age_identities *identities, struct error *err);
void age_identities_destroy(struct age_identities *identities);

/* The public key that belongs to the identity, such as `age1…`. Lives as long as the identity. */
const char *age_identity_recipient(const struct age_identity *identity);

/*
 * Adds the identities in the text of an identity file: one key a line, '#' starts a comment line,
 * empty lines are skipped. `what` names the file. Errors name it and the line, never the line's
 * text. A file without a key is an error.
 */
int age_identities_parse(struct span text, const char *what, struct age_identities *identities,
			 struct error *err);

/*
 * The same for a file, which must be a regular file or a pipe, and must not be readable or writable
 * for its group or for others. VMCRED_MISSING: it is not there.
 */
int age_identity_file_load(int dirfd, const char *path, struct age_identities *identities,
			   struct error *err);

/* The text of an identity file as age-keygen(1) writes it, created at `created`. Adds to `text`. */
int age_identity_file_format(const struct age_identity *identity, time_t created,
			     struct secret *text, struct error *err);

/* Encrypts to all recipients, at least one. The binary file is added to `file`. */
int age_encrypt(struct span plaintext, const struct age_recipients *recipients, struct secret *file,
		struct error *err);

/*
 * Decrypts a binary file; the plaintext is added to `plaintext`, all of it or nothing.
 * VMCRED_MISSING: no identity opens it. VMCRED_INTEGRITY: the header's MAC or a chunk's tag does
 * not match, or the payload is cut off. VMCRED_FAILED: it is not an age file.
 */
int age_decrypt(struct span file, const struct age_identities *identities, struct secret *plaintext,
		struct error *err);

/* Whether the text begins as an armored file does, white space aside. */
bool age_armor_detect(struct span text);

/* Adds the armored form (PEM with strict rules; age.md, "ASCII armor") of a file to `text`. */
int age_armor_encode(struct span file, struct secret *text, struct error *err);

/* Adds the file in an armored text to `file`. VMCRED_FAILED: the text is not in the one strict
 * form. */
int age_armor_decode(struct span text, struct secret *file, struct error *err);

#endif

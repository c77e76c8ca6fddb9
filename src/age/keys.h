/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interfaces of recipient and identity types: a recipient wraps a file key into stanzas, an
 * identity unwraps it. A type is one file, with a row in each of the two tables of keys.c.
 *
 * Several threads may unwrap at once: an identity that caches something locks it.
 */
#ifndef VMCRED_AGE_KEYS_H
#define VMCRED_AGE_KEYS_H

#include "age/age.h"
#include "age/header.h"
#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"

/* Keeps post-quantum stanzas in files of their own (age-plugin.md, "Labels"; draft-ietf-hpke-pq).
 */
#define AGE_LABEL_POSTQUANTUM "postquantum"

struct age_recipient_ops {
	/* Adds the stanzas that contain the wrapped file key to the header's text. */
	int (*wrap)(const struct age_recipient *recipient, struct span file_key,
		    struct secret *header, struct error *err);
	/*
	 * Instead of `wrap`: wraps for the recipient `index`, and for all others with the same
	 * `group` if it is the first of them. `*labels` is a new sorted, space-separated text, or
	 * NULL if another recipient represents it.
	 */
	int (*wrap_group)(const struct age_recipients *recipients, size_t index,
			  struct span file_key, struct secret *header, char **labels,
			  struct error *err);
	void (*destroy)(struct age_recipient *recipient);
	/* All recipients of a file must have the same labels (age-plugin.md); NULL: none. */
	const char *labels;
	/* It must be the only recipient of its file. */
	bool is_alone;
};

struct age_identity_ops {
	/*
	 * Unwraps a stanza of the identity's type. Returns 1 and the file key, AGE_FILE_KEY_SIZE
	 * bytes; 0 if the stanza is for another key; -VMCRED_MISSING if the identity is unusable
	 * (wrong passphrase, nobody to ask, plugin not installed), so that others are tried; or
	 * another negative code if the stanza is malformed, which makes the file invalid.
	 */
	int (*unwrap)(struct age_identity *identity, const struct age_stanza *stanza,
		      uint8_t *file_key, struct error *err);
	/* Instead of `unwrap`: the same with the whole header, for the identity `index` and all
	 * others with the same `group`, if it is the first of them. */
	int (*unwrap_group)(const struct age_identities *identities, size_t index,
			    const struct age_header *header, uint8_t *file_key, struct error *err);
	/* Adds the identity's recipients; NULL: its public key is the only one. */
	int (*recipients)(struct age_identity *identity, struct age_recipients *recipients,
			  struct error *err);
	/* Adds the secret key as one line of text; NULL: the type has no such form. */
	int (*encode)(const struct age_identity *identity, struct secret *text, struct error *err);
	void (*destroy)(struct age_identity *identity);
};

/* The first member of each type's own structure. */
struct age_recipient {
	const struct age_recipient_ops *ops;
	char *text;  /* owned; the public key */
	char *group; /* owned; NULL, or the plugin's name */
	const struct age_prompt *prompt;
};

struct age_identity {
	const struct age_identity_ops *ops;
	const char *stanza_type; /* for `unwrap` */
	char *recipient;         /* owned; the public key */
	char *group;             /* owned; NULL, or the plugin's name */
	const struct age_prompt *prompt;
};

/*
 * Constructors of the types. The caller owns `*recipient` or `*identity`, unless it is NULL, also
 * on failure. A recipient's `text` is set by the caller. VMCRED_FAILED: the text is not such a key;
 * the error does not quote it.
 */

/* x25519.c (age.md, "The X25519 recipient type") */
int age_x25519_recipient_parse(struct span text, struct age_recipient **recipient,
			       struct error *err);
int age_x25519_identity_parse(struct span text, struct age_identity **identity, struct error *err);
int age_x25519_identity_generate(struct age_identity **identity, struct error *err);
int age_x25519_identity_create(struct secret *scalar, struct age_identity **identity,
			       struct error *err); /* takes the scalar */

/* hybrid.c (age.md, "The MLKEM768-X25519 … recipient type") */
int age_hybrid_recipient_parse(struct span text, struct age_recipient **recipient,
			       struct error *err);
int age_hybrid_identity_parse(struct span text, struct age_identity **identity, struct error *err);
int age_hybrid_identity_generate(struct age_identity **identity, struct error *err);

/* scrypt.c (age.md, "The scrypt recipient type"). An identity with an empty passphrase asks for the
 * passphrase of `what`. */
int age_scrypt_recipient_create(struct span passphrase, unsigned int work_factor,
				struct age_recipient **recipient, struct error *err);
int age_scrypt_identity_create(struct span passphrase, const char *what,
			       struct age_identity **identity, struct error *err);

/* ssh/ssh.c: ssh-ed25519 and ssh-rsa. `what` names the file; `public_text` as for
 * ssh_private_file_parse(). */
int age_ssh_recipient_parse(struct span text, struct age_recipient **recipient, struct error *err);
int age_ssh_identity_parse(struct span text, struct span public_text, const char *what,
			   struct age_identity **identity, struct error *err);

/* Whether a line is an SSH public key of any type, also of one that age does not support. */
bool age_ssh_is_public_key(struct span line, struct span *type);

/* encrypted_identity.c: an identity file that age encrypted with a passphrase, armored or not. */
int age_encrypted_identity_create(struct span file, const char *what,
				  struct age_identity **identity, struct error *err);

/* plugin/plugin.c (age-plugin.md) */
int age_plugin_recipient_parse(struct span text, struct age_recipient **recipient,
			       struct error *err);
int age_plugin_identity_parse(struct span text, struct age_identity **identity, struct error *err);

/*
 * Asks for the passphrase of `what`, such as a file, and adds it to `answer`. VMCRED_MISSING: there
 * is nobody to ask, or no answer, or an empty one.
 */
int age_passphrase_ask(const struct age_prompt *prompt, const char *what, struct secret *answer,
		       struct error *err);

/* The same as age_identities_take(), for a recipient. */
int age_recipients_take(struct age_recipients *recipients, struct age_recipient *recipient, int r,
			struct error *err);

/*
 * Adds the identity to the list, with the list's prompt, if `r` is 0; else destroys it. Returns `r`
 * or an error of its own.
 */
int age_identities_take(struct age_identities *identities, struct age_identity *identity, int r,
			struct error *err);

/* Adds the keys of an identity file that lists one key a line. */
int age_identities_parse_lines(struct span text, const char *what,
			       struct age_identities *identities, struct error *err);

/* Frees the structure and what its first member owns. */
void age_recipient_free(struct age_recipient *recipient);
void age_identity_free(struct age_identity *identity);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a recipient type must do: wrap a file key into stanzas, and unwrap it again. A type is one
 * file with a recipient, an identity, and a row in each of the two tables of keys.c.
 *
 * Unwrapping may happen in several threads at once: an identity that remembers something locks it.
 */
#ifndef VMCRED_AGE_KEYS_H
#define VMCRED_AGE_KEYS_H

#include "age/age.h"
#include "age/header.h"
#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"

/* draft-ietf-hpke-pq and age-plugin.md: what keeps its stanzas apart from those that a quantum
 * computer opens. */
#define AGE_LABEL_POSTQUANTUM "postquantum"

struct age_recipient_ops {
	/* Adds the stanzas that hold the file key, wrapped for the recipient, to the header's text.
	 */
	int (*wrap)(const struct age_recipient *recipient, struct span file_key,
		    struct secret *header, struct error *err);
	/*
	 * Instead of `wrap`: the same for all recipients that have the same `group`. Gives their
	 * labels, sorted and separated by spaces, in new memory.
	 */
	int (*wrap_group)(const struct age_recipient *const *recipients, size_t count,
			  struct span file_key, struct secret *header, char **labels,
			  struct error *err);
	void (*destroy)(struct age_recipient *recipient);
	/* All recipients of a file have the same labels (age-plugin.md); NULL means none. */
	const char *labels;
	/* It is the only recipient of its file. */
	bool is_alone;
};

struct age_identity_ops {
	/*
	 * Looks for a stanza that this identity opens. Returns 1 and the file key, which is
	 * AGE_FILE_KEY_SIZE bytes long, in `file_key`; 0 if there is none; -VMCRED_MISSING if the
	 * identity cannot be used (a wrong passphrase, nobody to ask, no plugin): others are still
	 * tried; or another negative code if a stanza of its type breaks the type's rules, which
	 * condemns the whole file.
	 */
	int (*unwrap)(struct age_identity *identity, const struct age_header *header,
		      uint8_t *file_key, struct error *err);
	/* Instead of `unwrap`: the same with all identities that have the same `group`. */
	int (*unwrap_group)(struct age_identity *const *identities, size_t count,
			    const struct age_header *header, uint8_t *file_key, struct error *err);
	/* Adds the secret key as text; NULL: it has none of one line. */
	int (*encode)(const struct age_identity *identity, struct secret *text, struct error *err);
	void (*destroy)(struct age_identity *identity);
};

/* The head of each type's own structure. */
struct age_recipient {
	const struct age_recipient_ops *ops;
	char *text;  /* owned; the public key */
	char *group; /* owned; NULL, or the plugin's name */
	const struct age_prompt *prompt;
};

struct age_identity {
	const struct age_identity_ops *ops;
	char *recipient; /* owned; the public key */
	char *group;     /* owned; NULL, or the plugin's name */
	const struct age_prompt *prompt;
};

/*
 * Parsers of the types. The caller destroys what it gets with its `destroy`. VMCRED_FAILED: the
 * text is no such key; the error says why, not what the text holds.
 */

/* x25519.c (age.md, "The X25519 recipient type") */
int age_x25519_recipient_parse(struct span text, struct age_recipient **recipient,
			       struct error *err);
int age_x25519_identity_parse(struct span text, struct age_identity **identity, struct error *err);
int age_x25519_identity_generate(struct age_identity **identity, struct error *err);

/* The same of a scalar, which is taken over. */
int age_x25519_identity_create(struct secret *scalar, struct age_identity **out, struct error *err);

/* hybrid.c (age.md, "The MLKEM768-X25519 … recipient type") */
int age_hybrid_recipient_parse(struct span text, struct age_recipient **recipient,
			       struct error *err);
int age_hybrid_identity_parse(struct span text, struct age_identity **identity, struct error *err);

/* scrypt.c (age.md, "The scrypt recipient type"). An empty passphrase of an identity is asked for,
 * as that of `what`. */
int age_scrypt_recipient_create(struct span passphrase, unsigned int work_factor,
				struct age_recipient **recipient, struct error *err);
int age_scrypt_identity_create(struct span passphrase, const char *what,
			       struct age_identity **identity, struct error *err);

/* ssh.c: ssh-ed25519 and ssh-rsa. `what` names the file, `public_text` is that of the file beside
 * it, as ssh_private_file_parse() takes it. */
int age_ssh_recipient_parse(struct span text, struct age_recipient **recipient, struct error *err);
int age_ssh_identity_parse(struct span text, struct span public_text, const char *what,
			   struct age_identity **identity, struct error *err);

/* ssh_ed25519.c: the X25519 identity of an Ed25519 key, with its scalar. */
struct ssh_private_key;
int age_ssh_ed25519_convert(const struct ssh_private_key *key, struct age_identity **identity,
			    struct error *err);

/* encrypted_identity.c: an identity file that age encrypted with a passphrase, armored or not. */
int age_encrypted_identity_create(struct span file, const char *what,
				  struct age_identity **identity, struct error *err);

/* plugin.c (age-plugin.md) */
int age_plugin_recipient_parse(struct span text, struct age_recipient **recipient,
			       struct error *err);
int age_plugin_identity_parse(struct span text, struct age_identity **identity, struct error *err);

/*
 * Asks a question that begins with `question` and names `what`, such as a file, for a secret that
 * is added to `answer`. VMCRED_MISSING: there is nobody to ask, or no answer, or an empty one.
 */
int age_passphrase_ask(const struct age_prompt *prompt, const char *question, const char *what,
		       struct secret *answer, struct error *err);

/* Takes the identity over, or destroys it on failure; with the list's prompt. */
int age_identities_take(struct age_identities *identities, struct age_identity *identity,
			struct error *err);

/* The keys of an identity file that is a list of keys, as age_identities_parse() takes it. */
int age_identities_parse_lines(struct span text, const char *what,
			       struct age_identities *identities, struct error *err);

/* Frees what the heads own, and the structures. */
void age_recipient_free(struct age_recipient *recipient);
void age_identity_free(struct age_identity *identity);

#endif

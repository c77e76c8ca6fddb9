/* SPDX-License-Identifier: Apache-2.0 */
/* The types of keys as a table, and the functions that other parts of sops/ need for keys. */
#ifndef VMCRED_SOPS_KEYS_KEY_H
#define VMCRED_SOPS_KEYS_KEY_H

#include "base/secret.h"
#include "sops/keys/keys.h"
#include "sops/tree/tree.h"

#define SOPS_DATA_KEY_SIZE 32 /* AES-256 */

enum sops_field_use {
	SOPS_FIELD_TEXT,
	SOPS_FIELD_OPTIONAL, /* omitted if empty */
	SOPS_FIELD_TIME,     /* when the key was added to the document (RFC 3339) */
	SOPS_FIELD_ENC,      /* the wrapped data key, or share of it */
};

struct sops_field {
	const char *name;
	enum sops_field_use use;
};

struct sops_key_type_row {
	const char *name;
	const char *text; /* the pattern of the key's text: $0 … $5 are its fields */
	struct sops_field fields[SOPS_KEY_FIELDS_MAX + 1]; /* by name; ends with an empty one */
	unsigned int text_field; /* the field of a new key that gets its whole text */
	bool supported;
	bool always_in_group; /* a key group lists the type even if it has none */
};

const struct sops_key_type_row *sops_key_type_row(enum sops_key_type type);

/* The wrapped key, or "". */
const char *sops_key_enc(const struct sops_key *key);

/* Takes over `enc`, allocated with malloc(). */
void sops_key_enc_set(struct sops_key *key, char *enc);

int sops_key_copy(struct sops_key *to, const struct sops_key *from, struct error *err);
void sops_key_destroy(struct sops_key *key);

/* Takes over a key, also on failure. */
int sops_key_group_take(struct sops_key_group *group, struct sops_key *key, struct error *err);

/* Reads a key from a map of the metadata. `what` names the document. */
int sops_key_read(const struct sops_tree *tree, size_t map, enum sops_key_type type,
		  const char *what, struct sops_key *key, struct error *err);

/* Copies the text of a map's field; "" if it is missing or null. Accepts numbers and booleans,
 * because flat stores have no types. */
int sops_field_read(const struct sops_tree *tree, size_t map, const char *name, const char *what,
		    char **text, struct error *err);

/* Unwraps the data key. `what` names the document in errors. */
int sops_data_key_unwrap(const struct sops_policy *policy, const struct sops_keyring *keyring,
			 const char *what, struct secret *data_key, struct error *err);

/* Wraps the data key, or shares of it, for the keys of the policy. `keep_unsupported`: ignore keys
 * of unsupported types that hold a wrapped key already. */
int sops_data_key_wrap(struct sops_policy *policy, const struct sops_keyring *keyring,
		       const char *what, struct span data_key, bool keep_unsupported,
		       struct error *err);

/* Sets the error for a document that no key decrypts. `opened`: how many groups were. */
int sops_no_key(const struct sops_policy *policy, const struct sops_keyring *keyring,
		const char *what, size_t opened, struct error *err);

/* gpg.c: appends an armored message, without white space around it. VMCRED_MISSING: gpg is not
 * installed or fails; the error quotes gpg's. */
int sops_gpg_encrypt(const char *gpg, const char *fingerprint, struct span plaintext,
		     struct secret *message, struct error *err);
int sops_gpg_decrypt(const char *gpg, struct span message, struct secret *plaintext,
		     struct error *err);

#endif

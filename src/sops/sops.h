/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SOPS documents: a tree of values, each encrypted with AES-256-GCM under the document's data key,
 * and a MAC over all plaintext values in document order. The data key is wrapped for each of the
 * document's keys (keys/keys.h). Text formats are stores (stores/stores.h). The specification is
 * the program sops 3.13: both read what the other writes and print the same bytes.
 *
 * A document is untrusted. Its values can be read only after all tags and the MAC have been
 * verified, unless the caller ignores the MAC.
 *
 * A document keeps its text in secret memory and decrypts it in place. Returned spans point into
 * the document and are valid until it changes. Errors name the document, and a value by its path.
 *
 *     read ──────> sealed ──decrypt──> open ──reencrypt, rotate──> sealed ──> write
 *     read_plain ─────────────────────> open ──encrypt───────────> sealed ──> write
 */
#ifndef VMCRED_SOPS_SOPS_H
#define VMCRED_SOPS_SOPS_H

#include "base/error.h"
#include "base/report.h"
#include "base/secret.h"
#include "base/span.h"
#include "sops/keys/keys.h"
#include "sops/stores/stores.h"

/* Written into documents as the version of sops. */
#define SOPS_VERSION_WRITTEN "3.13.2"

struct sops_document;

#define _cleanup_sops_document_ __attribute__((cleanup(sops_document_destroy)))

/*
 * Reads an encrypted document. Takes over `text`, also on failure. `what` names it in errors.
 * VMCRED_FAILED: not in the store's format, or not a SOPS document. The caller destroys it.
 */
int sops_document_read(const struct sops_store *store, struct secret *text, const char *what,
		       struct sops_document **document, struct error *err);

/* Reads plaintext, which is open from the start. VMCRED_FAILED: not in the store's format.
 * VMCRED_USAGE: a YAML key that is not a string, which SOPS documents cannot have. */
int sops_document_read_plain(const struct sops_store *store, struct secret *text, const char *what,
			     struct sops_document **document, struct error *err);

/* Returns 1 if a text is an encrypted document, with a MAC and a version in its metadata, 0 if it
 * is another text in the store's format. VMCRED_FAILED: damaged metadata. */
int sops_document_is_encrypted(const struct sops_store *store, struct secret *text,
			       const char *what, struct error *err);

/* Whether plaintext has a value where `store` puts metadata. Such a document, which probably is
 * encrypted already, cannot be encrypted. */
bool sops_document_has_metadata(const struct sops_document *document,
				const struct sops_store *store);

/* The number of YAML documents in it; 1 for the other stores. */
size_t sops_document_count(const struct sops_document *document);

/* Accepts a pointer to NULL; sets it to NULL. */
void sops_document_destroy(struct sops_document **document);

/* The policy in the metadata; empty for plaintext. Valid until the document changes. */
const struct sops_policy *sops_document_policy(const struct sops_document *document);

/* When a value was last changed, in seconds since 1970; 0 for plaintext. The MAC authenticates it:
 * as long as the document is sealed, anybody could have written it. */
int64_t sops_document_modified(const struct sops_document *document);

/* The version of sops in the metadata. */
const char *sops_document_version(const struct sops_document *document);

enum sops_flags {
	SOPS_IGNORE_MAC = 1 << 0, /* decrypt although the MAC is wrong or missing */
};

/* The cause of the last failure of a function below, for the exit codes of sops. */
enum sops_failure {
	SOPS_FAILED_OTHERWISE,
	SOPS_FAILED_KEY, /* the data key could not be unwrapped, or not wrapped for a key */
	SOPS_FAILED_VALUE,
	SOPS_FAILED_MAC,
	SOPS_FAILED_METADATA, /* missing */
};
enum sops_failure sops_document_failure(const struct sops_document *document);

/*
 * Decrypts all values and verifies the MAC. VMCRED_MISSING: no key decrypts it (the error lists the
 * document's keys and the keys that were tried). VMCRED_INTEGRITY: a tag or the MAC does not match.
 * After a failure nothing can be read from it.
 */
int sops_document_decrypt(struct sops_document *document, const struct sops_keyring *keyring,
			  unsigned int flags, struct error *err);

/* Warns of comments that decryption left as they are, because they were changed or moved. The MAC
 * does not cover comments, so nothing else tells. */
void sops_document_comments_report(const struct sops_document *document,
				   const struct report *report);

/* Encrypts an open document under a new data key, wrapped for the keys of the policy, which is
 * copied. VMCRED_USAGE: no keys, or a key whose type is not supported. */
int sops_document_encrypt(struct sops_document *document, const struct sops_policy *policy,
			  const struct sops_keyring *keyring, struct error *err);

/* Encrypts a decrypted document again under its own data key. Unchanged values get the same
 * ciphertext. */
int sops_document_reencrypt(struct sops_document *document, struct error *err);

/* Encrypts a decrypted document again under a new data key. `add` is added to its first group,
 * `remove` is removed from all groups; either may be NULL. */
int sops_document_rotate(struct sops_document *document, const struct sops_keyring *keyring,
			 const struct sops_key_group *add, const struct sops_key_group *remove,
			 struct error *err);

/* How a document's keys differ from those of a policy. Starts as {0}. */
struct sops_difference {
	struct sops_group_difference {
		struct sops_key_difference {
			enum {
				SOPS_KEY_KEPT,
				SOPS_KEY_ADDED,
				SOPS_KEY_REMOVED
			} change;
			enum sops_key_type type;
			const char *text; /* points into the document or the policy */
		} * keys;                 /* owned; in the order in which sops prints them */
		size_t count;
	} * groups; /* owned */
	size_t group_count;
	unsigned int threshold_before, threshold_after;
	bool changed;
};

/* `threshold`: 0 to keep that of the document. It is limited to the number of groups. */
int sops_document_keys_compare(const struct sops_document *document,
			       const struct sops_policy *policy, unsigned int threshold,
			       struct sops_difference *difference, struct error *err);
void sops_difference_destroy(struct sops_difference *difference);

/*
 * Replaces the groups of a sealed document by those of the policy and wraps its data key for them.
 * Values, rule and MAC do not change. A key whose type is not supported keeps its wrapped key if
 * the document had it before. VMCRED_MISSING: as above.
 */
int sops_document_keys_update(struct sops_document *document, const struct sops_policy *policy,
			      unsigned int threshold, const struct sops_keyring *keyring,
			      struct error *err);

/* Appends the document as text: encrypted while sealed, plaintext while open. `format` may be
 * NULL. */
int sops_document_write(struct sops_document *document, const struct sops_store *store,
			const struct sops_format *format, struct secret *out, struct error *err);

/* Appends an open document with its metadata, for `edit --show-master-keys`. */
int sops_document_write_with_keys(const struct sops_document *document,
				  const struct sops_store *store, const struct sops_format *format,
				  struct secret *out, struct error *err);

/* Replaces the content of an open document by the plaintext `text`; with a keyring its metadata,
 * too, and wraps the data key if the keys changed. On failure the document and `text` are
 * unchanged. */
int sops_document_replace(struct sops_document *document, const struct sops_store *store,
			  const struct secret *text, const struct sops_keyring *keyring,
			  struct error *err);

/*
 * Paths are those of sops: ["key"]['other'][0]. Positions count comments. A path starts in the
 * first YAML document.
 */

/* VMCRED_USAGE: not a path. */
int sops_path_check(const char *text, struct error *err);

/*
 * Appends the value at the path as `sops decrypt --extract` prints it. VMCRED_MISSING: no value.
 */
int sops_document_extract(const struct sops_document *document, const char *path,
			  const struct sops_store *store, const struct sops_format *format,
			  struct secret *out, struct error *err);

/* Sets the value at the path to a JSON value, which is taken over, and creates missing containers.
 * `*changed`: it had another value. VMCRED_USAGE: invalid path or JSON. */
int sops_document_set(struct sops_document *document, const char *path, struct secret *json,
		      bool *changed, struct error *err);

/* Removes the value at the path. VMCRED_MISSING: no value. */
int sops_document_unset(struct sops_document *document, const char *path, struct error *err);

/* Calls `each` with the key and text of every value of an open document, for environment variables.
 * VMCRED_FAILED: a value is a map or a list. */
int sops_document_each(const struct sops_document *document,
		       int (*each)(void *context, struct span key, struct span value,
				   struct error *err),
		       void *context, struct error *err);

/*
 * The string or time at keys joined with '/', as sops-nix writes the place of a secret; its
 * ciphertext while the document is sealed. VMCRED_MISSING: no such key. VMCRED_FAILED: not a
 * string.
 */
int sops_document_string(const struct sops_document *document, const char *keys, struct span *value,
			 struct error *err);

/*
 * Appends to `document` the document that `sops encrypt --input-type binary --output-type json`
 * makes of the bytes. `name`, unless it is NULL, is encrypted beside them under SOPS_NAME_KEY,
 * which sops ignores: a document that was copied to another name is then rejected.
 */
int sops_binary_encrypt(struct span plaintext, const char *name, const struct sops_key_group *keys,
			const struct sops_keyring *keyring, struct secret *document,
			struct error *err);

/* Decrypts and verifies such a document; `*value` points into it. VMCRED_INTEGRITY: it is bound to
 * another name than `name` (NULL: not checked), or has values besides. One without a name is
 * accepted. */
int sops_binary_open(struct sops_document *document, const char *name,
		     const struct sops_keyring *keyring, struct span *value, struct error *err);

/* Reads and opens a document, and appends its bytes to `plaintext`. */
int sops_binary_decrypt(struct span document, const char *what, const char *name,
			const struct sops_keyring *keyring, struct secret *plaintext,
			struct error *err);

/* Whether a document, which may be sealed, has a name. */
bool sops_binary_has_name(const struct sops_document *document);

/* Adds the name to a sealed document that has none, under the same data key. VMCRED_INTEGRITY: as
 * above. */
int sops_binary_bind(struct sops_document *document, const char *name,
		     const struct sops_keyring *keyring, struct error *err);

#endif

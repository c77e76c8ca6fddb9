/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SOPS documents: a tree of values, each encrypted with AES-256-GCM under one data key, which the
 * document holds wrapped for each of its keys (age recipients, PGP keys, …), and a MAC over all
 * plaintext values in their order. The specification is what the program sops 3.13 does: what one
 * of them writes the other reads, and both print the same bytes. Formats of text are stores
 * (sops/store.h).
 *
 * A document is untrusted. No value can be read from it before every value's tag and the document's
 * MAC have been verified, unless the caller asks for that. Types of keys that cannot be used here
 * (cloud services, Vault) are kept when a document is rewritten; that one of them would be needed
 * is an error that names it. PGP is done by the program gpg, which gets what it shall encrypt or
 * decrypt through pipes; PGP keys that are made of SSH keys open documents without it.
 *
 * A document keeps its text in secret memory and decrypts it in place. Spans that it returns point
 * there and live as long as it does, or until it is changed. Every error names the document by the
 * name that it was given when it was read, and a value by its keys.
 *
 *     read ──────> sealed ──decrypt──> open ──reencrypt, rotate──> sealed ──> write
 *     read_plain ─────────────────────> open ──encrypt───────────> sealed ──> write
 */
#ifndef VMCRED_SOPS_SOPS_H
#define VMCRED_SOPS_SOPS_H

#include "age/age.h"
#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"
#include "openpgp/openpgp.h"

/* The version that documents are written as: the one whose format this is. */
#define SOPS_VERSION_WRITTEN "3.13.2"

/* The key under which the binary store keeps its value. */
#define SOPS_BINARY_KEY "data"

/* The suffix of keys whose values stay readable, where nothing else is said. */
#define SOPS_DEFAULT_SUFFIX "_unencrypted"

struct sops_store; /* sops/store.h */

/* How a document is laid out (--indent; `stores` in .sops.yaml). */
struct sops_format {
	unsigned int indent; /* columns */
	bool indent_given;   /* else the store's own */
};

/* The store that is called so ("json", "yaml", "dotenv", "ini", "binary"), or NULL. */
const struct sops_store *sops_store_named(const char *name);

/* The store of a file by its suffix, or NULL; and the same with the binary store for every other.
 */
const struct sops_store *sops_store_for_suffix(const char *path);
const struct sops_store *sops_store_for_path(const char *path);

const char *sops_store_name(const struct sops_store *store);

/* A document of this store is one value that is always encrypted, so that rules make no sense. */
bool sops_store_is_single_value(const struct sops_store *store);

/* What `sops edit` puts into a new file. */
struct span sops_store_example(const struct sops_store *store);

/* In the order in which sops lists the keys of a group. */
enum sops_key_type {
	SOPS_KEY_KMS,
	SOPS_KEY_GCP_KMS,
	SOPS_KEY_HCKMS,
	SOPS_KEY_AZURE_KV,
	SOPS_KEY_HC_VAULT,
	SOPS_KEY_PGP,
	SOPS_KEY_AGE,
};

#define SOPS_KEY_TYPES 7

/* The name of the type in documents and in --decryption-order: kms, …, pgp, age. */
const char *sops_key_type_name(enum sops_key_type type);

/* Whether keys of the type can be used here, or only kept. */
bool sops_key_type_is_supported(enum sops_key_type type);

#define SOPS_KEY_FIELDS_MAX 6

/* A member of a KMS key's encryption context. */
struct sops_context {
	char *name, *value; /* owned; value NULL: null */
};

struct sops_key {
	enum sops_key_type type;
	char *text; /* owned; as sops shows it: age recipient, PGP fingerprint, ARN, … */
	char *fields[SOPS_KEY_FIELDS_MAX]; /* owned, or NULL; in the order of the table in key.c */
	struct sops_context *context;      /* owned */
	size_t context_count;
};

/* Starts as {0}. Keys that all hold the same part of the data key. */
struct sops_key_group {
	struct sops_key *keys; /* owned */
	size_t count;
};

/*
 * Adds a key, which is not looked at. `text` is an age recipient, a PGP fingerprint (spaces in it
 * are dropped), an ARN or what else sops shows of the key.
 */
int sops_key_group_add(struct sops_key_group *group, enum sops_key_type type, struct span text,
		       struct error *err);
void sops_key_group_destroy(struct sops_key_group *group);

#define _cleanup_sops_key_group_ __attribute__((cleanup(sops_key_group_destroy)))

/* Whether both are the same key, whatever they hold. */
bool sops_key_equal(const struct sops_key *a, const struct sops_key *b);

/* An order in which equal keys stand together: less than, equal to or greater than 0. */
int sops_key_compare(const struct sops_key *a, const struct sops_key *b);

/* Which values are encrypted. A document has one rule. */
enum sops_rule {
	SOPS_EVERYTHING,                /* no rule */
	SOPS_UNENCRYPTED_SUFFIX,        /* all but those under a key that ends so */
	SOPS_ENCRYPTED_SUFFIX,          /* only those under a key that ends so */
	SOPS_UNENCRYPTED_REGEX,         /* all but those under a key that matches */
	SOPS_ENCRYPTED_REGEX,           /* only those under a key that matches */
	SOPS_UNENCRYPTED_COMMENT_REGEX, /* all but those below a comment that matches */
	SOPS_ENCRYPTED_COMMENT_REGEX,   /* only those below a comment that matches */
};

/* The rule's name in documents and in .sops.yaml: unencrypted_suffix, …; "" for no rule. */
const char *sops_rule_name(enum sops_rule rule);

/* Starts as {0}. For whom a document is, and what of it is encrypted. */
struct sops_policy {
	struct sops_key_group *groups; /* owned; with several, each gets a share of the data key */
	size_t group_count;
	unsigned int shamir_threshold; /* how many groups open it; 0: all */
	enum sops_rule rule;
	char *rule_text; /* owned; the suffix or expression */
	bool mac_only_encrypted;
};

#define _cleanup_sops_policy_ __attribute__((cleanup(sops_policy_destroy)))

/* Adds an empty group; valid until the next is added. NULL without memory. */
struct sops_key_group *sops_policy_group_add(struct sops_policy *policy, struct error *err);
int sops_policy_rule_set(struct sops_policy *policy, enum sops_rule rule, struct span text,
			 struct error *err);
int sops_policy_copy(struct sops_policy *to, const struct sops_policy *from, struct error *err);
void sops_policy_destroy(struct sops_policy *policy);

/* Everything is borrowed. */
struct sops_keyring {
	const struct age_identities *identities; /* NULL: none */
	const struct pgp_keys *pgp_keys;         /* tried before gpg; NULL: none */
	const char *gpg; /* the program; NULL: it is not tried. Looked up in PATH. */
	/* Which types are tried first, and how many are named; those not named come last. NULL:
	 * age, then PGP. */
	const enum sops_key_type *order;
	size_t order_count;
	/* For recipients that need a person to encrypt to (age plugins); may be NULL. */
	const struct age_prompt *prompt;
	/* Age recipients that are parsed already: those of a policy's keys need not be again. May
	 * be NULL. */
	const struct age_recipients *recipients;
};

/* The program gpg as sops finds it: what SOPS_GPG_EXEC says, or "gpg". Not to be freed. */
const char *sops_gpg(void);

/* Whether gpg has the public key, so that it may encrypt for it. VMCRED_MISSING: it has not. */
int sops_gpg_key_check(const char *gpg, const char *fingerprint, struct error *err);

/* Whether gpg has the private half of the key, so that it may decrypt. */
bool sops_gpg_has_secret(const char *gpg, const char *fingerprint);

struct sops_document;

#define _cleanup_sops_document_ __attribute__((cleanup(sops_document_destroy)))

/*
 * Reads an encrypted document. `text` is taken over, also on failure. `what` names it in errors.
 * VMCRED_FAILED: it is not of the store's format, or not a SOPS document. The caller destroys it.
 */
int sops_document_read(const struct sops_store *store, struct secret *text, const char *what,
		       struct sops_document **document, struct error *err);

/*
 * Reads plaintext, which is open from the start. VMCRED_FAILED: it is not of the store's format.
 * Whether it may be encrypted to a store is sops_document_has_metadata()'s to say.
 */
int sops_document_read_plain(const struct sops_store *store, struct secret *text, const char *what,
			     struct sops_document **document, struct error *err);

/* Returns 1 if a text is an encrypted document, 0 if it is something else of that format. */
int sops_document_is_encrypted(const struct sops_store *store, struct secret *text,
			       const char *what, struct error *err);

/* Whether a document that was read as plaintext has something where `store` keeps metadata, most
 * likely because it is encrypted already. Such a document cannot be encrypted. */
bool sops_document_has_metadata(const struct sops_document *document,
				const struct sops_store *store);

/* Documents inside: more than one for YAML alone, none for an empty YAML file. */
size_t sops_document_count(const struct sops_document *document);

/* Accepts a pointer to NULL; sets it to NULL. */
void sops_document_destroy(struct sops_document **document);

/* What the metadata says; empty for plaintext. Lives until the document is changed. */
const struct sops_policy *sops_document_policy(const struct sops_document *document);

/* The version of sops that wrote it, as the metadata says. */
const char *sops_document_version(const struct sops_document *document);

enum sops_flags {
	SOPS_IGNORE_MAC = 1 << 0, /* open it although its MAC is wrong or missing */
};

/* What the last failure of a function below was about, for exit codes as sops has them. */
enum sops_failure {
	SOPS_FAILED_OTHERWISE,
	SOPS_FAILED_KEY,      /* no key gave the data key, or it could not be wrapped for one */
	SOPS_FAILED_VALUE,    /* a value */
	SOPS_FAILED_MAC,      /* the document's MAC */
	SOPS_FAILED_METADATA, /* there is none */
};
enum sops_failure sops_document_failure(const struct sops_document *document);

/*
 * Decrypts all values and verifies the MAC, once. VMCRED_MISSING: no key opens it (the error lists
 * the document's keys and what was tried). VMCRED_INTEGRITY: a tag or the MAC does not match. After
 * a failure nothing can be read from it.
 */
int sops_document_decrypt(struct sops_document *document, const struct sops_keyring *keyring,
			  unsigned int flags, struct error *err);

/*
 * Seals an open document under a new data key for the keys of the policy, which is copied.
 * VMCRED_USAGE: there is no key, or a type that cannot be used.
 */
int sops_document_encrypt(struct sops_document *document, const struct sops_policy *policy,
			  const struct sops_keyring *keyring, struct error *err);

/* Seals a document that was decrypted under the data key that it had. What did not change gets the
 * same ciphertext again. */
int sops_document_reencrypt(struct sops_document *document, struct error *err);

/* Seals a document that was decrypted under a new data key. `add` are added to its first group and
 * `remove` taken out of all; either may be NULL. */
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
			const char *text; /* lives in the document or the policy */
		} * keys;                 /* owned; in the order in which sops shows them */
		size_t count;
	} * groups; /* owned */
	size_t group_count;
	unsigned int threshold_before, threshold_after;
	bool changed;
};

/* `threshold`: the one to have, 0 for that of the document; it is never more than the groups. */
int sops_document_keys_compare(const struct sops_document *document,
			       const struct sops_policy *policy, unsigned int threshold,
			       struct sops_difference *difference, struct error *err);
void sops_difference_destroy(struct sops_difference *difference);

/*
 * Wraps the data key anew for the groups of the policy. Values, rules and MAC stay as they are. The
 * document stays sealed. A key that cannot be used here keeps what it has, where it was in the
 * document.
 */
int sops_document_keys_update(struct sops_document *document, const struct sops_policy *policy,
			      unsigned int threshold, const struct sops_keyring *keyring,
			      struct error *err);

/* Adds the document in a store's format: encrypted while it is sealed, as plaintext while it is
 * open. `format` may be NULL. */
int sops_document_write(const struct sops_document *document, const struct sops_store *store,
			const struct sops_format *format, struct secret *out, struct error *err);

/* Adds an open document with its metadata, for `edit --show-master-keys`. */
int sops_document_write_with_keys(const struct sops_document *document,
				  const struct sops_store *store, const struct sops_format *format,
				  struct secret *out, struct error *err);

/* Gives an open document new content, of which `text` is the plaintext; with `with_keys` also new
 * metadata. On failure the document is as it was, and so is `text`. */
int sops_document_replace(struct sops_document *document, const struct sops_store *store,
			  const struct secret *text, bool with_keys, struct error *err);

/*
 * Paths are spelled as for sops: ["key"]['other'][0], positions counting comments too. They lead
 * into the first document.
 *
 * Adds what stands there as `sops decrypt --extract` prints it. VMCRED_MISSING: there is nothing.
 */
int sops_document_extract(const struct sops_document *document, const char *path,
			  const struct sops_store *store, const struct sops_format *format,
			  struct secret *out, struct error *err);

/* Sets what stands there to a value, given as JSON (its text is taken over), making what is missing
 * on the way. `*changed`: it was not so before. VMCRED_USAGE: no path, no JSON. */
int sops_document_set(struct sops_document *document, const char *path, struct secret *json,
		      bool *changed, struct error *err);

/* Takes it out. VMCRED_MISSING: there is nothing. */
int sops_document_unset(struct sops_document *document, const char *path, struct error *err);

/*
 * Gives every string, number, … of an open document with its path's last key, for what puts them
 * into an environment: only for documents whose values all stand at the top (VMCRED_FAILED).
 */
int sops_document_each(const struct sops_document *document,
		       int (*each)(void *context, struct span key, struct span value,
				   struct error *err),
		       void *context, struct error *err);

/*
 * The string under a key at the top of an open document. VMCRED_MISSING: there is no such key.
 * VMCRED_FAILED: it holds something else than a string.
 */
int sops_document_value(const struct sops_document *document, const char *key, struct span *value,
			struct error *err);

/*
 * The string that keys with '/' between them lead to through maps, as sops-nix spells a secret's
 * place; while the document is sealed, its ciphertext. VMCRED_MISSING: there is no such key.
 * VMCRED_FAILED: it holds something else than a string, or leads through something else than a map.
 */
int sops_document_string(const struct sops_document *document, const char *keys, struct span *value,
			 struct error *err);

/*
 * Adds to `document` what `sops encrypt --input-type binary --output-type json` makes of the bytes,
 * which may be any, also none: a new data key, wrapped for each of the keys.
 */
int sops_binary_encrypt(struct span plaintext, const struct sops_key_group *keys,
			const struct sops_keyring *keyring, struct secret *document,
			struct error *err);

/*
 * The reverse: reads, decrypts and verifies a document and adds its bytes to `plaintext`. `what`
 * names it in errors, which are those of the three steps.
 */
int sops_binary_decrypt(struct span document, const char *what, const struct sops_keyring *keyring,
			struct secret *plaintext, struct error *err);

#endif

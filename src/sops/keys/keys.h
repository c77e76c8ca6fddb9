/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of SOPS documents: age recipients, PGP keys, cloud services. A policy lists the keys
 * that a document is encrypted to, in groups, and which of its values are encrypted. Each key holds
 * the document's data key in encrypted ("wrapped") form; with several groups, each group's keys
 * hold a share of it (Shamir).
 *
 * Only age and PGP keys can be used. Keys of other types are preserved. PGP is done by the program
 * gpg, which receives and returns data through pipes; PGP keys made of SSH keys need no gpg.
 *
 * Keys from a document are untrusted. All structures start as {0} and own their members.
 */
#ifndef VMCRED_SOPS_KEYS_KEYS_H
#define VMCRED_SOPS_KEYS_KEYS_H

#include "age/age.h"
#include "base/error.h"
#include "base/span.h"
#include "openpgp/openpgp.h"

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

/* Whether keys of the type can be used, or only preserved. */
bool sops_key_type_is_supported(enum sops_key_type type);

#define SOPS_KEY_FIELDS_MAX 6

/* An entry of a KMS key's encryption context. */
struct sops_context {
	char *name, *value; /* owned; value NULL: null */
};

struct sops_key {
	enum sops_key_type type;
	char *text; /* owned; as sops prints it: age recipient, PGP fingerprint, ARN, … */
	char *fields[SOPS_KEY_FIELDS_MAX]; /* owned, or NULL; in the order of the table in key.c */
	struct sops_context *context;      /* owned */
	size_t context_count;
};

/* All keys of a group hold the same part of the data key. */
struct sops_key_group {
	struct sops_key *keys; /* owned */
	size_t count;
};

/* Adds a key without validating it. `text` is the key as sops prints it; spaces in a PGP
 * fingerprint are dropped. */
int sops_key_group_add(struct sops_key_group *group, enum sops_key_type type, struct span text,
		       struct error *err);
void sops_key_group_destroy(struct sops_key_group *group);

#define _cleanup_sops_key_group_ __attribute__((cleanup(sops_key_group_destroy)))

/* Orders keys by text and type, whatever they hold. 0: the same key. */
int sops_key_compare(const struct sops_key *a, const struct sops_key *b);

/* Which values are encrypted. A document has one rule. */
enum sops_rule {
	SOPS_EVERYTHING,                /* no rule */
	SOPS_UNENCRYPTED_SUFFIX,        /* all but those under a key that ends so */
	SOPS_ENCRYPTED_SUFFIX,          /* only those under a key that ends so */
	SOPS_UNENCRYPTED_REGEX,         /* all but those under a key that matches */
	SOPS_ENCRYPTED_REGEX,           /* only those under a key that matches */
	SOPS_UNENCRYPTED_COMMENT_REGEX, /* all but those after a comment that matches */
	SOPS_ENCRYPTED_COMMENT_REGEX,   /* only those after a comment that matches */
};

/* The default of SOPS_UNENCRYPTED_SUFFIX. */
#define SOPS_DEFAULT_SUFFIX "_unencrypted"

/* The rule's name in documents and in .sops.yaml: unencrypted_suffix, …; "" for no rule. */
const char *sops_rule_name(enum sops_rule rule);

struct sops_policy {
	struct sops_key_group *groups; /* owned; with several, each gets a share of the data key */
	size_t group_count;
	unsigned int shamir_threshold; /* how many groups decrypt it; 0: all */
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

/* What decrypts and encrypts. Everything is borrowed. */
struct sops_keyring {
	const struct age_identities *identities; /* NULL: none */
	const struct pgp_keys *pgp_keys;         /* tried before gpg; NULL: none */
	const char *gpg;                         /* the program; NULL: do not use gpg */
	/* The types to try first; the others come last. NULL: age, then PGP. */
	const enum sops_key_type *order;
	size_t order_count;
	const struct age_prompt *prompt; /* for age plugins that ask when encrypting; may be NULL */
	/* Recipients that are parsed already, so that a policy's keys need not be; may be NULL. */
	const struct age_recipients *recipients;
};

/* The program gpg as sops finds it: $SOPS_GPG_EXEC, or "gpg". Not to be freed. */
const char *sops_gpg(void);

/* Whether gpg has the public key, so that it can encrypt to it. VMCRED_MISSING: it has not. */
int sops_gpg_key_check(const char *gpg, const char *fingerprint, struct error *err);

/* Whether gpg has the secret key, so that it can decrypt. */
bool sops_gpg_has_secret(const char *gpg, const char *fingerprint);

#endif

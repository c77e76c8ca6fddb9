/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over a document's nodes that decryption and encryption share: it tracks the path,
 * applies the rule and computes the MAC. */
#ifndef VMCRED_SOPS_WALK_H
#define VMCRED_SOPS_WALK_H

#include "regex/regex.h"
#include "sops/cipher.h"
#include "sops/keys/keys.h"
#include "sops/tree/number.h"
#include "sops/tree/tree.h"

/* Applies the document's rule. Nodes inherit the decision for their container, so that it costs the
 * same at every depth. Starts as {0}. */
struct sops_rule_state {
	enum sops_rule rule;
	struct span suffix;
	struct regex *regex; /* owned; NULL: an invalid expression, which never matches */
	/* For comment rules: whether a comment before the next item of this container matches. */
	size_t container;
	bool comment_matched;
};

/* Whether comments select the values. */
bool sops_rule_is_by_comment(enum sops_rule rule);

/* Prepares the rule of a policy, which must outlive it. In sops an invalid expression never
 * matches; with `strict` it is an error. */
int sops_rule_prepare(struct sops_rule_state *rule, const struct sops_policy *policy, bool strict,
		      struct error *err);
void sops_rule_destroy(struct sops_rule_state *rule);

/* Sets `encrypted` of a node. Must be called for each node in order. */
int sops_rule_decide(struct sops_rule_state *rule, struct sops_tree *tree, size_t index,
		     struct error *err);

/* Whether unencrypted_comment_regex matches the ciphertext of a comment, which would change what
 * the rule selects. */
int sops_rule_is_ambiguous(const struct sops_rule_state *rule, struct span comment,
			   struct error *err);

/* Starts as {0}. */
struct sops_walk {
	struct sops_tree *tree;
	const char *what; /* the document, for errors */
	struct sops_cipher cipher;
	struct sops_mac mac;
	struct sops_rule_state rule;
	bool mac_only_encrypted;
	/* The path of the container `prefix_of`, followed by the key. */
	char *path; /* owned */
	size_t path_capacity, prefix_size, prefix_of;
	char number[SOPS_NUMBER_SIZE_MAX];
	size_t comments_kept, comment_kept; /* not decrypted: how many, and the first one */
};

#define _cleanup_sops_walk_ __attribute__((cleanup(sops_walk_destroy)))

/* Prepares a walk; `strict` as for sops_rule_prepare(). */
int sops_walk_begin(struct sops_walk *walk, struct sops_tree *tree, const char *what,
		    const struct sops_policy *policy, struct span data_key,
		    enum sops_direction direction, bool strict, struct error *err);
void sops_walk_destroy(struct sops_walk *walk);

/* The path of a node as additional data; valid until the next call. */
int sops_walk_path(struct sops_walk *walk, size_t index, struct span *path, struct error *err);

/* Encrypts to an ENC[…] text in the tree's memory. `nonce_text` as for sops_cipher_seal(). */
int sops_walk_seal(struct sops_walk *walk, struct span plaintext, const char *type,
		   struct span additional, const uint8_t *nonce_text, struct span *text,
		   struct error *err);

/* The bytes of a value for encryption and MAC; valid until the next call. */
struct span sops_walk_bytes(struct sops_walk *walk, const struct sops_node *node);

/* Adds a plaintext value to the MAC, if the MAC covers it. */
int sops_walk_mac_add(struct sops_walk *walk, const struct sops_node *node, struct error *err);

/* The name of a kind after "type:", and the reverse (-1: unknown). */
const char *sops_kind_name(enum sops_kind kind);
int sops_kind_named(struct span name, enum sops_kind *kind);

/* Set or wrap an error with the document's name and the value's path. */
int sops_walk_invalid(const struct sops_walk *walk, size_t index, enum vmcred_code code,
		      const char *reason, struct error *err);
int sops_walk_wrap(const struct sops_walk *walk, size_t index, struct error *err);

#endif

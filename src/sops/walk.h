/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over a document's nodes that decryption and encryption share: it tracks the path,
 * applies the rule and computes the MAC. */
#ifndef VMCRED_SOPS_WALK_H
#define VMCRED_SOPS_WALK_H

#include "sops/cipher.h"
#include "sops/rule.h"
#include "sops/tree/number.h"
#include "sops/tree/tree.h"

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
};

#define _cleanup_sops_walk_ __attribute__((cleanup(sops_walk_destroy)))

/* Prepares a walk; `strict` as for sops_rule_prepare(). */
int sops_walk_begin(struct sops_walk *walk, struct sops_tree *tree, const char *what,
		    const struct sops_policy *policy, struct span data_key,
		    enum sops_direction direction, bool strict, struct error *err);
void sops_walk_destroy(struct sops_walk *walk);

/* The path of a node as additional data; valid until the next call. */
int sops_walk_path(struct sops_walk *walk, size_t index, struct span *path, struct error *err);

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

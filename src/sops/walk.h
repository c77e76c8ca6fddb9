/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What decryption and encryption share: the walk over a document's nodes in their order, which
 * keeps each value's path, decides what is encrypted, and adds up the MAC.
 */
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
	/* The path of the container `prefix_of` and then that of the value. */
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

/* The bytes of a value that are encrypted and added to the MAC; valid until the next call. */
struct span sops_walk_bytes(struct sops_walk *walk, const struct sops_node *node);

/* Adds a value in the clear to the MAC, if it belongs there. */
int sops_walk_mac_add(struct sops_walk *walk, const struct sops_node *node, struct error *err);

/* The name that sops gives a kind behind "type:", and back (-1: there is none). */
const char *sops_kind_name(enum sops_kind kind);
int sops_kind_named(struct span name, enum sops_kind *kind);

/* Each puts the document and the value's path in front. */
int sops_walk_invalid(const struct sops_walk *walk, size_t index, enum vmcred_code code,
		      const char *reason, struct error *err);
int sops_walk_wrap(const struct sops_walk *walk, size_t index, struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of a document: an array of nodes in the order of the text, so that walking all values in
 * SOPS's order is a loop. A container's subtree is the range from the node behind it to its `end`.
 * Keys and texts point into memory that the document owns.
 */
#ifndef VMCRED_SOPS_TREE_H
#define VMCRED_SOPS_TREE_H

#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"

enum sops_kind {
	SOPS_MAP,
	SOPS_LIST,
	SOPS_STRING,
	SOPS_BYTES, /* a string that sops calls binary */
	SOPS_TIME,
	SOPS_INT,   /* within 64 bits; the text is the canonical one */
	SOPS_FLOAT, /* the text is as it was found */
	SOPS_BOOL,  /* the text is "True" or "False", as sops encrypts it */
	SOPS_NULL,
};

struct sops_node {
	enum sops_kind kind;
	bool encrypted;  /* by the document's rules; set by the walk */
	struct span key; /* data is NULL for what is in a list */
	struct span text;
	size_t parent; /* index */
	size_t end;    /* index behind the subtree; for a value, of the next node */
};

/* Starts as {0}. Node 0 is the root. */
struct sops_tree {
	struct sops_node *nodes; /* owned */
	size_t count, capacity;
};

/* Adds a node at the end; `*index` is its place. */
int sops_tree_add(struct sops_tree *tree, struct sops_node node, size_t *index, struct error *err);
void sops_tree_destroy(struct sops_tree *tree);

/* The child of a map with this key, or 0: the first one, if there are several. */
size_t sops_tree_child(const struct sops_tree *tree, size_t map, struct span key);

/*
 * The path as SOPS authenticates it: each key on the way, followed by ':'. Positions in lists are
 * not part of it. The caller frees `*path`.
 */
int sops_tree_path(const struct sops_tree *tree, size_t node, char **path, size_t *size,
		   struct error *err);

/* The path for an error's text, such as db.users[2]; never fails, NULL without memory. The caller
 * frees it. */
char *sops_tree_describe(const struct sops_tree *tree, size_t node);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A document's values: an array of nodes in document order, so that a loop visits all values in the
 * order of SOPS. A container's subtree is the range from the next node to its `end`.
 *
 * Node 0 is the root, a list of documents, which are maps: any number in YAML, one in the other
 * stores. Neither the root nor a document is part of a value's path.
 *
 * Keys and texts point into secret memory that the tree owns and that never moves: texts that a
 * reader copied, or a whole text that was adopted and is decoded and decrypted in place.
 */
#ifndef VMCRED_SOPS_TREE_TREE_H
#define VMCRED_SOPS_TREE_TREE_H

#include "base/arena.h"
#include "base/error.h"
#include "base/span.h"

/* Levels below a document, as in Go's encoding/json. Bounds the length of a path, and so the work
 * per value. */
#define SOPS_DEPTH_MAX 10000

enum sops_kind {
	SOPS_MAP,
	SOPS_LIST,
	SOPS_STRING,
	SOPS_BYTES, /* a YAML !!binary */
	SOPS_TIME,  /* as Go's time.Time prints it (RFC 3339, with fractions) */
	SOPS_INT,   /* within 64 bits; in canonical form */
	SOPS_FLOAT, /* a number as number.h reads it */
	SOPS_BOOL,  /* "True" or "False", as sops encrypts it */
	SOPS_NULL,
	SOPS_COMMENT, /* without '#'; an item without a key */
};

struct sops_node {
	enum sops_kind kind;
	bool encrypted;      /* according to the rule; set by the walk */
	bool inline_comment; /* a comment after a value, on the same line */
	bool removed;        /* until sops_tree_sweep() */
	struct span key;     /* data is NULL for list items and comments */
	struct span text;
	size_t parent; /* index */
	size_t end;    /* index after the subtree */
	/* The nonce text of a decrypted value, for encrypting it to the same text again; else NULL.
	 */
	const uint8_t *nonce;
};

/* Starts as {0}. */
struct sops_tree {
	struct sops_node *nodes; /* owned */
	size_t count, capacity;
	struct arena texts;
};

/* Adds a node at the end. The caller sets its parent and updates the ends of its containers. */
int sops_tree_add(struct sops_tree *tree, struct sops_node node, size_t *index, struct error *err);

/* Adds the root and one document: nodes 0 and 1. */
int sops_tree_begin(struct sops_tree *tree, struct error *err);
#define SOPS_FIRST_DOCUMENT 1

void sops_tree_destroy(struct sops_tree *tree);

#define _cleanup_sops_tree_ __attribute__((cleanup(sops_tree_destroy)))

/* The tree's memory for texts (base/arena.h). */
static inline int sops_tree_text(struct sops_tree *tree, struct span bytes, struct span *kept,
				 struct error *err)
{
	return arena_copy(&tree->texts, bytes, kept, err);
}

static inline int sops_tree_text_reserve(struct sops_tree *tree, size_t size, uint8_t **room,
					 struct error *err)
{
	return arena_reserve(&tree->texts, size, room, err);
}

static inline int sops_tree_adopt(struct sops_tree *tree, struct secret *text, struct error *err)
{
	return arena_adopt(&tree->texts, text, err);
}

/*
 * Inserts a copy of the subtree `node` of another tree into `parent` before `index`, with `key`
 * (data NULL: a list item). Takes over the memory of the other tree's texts, but not its nodes.
 */
int sops_tree_graft(struct sops_tree *tree, size_t parent, size_t index, struct span key,
		    struct sops_tree *from, size_t node, struct error *err);

/* Deletes the nodes that are marked as removed, with their subtrees. Texts stay in memory. */
int sops_tree_sweep(struct sops_tree *tree, struct error *err);

/* Copies a subtree, without its key, into the empty tree `to`. Texts stay in the memory of `tree`.
 */
int sops_tree_copy(const struct sops_tree *tree, size_t node, struct sops_tree *to,
		   struct error *err);

/* The first child of a map with this key, or 0. */
size_t sops_tree_child(const struct sops_tree *tree, size_t map, struct span key);

/* The last one: Go, and so sops for its metadata, uses the last of duplicate keys in JSON. */
size_t sops_tree_last_child(const struct sops_tree *tree, size_t map, struct span key);

/* The path for error texts, such as db.users[2]. NULL without memory. The caller frees it. */
char *sops_tree_describe(const struct sops_tree *tree, size_t node);

#endif

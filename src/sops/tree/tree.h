/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of a document, whatever store it came from: an array of nodes in the order of the text,
 * so that walking all values in SOPS's order is a loop. A container's subtree is the range from the
 * node behind it to its `end`.
 *
 * Node 0 is the root, a list of documents, each of them a map: YAML may have any number, the other
 * stores have one. Neither the root nor a document adds anything to a value's path.
 *
 * Keys and texts point into secret memory that the tree owns and that never moves: into what a
 * reader copied there piece by piece, or into a whole text that was handed over and is decoded and
 * decrypted where it lies.
 */
#ifndef VMCRED_SOPS_TREE_TREE_H
#define VMCRED_SOPS_TREE_TREE_H

#include "base/arena.h"
#include "base/error.h"
#include "base/span.h"

/* Levels below a document. Go's encoding/json gives up there too. Bounds the length of a path, and
 * with it the work per value. */
#define SOPS_DEPTH_MAX 10000

enum sops_kind {
	SOPS_MAP,
	SOPS_LIST,
	SOPS_STRING,
	SOPS_BYTES, /* a string that sops calls binary */
	SOPS_TIME,  /* the text is as Go's time.Time prints it (RFC 3339, with fractions) */
	SOPS_INT,   /* within 64 bits; the text is the canonical one */
	SOPS_FLOAT, /* the text is a number as sops/number.h reads it */
	SOPS_BOOL,  /* the text is "True" or "False", as sops encrypts it */
	SOPS_NULL,
	SOPS_COMMENT, /* the text as sops keeps it, without '#'; stands in a map or a list, no key
		       */
};

struct sops_node {
	enum sops_kind kind;
	bool encrypted;      /* by the document's rules; set by the walk */
	bool inline_comment; /* a comment behind a value, on its line */
	bool removed;        /* until sops_tree_sweep() */
	struct span key;     /* data is NULL for what is in a list and for a comment */
	struct span text;
	size_t parent; /* index */
	size_t end;    /* index behind the subtree; for a value, of the next node */
	/* The 44 characters of the nonce that a decrypted value had, so that what did not change is
	 * encrypted to the same text again; else NULL. */
	const uint8_t *nonce;
};

/* Starts as {0}. */
struct sops_tree {
	struct sops_node *nodes; /* owned */
	size_t count, capacity;
	struct arena texts;
};

/* Adds a node at the end; `*index` is its place. The caller sets its parent, and the ends of the
 * containers it is in. */
int sops_tree_add(struct sops_tree *tree, struct sops_node node, size_t *index, struct error *err);

/* Adds root and one document, which is where most stores begin: nodes 0 and 1. */
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
 * Puts a copy of the subtree `node` of another tree into `parent`, before the node that is at
 * `index` there, under `key` (data NULL for an item of a list). Takes the memory of the other
 * tree's texts over; its nodes stay.
 */
int sops_tree_graft(struct sops_tree *tree, size_t parent, size_t index, struct span key,
		    struct sops_tree *from, size_t node, struct error *err);

/* Takes out every node that is marked as removed, with its subtree; texts stay in memory. */
int sops_tree_sweep(struct sops_tree *tree, struct error *err);

/* Copies a node with its subtree, without its key, into the empty tree `to` as node 0; texts stay
 * where they are, in the memory of `tree`. */
int sops_tree_copy(const struct sops_tree *tree, size_t node, struct sops_tree *to,
		   struct error *err);

/* The child of a map with this key, or 0: the first one, if there are several. */
size_t sops_tree_child(const struct sops_tree *tree, size_t map, struct span key);

/* The path for an error's text, such as db.users[2]; never fails, NULL without memory. The caller
 * frees it. */
char *sops_tree_describe(const struct sops_tree *tree, size_t node);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a format of documents must do: text to tree and back, byte for byte as sops 3.13 does it. A
 * store knows nothing of keys and encryption. Its text may be plaintext, so it works in secret
 * memory alone, with code of its own: parsing libraries keep copies on the ordinary heap.
 *
 * Every text is untrusted. A reader takes linear time, has named limits (SOPS_DEPTH_MAX and its
 * own) and refuses what it does not understand with an error that tells the line.
 */
#ifndef VMCRED_SOPS_STORES_STORES_H
#define VMCRED_SOPS_STORES_STORES_H

#include "base/error.h"
#include "base/secret.h"
#include "sops/sops.h"
#include "sops/tree.h"

/* The key of the metadata, and, followed by '_', the beginning of its keys in flat stores. */
#define SOPS_METADATA_KEY "sops"

struct sops_store {
	const char *name;            /* as --input-type spells it */
	const char *const *suffixes; /* of file names, NULL at the end */
	bool single_value;           /* a document is one value, so there are no rules */

	/*
	 * Reads a document into the empty tree: `read` an encrypted one, `read_plain` plaintext,
	 * which is the same function where the store can tell nothing from it. All keys, those of
	 * the metadata too, just as they stand. `text` may be changed and adopted. `what` names it.
	 */
	int (*read)(struct secret *text, const char *what, struct sops_tree *tree,
		    struct error *err);
	int (*read_plain)(struct secret *text, const char *what, struct sops_tree *tree,
			  struct error *err);

	/* Whether there is something at the top that stands where the metadata belongs. */
	bool (*has_metadata)(const struct sops_tree *tree);

	/*
	 * Takes the metadata out of `tree` into the empty `metadata`, whose node 0 becomes a map in
	 * the shape that the JSON store has (age: [{recipient, enc}], …). Texts may lie in either's
	 * memory. Flat stores unflatten here, and may leave numbers and booleans strings. Returns
	 * 1, or 0 if there is none.
	 */
	int (*metadata_take)(struct sops_tree *tree, const char *what, struct sops_tree *metadata,
			     struct error *err);

	/*
	 * Adds the document to `out`: with the metadata, a tree as above with all fields in sops's
	 * order, or as plaintext where that is NULL. VMCRED_FAILED: the store cannot hold it.
	 */
	int (*write)(const struct sops_tree *tree, const struct sops_tree *metadata,
		     const struct sops_format *format, struct secret *out, struct error *err);

	/* Adds one value (no string: that is given out as it is) as `sops decrypt --extract` prints
	 * it. */
	int (*write_value)(const struct sops_tree *tree, size_t node,
			   const struct sops_format *format, struct secret *out, struct error *err);

	const char *example; /* what `sops edit` puts into a new file */
};

extern const struct sops_store sops_store_binary, sops_store_dotenv, sops_store_ini,
	sops_store_json, sops_store_yaml;

/* Takes the map under "sops" at the top of each document: for stores with nested maps. */
int sops_metadata_take_nested(struct sops_tree *tree, const char *what, struct sops_tree *metadata,
			      struct error *err);
bool sops_metadata_is_nested(const struct sops_tree *tree);

/* About the size of a document as text, so that it is written to memory that need not grow. */
size_t sops_tree_size_estimate(const struct sops_tree *tree, const struct sops_tree *metadata,
			       size_t indent);

#endif

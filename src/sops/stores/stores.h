/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text formats of documents: JSON, YAML, dotenv, INI and binary. A store converts text to a
 * tree and back, byte for byte like sops 3.13. It knows nothing of keys and encryption. A text may
 * be plaintext, so a store works in secret memory only, with its own code: parsing libraries leave
 * copies on the heap.
 *
 * Texts are untrusted. A reader takes linear time, has named limits (SOPS_DEPTH_MAX and its own)
 * and reports syntax errors with the line.
 */
#ifndef VMCRED_SOPS_STORES_STORES_H
#define VMCRED_SOPS_STORES_STORES_H

#include "base/error.h"
#include "base/secret.h"
#include "sops/tree/tree.h"

/* The key of the metadata. Its keys in flat stores begin with it and '_'. */
#define SOPS_METADATA_KEY "sops"

/* The binary store's only key for sops, and ours for the name of a secret (sops_binary_encrypt()).
 */
#define SOPS_BINARY_KEY "data"
#define SOPS_NAME_KEY   "vmcred_name"

/* The layout of a text (--indent; `stores` in .sops.yaml). */
struct sops_format {
	unsigned int indent; /* columns */
	bool indent_given;   /* else the store's own */
};

struct sops_store {
	const char *name;            /* as --input-type spells it */
	const char *const *suffixes; /* of file names, NULL at the end */
	bool single_value;           /* the value is always encrypted: no rules */

	/* Read encrypted text, or plaintext, into the empty tree, the metadata like any other keys.
	 * `text` may be modified and adopted. `what` names it in errors. */
	int (*read)(struct secret *text, const char *what, struct sops_tree *tree,
		    struct error *err);
	int (*read_plain)(struct secret *text, const char *what, struct sops_tree *tree,
			  struct error *err);

	/* Whether there is a value where the metadata belongs. */
	bool (*has_metadata)(const struct sops_tree *tree);

	/*
	 * Moves the metadata from `tree` to the empty `metadata`, whose node 0 becomes a map as in
	 * JSON (age: [{recipient, enc}], …). Texts may lie in the memory of either. Flat stores
	 * unflatten here, and may leave numbers and booleans as strings. Returns 1, or 0 if there
	 * is no metadata.
	 */
	int (*metadata_take)(struct sops_tree *tree, const char *what, struct sops_tree *metadata,
			     struct error *err);

	/* Appends the document, with the metadata unless it is NULL. VMCRED_FAILED: the format
	 * cannot represent it. */
	int (*write)(const struct sops_tree *tree, const struct sops_tree *metadata,
		     const struct sops_format *format, struct secret *out, struct error *err);

	/* Appends a value other than a string as `sops decrypt --extract` prints it. NULL: there
	 * are no such values. */
	int (*write_value)(const struct sops_tree *tree, size_t node,
			   const struct sops_format *format, struct secret *out, struct error *err);

	const char *example; /* the content of a new file in `sops edit` */
};

extern const struct sops_store sops_store_binary, sops_store_dotenv, sops_store_ini,
	sops_store_json, sops_store_yaml;

/* The store with this name, or NULL. */
const struct sops_store *sops_store_named(const char *name);

/* The store for a file name's suffix; the binary store for unknown ones. */
const struct sops_store *sops_store_for_path(const char *path);

/* metadata_take and has_metadata of stores with nested maps: the map "sops" at the top of each
 * document. */
int sops_metadata_take_nested(struct sops_tree *tree, const char *what, struct sops_tree *metadata,
			      struct error *err);
bool sops_metadata_is_nested(const struct sops_tree *tree);

/* Estimates the size of a document as text, so that the memory for it need not grow. */
size_t sops_tree_size_estimate(const struct sops_tree *tree, const struct sops_tree *metadata,
			       size_t indent);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The map at the key "sops": the wrapped data keys, the rule and the MAC. Stores read and write it
 * as a tree in the form of the JSON store. */
#ifndef VMCRED_SOPS_METADATA_H
#define VMCRED_SOPS_METADATA_H

#include "sops/sops.h"
#include "sops/tree/timestamp.h"
#include "sops/tree/tree.h"

/* Starts as {0}. */
struct sops_metadata {
	struct sops_policy policy;
	struct span mac; /* as ENC[…]; in the memory of the document's tree */
	char last_modified[SOPS_TIMESTAMP_SIZE_MAX]; /* as the MAC authenticates it */
	char *version;                               /* owned */
};

/* Reads a tree whose node 0 is the map. `what` names the document. */
int sops_metadata_read(const struct sops_tree *tree, const char *what,
		       struct sops_metadata *metadata, struct error *err);

/* Fills an empty tree with the map, its fields in the order of sops. Texts point into the metadata
 * or the tree's own memory. */
int sops_metadata_tree(const struct sops_metadata *metadata, struct sops_tree *tree,
		       struct error *err);

int sops_metadata_version_set(struct sops_metadata *metadata, const char *version,
			      struct error *err);
void sops_metadata_destroy(struct sops_metadata *metadata);

/* Whether a version such as 3.13.2 is newer than another, which may be any text. */
bool sops_version_is_newer(const char *a, const char *b);

#endif

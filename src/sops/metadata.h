/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The map under the key "sops": for whom the data key is wrapped, which values are encrypted, and
 * the MAC. Spans point into the document's text.
 */
#ifndef VMCRED_SOPS_METADATA_H
#define VMCRED_SOPS_METADATA_H

#include "sops/store.h"
#include "sops/timestamp.h"
#include "sops/tree.h"

struct sops_age_key {
	struct span recipient;
	struct span enc; /* the data key as an armored age file */
};

/* Starts as {0}. */
struct sops_metadata {
	struct sops_age_key *age; /* owned */
	size_t age_count;
	unsigned int unsupported; /* a bit for each type of key that is there and cannot be used */
	enum sops_rule rule;
	struct span suffix;
	bool mac_only_encrypted;
	struct span mac;
	char last_modified[SOPS_TIMESTAMP_SIZE_MAX]; /* as the MAC authenticates it */
};

/* Reads the map; `what` names the document. */
int sops_metadata_parse(const struct sops_tree *tree, size_t map, const char *what,
			struct sops_metadata *metadata, struct error *err);
void sops_metadata_destroy(struct sops_metadata *metadata);

/* Whether a value under `key` is encrypted, where those of the container are as `container` tells.
 */
bool sops_metadata_encrypts(const struct sops_metadata *metadata, bool container, struct span key);

/* The same for the values at the top, before their keys are looked at. */
bool sops_metadata_encrypts_root(const struct sops_metadata *metadata);

/* The names of the types of keys that cannot be used, such as "pgp, kms"; empty if there are none.
 */
void sops_metadata_unsupported(const struct sops_metadata *metadata, char *names, size_t size);

/* Fills an empty tree with the map for a document of the binary store, which has no rule; its texts
 * stay where they are. */
int sops_metadata_tree(const struct sops_metadata *metadata, struct sops_tree *tree,
		       struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata in stores without containers: a value's name is its whole path, such as
 * `age__list_0__map_recipient`. */
#ifndef VMCRED_SOPS_STORES_FLATTEN_H
#define VMCRED_SOPS_STORES_FLATTEN_H

#include "base/error.h"
#include "sops/tree/tree.h"

/* Adds each value of the metadata to the map at the end of `flat`, named by `prefix` and its path.
 * Comments and empty containers are lost, as in sops. */
int sops_flatten(const struct sops_tree *metadata, const char *prefix, struct sops_tree *flat,
		 size_t map, struct error *err);

/* A value of a flat store. Its name is a path. */
struct sops_flat_value {
	struct span path;
	struct span text;
};

/*
 * The reverse: fills the empty tree `metadata`, with maps in the order of their keys. All values
 * are strings. Sorts `values`. `what` names the document. VMCRED_FAILED: duplicate or contradictory
 * paths, or a gap in a list.
 */
int sops_unflatten(struct sops_flat_value *values, size_t count, const char *what,
		   struct sops_tree *metadata, struct error *err);

#endif

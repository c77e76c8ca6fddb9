/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metadata in stores that have no containers: each value has one name that spells its whole path,
 * `age__list_0__map_recipient`.
 */
#ifndef VMCRED_SOPS_STORES_FLATTEN_H
#define VMCRED_SOPS_STORES_FLATTEN_H

#include "base/error.h"
#include "sops/tree/tree.h"

/*
 * Adds each value of the metadata, whose node 0 is a map, to the map `map` at the end of `flat`:
 * named by `prefix` and its path. Comments and empty containers are lost, as in sops.
 */
int sops_flatten(const struct sops_tree *metadata, const char *prefix, struct sops_tree *flat,
		 size_t map, struct error *err);

/* A value of a flat store, and the name that spells its path. */
struct sops_flat_value {
	struct span path;
	struct span text;
};

/*
 * The reverse: makes node 0 of `metadata`, which is empty, a map; maps are in the order of their
 * keys' bytes. Everything stays a string. Sorts `values`. VMCRED_FAILED: a path is there twice, is
 * the path of a value and of a container, or a list has a gap; `what` names the document.
 */
int sops_unflatten(struct sops_flat_value *values, size_t count, const char *what,
		   struct sops_tree *metadata, struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stores that have only text: how they spell other values, white space, and metadata without
 * containers, in which a value's name is its whole path, such as `age__list_0__map_recipient`.
 */
#ifndef VMCRED_SOPS_STORES_FLAT_H
#define VMCRED_SOPS_STORES_FLAT_H

#include "base/error.h"
#include "base/span.h"
#include "sops/tree/number.h"
#include "sops/tree/tree.h"

/*
 * Spells a value like Go's fmt, and floats like strconv.FormatFloat(…, 'G', -1, 64) with a decimal
 * point. `*text` points into the node or into `buffer`, which the caller wipes. VMCRED_FAILED: a
 * map, a list or bytes.
 */
int sops_flat_text(const struct sops_node *node, char buffer[SOPS_NUMBER_SIZE_MAX],
		   struct span *text, struct error *err);

/* Removes Unicode white space at the start, the end or both. */
struct span sops_space_trim_left(struct span text);
struct span sops_space_trim_right(struct span text);
struct span sops_space_trim(struct span text);

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

/* SPDX-License-Identifier: Apache-2.0 */
/* Paths as in sops: ["key"]['other'][0]. */
#ifndef VMCRED_SOPS_PATH_H
#define VMCRED_SOPS_PATH_H

#include "sops/tree/tree.h"

struct sops_step {
	struct span key; /* data NULL: a position; points into the path's text */
	size_t position;
};

/* Starts as {0}. */
struct sops_path {
	struct sops_step *steps; /* owned */
	size_t count;
};

#define _cleanup_sops_path_ __attribute__((cleanup(sops_path_destroy)))

/* VMCRED_USAGE: invalid or empty. `text` must outlive the path. */
int sops_path_read(const char *text, struct sops_path *path, struct error *err);
void sops_path_destroy(struct sops_path *path);

/* The child that a step selects, or 0. Positions count comments. VMCRED_USAGE: a key for a list, or
 * a position for a map. */
int sops_path_step(const struct sops_tree *tree, size_t container, const struct sops_step *step,
		   size_t *child, struct error *err);

#endif

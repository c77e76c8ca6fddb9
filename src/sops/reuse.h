/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nonces of the values before a document was edited. A nonce may be reused only for the same
 * value at the same path: with any other, AES-GCM would be broken. So matches are compared byte for
 * byte.
 */
#ifndef VMCRED_SOPS_REUSE_H
#define VMCRED_SOPS_REUSE_H

#include "base/error.h"
#include "sops/tree/tree.h"

/* Starts as {.before = …}. */
struct sops_reuse {
	const struct sops_tree *before; /* decrypted; may be empty */
	size_t *slots;                  /* owned; indexes of nodes, 0: free */
	size_t slot_count;
};

#define _cleanup_sops_reuse_ __attribute__((cleanup(sops_reuse_destroy)))

/* The nonce of the last value that had this path, kind and text, or NULL. */
int sops_reuse_find(struct sops_reuse *reuse, const struct sops_tree *tree, size_t node,
		    const uint8_t **nonce, struct error *err);
void sops_reuse_destroy(struct sops_reuse *reuse);

#endif

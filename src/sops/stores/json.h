/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON store. A reader of its own, because SOPS needs what JSON libraries drop: the order of
 * keys, a key that stands twice, the exact text of a number; and because it works in place in
 * secret memory, so that a document costs no copies and plaintext never lies on the ordinary heap.
 * And a writer that sets white space and escapes exactly as sops does.
 */
#ifndef VMCRED_SOPS_STORES_JSON_H
#define VMCRED_SOPS_STORES_JSON_H

#include "base/error.h"
#include "base/secret.h"
#include "sops/stores/stores.h"

/*
 * Reads a document, which is an object (RFC 8259; nothing behind it). Strings are decoded where
 * they are, and the text is adopted.
 */
int sops_json_read(struct secret *text, const char *what, struct sops_tree *tree,
		   struct error *err);

/* The same for any value, which becomes node 0 of the tree. */
int sops_json_read_value(struct secret *text, const char *what, struct sops_tree *tree,
			 struct error *err);

/* The store's operations, which the binary store shares. */
int sops_json_write(const struct sops_tree *tree, const struct sops_tree *metadata,
		    const struct sops_format *format, struct secret *out, struct error *err);

#endif

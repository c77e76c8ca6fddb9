/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON store. It has its own reader, because JSON libraries lose the order of keys, duplicate
 * keys and the exact text of numbers, and because it decodes in place in secret memory. It has its
 * own writer for the exact white space and escapes of sops.
 */
#ifndef VMCRED_SOPS_STORES_JSON_H
#define VMCRED_SOPS_STORES_JSON_H

#include "base/error.h"
#include "base/secret.h"
#include "sops/stores/stores.h"

/* Reads a document, which is one object (RFC 8259). Decodes strings in place and adopts the text.
 */
int sops_json_read(struct secret *text, const char *what, struct sops_tree *tree,
		   struct error *err);

/* Reads any value, which becomes node 0 of the tree. */
int sops_json_read_value(struct secret *text, const char *what, struct sops_tree *tree,
			 struct error *err);

/* The store's write function, which the binary store shares. */
int sops_json_write(const struct sops_tree *tree, const struct sops_tree *metadata,
		    const struct sops_format *format, struct secret *out, struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The INI store, whose language is that of Go's gopkg.in/ini.v1, which sops uses: sections of keys
 * with text values, each with at most one comment. The tree is a document of maps, the first one
 * "DEFAULT" for keys before the first header. A section's comment is its first item, a key's
 * comment follows the key.
 */
#ifndef VMCRED_SOPS_STORES_INI_H
#define VMCRED_SOPS_STORES_INI_H

#include "base/error.h"
#include "base/secret.h"
#include "sops/tree/tree.h"

#define INI_DEFAULT_SECTION "DEFAULT"
#define INI_DELIMITERS      "=:"

/* The store's read function. */
int ini_read(struct secret *text, const char *what, struct sops_tree *tree, struct error *err);

/* How to write a section. */
struct ini_place {
	bool first, last; /* of the document */
	bool escapes;     /* write line breaks in values as "\n", for metadata */
};

/* Appends the map `map` of the tree as a section. */
int ini_section_write(const struct sops_tree *tree, size_t map, struct span name,
		      const struct ini_place *place, struct secret *out, struct error *err);

#endif

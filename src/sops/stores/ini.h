/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the INI store: sections of keys with text values, each key and each section with at most
 * one comment. A tree of it is a document of maps, the first of them "DEFAULT" for what stands
 * before every header; the comment of a section is its first item, that of a key follows the key.
 * The language is that of Go's gopkg.in/ini.v1, which sops uses.
 */
#ifndef VMCRED_SOPS_STORES_INI_H
#define VMCRED_SOPS_STORES_INI_H

#include "base/error.h"
#include "base/secret.h"
#include "sops/tree/tree.h"

#define INI_DEFAULT_SECTION "DEFAULT"
#define INI_DELIMITERS      "=:"

/* sops_store.read of the store. */
int ini_read(struct secret *text, const char *what, struct sops_tree *tree, struct error *err);

/* How a section is set. */
struct ini_place {
	bool first, last; /* of the document */
	bool escapes;     /* line breaks in values are written as "\n": metadata */
};

/* Adds a section: the map `map` of the tree, under the name of its header. */
int ini_section_write(const struct sops_tree *tree, size_t map, struct span name,
		      const struct ini_place *place, struct secret *out, struct error *err);

#endif

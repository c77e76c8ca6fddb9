/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The YAML store: a reader and a writer of their own, which give what sops 3.13 gives, byte for
 * byte, and keep plaintext in secret memory. sops reads and writes YAML with go-yaml 3, a
 * descendant of libyaml that keeps comments; what that does is the specification here, where it
 * differs from YAML 1.1 and 1.2 too.
 *
 * Reading: yaml_text.h (characters) → yaml_scan.h (tokens, comments) → yaml_parse.h (nodes) →
 * yaml_tree.c (SOPS's tree). Writing: yaml_emit.h.
 */
#ifndef VMCRED_SOPS_YAML_H
#define VMCRED_SOPS_YAML_H

#include "sops/store.h"
#include "sops/yaml_parse.h"
#include "sops/yaml_resolve.h"

/* Fills the empty tree with the documents. Texts stay where they are. */
int yaml_tree_copy(const struct yaml_scanner *scanner, struct yaml_nodes *nodes,
		   struct sops_tree *tree, struct error *err);

#endif

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
#ifndef VMCRED_YAML_YAML_H
#define VMCRED_YAML_YAML_H

#include "sops/stores/stores.h"
#include "yaml/parse.h"
#include "yaml/resolve.h"

/* Sets the error: what is wrong, and the node's line. */
static inline int yaml_node_fail(const struct yaml_scanner *scanner, const struct yaml_node *node,
				 const char *problem, struct error *err)
{
	return yaml_scanner_fail(scanner, (struct yaml_mark){.line = node->line}, problem, err);
}

/* What an alias stands for, or the node itself. */
static inline uint32_t yaml_target_of(const struct yaml_nodes *nodes, uint32_t node)
{
	return nodes->items[node].kind == YAML_ALIAS ? nodes->items[node].target : node;
}

/* yaml_scalar.c: gives a node of the tree the kind and the text of a scalar. */
int yaml_scalar_read(const struct yaml_scanner *scanner, struct sops_tree *tree,
		     const struct yaml_node *scalar, struct sops_node *node, struct error *err);

/* yaml_keys.c */
struct yaml_keys {
	size_t count;
	uint32_t merged; /* what stands behind <<, 0: nothing */
};

struct yaml_keys yaml_keys_of(const struct yaml_nodes *nodes, uint32_t map);
int yaml_keys_check(const struct yaml_scanner *scanner, const struct yaml_nodes *nodes,
		    uint32_t map, struct yaml_keys keys, struct error *err);

/* Fills the empty tree with the documents. Texts stay where they are. */
int yaml_tree_copy(const struct yaml_scanner *scanner, struct yaml_nodes *nodes,
		   struct sops_tree *tree, struct error *err);

#endif

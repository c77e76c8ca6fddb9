/* SPDX-License-Identifier: Apache-2.0 */
/* The YAML store's reader and writer. yaml.c joins them. */
#ifndef VMCRED_SOPS_STORES_YAML_H
#define VMCRED_SOPS_STORES_YAML_H

#include "sops/stores/stores.h"
#include "yaml/yaml.h"

/* Fills the empty tree with all documents. Its texts stay in the memory of `yaml`. */
int sops_yaml_tree_fill(const struct yaml *yaml, struct sops_tree *tree, struct error *err);

/* Appends all documents, each with the metadata at its end if it is not NULL. */
int sops_yaml_documents_emit(const struct sops_tree *tree, const struct sops_tree *metadata,
			     size_t indent, struct secret *out, struct error *err);

/* Appends one node as a document. */
int sops_yaml_node_emit(const struct sops_tree *tree, size_t node, size_t indent,
			struct secret *out, struct error *err);

#endif

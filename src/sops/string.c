/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/document.h"

int sops_document_string(const struct sops_document *document, const char *keys, struct span *value,
			 struct error *err)
{
	const struct sops_tree *tree = &document->tree;
	size_t node = SOPS_FIRST_DOCUMENT;
	const char *at = keys;

	if (document->state == SOPS_BROKEN)
		return sops_document_open_check(document, err);
	while (true) {
		size_t size = strcspn(at, "/");

		if (node >= tree->count || tree->nodes[node].kind != SOPS_MAP)
			return error_set(err, VMCRED_FAILED,
					 "%s: what is before the last key of %s is no map",
					 document->name, keys);
		node = sops_tree_child(tree, node, span_of(at, size));
		if (node == 0)
			return error_set(err, VMCRED_MISSING, "%s: there is no key %.*s",
					 document->name, (int)(at + size - keys), keys);
		if (at[size] == '\0')
			break;
		at += size + 1;
	}
	if (tree->nodes[node].kind != SOPS_STRING && tree->nodes[node].kind != SOPS_BYTES)
		return error_set(err, VMCRED_FAILED, "%s: %s holds no string", document->name,
				 keys);
	*value = tree->nodes[node].text;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/stores/stores.h"

static const struct sops_store *const stores[] = {
	&sops_store_json, &sops_store_yaml, &sops_store_dotenv, &sops_store_ini, &sops_store_binary,
};

#define STORES (sizeof(stores) / sizeof(stores[0]))

const struct sops_store *sops_store_named(const char *name)
{
	for (size_t i = 0; i < STORES; i++) {
		if (strcmp(stores[i]->name, name) == 0)
			return stores[i];
	}
	return NULL;
}

const struct sops_store *sops_store_for_path(const char *path)
{
	size_t size = strlen(path);

	for (size_t i = 0; i < STORES; i++) {
		for (const char *const *suffix = stores[i]->suffixes; *suffix; suffix++) {
			if (size >= strlen(*suffix) &&
			    strcmp(path + size - strlen(*suffix), *suffix) == 0)
				return stores[i];
		}
	}
	return &sops_store_binary;
}

bool sops_metadata_is_nested(const struct sops_tree *tree)
{
	return tree->nodes[0].end > SOPS_FIRST_DOCUMENT &&
	       sops_tree_child(tree, SOPS_FIRST_DOCUMENT, span_of_text(SOPS_METADATA_KEY)) != 0;
}

/* Uses the metadata of the first document and drops the others, as sops does. */
int sops_metadata_take_nested(struct sops_tree *tree, const char *what, struct sops_tree *metadata,
			      struct error *err)
{
	struct span key = span_of_text(SOPS_METADATA_KEY);
	size_t found = 0;

	for (size_t map = SOPS_FIRST_DOCUMENT; map < tree->nodes[0].end;
	     map = tree->nodes[map].end) {
		for (size_t i = map + 1; i < tree->nodes[map].end; i = tree->nodes[i].end) {
			struct sops_node *node = &tree->nodes[i];

			if (!node->key.data || !span_equal(node->key, key))
				continue;
			node->removed = true;
			if (map != SOPS_FIRST_DOCUMENT)
				continue;
			if (found)
				return error_set(err, VMCRED_FAILED, "%s: duplicate key \"sops\"",
						 what);
			found = i;
		}
	}
	if (!found)
		return 0;
	if (tree->nodes[found].kind != SOPS_MAP)
		return error_set(err, VMCRED_FAILED, "%s: sops is not a map", what);
	if (sops_tree_copy(tree, found, metadata, err) < 0 || sops_tree_sweep(tree, err) < 0)
		return -(int)err->code;
	return 1;
}

static size_t size_estimate(const struct sops_tree *tree, size_t depth, size_t indent)
{
	size_t size = 0, open = 0;

	for (size_t i = 0; i < tree->count; i++) {
		const struct sops_node *node = &tree->nodes[i];

		while (open > 0 && tree->nodes[open].end <= i) {
			open = tree->nodes[open].parent;
			depth--;
		}
		/* Quotes, colon, space, comma, newline, and two indentations for brackets. */
		size += node->key.size + node->text.size + 8 + depth * indent;
		if (node->kind == SOPS_MAP || node->kind == SOPS_LIST) {
			size += depth * indent + 4;
			open = i;
			depth++;
		}
	}
	return size;
}

size_t sops_tree_size_estimate(const struct sops_tree *tree, const struct sops_tree *metadata,
			       size_t indent)
{
	size_t size = size_estimate(tree, 0, indent);

	/* Line breaks in wrapped keys are escaped. */
	if (metadata)
		size += size_estimate(metadata, 1, indent) * 9 / 8;
	return size + 64;
}

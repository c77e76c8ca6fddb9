/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/tree.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"

int sops_tree_add(struct sops_tree *tree, struct sops_node node, size_t *index, struct error *err)
{
	if (tree->count == tree->capacity) {
		size_t capacity = tree->capacity ? tree->capacity * 2 : 32;
		struct sops_node *nodes = reallocarray(tree->nodes, capacity, sizeof(*nodes));

		if (!nodes)
			return error_no_memory(err);
		tree->nodes = nodes;
		tree->capacity = capacity;
	}
	node.end = tree->count + 1;
	tree->nodes[tree->count] = node;
	*index = tree->count++;
	return 0;
}

void sops_tree_destroy(struct sops_tree *tree)
{
	free(tree->nodes);
	*tree = (struct sops_tree){0};
}

size_t sops_tree_child(const struct sops_tree *tree, size_t map, struct span key)
{
	for (size_t i = map + 1; i < tree->nodes[map].end; i = tree->nodes[i].end) {
		if (span_equal(tree->nodes[i].key, key))
			return i;
	}
	return 0;
}

int sops_tree_path(const struct sops_tree *tree, size_t node, char **path, size_t *size,
		   struct error *err)
{
	size_t length = 0;
	char *to;

	for (size_t i = node; i != 0; i = tree->nodes[i].parent) {
		if (tree->nodes[i].key.data)
			length += tree->nodes[i].key.size + 1;
	}
	*path = malloc(length + 1);
	if (!*path)
		return error_no_memory(err);
	to = *path + length;
	for (size_t i = node; i != 0; i = tree->nodes[i].parent) {
		struct span key = tree->nodes[i].key;

		if (!key.data)
			continue;
		*--to = ':';
		to -= key.size;
		if (key.size > 0)
			memcpy(to, key.data, key.size);
	}
	*size = length;
	return 0;
}

static size_t list_position(const struct sops_tree *tree, size_t node)
{
	size_t position = 0;

	for (size_t i = tree->nodes[node].parent + 1; i < node; i = tree->nodes[i].end)
		position++;
	return position;
}

char *sops_tree_describe(const struct sops_tree *tree, size_t node)
{
	char *text = strdup("");

	for (size_t i = node; text && i != 0; i = tree->nodes[i].parent) {
		_cleanup_free_ char *rest = text;
		struct span key = tree->nodes[i].key;
		const char *dot = *rest && *rest != '[' ? "." : "";
		int r;

		if (key.data)
			r = asprintf(&text, "%.*s%s%s", (int)key.size, (const char *)key.data, dot,
				     rest);
		else
			r = asprintf(&text, "[%zu]%s%s", list_position(tree, i), dot, rest);
		if (r < 0)
			text = NULL;
	}
	/* Control characters in a key stay out of error texts. */
	for (char *c = text; c && *c; c++) {
		if ((uint8_t)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
	return text;
}

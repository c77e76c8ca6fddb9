/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/tree/tree.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"

static int nodes_reserve(struct sops_tree *tree, size_t count, struct error *err)
{
	size_t capacity = tree->capacity ? tree->capacity : 32;
	struct sops_node *nodes;

	if (count <= tree->capacity)
		return 0;
	while (capacity < count)
		capacity += capacity / 2;
	nodes = reallocarray(tree->nodes, capacity, sizeof(*nodes));
	if (!nodes)
		return error_no_memory(err);
	tree->nodes = nodes;
	tree->capacity = capacity;
	return 0;
}

int sops_tree_add(struct sops_tree *tree, struct sops_node node, size_t *index, struct error *err)
{
	if (tree->count == tree->capacity) {
		int r = nodes_reserve(tree, tree->count + 1, err);

		if (r < 0)
			return r;
	}
	node.end = tree->count + 1;
	tree->nodes[tree->count] = node;
	*index = tree->count++;
	return 0;
}

int sops_tree_begin(struct sops_tree *tree, struct error *err)
{
	size_t index;
	int r = sops_tree_add(tree, (struct sops_node){.kind = SOPS_LIST}, &index, err);

	if (r == 0)
		r = sops_tree_add(tree, (struct sops_node){.kind = SOPS_MAP}, &index, err);
	if (r == 0)
		tree->nodes[0].end = 2;
	return r;
}

void sops_tree_destroy(struct sops_tree *tree)
{
	arena_destroy(&tree->texts);
	free(tree->nodes);
	*tree = (struct sops_tree){0};
}

static bool is_ancestor(const struct sops_tree *tree, size_t node, size_t ancestor)
{
	while (node > ancestor)
		node = tree->nodes[node].parent;
	return node == ancestor;
}

/* Makes room for `count` nodes at `at`, inside of `parent`. */
static int nodes_shift(struct sops_tree *tree, size_t parent, size_t at, size_t count,
		       struct error *err)
{
	int r = nodes_reserve(tree, tree->count + count, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < at; i++) {
		struct sops_node *node = &tree->nodes[i];

		/* A container that ends at `at` grows only if it contains the new nodes. */
		if (node->end > at || (node->end == at && is_ancestor(tree, parent, i)))
			node->end += count;
	}
	memmove(&tree->nodes[at + count], &tree->nodes[at],
		(tree->count - at) * sizeof(*tree->nodes));
	tree->count += count;
	for (size_t i = at + count; i < tree->count; i++) {
		tree->nodes[i].end += count;
		if (tree->nodes[i].parent >= at)
			tree->nodes[i].parent += count;
	}
	return 0;
}

int sops_tree_graft(struct sops_tree *tree, size_t parent, size_t index, struct span key,
		    struct sops_tree *from, size_t node, struct error *err)
{
	size_t count = from->nodes[node].end - node;
	int r = arena_take(&tree->texts, &from->texts, err);

	if (r == 0)
		r = nodes_shift(tree, parent, index, count, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		struct sops_node *copy = &tree->nodes[index + i];

		*copy = from->nodes[node + i];
		copy->end = copy->end - node + index;
		copy->parent = i == 0 ? parent : copy->parent - node + index;
	}
	tree->nodes[index].key = key;
	return 0;
}

int sops_tree_sweep(struct sops_tree *tree, struct error *err)
{
	/* The new index of each node, and of the end. */
	_cleanup_free_ size_t *moved = reallocarray(NULL, tree->count + 1, sizeof(*moved));
	size_t count = 0, skip_to = 0;

	if (!moved)
		return error_no_memory(err);
	for (size_t i = 0; i < tree->count; i++) {
		moved[i] = count;
		if (i >= skip_to && tree->nodes[i].removed)
			skip_to = tree->nodes[i].end;
		if (i >= skip_to)
			count++;
	}
	moved[tree->count] = count;
	skip_to = 0;
	for (size_t i = 0; i < tree->count; i++) {
		struct sops_node *node = &tree->nodes[i];

		if (i >= skip_to && node->removed)
			skip_to = node->end;
		if (i < skip_to)
			continue;
		node->end = moved[node->end];
		node->parent = moved[node->parent];
		tree->nodes[moved[i]] = *node;
	}
	tree->count = count;
	return 0;
}

int sops_tree_copy(const struct sops_tree *tree, size_t node, struct sops_tree *to,
		   struct error *err)
{
	size_t count = tree->nodes[node].end - node;
	int r = nodes_reserve(to, count, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		to->nodes[i] = tree->nodes[node + i];
		to->nodes[i].end -= node;
		to->nodes[i].parent = i == 0 ? 0 : to->nodes[i].parent - node;
		to->nodes[i].removed = false;
	}
	to->nodes[0].key = (struct span){0};
	to->count = count;
	return 0;
}

size_t sops_tree_child(const struct sops_tree *tree, size_t map, struct span key)
{
	for (size_t i = map + 1; i < tree->nodes[map].end; i = tree->nodes[i].end) {
		if (tree->nodes[i].key.data && span_equal(tree->nodes[i].key, key))
			return i;
	}
	return 0;
}

size_t sops_tree_last_child(const struct sops_tree *tree, size_t map, struct span key)
{
	size_t last = 0;

	for (size_t i = map + 1; i < tree->nodes[map].end; i = tree->nodes[i].end) {
		if (tree->nodes[i].key.data && span_equal(tree->nodes[i].key, key))
			last = i;
	}
	return last;
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
	bool one_document = tree->nodes[0].end > 1 && tree->nodes[1].end == tree->nodes[0].end;
	char *text = strdup("");

	for (size_t i = node; text && i != 0; i = tree->nodes[i].parent) {
		_cleanup_free_ char *rest = text;
		struct span key = tree->nodes[i].key;
		const char *dot = *rest && *rest != '[' ? "." : "";
		int r;

		if (tree->nodes[i].parent == 0 && one_document) {
			text = pointer_release(&rest);
			continue;
		}
		if (key.data)
			r = asprintf(&text, "%.*s%s%s", (int)key.size, (const char *)key.data, dot,
				     rest);
		else
			r = asprintf(&text, "[%zu]%s%s", list_position(tree, i), dot, rest);
		if (r < 0)
			text = NULL;
	}
	/* Keep control characters out of error texts. */
	for (char *c = text; c && *c; c++) {
		if ((uint8_t)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
	return text;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/stores/flat.h"

#include <stdio.h>
#include <stdlib.h>

#define MAP_SEPARATOR  "__map_"
#define LIST_SEPARATOR "__list_"

/* key_groups[0].pgp[0].fp has five. */
#define DEPTH_MAX 16

/* More than any list of keys needs. */
#define POSITION_DIGITS_MAX 8

struct token {
	bool is_position;
	struct span key;
	unsigned long position;
};

struct path {
	struct token tokens[DEPTH_MAX];
	size_t count;
};

static size_t separator_size(struct span text)
{
	if (span_starts_with(text, span_of_text(MAP_SEPARATOR)))
		return strlen(MAP_SEPARATOR);
	if (span_starts_with(text, span_of_text(LIST_SEPARATOR)))
		return strlen(LIST_SEPARATOR);
	return 0;
}

static bool position_read(struct span text, unsigned long *position)
{
	*position = 0;
	if (text.size == 0 || text.size > POSITION_DIGITS_MAX)
		return false;
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
		*position = *position * 10 + (unsigned long)(text.data[i] - '0');
	}
	return true;
}

/* False: too deep, or an invalid position. */
static bool path_read(struct span text, struct path *path)
{
	size_t at = 0;

	path->count = 0;
	do {
		struct token *token = &path->tokens[path->count];
		size_t separator = separator_size(span_of(text.data + at, text.size - at)), start;

		if (path->count == DEPTH_MAX)
			return false;
		start = at + separator;
		*token = (struct token){.is_position = separator == strlen(LIST_SEPARATOR)};
		for (at = start; at < text.size; at++) {
			if (separator_size(span_of(text.data + at, text.size - at)) > 0)
				break;
		}
		token->key = span_of(text.data + start, at - start);
		if (token->is_position && !position_read(token->key, &token->position))
			return false;
		path->count++;
	} while (at < text.size);
	return true;
}

static int token_compare(const struct token *a, const struct token *b)
{
	if (a->is_position != b->is_position)
		return a->is_position ? 1 : -1;
	if (a->is_position)
		return (a->position > b->position) - (a->position < b->position);
	return span_compare(a->key, b->key);
}

static size_t path_common(const struct path *a, const struct path *b)
{
	size_t i = 0;

	while (i < a->count && i < b->count && token_compare(&a->tokens[i], &b->tokens[i]) == 0)
		i++;
	return i;
}

/* Both paths are valid. */
static int values_compare(const void *a, const void *b)
{
	const struct sops_flat_value *first = a, *second = b;
	struct path left, right;
	size_t common;

	(void)path_read(first->path, &left);
	(void)path_read(second->path, &right);
	common = path_common(&left, &right);
	if (common == left.count || common == right.count)
		return (left.count > right.count) - (left.count < right.count);
	return token_compare(&left.tokens[common], &right.tokens[common]);
}

/* The growing tree. The open containers are those of the last path. */
struct builder {
	struct sops_tree *tree;
	const char *what;
	struct path path;                   /* of the last value */
	size_t nodes[DEPTH_MAX + 1];        /* the root, and the containers below it */
	unsigned long sizes[DEPTH_MAX + 1]; /* children of each so far */
};

static int path_invalid(const struct builder *builder, struct span path, const char *reason,
			struct error *err)
{
	return error_set(err, VMCRED_FAILED, "%s: metadata \"%.*s\" %s", builder->what,
			 (int)path.size, (const char *)path.data, reason);
}

static void containers_close(struct builder *builder, size_t depth)
{
	for (size_t i = builder->path.count; i-- > depth;)
		builder->tree->nodes[builder->nodes[i]].end = builder->tree->count;
}

static int node_add(struct builder *builder, const struct path *path, size_t depth,
		    const struct sops_flat_value *value, struct error *err)
{
	const struct token *token = &path->tokens[depth];
	const struct sops_node *parent = &builder->tree->nodes[builder->nodes[depth]];
	struct sops_node node = {.kind = SOPS_STRING, .parent = builder->nodes[depth]};
	size_t index;
	int r;

	if ((parent->kind == SOPS_LIST) != token->is_position)
		return path_invalid(builder, value->path, "is in a list and in a map", err);
	if (token->is_position && token->position != builder->sizes[depth])
		return path_invalid(builder, value->path, "follows a gap in its list", err);
	builder->sizes[depth]++;
	if (!token->is_position)
		node.key = token->key;
	if (depth + 1 < path->count)
		node.kind = path->tokens[depth + 1].is_position ? SOPS_LIST : SOPS_MAP;
	else
		node.text = value->text;
	r = sops_tree_add(builder->tree, node, &index, err);
	builder->nodes[depth + 1] = index;
	builder->sizes[depth + 1] = 0;
	return r;
}

static int value_place(struct builder *builder, const struct sops_flat_value *value,
		       struct error *err)
{
	struct path path;
	size_t common;
	int r = 0;

	(void)path_read(value->path, &path);
	common = path_common(&path, &builder->path);
	if (builder->path.count > 0 && common == path.count)
		return path_invalid(builder, value->path, "is a duplicate", err);
	if (builder->path.count > 0 && common == builder->path.count)
		return path_invalid(builder, value->path, "is inside a value", err);
	containers_close(builder, common + 1);
	for (size_t depth = common; depth < path.count && r == 0; depth++)
		r = node_add(builder, &path, depth, value, err);
	builder->path = path;
	return r;
}

int sops_unflatten(struct sops_flat_value *values, size_t count, const char *what,
		   struct sops_tree *metadata, struct error *err)
{
	struct builder builder = {.tree = metadata, .what = what};
	struct path path;
	int r = sops_tree_add(metadata, (struct sops_node){.kind = SOPS_MAP}, &builder.nodes[0],
			      err);

	for (size_t i = 0; i < count && r == 0; i++) {
		if (!path_read(values[i].path, &path))
			r = path_invalid(&builder, values[i].path, "is not a valid path", err);
	}
	if (r < 0)
		return r;
	if (count > 0)
		qsort(values, count, sizeof(*values), values_compare);
	for (size_t i = 0; i < count && r == 0; i++)
		r = value_place(&builder, &values[i], err);
	containers_close(&builder, 0);
	metadata->nodes[0].end = metadata->count;
	return r;
}

/* Appends the part of a container or value to a name. */
static int name_append(struct secret *name, const struct sops_node *node, bool at_top,
		       unsigned long position, struct error *err)
{
	char digits[32];
	int r;

	if (node->key.data) {
		r = at_top ? 0 : secret_append_text(name, MAP_SEPARATOR, err);
		return r == 0 ? secret_append(name, node->key, err) : r;
	}
	snprintf(digits, sizeof(digits), LIST_SEPARATOR "%lu", position);
	return secret_append_text(name, digits, err);
}

/* Adds the values below `parent`, whose name is `name`. */
static int children_flatten(const struct sops_tree *metadata, size_t parent, struct secret *name,
			    size_t depth, struct sops_tree *flat, size_t map, struct error *err)
{
	size_t size = name->size, end = metadata->nodes[parent].end, index;
	unsigned long position = 0;
	int r = 0;

	if (depth == DEPTH_MAX)
		return error_set(err, VMCRED_FAILED, "the metadata is nested too deeply");
	for (size_t i = parent + 1; i < end && r == 0; i = metadata->nodes[i].end) {
		const struct sops_node *node = &metadata->nodes[i];
		struct sops_node value = *node;

		if (node->kind == SOPS_COMMENT)
			continue;
		name->size = size;
		r = name_append(name, node, depth == 0, position++, err);
		if (r < 0)
			return r;
		if (node->kind == SOPS_MAP || node->kind == SOPS_LIST) {
			r = children_flatten(metadata, i, name, depth + 1, flat, map, err);
			continue;
		}
		value.parent = map;
		r = sops_tree_text(flat, secret_span(name), &value.key, err);
		if (r == 0)
			r = sops_tree_add(flat, value, &index, err);
	}
	return r;
}

int sops_flatten(const struct sops_tree *metadata, const char *prefix, struct sops_tree *flat,
		 size_t map, struct error *err)
{
	_cleanup_secret_ struct secret name = {0};
	int r = secret_append_text(&name, prefix, err);

	if (r == 0)
		r = children_flatten(metadata, 0, &name, 0, flat, map, err);
	flat->nodes[map].end = flat->count;
	return r;
}

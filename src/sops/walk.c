/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/walk.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/text.h"

static const struct {
	const char *name;
	enum sops_kind kind;
} kinds[] = {
	{"str", SOPS_STRING},  {"int", SOPS_INT},   {"float", SOPS_FLOAT},     {"bool", SOPS_BOOL},
	{"bytes", SOPS_BYTES}, {"time", SOPS_TIME}, {"comment", SOPS_COMMENT},
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

const char *sops_kind_name(enum sops_kind kind)
{
	for (size_t i = 0; i < KINDS; i++) {
		/* sops encrypts bytes as strings. */
		if (kinds[i].kind == kind && kind != SOPS_BYTES)
			return kinds[i].name;
	}
	return "str";
}

int sops_kind_named(struct span name, enum sops_kind *kind)
{
	for (size_t i = 0; i < KINDS; i++) {
		if (span_equal(name, span_of_text(kinds[i].name))) {
			*kind = kinds[i].kind;
			return 0;
		}
	}
	return -1;
}

int sops_walk_begin(struct sops_walk *walk, struct sops_tree *tree, const char *what,
		    const struct sops_policy *policy, struct span data_key,
		    enum sops_direction direction, bool strict, struct error *err)
{
	int r;

	walk->tree = tree;
	walk->what = what;
	walk->mac_only_encrypted = policy->mac_only_encrypted;
	walk->prefix_of = SIZE_MAX;
	r = sops_rule_prepare(&walk->rule, policy, strict, err);
	if (r < 0)
		return error_wrap(err, "%s", what);
	r = sops_cipher_create(&walk->cipher, data_key, direction, err);
	if (r == 0)
		r = sops_mac_create(&walk->mac, policy->mac_only_encrypted, err);
	return r;
}

void sops_walk_destroy(struct sops_walk *walk)
{
	sops_cipher_destroy(&walk->cipher);
	sops_mac_destroy(&walk->mac);
	sops_rule_destroy(&walk->rule);
	free(walk->path);
	memory_wipe(walk->number, sizeof(walk->number));
}

static int path_reserve(struct sops_walk *walk, size_t size, struct error *err)
{
	size_t capacity = walk->path_capacity ? walk->path_capacity : 256;
	char *path;

	if (size <= walk->path_capacity)
		return 0;
	while (capacity < size)
		capacity *= 2;
	path = realloc(walk->path, capacity);
	if (!path)
		return error_no_memory(err);
	walk->path = path;
	walk->path_capacity = capacity;
	return 0;
}

/* Successive values are mostly in the same container, whose path is cached. */
static int prefix_set(struct sops_walk *walk, size_t container, struct error *err)
{
	const struct sops_node *nodes = walk->tree->nodes;
	size_t size = 0;
	char *to;
	int r;

	if (walk->prefix_of == container)
		return 0;
	for (size_t i = container; i != 0; i = nodes[i].parent) {
		if (nodes[i].key.data)
			size += nodes[i].key.size + 1;
	}
	r = path_reserve(walk, size + 1, err);
	if (r < 0)
		return r;
	to = walk->path + size;
	for (size_t i = container; i != 0; i = nodes[i].parent) {
		if (!nodes[i].key.data)
			continue;
		*--to = ':';
		to -= nodes[i].key.size;
		memcpy(to, nodes[i].key.data, nodes[i].key.size);
	}
	walk->prefix_of = container;
	walk->prefix_size = size;
	return 0;
}

int sops_walk_path(struct sops_walk *walk, size_t index, struct span *path, struct error *err)
{
	const struct sops_node *node = &walk->tree->nodes[index];
	size_t size;
	int r = prefix_set(walk, node->parent, err);

	if (r < 0)
		return r;
	size = walk->prefix_size;
	if (node->key.data) {
		r = path_reserve(walk, size + node->key.size + 1, err);
		if (r < 0)
			return r;
		memcpy(walk->path + size, node->key.data, node->key.size);
		size += node->key.size;
		walk->path[size++] = ':';
	}
	/* The path of a value without any key is ":". */
	if (size == 0)
		walk->path[size++] = ':';
	*path = span_of(walk->path, size);
	return 0;
}

int sops_walk_seal(struct sops_walk *walk, struct span plaintext, const char *type,
		   struct span additional, const uint8_t *nonce_text, struct span *text,
		   struct error *err)
{
	size_t size = sops_sealed_size(plaintext.size, type);
	uint8_t *room = NULL;
	int r = sops_tree_text_reserve(walk->tree, size, &room, err);

	if (r == 0)
		r = sops_cipher_seal(&walk->cipher, plaintext, type, additional, nonce_text, room,
				     err);
	*text = span_of(room, size);
	return r;
}

struct span sops_walk_bytes(struct sops_walk *walk, const struct sops_node *node)
{
	if (node->kind != SOPS_FLOAT)
		return node->text;
	return span_of(walk->number, sops_float_print(node->text, SOPS_NUMBER_PLAIN, walk->number));
}

int sops_walk_mac_add(struct sops_walk *walk, const struct sops_node *node, struct error *err)
{
	if (node->kind == SOPS_COMMENT || (walk->mac_only_encrypted && !node->encrypted))
		return 0;
	return sops_mac_add(&walk->mac, sops_walk_bytes(walk, node), err);
}

/* The caller frees it. */
static char *value_describe(const struct sops_walk *walk, size_t index)
{
	_cleanup_free_ char *path = sops_tree_describe(walk->tree, index);
	bool comment = walk->tree->nodes[index].kind == SOPS_COMMENT;

	return path ? text_format("%s: the %s %s", walk->what, comment ? "comment" : "value", path)
		    : NULL;
}

int sops_walk_invalid(const struct sops_walk *walk, size_t index, enum vmcred_code code,
		      const char *reason, struct error *err)
{
	_cleanup_free_ char *value = value_describe(walk, index);

	return value ? error_set(err, code, "%s %s", value, reason) : error_no_memory(err);
}

int sops_walk_wrap(const struct sops_walk *walk, size_t index, struct error *err)
{
	_cleanup_free_ char *value = value_describe(walk, index);

	return value ? error_wrap(err, "%s", value) : error_no_memory(err);
}

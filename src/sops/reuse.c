/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/reuse.h"

#include <stdlib.h>

#include "sops/tree/number.h"

/* The next node with a key on the way up from `node`, or 0. */
static size_t keyed(const struct sops_tree *tree, size_t node)
{
	while (node != 0 && !tree->nodes[node].key.data)
		node = tree->nodes[node].parent;
	return node;
}

static bool path_equal(const struct sops_tree *a, size_t a_node, const struct sops_tree *b,
		       size_t b_node)
{
	a_node = keyed(a, a_node);
	b_node = keyed(b, b_node);
	while (a_node != 0 && b_node != 0) {
		if (!span_equal(a->nodes[a_node].key, b->nodes[b_node].key))
			return false;
		a_node = keyed(a, a->nodes[a_node].parent);
		b_node = keyed(b, b->nodes[b_node].parent);
	}
	return a_node == b_node;
}

/* Distinguishes 0 and -0, which are equal values but different texts. */
static uint64_t float_bits(const struct sops_node *node)
{
	double value = sops_float_value(node->text);
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

static bool value_equal(const struct sops_node *a, const struct sops_node *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind != SOPS_FLOAT)
		return span_equal(a->text, b->text);
	return float_bits(a) == float_bits(b);
}

/* FNV-1a. Collisions only cost time. */
static uint64_t hash_add(uint64_t hash, struct span bytes)
{
	for (size_t i = 0; i < bytes.size; i++)
		hash = (hash ^ bytes.data[i]) * 0x100000001b3;
	return hash;
}

/* Hashes the value, of a float independent of its spelling, and the path without list positions. */
static uint64_t node_hash(const struct sops_tree *tree, size_t index)
{
	const struct sops_node *node = &tree->nodes[index];
	uint64_t hash = 0xcbf29ce484222325 + (uint64_t)node->kind;

	if (node->kind == SOPS_FLOAT) {
		uint64_t bits = float_bits(node);

		hash = hash_add(hash, span_of(&bits, sizeof(bits)));
	} else {
		hash = hash_add(hash, node->text);
	}
	for (size_t i = keyed(tree, index); i != 0; i = keyed(tree, tree->nodes[i].parent))
		hash = hash_add(hash, tree->nodes[i].key) * 31;
	return hash ^ hash >> 32;
}

/* The slot of the value, or the free slot for it. */
static size_t *slot_find(const struct sops_reuse *reuse, const struct sops_tree *tree, size_t node)
{
	size_t at = node_hash(tree, node) & (reuse->slot_count - 1);

	while (reuse->slots[at] != 0) {
		size_t other = reuse->slots[at];

		if (value_equal(&reuse->before->nodes[other], &tree->nodes[node]) &&
		    path_equal(reuse->before, other, tree, node))
			break;
		at = (at + 1) & (reuse->slot_count - 1);
	}
	return &reuse->slots[at];
}

static int slots_fill(struct sops_reuse *reuse, struct error *err)
{
	reuse->slot_count = 16;
	while (reuse->slot_count < reuse->before->count * 2)
		reuse->slot_count *= 2;
	reuse->slots = calloc(reuse->slot_count, sizeof(*reuse->slots));
	if (!reuse->slots)
		return error_no_memory(err);
	for (size_t i = 1; i < reuse->before->count; i++) {
		if (reuse->before->nodes[i].nonce)
			*slot_find(reuse, reuse->before, i) = i;
	}
	return 0;
}

int sops_reuse_find(struct sops_reuse *reuse, const struct sops_tree *tree, size_t node,
		    const uint8_t **nonce, struct error *err)
{
	size_t found;
	int r = reuse->slots || reuse->before->count == 0 ? 0 : slots_fill(reuse, err);

	*nonce = NULL;
	if (r < 0 || !reuse->slots)
		return r;
	found = *slot_find(reuse, tree, node);
	if (found)
		*nonce = reuse->before->nodes[found].nonce;
	return 0;
}

void sops_reuse_destroy(struct sops_reuse *reuse)
{
	free(reuse->slots);
	reuse->slots = NULL;
}

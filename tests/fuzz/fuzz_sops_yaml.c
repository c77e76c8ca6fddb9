/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The YAML store: any text gives an error or a tree, and the tree is written as a document that
 * reads back as the same values. Comments may move.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sops/stores/stores.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int tree_read(struct span yaml, struct sops_tree *tree)
{
	_cleanup_error_ struct error err = {0};
	struct secret text = {0};
	int r = secret_copy(&text, yaml, &err);

	if (r == 0)
		r = sops_store_yaml.read_plain(&text, "fuzz", tree, &err);
	if (r < 0 && !err.text)
		abort();
	secret_destroy(&text);
	return r;
}

static void tree_write(const struct sops_tree *tree, struct secret *out)
{
	_cleanup_error_ struct error err = {0};

	if (sops_store_yaml.write(tree, NULL, NULL, out, &err) < 0)
		abort();
}

static size_t next_value(const struct sops_tree *tree, size_t index)
{
	while (index < tree->count && tree->nodes[index].kind == SOPS_COMMENT)
		index++;
	return index;
}

/* Floats may look like integers. */
static bool may_become(const struct sops_node *a, const struct sops_node *b)
{
	if (a->kind == SOPS_FLOAT)
		return b->kind == SOPS_INT || b->kind == SOPS_FLOAT;
	return a->kind == b->kind && span_equal(a->text, b->text);
}

static bool values_equal(const struct sops_tree *a, const struct sops_tree *b)
{
	size_t i = next_value(a, 0), j = next_value(b, 0);

	while (i < a->count && j < b->count) {
		const struct sops_node *left = &a->nodes[i], *right = &b->nodes[j];

		if (!may_become(left, right) || !span_equal(left->key, right->key))
			return false;
		i = next_value(a, i + 1);
		j = next_value(b, j + 1);
	}
	return i >= a->count && j >= b->count;
}

static bool has_merge(const struct sops_tree *tree)
{
	for (size_t i = 0; i < tree->count; i++) {
		if (span_equal(tree->nodes[i].key, span_of_text("<<")))
			return true;
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_sops_tree_ struct sops_tree tree = {0}, again = {0};
	_cleanup_secret_ struct secret text = {0};

	if (tree_read(span_of(data, size), &tree) < 0)
		return 0;
	tree_write(&tree, &text);
	/* sops writes the key << without quotes, so that it merges. */
	if (tree_read(secret_span(&text), &again) < 0) {
		if (!has_merge(&tree))
			abort();
		return 0;
	}
	if (!values_equal(&tree, &again))
		abort();
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and changing an open document. The nodes before the first change are remembered, so that
 * unchanged values get the same ciphertext.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sops/document.h"
#include "sops/path.h"
#include "sops/stores/flat.h"
#include "sops/stores/json.h"
#include "sops/tree/number.h"

int sops_document_remember(struct sops_document *document, struct error *err)
{
	if (document->before.count > 0 || document->data_key.size == 0)
		return 0;
	return sops_tree_copy(&document->tree, 0, &document->before, err);
}

static int step_missing(const struct sops_document *document, const char *path,
			const struct sops_step *step, struct error *err)
{
	if (step->key.data)
		return error_set(err, VMCRED_MISSING, "%s: %s: missing key \"%.*s\"",
				 document->name, path, (int)step->key.size,
				 (const char *)step->key.data);
	return error_set(err, VMCRED_MISSING, "%s: %s: missing item %zu", document->name, path,
			 step->position);
}

static int first_document_check(const struct sops_document *document, struct error *err)
{
	int r = sops_document_open_check(document, err);

	if (r == 0 && sops_document_count(document) == 0)
		return error_set(err, VMCRED_MISSING, "%s is empty", document->name);
	return r;
}

/* The node at a path. VMCRED_MISSING: there is none. */
static int node_find(const struct sops_document *document, const char *text,
		     const struct sops_path *path, size_t *node, struct error *err)
{
	const struct sops_node *nodes = document->tree.nodes;

	*node = SOPS_FIRST_DOCUMENT;
	for (size_t i = 0; i < path->count; i++) {
		int r;

		if (nodes[*node].kind != SOPS_MAP && nodes[*node].kind != SOPS_LIST)
			return error_set(err, VMCRED_USAGE,
					 "%s: %s: part %zu of the path is in a value that is "
					 "neither a map nor a list",
					 document->name, text, i + 1);
		r = sops_path_step(&document->tree, *node, &path->steps[i], node, err);
		if (r < 0)
			return error_wrap(err, "%s: %s", document->name, text);
		if (*node == 0)
			return step_missing(document, text, &path->steps[i], err);
	}
	return 0;
}

/* A map becomes a document. */
static int map_write(const struct sops_document *document, size_t node,
		     const struct sops_store *store, const struct sops_format *format,
		     struct secret *out, struct error *err)
{
	_cleanup_sops_tree_ struct sops_tree tree = {0}, map = {0};
	size_t root;
	int r = sops_tree_copy(&document->tree, node, &map, err);

	if (r == 0)
		r = sops_tree_add(&tree, (struct sops_node){.kind = SOPS_LIST}, &root, err);
	if (r == 0)
		r = sops_tree_graft(&tree, root, 1, (struct span){0}, &map, 0, err);
	/* sops writes the other documents too. */
	for (size_t i = document->tree.nodes[SOPS_FIRST_DOCUMENT].end;
	     r == 0 && i < document->tree.count; i = document->tree.nodes[i].end) {
		_cleanup_sops_tree_ struct sops_tree other = {0};

		r = sops_tree_copy(&document->tree, i, &other, err);
		if (r == 0)
			r = sops_tree_graft(&tree, root, tree.count, (struct span){0}, &other, 0,
					    err);
	}
	return r < 0 ? r : store->write(&tree, NULL, format, out, err);
}

int sops_document_extract(const struct sops_document *document, const char *path,
			  const struct sops_store *store, const struct sops_format *format,
			  struct secret *out, struct error *err)
{
	_cleanup_sops_path_ struct sops_path steps = {0};
	const struct sops_node *node;
	size_t index = 0;
	int r = first_document_check(document, err);

	if (r == 0)
		r = sops_path_read(path, &steps, err);
	if (r == 0)
		r = node_find(document, path, &steps, &index, err);
	if (r < 0)
		return r;
	node = &document->tree.nodes[index];
	if (node->kind == SOPS_STRING)
		return secret_append(out, node->text, err);
	if (node->kind == SOPS_MAP)
		r = map_write(document, index, store, format, out, err);
	else if (store->write_value)
		r = store->write_value(&document->tree, index, format, out, err);
	else
		r = error_set(err, VMCRED_FAILED, "the format has only strings");
	return r < 0 ? error_wrap(err, "writing %s of %s as %s", path, document->name, store->name)
		     : 0;
}

static bool node_equal(const struct sops_node *a, const struct sops_node *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == SOPS_FLOAT)
		return sops_float_value(a->text) == sops_float_value(b->text);
	return span_equal(a->text, b->text);
}

static bool key_equal(struct span a, struct span b)
{
	return a.data && b.data ? span_equal(a, b) : a.data == b.data;
}

static bool subtree_equal(const struct sops_tree *a, size_t a_node, const struct sops_tree *b,
			  size_t b_node)
{
	size_t count = a->nodes[a_node].end - a_node;

	if (b->nodes[b_node].end - b_node != count)
		return false;
	for (size_t i = 0; i < count; i++) {
		const struct sops_node *one = &a->nodes[a_node + i], *other = &b->nodes[b_node + i];

		if (!node_equal(one, other) || one->end - a_node != other->end - b_node ||
		    (i > 0 && !key_equal(one->key, other->key)))
			return false;
	}
	return true;
}

/* Wraps the value in maps and lists for the steps that do not exist yet. */
static int value_wrap(struct sops_tree *value, const struct sops_path *path, size_t from,
		      struct error *err)
{
	for (size_t i = path->count; i > from; i--) {
		_cleanup_sops_tree_ struct sops_tree outer = {0};
		const struct sops_step *step = &path->steps[i - 1];
		size_t root;
		struct sops_node node = {.kind = step->key.data ? SOPS_MAP : SOPS_LIST};
		int r = sops_tree_add(&outer, node, &root, err);

		if (r == 0)
			r = sops_tree_graft(&outer, root, 1, step->key, value, 0, err);
		if (r < 0)
			return r;
		sops_tree_destroy(value);
		*value = outer;
		outer = (struct sops_tree){0};
	}
	return 0;
}

/* The keys point into the caller's text, and must live as long as the document. */
static int keys_keep(struct sops_document *document, struct sops_path *path, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < path->count; i++) {
		if (path->steps[i].key.data)
			r = sops_tree_text(&document->tree, path->steps[i].key, &path->steps[i].key,
					   err);
	}
	return r;
}

/* Replaces `node` by the value, under the same key. */
static int node_replace(struct sops_document *document, size_t node, struct sops_tree *value,
			struct error *err)
{
	struct sops_tree *tree = &document->tree;
	size_t parent = tree->nodes[node].parent;
	struct span key = tree->nodes[node].key;
	int r = sops_tree_graft(tree, parent, node, key, value, 0, err);

	if (r < 0)
		return r;
	tree->nodes[tree->nodes[node].end].removed = true;
	return sops_tree_sweep(tree, err);
}

/* Follows the path as far as it exists and creates the rest. */
static int value_place(struct sops_document *document, const struct sops_path *path,
		       struct sops_tree *value, bool *changed, struct error *err)
{
	struct sops_tree *tree = &document->tree;
	size_t node = SOPS_FIRST_DOCUMENT, child;

	*changed = true;
	for (size_t i = 0; i < path->count; i++) {
		bool container =
			tree->nodes[node].kind == SOPS_MAP || tree->nodes[node].kind == SOPS_LIST;
		int r;

		/* A scalar is replaced by a container. */
		if (!container) {
			r = value_wrap(value, path, i, err);
			return r < 0 ? r : node_replace(document, node, value, err);
		}
		r = sops_path_step(tree, node, &path->steps[i], &child, err);
		if (r < 0)
			return r;
		if (child == 0) {
			r = value_wrap(value, path, i + 1, err);
			return r < 0 ? r
				     : sops_tree_graft(tree, node, tree->nodes[node].end,
						       path->steps[i].key, value, 0, err);
		}
		node = child;
	}
	*changed = !subtree_equal(tree, node, value, 0);
	return *changed ? node_replace(document, node, value, err) : 0;
}

int sops_document_set(struct sops_document *document, const char *path, struct secret *json,
		      bool *changed, struct error *err)
{
	_cleanup_sops_tree_ struct sops_tree value = {0};
	_cleanup_sops_path_ struct sops_path steps = {0};
	_cleanup_secret_ struct secret taken = {0};
	bool is_negative_zero = span_equal(secret_span(json), span_of_text("-0"));
	int r = first_document_check(document, err);

	secret_move(&taken, json);
	if (r == 0)
		r = sops_path_read(path, &steps, err);
	if (r < 0)
		return r;
	r = sops_json_read_value(&taken, "the value", &value, err);
	if (r < 0) {
		err->code = VMCRED_USAGE;
		return -VMCRED_USAGE;
	}
	/* sops reads a single number with encoding/json, as a float, but numbers in a map with the
	 * JSON store. An integer that a float cannot represent stays one; sops would change it. */
	if (value.nodes[0].kind == SOPS_INT && sops_int_is_float(value.nodes[0].text))
		value.nodes[0].kind = SOPS_FLOAT;
	if (is_negative_zero)
		value.nodes[0].text = span_of_text("-0");
	r = sops_document_remember(document, err);
	if (r == 0)
		r = keys_keep(document, &steps, err);
	if (r == 0)
		r = value_place(document, &steps, &value, changed, err);
	return r < 0 ? error_wrap(err, "%s: %s", document->name, path) : 0;
}

int sops_document_unset(struct sops_document *document, const char *path, struct error *err)
{
	_cleanup_sops_path_ struct sops_path steps = {0};
	size_t node = 0;
	int r = first_document_check(document, err);

	if (r == 0)
		r = sops_path_read(path, &steps, err);
	if (r == 0)
		r = node_find(document, path, &steps, &node, err);
	if (r == 0)
		r = sops_document_remember(document, err);
	if (r < 0)
		return r;
	document->tree.nodes[node].removed = true;
	return sops_tree_sweep(&document->tree, err);
}

/* Keeps the old texts as well: their nonces may be needed. */
static int tree_exchange(struct sops_document *document, struct sops_tree *tree, struct error *err)
{
	struct sops_tree *now = &document->tree;
	struct sops_node *nodes = now->nodes;
	int r = sops_document_remember(document, err);

	if (r == 0)
		r = arena_take(&now->texts, &tree->texts, err);
	if (r < 0)
		return r;
	now->nodes = tree->nodes;
	now->count = tree->count;
	now->capacity = tree->capacity;
	tree->nodes = nodes;
	return 0;
}

/* Wraps the data key for the keys of an edited policy, if they changed: a person knows recipients,
 * but cannot write wrapped keys. */
static int edited_keys_wrap(const struct sops_document *document, struct sops_policy *policy,
			    const struct sops_keyring *keyring, struct error *err)
{
	struct sops_difference difference = {0};
	int r = sops_document_keys_compare(document, policy, policy->shamir_threshold, &difference,
					   err);

	if (r == 0 && difference.changed)
		r = sops_data_key_wrap(policy, keyring, document->name,
				       secret_span(&document->data_key), true, err);
	sops_difference_destroy(&difference);
	return r;
}

int sops_document_replace(struct sops_document *document, const struct sops_store *store,
			  const struct secret *text, const struct sops_keyring *keyring,
			  struct error *err)
{
	_cleanup_sops_tree_ struct sops_tree tree = {0}, metadata_tree = {0};
	_cleanup_secret_ struct secret copy = {0};
	struct sops_metadata metadata = {0};
	int r = sops_document_open_check(document, err);

	if (r == 0)
		r = secret_copy(&copy, secret_span(text), err);
	if (r == 0)
		r = (keyring ? store->read : store->read_plain)(&copy, document->name, &tree, err);
	if (r == 0 && keyring) {
		r = store->metadata_take(&tree, document->name, &metadata_tree, err);
		if (r == 0)
			r = error_set(err, VMCRED_FAILED, "%s: the metadata was removed",
				      document->name);
		if (r > 0)
			r = sops_metadata_read(&metadata_tree, document->name, &metadata, err);
		if (r == 0)
			r = edited_keys_wrap(document, &metadata.policy, keyring, err);
	}
	if (r == 0)
		r = tree_exchange(document, &tree, err);
	if (r < 0) {
		sops_metadata_destroy(&metadata);
		return r;
	}
	if (keyring) {
		sops_metadata_destroy(&document->metadata);
		document->metadata = metadata;
	}
	if (!sops_version_is_newer(SOPS_VERSION_WRITTEN, sops_document_version(document)))
		return 0;
	return sops_metadata_version_set(&document->metadata, SOPS_VERSION_WRITTEN, err);
}

int sops_document_each(const struct sops_document *document,
		       int (*each)(void *context, struct span key, struct span value,
				   struct error *err),
		       void *context, struct error *err)
{
	const struct sops_node *nodes = document->tree.nodes;
	char number[SOPS_NUMBER_SIZE_MAX];
	struct span text;
	int r = first_document_check(document, err);

	for (size_t i = SOPS_FIRST_DOCUMENT + 1; r == 0 && i < nodes[SOPS_FIRST_DOCUMENT].end;
	     i = nodes[i].end) {
		if (nodes[i].kind == SOPS_COMMENT)
			continue;
		if (nodes[i].kind == SOPS_MAP || nodes[i].kind == SOPS_LIST)
			return error_set(err, VMCRED_FAILED,
					 "%s: the value %.*s is a map or a list", document->name,
					 (int)nodes[i].key.size, (const char *)nodes[i].key.data);
		r = sops_flat_text(&nodes[i], number, &text, err);
		if (r == 0)
			r = each(context, nodes[i].key, text, err);
	}
	memory_wipe(number, sizeof(number));
	return r;
}

int sops_document_string(const struct sops_document *document, const char *keys, struct span *value,
			 struct error *err)
{
	const struct sops_tree *tree = &document->tree;
	size_t node = SOPS_FIRST_DOCUMENT, size = 0;

	if (document->state == SOPS_BROKEN)
		return sops_document_open_check(document, err);
	for (const char *at = keys;; at += size + 1) {
		if (node >= tree->count || tree->nodes[node].kind != SOPS_MAP)
			return error_set(err, VMCRED_FAILED, "%s: \"%.*s\" is not a map",
					 document->name, at == keys ? 0 : (int)(at - keys) - 1,
					 keys);
		size = strcspn(at, "/");
		node = sops_tree_child(tree, node, span_of(at, size));
		if (node == 0)
			return error_set(err, VMCRED_MISSING, "%s: missing key \"%.*s\"",
					 document->name, (int)(at + size - keys), keys);
		if (at[size] == '\0')
			break;
	}
	if (tree->nodes[node].kind != SOPS_STRING && tree->nodes[node].kind != SOPS_BYTES &&
	    tree->nodes[node].kind != SOPS_TIME)
		return error_set(err, VMCRED_FAILED, "%s: \"%s\" is not a string", document->name,
				 keys);
	*value = tree->nodes[node].text;
	return 0;
}

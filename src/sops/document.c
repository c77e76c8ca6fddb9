/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/document.h"

#include <stdlib.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "sops/number.h"

/* The one map under "sops" at the top. */
static int metadata_find(struct sops_document *document, struct error *err)
{
	const struct sops_tree *tree = &document->tree;
	struct span key = span_of_text(SOPS_METADATA_KEY);

	for (size_t i = 1; i < tree->count; i = tree->nodes[i].end) {
		if (!span_equal(tree->nodes[i].key, key))
			continue;
		if (document->metadata_node)
			return error_set(err, VMCRED_FAILED, "%s: the key sops stands in it twice",
					 document->name);
		document->metadata_node = i;
	}
	if (document->metadata_node == 0)
		return error_set(err, VMCRED_FAILED,
				 "%s is not a SOPS document: there is no key sops at its top",
				 document->name);
	if (tree->nodes[document->metadata_node].kind != SOPS_MAP)
		return error_set(err, VMCRED_FAILED, "%s: its field sops is not a map",
				 document->name);
	return 0;
}

int sops_document_parse(struct span text, const char *what, struct sops_document **document,
			struct error *err)
{
	_cleanup_sops_document_ struct sops_document *new = calloc(1, sizeof(*new));
	int r;

	if (!new)
		return error_no_memory(err);
	new->name = strdup(what);
	if (!new->name)
		return error_no_memory(err);
	r = secret_copy(&new->text, text, err);
	if (r == 0)
		r = sops_json_parse(&new->text, new->name, &new->tree, err);
	if (r == 0)
		r = metadata_find(new, err);
	if (r == 0)
		r = sops_metadata_parse(&new->tree, new->metadata_node, new->name, &new->metadata,
					err);
	if (r == 0)
		*document = pointer_release(&new);
	return r;
}

void sops_document_destroy(struct sops_document **document)
{
	if (!*document)
		return;
	free((*document)->name);
	secret_destroy(&(*document)->text);
	sops_tree_destroy(&(*document)->tree);
	sops_metadata_destroy(&(*document)->metadata);
	free(*document);
	*document = NULL;
}

size_t sops_document_recipient_count(const struct sops_document *document)
{
	return document->metadata.age_count;
}

struct span sops_document_recipient(const struct sops_document *document, size_t index)
{
	return document->metadata.age[index].recipient;
}

static int open_check(const struct sops_document *document, struct error *err)
{
	if (document->state == SOPS_OPEN)
		return 0;
	return error_set(err, VMCRED_FAILED, "%s: it is not decrypted", document->name);
}

int sops_document_value(const struct sops_document *document, const char *key, struct span *value,
			struct error *err)
{
	size_t index;
	const struct sops_node *node;
	int r = open_check(document, err);

	if (r < 0)
		return r;
	index = sops_tree_child(&document->tree, 0, span_of_text(key));
	if (index == 0 || index == document->metadata_node)
		return error_set(err, VMCRED_MISSING, "%s: there is no key %s in it",
				 document->name, key);
	node = &document->tree.nodes[index];
	if (node->kind != SOPS_STRING && node->kind != SOPS_BYTES)
		return error_set(err, VMCRED_FAILED, "%s: the value %s is not a string",
				 document->name, key);
	*value = node->text;
	return 0;
}

static int float_emit(struct sops_json_writer *writer, const struct sops_node *node,
		      struct error *err)
{
	char text[SOPS_NUMBER_SIZE_MAX];
	size_t size = sops_float_print(node->text, SOPS_NUMBER_JSON, text);
	int r = sops_json_literal(writer, node->key, span_of(text, size), err);

	memory_wipe(text, sizeof(text));
	return r;
}

/* Go prints bytes as Base64. */
static int bytes_emit(struct sops_json_writer *writer, const struct sops_node *node,
		      struct error *err)
{
	_cleanup_secret_ struct secret text = {0};
	int r = base64_encode_secret(node->text, BASE64_PADDED, &text, err);

	if (r == 0)
		r = sops_json_string(writer, node->key, secret_span(&text), err);
	return r;
}

static int value_emit(struct sops_json_writer *writer, const struct sops_node *node,
		      struct error *err)
{
	bool is_true;

	switch (node->kind) {
	case SOPS_MAP:
		return sops_json_open(writer, node->key, '{', err);
	case SOPS_LIST:
		return sops_json_open(writer, node->key, '[', err);
	case SOPS_STRING:
	case SOPS_TIME:
		return sops_json_string(writer, node->key, node->text, err);
	case SOPS_BYTES:
		return bytes_emit(writer, node, err);
	case SOPS_INT:
		return sops_json_literal(writer, node->key, node->text, err);
	case SOPS_FLOAT:
		return float_emit(writer, node, err);
	case SOPS_BOOL:
		is_true = span_equal(node->text, span_of_text("True"));
		return sops_json_literal(writer, node->key,
					 span_of_text(is_true ? "true" : "false"), err);
	case SOPS_NULL:
		break;
	}
	return sops_json_literal(writer, node->key, span_of_text("null"), err);
}

int sops_document_emit(const struct sops_document *document, struct secret *out, struct error *err)
{
	const struct sops_tree *tree = &document->tree;
	struct sops_json_writer writer = {.out = out};
	size_t open = 0;
	int r = open_check(document, err);

	if (r == 0)
		r = value_emit(&writer, &tree->nodes[0], err);
	for (size_t i = 1; r == 0 && i <= tree->count; i++) {
		/* Close what ends before this node. */
		while (r == 0 && writer.depth > 0 && tree->nodes[open].end <= i) {
			r = sops_json_close(&writer, tree->nodes[open].kind == SOPS_MAP ? '}' : ']',
					    err);
			open = tree->nodes[open].parent;
		}
		if (r < 0 || i == tree->count)
			break;
		if (i == document->metadata_node) {
			i = tree->nodes[i].end - 1;
			continue;
		}
		r = value_emit(&writer, &tree->nodes[i], err);
		if (tree->nodes[i].kind == SOPS_MAP || tree->nodes[i].kind == SOPS_LIST)
			open = i;
	}
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Edits of a document: each line has a path and, after a tab, the JSON value to set there; without
 * a value the path is removed. The tree must stay valid, and reading what was written must give the
 * same tree.
 */
#include <stdlib.h>

#include "sops/document.h"
#include "sops/stores/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void tree_check(const struct sops_tree *tree)
{
	for (size_t i = 1; i < tree->count; i++) {
		const struct sops_node *node = &tree->nodes[i],
				       *parent = &tree->nodes[node->parent];

		if (node->parent >= i || node->end <= i || node->end > parent->end ||
		    node->removed || (parent->kind != SOPS_MAP && parent->kind != SOPS_LIST) ||
		    (node->parent > 0 && (parent->kind == SOPS_MAP) != (node->key.data != NULL)))
			abort();
	}
	if (tree->nodes[0].end != tree->count)
		abort();
}

static void document_write(struct sops_document *document, struct secret *out)
{
	_cleanup_error_ struct error err = {0};

	if (sops_document_write(document, &sops_store_json, NULL, out, &err) < 0)
		abort();
}

static void line_apply(struct sops_document *document, char *line)
{
	_cleanup_error_ struct error err = {0};
	_cleanup_secret_ struct secret value = {0};
	char *tab = strchr(line, '\t');
	bool changed;

	if (!tab) {
		(void)sops_document_unset(document, line, &err);
	} else {
		*tab = '\0';
		if (secret_copy(&value, span_of_text(tab + 1), &err) < 0)
			abort();
		(void)sops_document_set(document, line, &value, &changed, &err);
	}
	tree_check(&document->tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char plain[] = "{\"a\":1,\"b\":[\"x\",{\"c\":null},[]],\"d\":{\"e\":0.5}}";
	_cleanup_sops_document_ struct sops_document *document = NULL, *again = NULL;
	_cleanup_secret_ struct secret text = {0}, out = {0}, copy = {0}, second = {0};
	_cleanup_error_ struct error err = {0};
	char *input = strndup((const char *)data, size), *rest = NULL;

	if (!input || secret_copy(&text, span_of_text(plain), &err) < 0 ||
	    sops_document_read_plain(&sops_store_json, &text, "fuzz", &document, &err) < 0)
		abort();
	for (char *line = strtok_r(input, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		line_apply(document, line);
	free(input);
	document_write(document, &out);
	if (secret_copy(&copy, secret_span(&out), &err) < 0)
		abort();
	if (sops_document_read_plain(&sops_store_json, &copy, "again", &again, &err) < 0)
		abort();
	document_write(again, &second);
	if (!span_equal(secret_span(&out), secret_span(&second)))
		abort();
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/document.h"

#include <stdlib.h>

#include "base/cleanup.h"

int sops_document_parse(struct span text, const char *what, struct sops_document **document,
			struct error *err)
{
	_cleanup_sops_document_ struct sops_document *new = calloc(1, sizeof(*new));
	_cleanup_secret_ struct secret copy = {0};
	int r;

	if (!new)
		return error_no_memory(err);
	new->name = strdup(what);
	if (!new->name)
		return error_no_memory(err);
	r = secret_copy(&copy, text, err);
	if (r == 0)
		r = sops_store_json.read(&copy, new->name, &new->tree, err);
	if (r == 0)
		r = sops_store_json.metadata_take(&new->tree, new->name, &new->metadata_tree, err);
	if (r == 0)
		r = error_set(err, VMCRED_FAILED,
			      "%s is not a SOPS document: there is no key sops at its top",
			      new->name);
	if (r > 0)
		r = sops_metadata_parse(&new->metadata_tree, 0, new->name, &new->metadata, err);
	if (r == 0)
		*document = pointer_release(&new);
	return r;
}

void sops_document_destroy(struct sops_document **document)
{
	if (!*document)
		return;
	free((*document)->name);
	sops_tree_destroy(&(*document)->tree);
	sops_tree_destroy(&(*document)->metadata_tree);
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
	index = sops_tree_child(&document->tree, SOPS_FIRST_DOCUMENT, span_of_text(key));
	if (index == 0)
		return error_set(err, VMCRED_MISSING, "%s: there is no key %s in it",
				 document->name, key);
	node = &document->tree.nodes[index];
	if (node->kind != SOPS_STRING && node->kind != SOPS_BYTES)
		return error_set(err, VMCRED_FAILED, "%s: the value %s is not a string",
				 document->name, key);
	*value = node->text;
	return 0;
}

int sops_document_emit(const struct sops_document *document, struct secret *out, struct error *err)
{
	int r = open_check(document, err);

	return r < 0 ? r : sops_store_json.write(&document->tree, NULL, NULL, out, err);
}

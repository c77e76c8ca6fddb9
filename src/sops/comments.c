/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Comments in encrypted text. The ciphertext of a comment has the path of the map or list in which
 * it is found. YAML's reader may find it in another one than it was in, or not at all, because a
 * comment belongs to what is around it: one at the end of an inner map may belong to the outer one,
 * and one in an empty map is lost. sops cannot decrypt such comments, or loses them.
 *
 * So what was written is read again. If a comment is lost, comments in such places are moved. Those
 * that are found elsewhere are encrypted with the path that they have there.
 */
#include "base/cleanup.h"
#include "sops/document.h"
#include "sops/walk.h"

/* The document, and the tree that its text is read as. */
struct settling {
	struct sops_walk document, read;
	size_t next; /* the document's node after the last comment that was found */
};

static void settling_end(struct settling *settling)
{
	sops_walk_destroy(&settling->document);
	sops_walk_destroy(&settling->read);
}

static bool is_sealed(const struct sops_node *node)
{
	return node->kind == SOPS_COMMENT && span_starts_with(node->text, span_of_text("ENC["));
}

static bool has_sealed(const struct sops_tree *tree)
{
	size_t i = 0;

	while (i < tree->count && !is_sealed(&tree->nodes[i]))
		i++;
	return i < tree->count;
}

/* Decrypts a comment's text into another place. Returns 1, or 0 if it cannot be decrypted. */
static int comment_open(struct settling *settling, struct sops_node *node, struct span path,
			struct span *plaintext, struct error *err)
{
	_cleanup_error_ struct error ignored = {0};
	struct sops_sealed sealed;
	size_t size = 0;
	struct span copy;
	int r = sops_tree_text(settling->document.tree, node->text, &copy, err);

	if (r < 0 || sops_sealed_parse(copy, &sealed, &ignored) < 0)
		return r;
	if (sops_cipher_open(&settling->document.cipher, &sealed, path, &size, &ignored) <= 0)
		return 0;
	*plaintext = span_of(sealed.data.data, size);
	return 1;
}

/* With another path, the nonce must be another one, too. */
static int comment_seal(struct settling *settling, struct sops_node *node, struct span plaintext,
			struct span path, struct error *err)
{
	struct span text = {0};
	int r = sops_walk_seal(&settling->read, plaintext, sops_kind_name(SOPS_COMMENT), path, NULL,
			       &text, err);

	return r < 0 ? r : sops_tree_text(settling->document.tree, text, &node->text, err);
}

/* The document's comment with this text, or 0. Most comments keep their order. */
static size_t comment_find(struct settling *settling, struct span text)
{
	const struct sops_tree *tree = settling->document.tree;

	for (size_t n = 0, i = settling->next; n < tree->count; n++, i++) {
		if (i >= tree->count)
			i = 0;
		if (tree->nodes[i].kind == SOPS_COMMENT && span_equal(tree->nodes[i].text, text)) {
			settling->next = i + 1;
			return i;
		}
	}
	return 0;
}

/* Encrypts the comment `from` of the document with the path of `to`, where it was found. */
static int comment_settle(struct settling *settling, size_t from, size_t to, struct error *err)
{
	struct sops_node *node = &settling->document.tree->nodes[from];
	struct span before, after = {0}, plaintext;
	int r = sops_walk_path(&settling->document, from, &before, err);

	if (r == 0)
		r = sops_walk_path(&settling->read, to, &after, err);
	if (r < 0 || span_equal(before, after))
		return r < 0 ? r : 0;
	r = comment_open(settling, node, before, &plaintext, err);
	if (r <= 0)
		return r < 0 ? r : 0;
	r = comment_seal(settling, node, plaintext, after, err);
	return r < 0 ? r : 1;
}

static int comments_settle(struct settling *settling, struct error *err)
{
	const struct sops_tree *read = settling->read.tree;
	int changed = 0;

	for (size_t i = 0; i < read->count; i++) {
		size_t from = is_sealed(&read->nodes[i])
				      ? comment_find(settling, read->nodes[i].text)
				      : 0;
		int r = from ? comment_settle(settling, from, i, err) : 0;

		if (r < 0)
			return r;
		changed |= r;
	}
	return changed;
}

int sops_document_comments_settle(struct sops_document *document, const struct sops_store *store,
				  struct span text, struct error *err)
{
	_cleanup_sops_tree_ struct sops_tree read = {0}, metadata = {0};
	__attribute__((cleanup(settling_end))) struct settling settling = {0};
	const struct sops_policy *policy = &document->metadata.policy;
	const struct span key = secret_span(&document->data_key);
	_cleanup_secret_ struct secret copy = {0};
	int r;

	if (store != &sops_store_yaml || key.size == 0 || !has_sealed(&document->tree))
		return 0;
	r = secret_copy(&copy, text, err);
	if (r == 0)
		r = store->read(&copy, document->name, &read, err);
	if (r == 0)
		r = store->metadata_take(&read, document->name, &metadata, err);
	if (r >= 0)
		r = sops_walk_begin(&settling.document, &document->tree, document->name, policy,
				    key, SOPS_DECRYPT, false, err);
	if (r == 0)
		r = sops_walk_begin(&settling.read, &read, document->name, policy, key,
				    SOPS_ENCRYPT, false, err);
	if (r < 0)
		return r;
	return comments_settle(&settling, err);
}

void sops_document_comments_report(const struct sops_document *document,
				   const struct report *report)
{
	_cleanup_free_ char *first = NULL;

	if (document->comments_kept == 0)
		return;
	first = sops_tree_describe(&document->tree, document->comment_kept);
	report_message(report, REPORT_WARNING,
		       "%s: comments that were changed or moved stay encrypted (%zu, the first is "
		       "%s)",
		       document->name, document->comments_kept, first ? first : "");
}

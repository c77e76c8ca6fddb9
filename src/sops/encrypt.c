/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encrypts the values that the rule selects and computes a new MAC. A value that the document had
 * before at the same path keeps its nonce, and so its ciphertext: a file under version control
 * changes only where its values changed.
 */
#include "sops/document.h"
#include "sops/reuse.h"
#include "sops/walk.h"

/* Writes an ENC[…] text into the tree's memory. */
static int text_seal(struct sops_walk *walk, struct span plaintext, const char *type,
		     struct span additional, const uint8_t *nonce, struct span *text,
		     struct error *err)
{
	size_t size = sops_sealed_size(plaintext.size, type);
	uint8_t *room = NULL;
	int r = sops_tree_text_reserve(walk->tree, size, &room, err);

	if (r == 0)
		r = sops_cipher_seal(&walk->cipher, plaintext, type, additional, nonce, room, err);
	*text = span_of(room, size);
	return r;
}

static int value_encrypt(struct sops_walk *walk, size_t index, struct sops_reuse *reuse,
			 struct error *err)
{
	struct sops_node *node = &walk->tree->nodes[index];
	struct span bytes = sops_walk_bytes(walk, node), path = {0}, text;
	int r;

	if (bytes.size == 0)
		return 0;
	r = sops_walk_path(walk, index, &path, err);
	if (r == 0 && reuse && !node->nonce)
		r = sops_reuse_find(reuse, walk->tree, index, &node->nonce, err);
	if (r == 0)
		r = text_seal(walk, bytes, sops_kind_name(node->kind), path,
			      reuse ? node->nonce : NULL, &text, err);
	if (r == 0 && node->kind == SOPS_COMMENT &&
	    sops_rule_is_ambiguous(&walk->rule, text, err) != 0)
		return sops_walk_invalid(
			walk, index, VMCRED_FAILED,
			"cannot be encrypted: unencrypted_comment_regex matches its ciphertext",
			err);
	if (r < 0)
		return sops_walk_wrap(walk, index, err);
	node->text = text;
	node->nonce = NULL;
	if (node->kind != SOPS_COMMENT)
		node->kind = SOPS_STRING;
	return 0;
}

static int values_encrypt(struct sops_walk *walk, struct sops_reuse *reuse, struct error *err)
{
	struct sops_tree *tree = walk->tree;
	int r = 0;

	for (size_t i = 0; r == 0 && i < tree->count; i++) {
		struct sops_node *node = &tree->nodes[i];

		r = sops_rule_decide(&walk->rule, tree, i, err);
		if (r < 0 || node->kind == SOPS_MAP || node->kind == SOPS_LIST ||
		    node->kind == SOPS_NULL)
			continue;
		r = sops_walk_mac_add(walk, node, err);
		if (r == 0 && node->encrypted)
			r = value_encrypt(walk, i, reuse, err);
	}
	return r;
}

/* Encrypts the MAC with the current time as additional data. */
static int mac_seal(struct sops_walk *walk, struct sops_metadata *metadata, struct error *err)
{
	uint8_t mac[SOPS_MAC_TEXT_SIZE];
	int r = sops_timestamp_now(metadata->last_modified, err);

	if (r == 0)
		r = sops_mac_finish(&walk->mac, mac, err);
	if (r == 0)
		r = text_seal(walk, span_of(mac, sizeof(mac)), "str",
			      span_of_text(metadata->last_modified), NULL, &metadata->mac, err);
	memory_wipe(mac, sizeof(mac));
	return r;
}

int sops_document_seal(struct sops_document *document, bool reuse_nonces, bool strict,
		       struct error *err)
{
	_cleanup_sops_walk_ struct sops_walk walk = {0};
	_cleanup_sops_reuse_ struct sops_reuse reuse = {.before = &document->before};
	int r = sops_walk_begin(&walk, &document->tree, document->name, &document->metadata.policy,
				secret_span(&document->data_key), SOPS_ENCRYPT, strict, err);

	document->failure = SOPS_FAILED_VALUE;
	if (r == 0)
		r = values_encrypt(&walk, reuse_nonces ? &reuse : NULL, err);
	if (r == 0)
		r = mac_seal(&walk, &document->metadata, err);
	document->state = r < 0 ? SOPS_BROKEN : SOPS_SEALED;
	if (r < 0)
		sops_document_break(document);
	return r;
}

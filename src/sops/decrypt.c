/* SPDX-License-Identifier: Apache-2.0 */
/* Decrypts the values that the rule selects, in place, adds each value to the MAC and verifies it
 * at the end. */
#include "sops/document.h"
#include "sops/tree/number.h"
#include "sops/walk.h"

/* Sets the kind of a decrypted text. Rejects what sops would not have written. */
static int value_type(struct sops_node *node, enum sops_kind kind)
{
	/* sops turns an encrypted comment in a list into an item. It omits the item from the MAC
	 * when it encrypts, but not when it decrypts, so it cannot decrypt its own document. */
	if (kind == SOPS_COMMENT && node->key.data)
		return -1;
	node->kind = kind;
	switch (kind) {
	case SOPS_BOOL:
		return sops_bool_read(node->text, &node->text);
	case SOPS_INT:
		return sops_int_read(node->text, &node->text);
	case SOPS_FLOAT:
		return sops_float_check(node->text);
	case SOPS_TIME:
		return sops_time_check(node->text);
	case SOPS_STRING:
	case SOPS_BYTES:
	case SOPS_COMMENT:
		return 0;
	case SOPS_MAP:
	case SOPS_LIST:
	case SOPS_NULL:
		break;
	}
	return -1;
}

/* Returns 1, or 0 if the tag does not match. */
static int value_open(struct sops_walk *walk, size_t index, enum sops_kind *kind, struct error *err)
{
	struct sops_node *node = &walk->tree->nodes[index];
	struct sops_sealed sealed;
	struct span path;
	size_t size = 0;
	int r = sops_sealed_parse(node->text, &sealed, err);

	if (r == 0 && sops_kind_named(sealed.type, kind) < 0)
		r = error_set(err, VMCRED_FAILED, "unsupported type");
	if (r == 0)
		r = sops_walk_path(walk, index, &path, err);
	if (r == 0)
		r = sops_cipher_open(&walk->cipher, &sealed, path, &size, err);
	if (r > 0) {
		node->text = span_of(sealed.data.data, size);
		node->nonce = sealed.nonce_text;
	}
	return r;
}

static bool is_sealed(const struct sops_node *node)
{
	return span_starts_with(node->text, span_of_text("ENC["));
}

/* The MAC does not cover comments. As in sops, one that does not decrypt, because it was changed,
 * moved or never encrypted, stays as it is. */
static int comment_decrypt(struct sops_walk *walk, size_t index, struct error *err)
{
	struct sops_node *node = &walk->tree->nodes[index];
	struct span ciphertext = node->text;
	_cleanup_error_ struct error ignored = {0};
	enum sops_kind kind;

	if (!is_sealed(node))
		return 0;
	/* Decryption in place destroys the ciphertext, also on failure. */
	if (sops_tree_text(walk->tree, ciphertext, &node->text, err) < 0)
		return -(int)err->code;
	if (value_open(walk, index, &kind, &ignored) <= 0) {
		node->text = ciphertext;
		if (node->encrypted && walk->comments_kept++ == 0)
			walk->comment_kept = index;
		return 0;
	}
	/* sops forgets that it followed a value on its line. */
	if (kind == SOPS_COMMENT)
		node->inline_comment = false;
	return 0;
}

static int value_decrypt(struct sops_walk *walk, size_t index, struct error *err)
{
	struct sops_node *node = &walk->tree->nodes[index];
	enum sops_kind kind = SOPS_STRING;
	struct span plaintext;
	int r;

	if (node->kind == SOPS_COMMENT)
		return comment_decrypt(walk, index, err);
	/* sops encrypts an empty string to an empty string. */
	if (node->kind == SOPS_STRING && node->text.size == 0)
		return 0;
	if (node->kind != SOPS_STRING || !is_sealed(node))
		return sops_walk_invalid(walk, index, VMCRED_INTEGRITY,
					 "is not encrypted, but the document's rule requires it",
					 err);
	r = value_open(walk, index, &kind, err);
	if (r < 0)
		return sops_walk_wrap(walk, index, err);
	if (r == 0)
		return sops_walk_invalid(walk, index, VMCRED_INTEGRITY,
					 "was modified or moved (authentication tag mismatch)",
					 err);
	plaintext = node->text;
	if (value_type(node, kind) < 0)
		return sops_walk_invalid(walk, index, VMCRED_FAILED,
					 "does not have its declared type", err);
	/* A value that would be encrypted as other bytes must not reuse the nonce. */
	if (!span_equal(sops_walk_bytes(walk, node), plaintext))
		node->nonce = NULL;
	return 0;
}

static int values_decrypt(struct sops_walk *walk, struct error *err)
{
	struct sops_tree *tree = walk->tree;
	int r = 0;

	for (size_t i = 0; r == 0 && i < tree->count; i++) {
		struct sops_node *node = &tree->nodes[i];

		r = sops_rule_decide(&walk->rule, tree, i, err);
		if (node->kind == SOPS_MAP || node->kind == SOPS_LIST || node->kind == SOPS_NULL)
			continue;
		/* A comment may have moved to where nothing is encrypted. One that may select
		 * values stays as it is then, or it would select others the next time. */
		if (r == 0 && (node->encrypted || (node->kind == SOPS_COMMENT &&
						   !sops_rule_is_by_comment(walk->rule.rule))))
			r = value_decrypt(walk, i, err);
		if (r == 0)
			r = sops_walk_mac_add(walk, node, err);
	}
	return r;
}

static int mac_invalid(const struct sops_document *document, const char *reason, struct error *err)
{
	return error_set(err, VMCRED_INTEGRITY, "%s: the MAC %s", document->name, reason);
}

/* The metadata keeps the encrypted MAC. */
static int mac_open(struct sops_document *document, struct sops_walk *walk, struct span *mac,
		    struct error *err)
{
	struct span last_modified = span_of_text(document->metadata.last_modified);
	struct span copy = {0};
	struct sops_sealed sealed = {0};
	size_t size = 0;
	int r = sops_tree_text(&document->tree, document->metadata.mac, &copy, err);

	if (r == 0)
		r = sops_sealed_parse(copy, &sealed, err);
	if (r == 0)
		r = sops_cipher_open(&walk->cipher, &sealed, last_modified, &size, err);
	if (r < 0)
		return error_wrap(err, "%s: the MAC", document->name);
	if (r == 0)
		return mac_invalid(document,
				   "or its time was modified (authentication tag mismatch)", err);
	*mac = span_of(sealed.data.data, size);
	return 0;
}

static int mac_verify(struct sops_document *document, struct sops_walk *walk, struct error *err)
{
	uint8_t computed[SOPS_MAC_TEXT_SIZE];
	struct span mac = {0};
	int r;

	if (document->metadata.mac.size == 0)
		return mac_invalid(document, "is missing", err);
	r = mac_open(document, walk, &mac, err);
	if (r == 0)
		r = sops_mac_finish(&walk->mac, computed, err);
	if (r == 0 && !secret_equal(span_of(computed, sizeof(computed)), mac))
		r = mac_invalid(document,
				"does not match: values were added, removed, changed or reordered",
				err);
	memory_wipe(computed, sizeof(computed));
	return r;
}

static int tree_decrypt(struct sops_document *document, unsigned int flags, struct error *err)
{
	_cleanup_sops_walk_ struct sops_walk walk = {0};
	int r = sops_walk_begin(&walk, &document->tree, document->name, &document->metadata.policy,
				secret_span(&document->data_key), SOPS_DECRYPT, false, err);

	document->failure = SOPS_FAILED_VALUE;
	if (r == 0)
		r = values_decrypt(&walk, err);
	document->comments_kept = walk.comments_kept;
	document->comment_kept = walk.comment_kept;
	if (r < 0)
		return r;
	document->failure = SOPS_FAILED_MAC;
	return flags & SOPS_IGNORE_MAC ? 0 : mac_verify(document, &walk, err);
}

int sops_document_text_check(struct sops_document *document, const struct sops_store *store,
			     struct span text, struct error *err)
{
	/* YAML's reader may find a comment elsewhere than it was. */
	const bool select = store == &sops_store_yaml &&
			    sops_rule_is_by_comment(document->metadata.policy.rule);
	_cleanup_sops_tree_ struct sops_tree read = {0}, metadata = {0};
	_cleanup_sops_walk_ struct sops_walk walk = {0};
	_cleanup_secret_ struct secret copy = {0};
	_cleanup_error_ struct error problem = {0};
	int r;

	/* The others can represent every tree. */
	if (!document->resealed ||
	    (store != &sops_store_dotenv && store != &sops_store_ini && !select))
		return 0;
	r = secret_copy(&copy, text, err);
	if (r == 0)
		r = sops_walk_begin(&walk, &read, document->name, &document->metadata.policy,
				    secret_span(&document->data_key), SOPS_DECRYPT, false, err);
	if (r < 0)
		return r;
	r = store->read(&copy, document->name, &read, &problem);
	if (r == 0)
		r = store->metadata_take(&read, document->name, &metadata, &problem);
	if (r > 0)
		r = values_decrypt(&walk, &problem);
	if (r == 0)
		r = mac_verify(document, &walk, &problem);
	if (r == 0)
		return 0;
	error_set(err, VMCRED_FAILED, "writing as %s: a %s (%s)", store->name,
		  select ? "comment would move, and the rule would then select other values"
			 : "key or value would be read as another one",
		  problem.text);
	return select ? error_hint(err, "write the comment after its value, on the same line")
		      : -VMCRED_FAILED;
}

int sops_document_decrypt(struct sops_document *document, const struct sops_keyring *keyring,
			  unsigned int flags, struct error *err)
{
	int r = 0;

	document->failure = SOPS_FAILED_OTHERWISE;
	if (document->state == SOPS_OPEN)
		return 0;
	if (document->state == SOPS_BROKEN)
		return error_set(err, VMCRED_FAILED, "%s: decryption failed before",
				 document->name);
	document->failure = SOPS_FAILED_KEY;
	if (document->data_key.size == 0)
		r = sops_data_key_unwrap(&document->metadata.policy, keyring, document->name,
					 &document->data_key, err);
	if (r < 0)
		return r;
	r = tree_decrypt(document, flags, err);
	document->state = r < 0 ? SOPS_BROKEN : SOPS_OPEN;
	/* Values decrypted before the failure must not be readable. */
	if (r < 0)
		sops_document_break(document);
	return r;
}

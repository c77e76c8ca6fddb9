/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encrypts the values that the rule selects and computes a new MAC. A value that the document had
 * before at the same path keeps its nonce, and so its ciphertext: a file under version control
 * changes only where its values changed.
 */
#include <stdlib.h>

#include "sops/document.h"
#include "sops/walk.h"

/*
 * The nonces of the values before a document was edited. A nonce may be reused only for the same
 * value at the same path: with any other, AES-GCM would be broken. So matches are compared byte for
 * byte.
 */
struct reuse {
	const struct sops_tree *before; /* decrypted; may be empty */
	size_t *slots;                  /* owned; indexes of nodes, 0: free */
	size_t slot_count;
};

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
static size_t *slot_find(const struct reuse *reuse, const struct sops_tree *tree, size_t node)
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

static int slots_fill(struct reuse *reuse, struct error *err)
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

/* The nonce of the last value that had this path, kind and text, or NULL. */
static int nonce_find(struct reuse *reuse, const struct sops_tree *tree, size_t node,
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

static void reuse_destroy(struct reuse *reuse)
{
	free(reuse->slots);
}

static int value_encrypt(struct sops_walk *walk, size_t index, struct reuse *reuse,
			 struct error *err)
{
	struct sops_node *node = &walk->tree->nodes[index];
	struct span bytes = sops_walk_bytes(walk, node), path = {0}, text;
	int r;

	if (bytes.size == 0)
		return 0;
	r = sops_walk_path(walk, index, &path, err);
	if (r == 0 && reuse && !node->nonce)
		r = nonce_find(reuse, walk->tree, index, &node->nonce, err);
	if (r == 0)
		r = sops_walk_seal(walk, bytes, sops_kind_name(node->kind), path,
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
	/* sops makes it an item of the list, which it decrypts to a comment on a line of its own.
	 */
	else if (walk->tree->nodes[node->parent].kind == SOPS_LIST)
		node->inline_comment = false;
	return 0;
}

/* A comment that decryption kept. */
static bool is_kept(const struct sops_node *node)
{
	_cleanup_error_ struct error ignored = {0};
	struct sops_sealed sealed;

	return node->kind == SOPS_COMMENT && !node->nonce &&
	       sops_sealed_parse(node->text, &sealed, &ignored) == 0;
}

/* `again`: the document was encrypted before. */
static int values_encrypt(struct sops_walk *walk, struct reuse *reuse, bool again,
			  struct error *err)
{
	const bool moves = !sops_rule_is_by_comment(walk->rule.rule);
	struct sops_tree *tree = walk->tree;
	int r = 0;

	for (size_t i = 0; r == 0 && i < tree->count; i++) {
		struct sops_node *node = &tree->nodes[i];

		r = sops_rule_decide(&walk->rule, tree, i, err);
		if (r < 0 || node->kind == SOPS_MAP || node->kind == SOPS_LIST ||
		    node->kind == SOPS_NULL)
			continue;
		r = sops_walk_mac_add(walk, node, err);
		/* An encrypted comment that moved to where nothing is encrypted stays encrypted. */
		if (r == 0 && moves && node->kind == SOPS_COMMENT && reuse && !node->nonce)
			r = nonce_find(reuse, tree, i, &node->nonce, err);
		if (r == 0 && moves && node->kind == SOPS_COMMENT && node->nonce)
			node->encrypted = true;
		if (r == 0 && node->encrypted && !(again && is_kept(node)))
			r = value_encrypt(walk, i, reuse, err);
	}
	return r;
}

/* Encrypts the MAC with the time as additional data. */
static int mac_seal(struct sops_walk *walk, struct sops_document *document, struct error *err)
{
	struct sops_metadata *metadata = &document->metadata;
	uint8_t mac[SOPS_MAC_TEXT_SIZE];
	int r = document->keeps_time ? 0 : sops_timestamp_now(metadata->last_modified, err);

	if (r == 0)
		r = sops_mac_finish(&walk->mac, mac, err);
	if (r == 0)
		r = sops_walk_seal(walk, span_of(mac, sizeof(mac)), "str",
				   span_of_text(metadata->last_modified), NULL, &metadata->mac,
				   err);
	memory_wipe(mac, sizeof(mac));
	return r;
}

int sops_document_seal(struct sops_document *document, bool reuse_nonces, bool strict,
		       struct error *err)
{
	_cleanup_sops_walk_ struct sops_walk walk = {0};
	__attribute__((cleanup(reuse_destroy))) struct reuse reuse = {.before = &document->before};
	int r = sops_walk_begin(&walk, &document->tree, document->name, &document->metadata.policy,
				secret_span(&document->data_key), SOPS_ENCRYPT, strict, err);

	document->failure = r < 0 ? SOPS_FAILED_OTHERWISE : SOPS_FAILED_VALUE;
	if (r == 0)
		r = values_encrypt(&walk, reuse_nonces ? &reuse : NULL, !strict, err);
	if (r == 0)
		r = mac_seal(&walk, document, err);
	document->state = r < 0 ? SOPS_BROKEN : SOPS_SEALED;
	document->resealed = true;
	if (r < 0)
		sops_document_break(document);
	return r;
}

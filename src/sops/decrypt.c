/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk over a document's values in their order: decrypt, in place, what the document's rule
 * says is encrypted, and add each value to the MAC, which is compared at the end.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "sops/cipher.h"
#include "sops/document.h"
#include "sops/number.h"

struct walk {
	struct sops_document *document;
	struct sops_cipher cipher;
	struct sops_mac mac;
};

static void walk_destroy(struct walk *walk)
{
	sops_cipher_destroy(&walk->cipher);
	sops_mac_destroy(&walk->mac);
}

/* Types as sops writes them behind "type:". */
static const struct {
	const char *name;
	enum sops_kind kind;
} types[] = {
	{"str", SOPS_STRING}, {"int", SOPS_INT},     {"float", SOPS_FLOAT},
	{"bool", SOPS_BOOL},  {"bytes", SOPS_BYTES}, {"time", SOPS_TIME},
};

static int value_invalid(const struct walk *walk, size_t index, enum vmcred_code code,
			 const char *reason, struct error *err)
{
	_cleanup_free_ char *path = sops_tree_describe(&walk->document->tree, index);

	if (!path)
		return error_no_memory(err);
	return error_set(err, code, "%s: the value %s %s", walk->document->name, path, reason);
}

static int value_wrap(const struct walk *walk, size_t index, struct error *err)
{
	_cleanup_free_ char *path = sops_tree_describe(&walk->document->tree, index);

	if (!path)
		return error_no_memory(err);
	return error_wrap(err, "%s: the value %s", walk->document->name, path);
}

static int kind_find(struct span type, enum sops_kind *kind, struct error *err)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (span_equal(type, span_of_text(types[i].name))) {
			*kind = types[i].kind;
			return 0;
		}
	}
	return error_set(err, VMCRED_FAILED, "its type is not supported");
}

/* Gives the decrypted text its kind; what sops would not have written is refused, never guessed. */
static int value_read(struct sops_node *node, enum sops_kind kind)
{
	enum sops_kind number_kind;

	node->kind = kind;
	if (kind == SOPS_BOOL)
		return span_equal(node->text, span_of_text("True")) ||
				       span_equal(node->text, span_of_text("False"))
			       ? 0
			       : -1;
	if (kind != SOPS_INT && kind != SOPS_FLOAT)
		return 0;
	if (sops_number_scan(node->text) != node->text.size ||
	    sops_number_read(node->text, &number_kind, &node->text) < 0)
		return -1;
	return kind == SOPS_INT && number_kind != SOPS_INT ? -1 : 0;
}

/* Returns 1, or 0 if the tag does not match. */
static int value_open(struct walk *walk, size_t index, enum sops_kind *kind, struct error *err)
{
	struct sops_node *node = &walk->document->tree.nodes[index];
	_cleanup_free_ char *path = NULL;
	struct sops_sealed sealed;
	size_t path_size, size = 0;
	int r = sops_sealed_parse(node->text, &sealed, err);

	if (r == 0)
		r = kind_find(sealed.type, kind, err);
	if (r == 0)
		r = sops_tree_path(&walk->document->tree, index, &path, &path_size, err);
	if (r == 0)
		r = sops_cipher_open(&walk->cipher, &sealed, span_of(path, path_size), &size, err);
	if (r > 0)
		node->text = span_of(sealed.data.data, size);
	return r;
}

static int value_decrypt(struct walk *walk, size_t index, struct error *err)
{
	struct sops_node *node = &walk->document->tree.nodes[index];
	enum sops_kind kind = SOPS_STRING;
	int r;

	/* sops encrypts an empty string to an empty string. */
	if (node->kind == SOPS_STRING && node->text.size == 0)
		return 0;
	if (node->kind != SOPS_STRING || !span_starts_with(node->text, span_of_text("ENC[")))
		return value_invalid(walk, index, VMCRED_INTEGRITY,
				     "is not encrypted, although the document's rule says so", err);
	r = value_open(walk, index, &kind, err);
	if (r < 0)
		return value_wrap(walk, index, err);
	if (r == 0)
		return value_invalid(walk, index, VMCRED_INTEGRITY,
				     "was changed or moved: its tag does not match", err);
	if (value_read(node, kind) < 0)
		return value_invalid(walk, index, VMCRED_FAILED,
				     "is not of the type that it is marked with", err);
	return 0;
}

static int mac_add(struct walk *walk, const struct sops_node *node, struct error *err)
{
	char plain[SOPS_NUMBER_SIZE_MAX];
	size_t size;
	int r;

	if (node->kind != SOPS_FLOAT)
		return sops_mac_add(&walk->mac, node->text, err);
	size = sops_float_print(node->text, SOPS_NUMBER_PLAIN, plain);
	r = sops_mac_add(&walk->mac, span_of(plain, size), err);
	memory_wipe(plain, sizeof(plain));
	return r;
}

static int values_decrypt(struct walk *walk, struct error *err)
{
	struct sops_document *document = walk->document;
	struct sops_tree *tree = &document->tree;
	int r = 0;

	tree->nodes[0].encrypted = sops_metadata_encrypts_root(&document->metadata);
	for (size_t i = 1; r == 0 && i < tree->count; i++) {
		struct sops_node *node = &tree->nodes[i];

		node->encrypted = sops_metadata_encrypts(
			&document->metadata, tree->nodes[node->parent].encrypted, node->key);
		if (node->kind == SOPS_MAP || node->kind == SOPS_LIST || node->kind == SOPS_NULL)
			continue;
		if (node->encrypted)
			r = value_decrypt(walk, i, err);
		if (r == 0 && (node->encrypted || !document->metadata.mac_only_encrypted))
			r = mac_add(walk, node, err);
	}
	return r;
}

static int mac_invalid(const struct sops_document *document, const char *reason, struct error *err)
{
	return error_set(err, VMCRED_INTEGRITY, "%s: its MAC %s", document->name, reason);
}

static int mac_verify(struct walk *walk, struct error *err)
{
	const struct sops_document *document = walk->document;
	struct span last_modified = span_of_text(document->metadata.last_modified);
	uint8_t computed[SOPS_MAC_TEXT_SIZE];
	struct sops_sealed sealed;
	size_t size = 0;
	int r;

	if (document->metadata.mac.size == 0)
		return mac_invalid(document, "is missing", err);
	r = sops_sealed_parse(document->metadata.mac, &sealed, err);
	if (r == 0)
		r = sops_cipher_open(&walk->cipher, &sealed, last_modified, &size, err);
	if (r < 0)
		return error_wrap(err, "%s: its MAC", document->name);
	if (r == 0)
		return mac_invalid(
			document, "or its time was changed: the MAC's own tag does not match", err);
	r = sops_mac_finish(&walk->mac, computed, err);
	if (r == 0 &&
	    !secret_equal(span_of(computed, sizeof(computed)), span_of(sealed.data.data, size)))
		r = mac_invalid(
			document,
			"does not match: a value was added, removed or changed, or their order",
			err);
	memory_wipe(computed, sizeof(computed));
	return r;
}

int sops_document_decrypt(struct sops_document *document, const struct sops_keyring *keyring,
			  unsigned int flags, struct error *err)
{
	__attribute__((cleanup(walk_destroy))) struct walk walk = {.document = document};
	_cleanup_secret_ struct secret data_key = {0};
	int r;

	if (document->state == SOPS_OPEN)
		return 0;
	if (document->state == SOPS_BROKEN)
		return error_set(err, VMCRED_FAILED, "%s: it could not be decrypted before",
				 document->name);
	r = sops_data_key_unwrap(document, keyring->identities, &data_key, err);
	if (r < 0)
		return r;
	r = sops_cipher_create(&walk.cipher, secret_span(&data_key), SOPS_DECRYPT, err);
	if (r == 0)
		r = sops_mac_create(&walk.mac, document->metadata.mac_only_encrypted, err);
	if (r == 0)
		r = values_decrypt(&walk, err);
	if (r == 0)
		r = flags & SOPS_IGNORE_MAC ? 0 : mac_verify(&walk, err);
	document->state = r < 0 ? SOPS_BROKEN : SOPS_OPEN;
	/* What was decrypted before the failure must not be found. */
	if (r < 0)
		sops_tree_destroy(&document->tree);
	return r;
}

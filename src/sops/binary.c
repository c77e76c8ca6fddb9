/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The binary store: a JSON document with the one key "data", whose value is the whole plaintext.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "sops/cipher.h"
#include "sops/document.h"
#include "sops/json.h"

/* The encrypted value and the encrypted MAC. */
static int value_seal(struct span plaintext, struct span data_key, const char *last_modified,
		      struct secret *value, struct secret *sealed_mac, struct error *err)
{
	_cleanup_sops_cipher_ struct sops_cipher cipher = {0};
	_cleanup_sops_mac_ struct sops_mac mac = {0};
	uint8_t mac_text[SOPS_MAC_TEXT_SIZE];
	int r = sops_cipher_create(&cipher, data_key, SOPS_ENCRYPT, err);

	/* sops encrypts an empty string to an empty string. */
	if (r == 0 && plaintext.size > 0)
		r = sops_cipher_seal(&cipher, plaintext, "str", span_of_text(SOPS_BINARY_KEY ":"),
				     value, err);
	if (r == 0)
		r = sops_mac_create(&mac, false, err);
	if (r == 0)
		r = sops_mac_add(&mac, plaintext, err);
	if (r == 0)
		r = sops_mac_finish(&mac, mac_text, err);
	if (r == 0)
		r = sops_cipher_seal(&cipher, span_of(mac_text, sizeof(mac_text)), "str",
				     span_of_text(last_modified), sealed_mac, err);
	memory_wipe(mac_text, sizeof(mac_text));
	return r;
}

/* The data key for each recipient; the texts go to `encs`, one behind the other. */
static int keys_wrap(struct span data_key, const struct age_recipients *recipients,
		     struct sops_metadata *metadata, struct secret *encs, struct error *err)
{
	_cleanup_free_ size_t *ends = calloc(recipients->count, sizeof(*ends));
	int r = 0;

	metadata->age = calloc(recipients->count, sizeof(*metadata->age));
	if (!metadata->age || !ends)
		return error_no_memory(err);
	for (size_t i = 0; r == 0 && i < recipients->count; i++) {
		r = sops_data_key_wrap(data_key, recipients, i, encs, err);
		ends[i] = encs->size;
	}
	/* Only now do the texts stay where they are. */
	for (size_t i = 0; r == 0 && i < recipients->count; i++) {
		size_t start = i > 0 ? ends[i - 1] : 0;

		metadata->age[i].recipient = span_of_text(age_recipient_text(recipients->items[i]));
		metadata->age[i].enc = span_of(encs->data + start, ends[i] - start);
		metadata->age_count++;
	}
	return r;
}

static int single_value_tree(struct span value, struct sops_tree *tree, struct error *err)
{
	struct sops_node node = {
		.kind = SOPS_STRING,
		.key = span_of_text(SOPS_BINARY_KEY),
		.text = value,
		.parent = SOPS_FIRST_DOCUMENT,
	};
	size_t index;
	int r = sops_tree_begin(tree, err);

	if (r == 0)
		r = sops_tree_add(tree, node, &index, err);
	if (r == 0)
		tree->nodes[0].end = tree->nodes[SOPS_FIRST_DOCUMENT].end = tree->count;
	return r;
}

static int document_write(struct span value, const struct sops_metadata *metadata,
			  struct secret *document, struct error *err)
{
	_cleanup_sops_tree_ struct sops_tree tree = {0}, metadata_tree = {0};
	int r = single_value_tree(value, &tree, err);

	if (r == 0)
		r = sops_metadata_tree(metadata, &metadata_tree, err);
	if (r == 0)
		r = sops_store_json.write(&tree, &metadata_tree, NULL, document, err);
	return r;
}

static void cleanup_metadata(struct sops_metadata *metadata)
{
	sops_metadata_destroy(metadata);
}

int sops_binary_encrypt(struct span plaintext, const struct age_recipients *recipients,
			struct secret *document, struct error *err)
{
	__attribute__((cleanup(cleanup_metadata))) struct sops_metadata metadata = {0};
	_cleanup_secret_ struct secret data_key = {0}, value = {0}, mac = {0}, encs = {0};
	int r;

	if (recipients->count == 0)
		return error_set(err, VMCRED_USAGE, "there is no recipient to encrypt to");
	r = secret_append_random(&data_key, SOPS_DATA_KEY_SIZE, err);
	if (r == 0)
		r = sops_timestamp_now(metadata.last_modified, err);
	if (r == 0)
		r = value_seal(plaintext, secret_span(&data_key), metadata.last_modified, &value,
			       &mac, err);
	if (r == 0)
		r = keys_wrap(secret_span(&data_key), recipients, &metadata, &encs, err);
	metadata.mac = secret_span(&mac);
	if (r == 0)
		r = document_write(secret_span(&value), &metadata, document, err);
	return r;
}

int sops_binary_decrypt(struct span document, const char *what,
			const struct age_identities *identities, struct secret *plaintext,
			struct error *err)
{
	const struct sops_keyring keyring = {.identities = identities};
	_cleanup_sops_document_ struct sops_document *parsed = NULL;
	struct span value = {0};
	int r = sops_document_parse(document, what, &parsed, err);

	if (r == 0)
		r = sops_document_decrypt(parsed, &keyring, 0, err);
	if (r == 0)
		r = sops_document_value(parsed, SOPS_BINARY_KEY, &value, err);
	return r < 0 ? r : secret_append(plaintext, value, err);
}

static int plain_read(struct secret *text, const char *what, struct sops_tree *tree,
		      struct error *err)
{
	int r = single_value_tree(secret_span(text), tree, err);

	(void)what;
	return r < 0 ? r : sops_tree_adopt(tree, text, err);
}

static bool never_has_metadata(const struct sops_tree *tree)
{
	(void)tree;
	return false;
}

static int plain_or_sealed_write(const struct sops_tree *tree, const struct sops_tree *metadata,
				 const struct sops_format *format, struct secret *out,
				 struct error *err)
{
	size_t node = 0;

	if (metadata)
		return sops_json_write(tree, metadata, format, out, err);
	if (tree->nodes[0].end > SOPS_FIRST_DOCUMENT &&
	    tree->nodes[SOPS_FIRST_DOCUMENT].end == tree->nodes[0].end)
		node = sops_tree_child(tree, SOPS_FIRST_DOCUMENT, span_of_text(SOPS_BINARY_KEY));
	if (node == 0 || tree->nodes[node].kind != SOPS_STRING)
		return error_set(err, VMCRED_FAILED,
				 "it holds something else than the one string " SOPS_BINARY_KEY
				 " of an encrypted binary file");
	return secret_append(out, tree->nodes[node].text, err);
}

static int no_value_write(const struct sops_tree *tree, size_t node,
			  const struct sops_format *format, struct secret *out, struct error *err)
{
	(void)tree, (void)node, (void)format, (void)out;
	return error_set(err, VMCRED_FAILED, "a binary file has no parts that could be extracted");
}

static const char *const suffixes[] = {NULL};

const struct sops_store sops_store_binary = {
	.name = "binary",
	.suffixes = suffixes,
	.single_value = true,
	.read = sops_json_read,
	.read_plain = plain_read,
	.has_metadata = never_has_metadata,
	.metadata_take = sops_metadata_take_nested,
	.write = plain_or_sealed_write,
	.write_value = no_value_write,
	.example = "This text is encrypted when the editor ends.",
};

/* SPDX-License-Identifier: Apache-2.0 */
/* The binary store: a JSON document with the key "data", whose value is the whole plaintext. A
 * secret of vmcred's store also has its name in it. */
#include "sops/document.h"
#include "sops/stores/json.h"

static int plain_read(struct secret *text, const char *what, struct sops_tree *tree,
		      struct error *err)
{
	struct sops_node node = {
		.kind = SOPS_STRING,
		.key = span_of_text(SOPS_BINARY_KEY),
		.text = secret_span(text),
		.parent = SOPS_FIRST_DOCUMENT,
	};
	size_t index;
	int r = sops_tree_begin(tree, err);

	(void)what;
	if (r == 0)
		r = sops_tree_add(tree, node, &index, err);
	if (r < 0)
		return r;
	tree->nodes[0].end = tree->nodes[SOPS_FIRST_DOCUMENT].end = tree->count;
	return sops_tree_adopt(tree, text, err);
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
				 "missing string \"" SOPS_BINARY_KEY "\" of a binary document");
	return secret_append(out, tree->nodes[node].text, err);
}

static const char *const suffixes[] = {NULL};

const struct sops_store sops_store_binary = {
	.name = "binary",
	.suffixes = suffixes,
	.single_value = true,
	.read = sops_json_read,
	.read_plain = plain_read,
	.has_metadata = sops_metadata_is_nested,
	.metadata_take = sops_metadata_take_nested,
	.write = plain_or_sealed_write,
	.example = "This text is encrypted when the editor ends.",
};

/* Adds the name to an open document. */
static int name_add(struct sops_document *document, const char *name, struct error *err)
{
	struct sops_tree *tree = &document->tree;
	struct sops_node node = {
		.kind = SOPS_STRING,
		.key = span_of_text(SOPS_NAME_KEY),
		.parent = SOPS_FIRST_DOCUMENT,
	};
	size_t index;
	int r = sops_tree_text(tree, span_of_text(name), &node.text, err);

	if (r == 0)
		r = sops_tree_add(tree, node, &index, err);
	if (r == 0)
		tree->nodes[0].end = tree->nodes[SOPS_FIRST_DOCUMENT].end = tree->count;
	return r;
}

int sops_binary_encrypt(struct span plaintext, const char *name, const struct sops_key_group *keys,
			const struct sops_keyring *keyring, struct secret *document,
			struct error *err)
{
	struct sops_key_group group = *keys;
	/* Borrowed: not destroyed. */
	const struct sops_policy policy = {.groups = &group, .group_count = 1};
	_cleanup_sops_document_ struct sops_document *made = NULL;
	_cleanup_secret_ struct secret text = {0};
	int r;

	if (keys->count == 0)
		return error_set(err, VMCRED_USAGE, "no recipients");
	r = secret_copy(&text, plaintext, err);
	if (r == 0)
		r = sops_document_read_plain(&sops_store_binary, &text, "the value", &made, err);
	if (r == 0 && name)
		r = name_add(made, name, err);
	if (r == 0)
		r = sops_document_encrypt(made, &policy, keyring, err);
	return r < 0 ? r : sops_document_write(made, &sops_store_binary, NULL, document, err);
}

bool sops_binary_has_name(const struct sops_document *document)
{
	return sops_tree_child(&document->tree, SOPS_FIRST_DOCUMENT, span_of_text(SOPS_NAME_KEY)) !=
	       0;
}

/*
 * The MAC covers values but not keys, and the rule, which says what is encrypted, is not
 * authenticated. So somebody without the data key could rename the known name's key to hide it: a
 * document with any other value is rejected.
 */
static int name_check(const struct sops_document *document, const char *name, struct error *err)
{
	const struct sops_tree *tree = &document->tree;
	size_t data = sops_tree_child(tree, SOPS_FIRST_DOCUMENT, span_of_text(SOPS_BINARY_KEY));
	size_t bound = sops_tree_child(tree, SOPS_FIRST_DOCUMENT, span_of_text(SOPS_NAME_KEY));

	for (size_t i = SOPS_FIRST_DOCUMENT + 1; i < tree->count; i++) {
		if (i != data && i != bound)
			return error_set(err, VMCRED_INTEGRITY,
					 "%s: only \"" SOPS_BINARY_KEY "\" and \"" SOPS_NAME_KEY
					 "\" are allowed in a secret of the store",
					 document->name);
	}
	if (bound == 0 || span_equal(tree->nodes[bound].text, span_of_text(name)))
		return 0;
	error_set(err, VMCRED_INTEGRITY, "%s: is the secret of another name: %.*s", document->name,
		  (int)tree->nodes[bound].text.size, (const char *)tree->nodes[bound].text.data);
	return error_hint(err, "restore the file, or store the value again with `vmcred set`");
}

int sops_binary_open(struct sops_document *document, const char *name,
		     const struct sops_keyring *keyring, struct span *value, struct error *err)
{
	int r = sops_document_decrypt(document, keyring, 0, err);

	if (r == 0 && name)
		r = name_check(document, name, err);
	return r < 0 ? r : sops_document_string(document, SOPS_BINARY_KEY, value, err);
}

int sops_binary_decrypt(struct span document, const char *what, const char *name,
			const struct sops_keyring *keyring, struct secret *plaintext,
			struct error *err)
{
	_cleanup_sops_document_ struct sops_document *read = NULL;
	_cleanup_secret_ struct secret text = {0};
	struct span value = {0};
	int r = secret_copy(&text, document, err);

	if (r == 0)
		r = sops_document_read(&sops_store_binary, &text, what, &read, err);
	if (r == 0)
		r = sops_binary_open(read, name, keyring, &value, err);
	return r < 0 ? r : secret_append(plaintext, value, err);
}

int sops_binary_bind(struct sops_document *document, const char *name,
		     const struct sops_keyring *keyring, struct error *err)
{
	int r = sops_document_decrypt(document, keyring, 0, err);

	if (r == 0)
		r = name_check(document, name, err);
	if (r == 0)
		r = sops_document_remember(document, err);
	if (r == 0 && !sops_binary_has_name(document))
		r = name_add(document, name, err);
	document->keeps_time = true; /* the value is the same */
	return r < 0 ? r : sops_document_reencrypt(document, err);
}

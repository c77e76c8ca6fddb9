/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/document.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "sops/cipher.h"

static int metadata_read(const struct sops_store *store, struct sops_document *document,
			 struct error *err)
{
	int r = store->metadata_take(&document->tree, document->name, &document->metadata_tree,
				     err);

	if (r == 0)
		return error_set(err, VMCRED_FAILED,
				 "%s is not a SOPS document: missing key \"sops\" at its top",
				 document->name);
	return r < 0 ? r
		     : sops_metadata_read(&document->metadata_tree, document->name,
					  &document->metadata, err);
}

static int document_read(const struct sops_store *store, struct secret *text, const char *what,
			 bool is_plain, struct sops_document **document, struct error *err)
{
	_cleanup_sops_document_ struct sops_document *new = calloc(1, sizeof(*new));
	_cleanup_secret_ struct secret taken = {0};
	int r;

	secret_move(&taken, text);
	if (new)
		new->name = strdup(what);
	if (!new || !new->name)
		return error_no_memory(err);
	if (is_plain) {
		new->state = SOPS_OPEN;
		r = store->read_plain(&taken, new->name, &new->tree, err);
	} else {
		r = store->read(&taken, new->name, &new->tree, err);
		if (r == 0)
			r = metadata_read(store, new, err);
	}
	if (r == 0)
		*document = pointer_release(&new);
	return r;
}

int sops_document_read(const struct sops_store *store, struct secret *text, const char *what,
		       struct sops_document **document, struct error *err)
{
	return document_read(store, text, what, false, document, err);
}

int sops_document_read_plain(const struct sops_store *store, struct secret *text, const char *what,
			     struct sops_document **document, struct error *err)
{
	return document_read(store, text, what, true, document, err);
}

int sops_document_is_encrypted(const struct sops_store *store, struct secret *text,
			       const char *what, struct error *err)
{
	_cleanup_sops_tree_ struct sops_tree tree = {0}, taken_metadata = {0};
	_cleanup_secret_ struct secret taken = {0};
	struct sops_metadata metadata = {0};
	int r;

	secret_move(&taken, text);
	r = store->read(&taken, what, &tree, err);
	if (r == 0)
		r = store->metadata_take(&tree, what, &taken_metadata, err);
	if (r <= 0)
		return r;
	r = sops_metadata_read(&taken_metadata, what, &metadata, err);
	if (r == 0)
		r = metadata.mac.size > 0 && metadata.version && *metadata.version;
	sops_metadata_destroy(&metadata);
	return r;
}

bool sops_document_has_metadata(const struct sops_document *document,
				const struct sops_store *store)
{
	return document->tree.count > 0 && store->has_metadata(&document->tree);
}

size_t sops_document_count(const struct sops_document *document)
{
	const struct sops_node *nodes = document->tree.nodes;
	size_t count = 0;

	for (size_t i = SOPS_FIRST_DOCUMENT; i < document->tree.count; i = nodes[i].end)
		count++;
	return count;
}

void sops_document_destroy(struct sops_document **document)
{
	if (!*document)
		return;
	free((*document)->name);
	sops_tree_destroy(&(*document)->before);
	sops_tree_destroy(&(*document)->metadata_tree);
	sops_tree_destroy(&(*document)->tree);
	sops_metadata_destroy(&(*document)->metadata);
	secret_destroy(&(*document)->data_key);
	free(*document);
	*document = NULL;
}

void sops_document_break(struct sops_document *document)
{
	document->state = SOPS_BROKEN;
	document->metadata.mac = (struct span){0};
	sops_tree_destroy(&document->before);
	sops_tree_destroy(&document->tree);
	secret_destroy(&document->data_key);
}

int sops_document_open_check(const struct sops_document *document, struct error *err)
{
	if (document->state == SOPS_OPEN)
		return 0;
	return error_set(err, VMCRED_FAILED, "%s: not decrypted", document->name);
}

const struct sops_policy *sops_document_policy(const struct sops_document *document)
{
	return &document->metadata.policy;
}

int64_t sops_document_modified(const struct sops_document *document)
{
	return sops_timestamp_seconds(document->metadata.last_modified);
}

const char *sops_document_version(const struct sops_document *document)
{
	return document->metadata.version ? document->metadata.version : "";
}

enum sops_failure sops_document_failure(const struct sops_document *document)
{
	return document->failure;
}

static int data_key_new(struct sops_document *document, struct error *err)
{
	secret_destroy(&document->data_key);
	return secret_append_random(&document->data_key, SOPS_DATA_KEY_SIZE, err);
}

int sops_document_encrypt(struct sops_document *document, const struct sops_policy *policy,
			  const struct sops_keyring *keyring, struct error *err)
{
	int r = sops_document_open_check(document, err);

	document->failure = SOPS_FAILED_KEY;
	if (r < 0)
		return r;
	sops_metadata_destroy(&document->metadata);
	r = sops_policy_copy(&document->metadata.policy, policy, err);
	if (r == 0)
		r = sops_metadata_version_set(&document->metadata, SOPS_VERSION_WRITTEN, err);
	if (r == 0)
		r = data_key_new(document, err);
	if (r == 0)
		r = sops_data_key_wrap(&document->metadata.policy, keyring, document->name,
				       secret_span(&document->data_key), false, err);
	return r < 0 ? r : sops_document_seal(document, false, true, err);
}

static int decrypted_check(const struct sops_document *document, struct error *err)
{
	int r = sops_document_open_check(document, err);

	if (r == 0 && document->data_key.size == 0)
		return error_set(err, VMCRED_FAILED, "%s: was not encrypted before",
				 document->name);
	return r;
}

int sops_document_reencrypt(struct sops_document *document, struct error *err)
{
	int r = decrypted_check(document, err);

	return r < 0 ? r : sops_document_seal(document, true, false, err);
}

static void group_remove(struct sops_key_group *group, const struct sops_key *key)
{
	size_t kept = 0;

	for (size_t i = 0; i < group->count; i++) {
		struct sops_key *other = &group->keys[i];

		if (strcmp(other->text, key->text) == 0) {
			sops_key_destroy(other);
			continue;
		}
		group->keys[kept++] = *other;
	}
	group->count = kept;
}

static int keys_change(struct sops_policy *policy, const struct sops_key_group *add,
		       const struct sops_key_group *remove, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && add && i < add->count; i++) {
		struct sops_key key;

		r = sops_key_copy(&key, &add->keys[i], err);
		if (r == 0)
			r = sops_key_group_take(&policy->groups[0], &key, err);
	}
	for (size_t i = 0; r == 0 && remove && i < remove->count; i++) {
		for (size_t j = 0; j < policy->group_count; j++)
			group_remove(&policy->groups[j], &remove->keys[i]);
	}
	return r;
}

int sops_document_rotate(struct sops_document *document, const struct sops_keyring *keyring,
			 const struct sops_key_group *add, const struct sops_key_group *remove,
			 struct error *err)
{
	int r = decrypted_check(document, err);

	document->failure = SOPS_FAILED_KEY;
	if (r == 0)
		r = keys_change(&document->metadata.policy, add, remove, err);
	if (r == 0)
		r = data_key_new(document, err);
	if (r == 0)
		r = sops_data_key_wrap(&document->metadata.policy, keyring, document->name,
				       secret_span(&document->data_key), false, err);
	return r < 0 ? r : sops_document_seal(document, false, false, err);
}

static int write_with_metadata(const struct sops_document *document, const struct sops_store *store,
			       const struct sops_format *format, struct secret *out,
			       struct error *err)
{
	_cleanup_sops_tree_ struct sops_tree metadata = {0};
	int r = 0;

	/* The others would write the first one only, and the MAC covers all. */
	if (store != &sops_store_yaml && sops_document_count(document) > 1)
		return error_set(
			err, VMCRED_FAILED,
			"writing as %s: %s has several documents, which only YAML can hold",
			store->name, document->name);
	if (store->has_metadata(&document->tree))
		return error_set(err, VMCRED_FAILED,
				 "%s: a key is reserved for the metadata of the format %s",
				 document->name, store->name);
	r = sops_metadata_tree(&document->metadata, &metadata, err);
	if (r == 0)
		r = store->write(&document->tree, &metadata, format, out, err);
	return r < 0 ? error_wrap(err, "writing %s as %s", document->name, store->name) : 0;
}

static int sealed_write(struct sops_document *document, const struct sops_store *store,
			const struct sops_format *format, struct secret *out, struct error *err)
{
	const size_t begin = out->size;
	int r = write_with_metadata(document, store, format, out, err);
	struct span text = span_of(out->data + begin, out->size - begin);

	if (r == 0)
		r = sops_document_text_check(document, store, text, err);
	if (r == 0)
		r = sops_document_comments_settle(document, store, text, err);
	if (r <= 0)
		return r;
	out->size = begin;
	return write_with_metadata(document, store, format, out, err);
}

int sops_document_write(struct sops_document *document, const struct sops_store *store,
			const struct sops_format *format, struct secret *out, struct error *err)
{
	int r;

	if (document->state == SOPS_SEALED)
		return sealed_write(document, store, format, out, err);
	r = sops_document_open_check(document, err);
	if (r < 0)
		return r;
	r = store->write(&document->tree, NULL, format, out, err);
	return r < 0 ? error_wrap(err, "writing %s as %s", document->name, store->name) : 0;
}

int sops_document_write_with_keys(const struct sops_document *document,
				  const struct sops_store *store, const struct sops_format *format,
				  struct secret *out, struct error *err)
{
	int r = sops_document_open_check(document, err);

	return r < 0 ? r : write_with_metadata(document, store, format, out, err);
}

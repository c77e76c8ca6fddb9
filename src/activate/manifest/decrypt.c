/* SPDX-License-Identifier: Apache-2.0 */
/* From documents to contents. Each document is decrypted once, several at a time. */
#include <fcntl.h>
#include <string.h>

#include "activate/manifest/model.h"
#include "base/file.h"
#include "base/pool.h"

#define DOCUMENT_SIZE_MAX ((size_t)256 * 1024 * 1024)

/* With fewer documents, starting threads takes more time than it saves. */
#define TOGETHER_MIN 4

struct work {
	struct manifest *manifest;
	const struct sops_keyring *keyring;
};

static int document_read(void *context, size_t index, struct error *err)
{
	const struct work *work = context;
	struct manifest_document *document = &work->manifest->documents[index];
	_cleanup_secret_ struct secret text = {0};
	int r = file_read_secret(AT_FDCWD, document->path, DOCUMENT_SIZE_MAX, &text, err);

	return r < 0 ? r
		     : sops_document_read(document->store, &text, document->path,
					  &document->document, err);
}

static int document_decrypt(void *context, size_t index, struct error *err)
{
	const struct work *work = context;

	return sops_document_decrypt(work->manifest->documents[index].document, work->keyring, 0,
				     err);
}

static int documents_each(struct manifest *manifest, const struct sops_keyring *keyring,
			  int (*each)(void *context, size_t index, struct error *err),
			  struct error *err)
{
	struct work work = {manifest, keyring};
	size_t failed = 0;
	int r = pool_try(manifest->document_count, TOGETHER_MIN, each, &work, &failed, err);

	if (r < 0 && failed < manifest->document_count)
		error_wrap(err, "secret %s", manifest->documents[failed].first);
	return r;
}

/* Whether the secret is one value of its document. Only YAML and JSON documents have keys; of the
 * others, and without a key, it is the whole document. */
static bool has_key(const struct manifest *manifest, const struct manifest_item *item)
{
	const struct sops_store *store = manifest->documents[item->document].store;

	return *item->key &&
	       (store == sops_store_named("yaml") || store == sops_store_named("json"));
}

int manifest_documents_read(struct manifest *manifest, struct error *err)
{
	int r = documents_each(manifest, NULL, document_read, err);

	for (size_t i = 0; r == 0 && i < manifest->secret_count; i++) {
		const struct manifest_item *item = &manifest->items[i];
		struct span ciphertext;

		if (has_key(manifest, item) &&
		    sops_document_string(manifest->documents[item->document].document, item->key,
					 &ciphertext, err) < 0)
			r = error_wrap(err, "secret %s", item->name);
	}
	return r;
}

static int secret_extract(const struct manifest *manifest, const struct manifest_item *item,
			  struct secret *content, struct error *err)
{
	const struct manifest_document *document = &manifest->documents[item->document];
	struct span value = {0};
	int r;

	if (has_key(manifest, item)) {
		r = sops_document_string(document->document, item->key, &value, err);
		if (r == 0)
			r = secret_append(content, value, err);
	} else {
		r = sops_document_write(document->document, document->store, NULL, content, err);
	}
	return r < 0 ? error_wrap(err, "secret %s", item->name) : 0;
}

/* The secret with the longest placeholder at the beginning of the text; secret_count: none.
 * Placeholders are public. */
static size_t placeholder_at(const struct manifest *manifest, struct span text)
{
	size_t found = manifest->secret_count, longest = 0;

	for (size_t i = 0; i < manifest->secret_count; i++) {
		struct span placeholder = span_of_text(manifest->items[i].placeholder);

		if (placeholder.size > longest && span_starts_with(text, placeholder)) {
			longest = placeholder.size;
			found = i;
		}
	}
	return found;
}

/* Replaces the placeholders in a template. Those in the values are not replaced. */
static int template_render(const struct manifest *manifest, const struct manifest_item *item,
			   const struct generation_file *files, struct secret *content,
			   struct error *err)
{
	const struct span text = secret_span(&item->text);
	bool begins[256] = {0}; /* whether a placeholder begins with this byte */
	size_t done = 0, at = 0;
	int r = 0;

	for (size_t i = 0; i < manifest->secret_count; i++)
		begins[(uint8_t)manifest->items[i].placeholder[0]] = true;
	while (r == 0 && at < text.size) {
		const size_t found =
			begins[text.data[at]]
				? placeholder_at(manifest, span_of(text.data + at, text.size - at))
				: manifest->secret_count;

		if (found == manifest->secret_count) {
			at++;
			continue;
		}
		r = secret_append(content, span_of(text.data + done, at - done), err);
		if (r == 0)
			r = secret_append(content, secret_span(&files[found].content), err);
		at += strlen(manifest->items[found].placeholder);
		done = at;
	}
	if (r == 0)
		r = secret_append(content, span_of(text.data + done, text.size - done), err);
	return r < 0 ? error_wrap(err, "template %s", item->name) : 0;
}

int manifest_decrypt(struct manifest *manifest, const struct manifest_keys *keys, const char *gpg,
		     const struct report *report, struct generation_file *files, struct error *err)
{
	/* If SSH keys are used as PGP keys, they are the only PGP keys, as for sops-nix. */
	const struct sops_keyring keyring = {
		.identities = &keys->all,
		.pgp_keys = &keys->pgp_keys,
		.gpg = json_array_size(manifest->ssh_keys) > 0 ? NULL : gpg,
	};
	int r = documents_each(manifest, &keyring, document_decrypt, err);

	for (size_t i = 0; r == 0 && i < manifest->document_count; i++)
		sops_document_comments_report(manifest->documents[i].document, report);
	for (size_t i = 0; r == 0 && i < manifest->item_count; i++) {
		if (i < manifest->secret_count)
			r = secret_extract(manifest, &manifest->items[i], &files[i].content, err);
		else
			r = template_render(manifest, &manifest->items[i], files, &files[i].content,
					    err);
	}
	return r;
}

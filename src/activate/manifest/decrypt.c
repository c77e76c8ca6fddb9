/* SPDX-License-Identifier: Apache-2.0 */
/* From documents to contents: each document is opened once, several at a time. */
#include <fcntl.h>
#include <string.h>

#include "activate/manifest/manifest.h"
#include "base/file.h"
#include "base/pool.h"

#define DOCUMENT_SIZE_MAX ((size_t)256 * 1024 * 1024)

/* Threads for fewer documents would cost more than they spare. */
#define TOGETHER_MIN 4

bool manifest_has_keys(const struct sops_store *store)
{
	return store == sops_store_named("yaml") || store == sops_store_named("json");
}

struct work {
	struct manifest *manifest;
	const struct sops_keyring *keyring; /* NULL: documents are only read */
};

static int document_do(void *context, size_t index, struct error *err)
{
	const struct work *work = context;
	struct manifest_document *document = &work->manifest->documents[index];
	_cleanup_secret_ struct secret text = {0};
	int r;

	if (work->keyring)
		return sops_document_decrypt(document->document, work->keyring, 0, err);
	if (document->document)
		return 0;
	r = file_read_secret(AT_FDCWD, document->path, DOCUMENT_SIZE_MAX, &text, err);
	return r < 0 ? r
		     : sops_document_read(document->store, &text, document->path,
					  &document->document, err);
}

static int documents_do(struct manifest *manifest, const struct sops_keyring *keyring,
			struct error *err)
{
	struct work work = {manifest, keyring};
	size_t failed = 0;
	int r = pool_try(manifest->document_count, TOGETHER_MIN, document_do, &work, &failed, err);

	if (r < 0 && failed < manifest->document_count)
		error_wrap(err, "secret %s", manifest->documents[failed].first);
	return r;
}

int manifest_documents_read(struct manifest *manifest, struct error *err)
{
	return documents_do(manifest, NULL, err);
}

static int secret_extract(const struct manifest *manifest, const struct manifest_item *item,
			  struct secret *content, struct error *err)
{
	const struct manifest_document *document = &manifest->documents[item->document];
	struct span value = {0};
	int r;

	if (!*item->key || !manifest_has_keys(document->store))
		r = sops_document_write(document->document, document->store, NULL, content, err);
	else
		r = sops_document_string(document->document, item->key, &value, err);
	if (r == 0 && *item->key && manifest_has_keys(document->store))
		r = secret_append(content, value, err);
	return r < 0 ? error_wrap(err, "secret %s", item->name) : 0;
}

/* The secret whose placeholder a text begins with: of several, the longest. Placeholders are
 * public. */
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

/* Whether some placeholder begins with the character. */
static void beginnings_find(const struct manifest *manifest, bool begins[256])
{
	memset(begins, 0, 256 * sizeof(bool));
	for (size_t i = 0; i < manifest->secret_count; i++)
		begins[(uint8_t)manifest->items[i].placeholder[0]] = true;
}

/* What a value holds is never taken for a placeholder itself. */
static int template_render(const struct manifest *manifest, const struct manifest_item *item,
			   const struct active_file *files, struct secret *content,
			   struct error *err)
{
	struct span text = secret_span(&item->text);
	bool begins[256];
	size_t done = 0;
	int r = 0;

	beginnings_find(manifest, begins);
	for (size_t at = 0; r == 0 && at < text.size;) {
		struct span rest = span_of(text.data + at, text.size - at);
		size_t found = begins[rest.data[0]] ? placeholder_at(manifest, rest)
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
		     struct active_file *files, struct error *err)
{
	bool has_ssh_pgp = json_array_size(json_object_get(manifest->root, "sshKeyPaths")) > 0;
	/* Where SSH keys are the PGP keys, they are the only ones, as for sops-nix. */
	const struct sops_keyring keyring = {
		.identities = &keys->all,
		.pgp_keys = &keys->pgp_keys,
		.gpg = has_ssh_pgp ? NULL : gpg,
	};
	int r = manifest_documents_read(manifest, err);

	if (r == 0)
		r = documents_do(manifest, &keyring, err);
	for (size_t i = 0; r == 0 && i < manifest->secret_count; i++)
		r = secret_extract(manifest, &manifest->items[i], &files[i].content, err);
	for (size_t i = 0; r == 0 && i < manifest->template_count; i++) {
		size_t index = manifest->secret_count + i;

		r = template_render(manifest, &manifest->items[index], files, &files[index].content,
				    err);
	}
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A manifest as a whole, and what its members must have in common. */
#include <grp.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "activate/manifest/manifest.h"
#include "base/cleanup.h"
#include "base/file.h"

#define MANIFEST_SIZE_MAX ((size_t)64 * 1024 * 1024)

/* sops-nix's formats; one that is not named is YAML. */
static const struct sops_store *store_find(const json_t *object, const char *secret,
					   struct error *err)
{
	const struct sops_store *store;
	const char *format = NULL;

	if (manifest_text(object, "format", "", &format, err) < 0)
		return NULL;
	store = sops_store_named(*format ? format : "yaml");
	if (!store)
		error_set(err, VMCRED_FAILED,
			  "secret %s: there is no format \"%s\": it is yaml, json, dotenv, ini or "
			  "binary",
			  secret, format);
	return store;
}

/* Finds the secret's document among those that are known, or adds it. `index` has their places. */
static int document_find(struct manifest *manifest, const json_t *object,
			 struct manifest_item *item, json_t *index, struct error *err)
{
	const struct sops_store *store = store_find(object, item->name, err);
	struct manifest_document *document;
	const char *path = NULL;
	const json_t *known;

	if (!store || manifest_text(object, "sopsFile", "", &path, err) < 0)
		return -(int)err->code;
	if (!*path)
		return error_set(err, VMCRED_FAILED, "secret %s: there is no sopsFile", item->name);
	known = json_object_get(index, path);
	if (known) {
		item->document = (size_t)json_integer_value(known);
		document = &manifest->documents[item->document];
		if (document->store == store)
			return 0;
		return error_set(err, VMCRED_FAILED,
				 "secret %s says that %s is %s, and %s that it is %s", item->name,
				 path, sops_store_name(store), document->first,
				 sops_store_name(document->store));
	}
	item->document = manifest->document_count++;
	manifest->documents[item->document] =
		(struct manifest_document){.path = path, .store = store, .first = item->name};
	if (json_object_set_new(index, path, json_integer((json_int_t)item->document)) < 0)
		return error_no_memory(err);
	return 0;
}

static int placeholder_find(const json_t *placeholders, struct manifest_item *item,
			    struct error *err)
{
	const char *text = json_string_value(json_object_get(placeholders, item->name));

	if (!text || !*text)
		return error_set(err, VMCRED_FAILED,
				 "secret %s: placeholderBySecretName has none for it", item->name);
	item->placeholder = strdup(text);
	return item->placeholder ? 0 : error_no_memory(err);
}

static int items_read(struct manifest *manifest, const json_t *secrets, const json_t *templates,
		      const struct manifest_options *options, struct error *err)
{
	_cleanup_json_ json_t *index = json_object();
	const json_t *placeholders = json_object_get(manifest->root, "placeholderBySecretName");
	size_t secret_count = json_array_size(secrets), template_count = json_array_size(templates);
	int r = 0;

	manifest->items = calloc(secret_count + template_count + 1, sizeof(*manifest->items));
	manifest->documents = calloc(secret_count + 1, sizeof(*manifest->documents));
	if (!manifest->items || !manifest->documents || !index)
		return error_no_memory(err);
	for (size_t i = 0; r == 0 && i < secret_count; i++) {
		struct manifest_item *item = &manifest->items[manifest->secret_count++];
		const json_t *object = json_array_get(secrets, i);

		r = manifest_item_read(manifest, object, false, options, item, err);
		if (r == 0)
			r = document_find(manifest, object, item, index, err);
		if (r == 0 && template_count > 0)
			r = placeholder_find(placeholders, item, err);
	}
	for (size_t i = 0; r == 0 && i < template_count; i++)
		r = manifest_item_read(
			manifest, json_array_get(templates, i), true, options,
			&manifest->items[manifest->secret_count + manifest->template_count++], err);
	return r;
}

static int array_read(const json_t *root, const char *name, const json_t **array, struct error *err)
{
	const json_t *value = json_object_get(root, name);

	if (value && !json_is_null(value) && !json_is_array(value))
		return error_set(err, VMCRED_FAILED, "%s is no list", name);
	*array = value;
	return 0;
}

/* An absolute path of the manifest. */
static int folder_read(const struct manifest *manifest, const char *name,
		       const struct manifest_options *options, char **folder, struct error *err)
{
	const char *path = NULL;
	int r = manifest_text(manifest->root, name, "", &path, err);

	if (r < 0)
		return r;
	*folder = manifest_place(manifest, path, options);
	if (!*folder)
		return error_no_memory(err);
	if (options->check == MANIFEST_INSTALL && ((*folder)[0] != '/' || (*folder)[1] == '\0'))
		return error_set(err, VMCRED_FAILED, "%s is no absolute path of a folder", name);
	return 0;
}

/* The link would replace the folder that it leads to. */
static int folders_check(const struct manifest *manifest, struct error *err)
{
	const char *place = manifest->mount_point, *link = manifest->link_path;

	if (*place == '/' && (strcmp(place, link) == 0 || manifest_is_below(place, link) ||
			      manifest_is_below(link, place)))
		return error_set(err, VMCRED_FAILED,
				 "symlinkPath %s and secretsMountPoint %s are one in the other",
				 link, place);
	return 0;
}

static int settings_read(struct manifest *manifest, const struct manifest_options *options,
			 struct error *err)
{
	const json_t *root = manifest->root, *logging = json_object_get(root, "logging");
	long keep = 0;
	int r = manifest_flag(root, "userMode", &manifest->user_mode, err);

	if (r == 0 && manifest->user_mode && !options->runtime_dir &&
	    options->check == MANIFEST_INSTALL) {
		error_set(err, VMCRED_FAILED, "userMode needs a folder of the user's session");
		return error_hint(err, "set XDG_RUNTIME_DIR");
	}
	if (r == 0)
		r = folder_read(manifest, "secretsMountPoint", options, &manifest->mount_point,
				err);
	if (r == 0)
		r = folder_read(manifest, "symlinkPath", options, &manifest->link_path, err);
	if (r == 0)
		r = folders_check(manifest, err);
	if (r == 0)
		r = manifest_number(root, "keepGenerations", INT_MAX, &keep, err);
	if (r == 0)
		r = manifest_flag(root, "useTmpfs", &manifest->use_tmpfs, err);
	if (r == 0)
		r = manifest_flag(logging, "keyImport", &manifest->log_keys, err);
	if (r == 0)
		r = manifest_flag(logging, "secretChanges", &manifest->log_changes, err);
	manifest->keep_generations = (unsigned)keep;
	return r;
}

static int keys_check(const struct manifest *manifest, struct error *err)
{
	const json_t *root = manifest->root, *list = NULL;
	const char *home = NULL, *file = NULL;
	size_t ssh_keys = 0;
	int r = manifest_text(root, "gnupgHome", "", &home, err);

	if (r == 0)
		r = manifest_text(root, "ageKeyFile", "", &file, err);
	if (r == 0)
		r = manifest_texts(root, "ageSshKeyPaths", &list, err);
	if (r == 0)
		r = manifest_texts(root, "sshKeyPaths", &list, err);
	ssh_keys = json_array_size(list);
	if (r == 0 && *home && (ssh_keys > 0 || *file))
		return error_set(err, VMCRED_FAILED, "gnupgHome and %s exclude each other",
				 ssh_keys > 0 ? "sshKeyPaths" : "ageKeyFile");
	return r;
}

/* The group that may search the folders: "keys" on NixOS. */
static int folder_group_find(struct manifest *manifest, const struct manifest_options *options,
			     struct error *err)
{
	const struct group *group;

	manifest->directory_gid = manifest->user_mode ? GENERATION_GROUP_OWN : 0;
	if (manifest->user_mode || options->ignore_passwd || options->check != MANIFEST_INSTALL)
		return 0;
	group = getgrnam("keys");
	if (!group)
		group = getgrnam("nogroup");
	if (!group)
		return error_set(err, VMCRED_MISSING,
				 "there is no group \"keys\" for the folders, and no \"nogroup\"");
	manifest->directory_gid = group->gr_gid;
	return 0;
}

static int place_take(json_t *places, const char *path, const char *kind, const char *name,
		      struct error *err)
{
	const char *other = json_string_value(json_object_get(places, path));

	if (other)
		return error_set(err, VMCRED_FAILED, "%s %s: at %s there is %s already", kind, name,
				 path, other);
	return json_object_set_new(places, path, json_sprintf("%s %s", kind, name)) < 0
		       ? error_no_memory(err)
		       : 0;
}

/* Where two want the same place, one of them would be lost. */
static int places_check(const struct manifest *manifest, struct error *err)
{
	_cleanup_json_ json_t *places = json_object();
	int r = places ? 0 : error_no_memory(err);

	for (size_t i = 0; r == 0 && i < manifest->secret_count + manifest->template_count; i++) {
		const struct manifest_item *item = &manifest->items[i];
		const char *kind = i < manifest->secret_count ? "secret" : "template";
		_cleanup_free_ char *target = manifest_target(manifest, i);

		if (!target)
			return error_no_memory(err);
		r = place_take(places, target, kind, item->name, err);
		if (r == 0 && *item->path == '/' && strcmp(target, item->path) != 0)
			r = place_take(places, item->path, kind, item->name, err);
	}
	return r;
}

/* Whether each document has what its secrets name. */
static int documents_check(struct manifest *manifest, struct error *err)
{
	int r = manifest_documents_read(manifest, err);

	for (size_t i = 0; r == 0 && i < manifest->secret_count; i++) {
		const struct manifest_item *item = &manifest->items[i];
		const struct manifest_document *document = &manifest->documents[item->document];
		struct span ciphertext;

		if (!*item->key || !manifest_has_keys(document->store))
			continue;
		r = sops_document_string(document->document, item->key, &ciphertext, err);
		if (r < 0)
			return error_wrap(err, "secret %s", item->name);
	}
	return r;
}

static int manifest_fill(struct manifest *manifest, const struct manifest_options *options,
			 struct error *err)
{
	const json_t *secrets = NULL, *templates = NULL;
	int r = json_is_object(manifest->root) ? 0
					       : error_set(err, VMCRED_FAILED, "it is no object");

	if (r == 0)
		r = settings_read(manifest, options, err);
	if (r == 0)
		r = keys_check(manifest, err);
	if (r == 0)
		r = array_read(manifest->root, "secrets", &secrets, err);
	if (r == 0)
		r = array_read(manifest->root, "templates", &templates, err);
	if (r == 0)
		r = items_read(manifest, secrets, templates, options, err);
	if (r == 0)
		r = places_check(manifest, err);
	if (r == 0)
		r = folder_group_find(manifest, options, err);
	if (r == 0 && options->check != MANIFEST_CHECK)
		r = documents_check(manifest, err);
	return r;
}

int manifest_read(const char *path, const struct manifest_options *options, struct manifest **out,
		  struct error *err)
{
	_cleanup_manifest_ struct manifest *manifest = calloc(1, sizeof(*manifest));
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	int r;

	if (!manifest)
		return error_no_memory(err);
	r = file_read_text(AT_FDCWD, path, MANIFEST_SIZE_MAX, &text, &size, err);
	if (r == 0)
		r = json_parse(span_of(text, size), path, &manifest->root, err);
	if (r < 0)
		return r;
	r = manifest_fill(manifest, options, err);
	if (r < 0)
		return error_wrap(err, "%s", path);
	*out = pointer_release(&manifest);
	return 0;
}

const char *manifest_gnupg_home(const struct manifest *manifest)
{
	const char *home = json_string_value(json_object_get(manifest->root, "gnupgHome"));

	return home && *home ? home : NULL;
}

void manifest_destroy(struct manifest **manifest)
{
	struct manifest *gone = *manifest;

	*manifest = NULL;
	if (!gone)
		return;
	for (size_t i = 0; gone->items && i < gone->secret_count + gone->template_count; i++) {
		free(gone->items[i].path);
		free(gone->items[i].placeholder);
		secret_destroy(&gone->items[i].text);
	}
	for (size_t i = 0; gone->documents && i < gone->document_count; i++)
		sops_document_destroy(&gone->documents[i].document);
	free(gone->items);
	free(gone->documents);
	free(gone->mount_point);
	free(gone->link_path);
	json_decref(gone->root);
	free(gone);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "activate/manifest/model.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "base/trusted/trusted.h"

#define MANIFEST_SIZE_MAX ((size_t)64 * 1024 * 1024)
#define TEMPLATE_SIZE_MAX ((size_t)16 * 1024 * 1024)
#define MODE_MAX          0777

bool manifest_is_below(const char *path, const char *directory)
{
	size_t size = strlen(directory);

	return strncmp(path, directory, size) == 0 && path[size] == '/';
}

char *manifest_target(const struct manifest *manifest, const struct manifest_item *item)
{
	const bool is_secret = item < manifest->items + manifest->secret_count;

	return text_format("%s/%s%s", manifest->link_path, is_secret ? "" : MANIFEST_RENDERED "/",
			   item->name);
}

/* A path in new memory, without "." and "//" if it is absolute. In user mode, %r is replaced by the
 * runtime directory, and %% by %. */
static int path_expand(const struct manifest *manifest, const char *path,
		       const struct manifest_options *options, char **expanded, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_fclose_ FILE *stream = NULL;
	size_t size = 0;

	stream = open_memstream(&text, &size);
	for (; stream && *path; path++) {
		const bool is_escape =
			manifest->user_mode && path[0] == '%' && (path[1] == 'r' || path[1] == '%');

		path += is_escape;
		if (is_escape && *path == 'r')
			fputs(options->runtime_dir ? options->runtime_dir : "", stream);
		else
			fputc(*path, stream);
	}
	if (stream && fflush(stream) == 0)
		*expanded = *text == '/' ? path_absolute(text) : strdup(text);
	if (*expanded)
		return 0;
	error_no_memory(err);
	return -(int)VMCRED_FAILED;
}

/* Whether a name is a path below the generation: relative, with no part that is empty, "." or "..".
 */
static bool name_is_safe(const char *name)
{
	while (true) {
		size_t size = strcspn(name, "/");

		if (size == 0 || (size == 1 && name[0] == '.') ||
		    (size == 2 && name[0] == '.' && name[1] == '.'))
			return false;
		if (name[size] == '\0')
			return true;
		name += size + 1;
	}
}

static int mode_parse(const char *text, mode_t *mode, struct error *err)
{
	char *end = NULL;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 8);
	if (*text < '0' || *text > '7' || *end != '\0' || errno != 0 || value > MODE_MAX)
		return error_set(err, VMCRED_FAILED, "mode \"%s\" is not an octal number up to %o",
				 text, MODE_MAX);
	*mode = (mode_t)value;
	return 0;
}

/* Names have precedence over numbers. In user mode everything belongs to the user. */
static int owner_find(const struct manifest *manifest, const struct manifest_options *options,
		      struct manifest_item *item, struct error *err)
{
	int r = 0;

	item->uid = manifest->user_mode ? geteuid() : 0;
	item->gid = manifest->user_mode ? getegid() : 0;
	if (manifest->user_mode || options->ignore_passwd || options->dry ||
	    options->check != MANIFEST_INSTALL)
		return 0;
	item->uid = (uid_t)item->given_uid;
	item->gid = (gid_t)item->given_gid;
	if (item->owner)
		r = owner_user_find(item->owner, &item->uid, err);
	if (r == 0 && item->group)
		r = owner_group_find(item->group, &item->gid, err);
	return r;
}

static int item_check(const struct manifest *manifest, const struct manifest_options *options,
		      struct manifest_item *item, struct error *err)
{
	int r;

	if (!name_is_safe(item->name))
		return error_set(err, VMCRED_FAILED,
				 "the name must be a relative path without \".\" and \"..\"");
	r = mode_parse(item->given_mode, &item->mode, err);
	if (r == 0)
		r = path_expand(manifest, item->given_path, options, &item->path, err);
	if (r == 0 && options->check == MANIFEST_INSTALL && item->path[0] != '/')
		r = error_set(err, VMCRED_FAILED, "path \"%s\" is not absolute", item->path);
	return r < 0 ? r : owner_find(manifest, options, item, err);
}

static int template_text_read(struct manifest_item *item, struct error *err)
{
	_cleanup_close_ int fd = -1;

	if (*item->content)
		return secret_append_text(&item->text, item->content, err);
	if (!*item->file)
		return error_set(err, VMCRED_FAILED, "missing content or file");
	/* A user must not get another file's content by way of a link. */
	fd = trusted_file_open(item->file, err);
	return fd < 0 ? fd : secret_read(&item->text, fd, TEMPLATE_SIZE_MAX, item->file, err);
}

/* Finds the secret's document, or adds it. `index` maps paths to documents. */
static int document_find(struct manifest *manifest, struct manifest_item *item, json_t *index,
			 struct error *err)
{
	const struct sops_store *store = sops_store_named(*item->format ? item->format : "yaml");
	const json_t *known = json_object_get(index, item->sops_file);
	const struct manifest_document *document;

	if (!store)
		return error_set(err, VMCRED_FAILED,
				 "unknown format \"%s\": use yaml, json, dotenv, ini or binary",
				 item->format);
	if (!*item->sops_file)
		return error_set(err, VMCRED_FAILED, "missing sopsFile");
	if (!known) {
		item->document = manifest->document_count++;
		manifest->documents[item->document] =
			(struct manifest_document){item->sops_file, store, item->name, NULL};
		return json_object_set_new(index, item->sops_file,
					   json_integer((json_int_t)item->document)) < 0
			       ? error_no_memory(err)
			       : 0;
	}
	item->document = (size_t)json_integer_value(known);
	document = &manifest->documents[item->document];
	if (!document->store || document->store == store)
		return 0;
	return error_set(err, VMCRED_FAILED, "%s has the format %s, but %s for the secret %s",
			 document->path, store->name, document->store->name, document->first);
}

static int item_read(struct manifest *manifest, const struct manifest_options *options,
		     const json_t *object, json_t *index, struct error *err)
{
	const json_t *placeholders = json_object_get(manifest->root, "placeholderBySecretName");
	const bool is_secret = manifest->item_count < json_array_size(manifest->secrets);
	struct manifest_item *item = &manifest->items[manifest->item_count++];
	int r;

	manifest->secret_count += is_secret;
	if (!json_is_object(object))
		return error_set(err, VMCRED_FAILED, "a %s must be an object",
				 is_secret ? "secret" : "template");
	r = manifest_item_members_read(object, is_secret, item, err);
	if (r == 0)
		r = item_check(manifest, options, item, err);
	if (r == 0)
		r = is_secret ? document_find(manifest, item, index, err)
			      : template_text_read(item, err);
	if (r == 0 && is_secret && json_array_size(manifest->templates) > 0) {
		item->placeholder = json_string_value(json_object_get(placeholders, item->name));
		if (!item->placeholder || !*item->placeholder)
			r = error_set(err, VMCRED_FAILED, "missing in placeholderBySecretName");
	}
	return r < 0 ? error_wrap(err, "%s %s", is_secret ? "secret" : "template",
				  item->name && *item->name ? item->name : "?")
		     : 0;
}

static int items_read(struct manifest *manifest, const struct manifest_options *options,
		      struct error *err)
{
	_cleanup_json_ json_t *index = json_object();
	const size_t secret_count = json_array_size(manifest->secrets);
	const size_t count = secret_count + json_array_size(manifest->templates);
	int r = 0;

	manifest->items = calloc(count + 1, sizeof(*manifest->items));
	manifest->documents = calloc(secret_count + 1, sizeof(*manifest->documents));
	if (!manifest->items || !manifest->documents || !index)
		return error_no_memory(err);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = item_read(manifest, options,
			      i < secret_count
				      ? json_array_get(manifest->secrets, i)
				      : json_array_get(manifest->templates, i - secret_count),
			      index, err);
	return r;
}

static int place_take(json_t *places, const char *path, const char *what, struct error *err)
{
	const char *other = json_string_value(json_object_get(places, path));

	if (other)
		return error_set(err, VMCRED_FAILED, "%s: %s is already the path of %s", what, path,
				 other);
	return json_object_set_new(places, path, json_string(what)) < 0 ? error_no_memory(err) : 0;
}

/* Two items in one place would overwrite each other. */
static int places_check(const struct manifest *manifest, struct error *err)
{
	_cleanup_json_ json_t *places = json_object();
	int r = places ? 0 : error_no_memory(err);

	for (size_t i = 0; r == 0 && i < manifest->item_count; i++) {
		const struct manifest_item *item = &manifest->items[i];
		_cleanup_free_ char *target = manifest_target(manifest, item);
		_cleanup_free_ char *what = text_format(
			"%s %s", i < manifest->secret_count ? "secret" : "template", item->name);

		if (!target || !what)
			return error_no_memory(err);
		r = place_take(places, target, what, err);
		if (r == 0 && item->path && *item->path == '/' && strcmp(target, item->path) != 0)
			r = place_take(places, item->path, what, err);
	}
	return r;
}

static int directory_read(const struct manifest *manifest, const struct manifest_options *options,
			  const char *name, const char *given, char **path, struct error *err)
{
	int r = path_expand(manifest, given, options, path, err);

	if (r == 0 && options->check == MANIFEST_INSTALL &&
	    ((*path)[0] != '/' || (*path)[1] == '\0'))
		return error_set(err, VMCRED_FAILED, "%s must be the absolute path of a directory",
				 name);
	return r;
}

static int settings_check(struct manifest *manifest, const struct manifest_options *options,
			  struct error *err)
{
	const char *mount = NULL, *link = NULL;
	int r;

	if (manifest->user_mode && !options->runtime_dir && options->check == MANIFEST_INSTALL)
		return error_set(err, VMCRED_FAILED, "userMode needs $XDG_RUNTIME_DIR");
	r = directory_read(manifest, options, "secretsMountPoint", manifest->given_mount_point,
			   &manifest->mount_point, err);
	if (r == 0)
		r = directory_read(manifest, options, "symlinkPath", manifest->given_link_path,
				   &manifest->link_path, err);
	if (r < 0)
		return r;
	mount = manifest->mount_point;
	link = manifest->link_path;
	if (*mount == '/' && (strcmp(mount, link) == 0 || manifest_is_below(mount, link) ||
			      manifest_is_below(link, mount)))
		return error_set(
			err, VMCRED_FAILED,
			"symlinkPath %s and secretsMountPoint %s must not contain one another",
			link, mount);
	if (*manifest->gnupg_home &&
	    (json_array_size(manifest->ssh_keys) > 0 || *manifest->age_key_file))
		return error_set(err, VMCRED_FAILED, "gnupgHome and %s exclude each other",
				 json_array_size(manifest->ssh_keys) > 0 ? "sshKeyPaths"
									 : "ageKeyFile");
	return 0;
}

/* The group that may search the directories: "keys" on NixOS. */
static int directory_group_find(struct manifest *manifest, const struct manifest_options *options,
				struct error *err)
{
	_cleanup_error_ struct error ignored = {0};

	manifest->directory_gid = manifest->user_mode ? GENERATION_GROUP_OWN : 0;
	if (manifest->user_mode || options->ignore_passwd || options->check != MANIFEST_INSTALL)
		return 0;
	if (owner_group_find("keys", &manifest->directory_gid, &ignored) == 0)
		return 0;
	error_clear(&ignored);
	if (owner_group_find("nogroup", &manifest->directory_gid, &ignored) == 0)
		return 0;
	return error_set(err, VMCRED_MISSING, "neither the group \"keys\" nor \"nogroup\" exists");
}

static int manifest_fill(struct manifest *manifest, const struct manifest_options *options,
			 struct error *err)
{
	int r;

	if (!json_is_object(manifest->root))
		return error_set(err, VMCRED_FAILED, "not a JSON object");
	r = manifest_members_read(manifest, err);
	if (r == 0)
		r = settings_check(manifest, options, err);
	if (r == 0)
		r = items_read(manifest, options, err);
	if (r == 0)
		r = places_check(manifest, err);
	if (r == 0)
		r = directory_group_find(manifest, options, err);
	if (r == 0 && options->check != MANIFEST_CHECK)
		r = manifest_documents_read(manifest, err);
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
	return *manifest->gnupg_home ? manifest->gnupg_home : NULL;
}

bool manifest_has_age_keys(const struct manifest *manifest)
{
	return *manifest->age_key_file || json_array_size(manifest->age_ssh_keys) > 0;
}

void manifest_destroy(struct manifest **manifest)
{
	struct manifest *gone = *manifest;

	*manifest = NULL;
	if (!gone)
		return;
	for (size_t i = 0; i < gone->item_count; i++) {
		free(gone->items[i].path);
		secret_destroy(&gone->items[i].text);
	}
	for (size_t i = 0; i < gone->document_count; i++)
		sops_document_destroy(&gone->documents[i].document);
	free(gone->items);
	free(gone->documents);
	free(gone->mount_point);
	free(gone->link_path);
	json_decref(gone->root);
	free(gone);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What changed, and the units that want to know. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "activate/manifest/manifest.h"
#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/path.h"

/* switch-to-configuration of NixOS reads them after the activation, and removes them. */
#define NIXOS_FOLDER "/run/nixos"

/* A list of names that grows. */
struct names {
	char ***list; /* NULL-terminated, once it has one */
	size_t count, capacity;
};

static int names_add(struct names *names, const char *name, struct error *err)
{
	if (names->count + 1 >= names->capacity) {
		size_t capacity = names->capacity ? names->capacity * 2 : 8;
		char **larger = reallocarray(*names->list, capacity, sizeof(char *));

		if (!larger)
			return error_no_memory(err);
		*names->list = larger;
		names->capacity = capacity;
	}
	(*names->list)[names->count] = strdup(name);
	(*names->list)[names->count + 1] = NULL;
	return (*names->list)[names->count++] ? 0 : error_no_memory(err);
}

static int units_add(struct names *names, const json_t *units, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < json_array_size(units); i++)
		r = names_add(names, json_string_value(json_array_get(units, i)), err);
	return r;
}

/* As in sops-nix, a new mode or owner is no news to a unit. */
static int units_collect(const struct manifest *manifest, const struct active_file *files,
			 struct activate_result *result, struct error *err)
{
	struct names restart = {.list = &result->restart_units};
	struct names reload = {.list = &result->reload_units};
	int r = 0;

	for (size_t i = 0; r == 0 && i < manifest->secret_count + manifest->template_count; i++) {
		if (files[i].has_content)
			continue;
		r = units_add(&restart, manifest->items[i].restart_units, err);
		if (r == 0)
			r = units_add(&reload, manifest->items[i].reload_units, err);
	}
	return r;
}

static int text_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct removal {
	json_t *wanted; /* paths below a generation, as an object's members */
	struct names secrets, templates;
};

static bool is_link(int parent_dirfd, const char *name)
{
	struct stat status;

	return fstatat(parent_dirfd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISLNK(status.st_mode);
}

/* Finds what of the current generation is not wanted any more; links in it are no secrets. */
static int removed_find(struct removal *removal, int parent_dirfd, const char *name,
			const char *path, struct error *err)
{
	static const char rendered[] = MANIFEST_RENDERED "/";
	_cleanup_close_dir_ DIR *dir = dir_stream_open(parent_dirfd, name);
	const char *entry;
	int r = 0;

	if (!dir && (json_object_get(removal->wanted, path) || is_link(parent_dirfd, name)))
		return 0;
	if (!dir && strncmp(path, rendered, strlen(rendered)) == 0)
		return names_add(&removal->templates, path + strlen(rendered), err);
	if (!dir)
		return names_add(&removal->secrets, path, err);
	while (r == 0 && (entry = dir_stream_next(dir))) {
		_cleanup_free_ char *below = *path ? path_join(path, entry) : strdup(entry);

		r = below ? removed_find(removal, dirfd(dir), entry, below, err)
			  : error_no_memory(err);
	}
	return r;
}

static int removed_collect(const struct manifest *manifest, const struct generation_place *place,
			   const struct active_file *files, struct activate_result *result,
			   struct error *err)
{
	_cleanup_json_ json_t *wanted = json_object();
	struct removal removal = {
		.wanted = wanted,
		.secrets = {.list = &result->changes[ACTIVATE_REMOVED]},
		.templates = {.list = &result->changes[ACTIVATE_RENDERED_REMOVED]},
	};
	_cleanup_close_ int dirfd =
		openat(place->link_dirfd, place->link_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (size_t i = 0; i < manifest->secret_count + manifest->template_count; i++) {
		if (json_object_set_new(wanted, files[i].path, json_true()) < 0)
			return error_no_memory(err);
	}
	return dirfd < 0 ? 0 : removed_find(&removal, dirfd, ".", "", err);
}

static int changes_collect(const struct manifest *manifest, const struct generation_place *place,
			   const struct active_file *files, struct activate_result *result,
			   struct error *err)
{
	struct names lists[ACTIVATE_CHANGES] = {0};
	int r = removed_collect(manifest, place, files, result, err);

	for (size_t i = 0; i < ACTIVATE_CHANGES; i++)
		lists[i].list = &result->changes[i];
	for (size_t i = 0; r == 0 && i < manifest->secret_count + manifest->template_count; i++) {
		int added = i < manifest->secret_count ? ACTIVATE_ADDED : ACTIVATE_RENDERED_ADDED;
		int modified =
			i < manifest->secret_count ? ACTIVATE_MODIFIED : ACTIVATE_RENDERED_MODIFIED;

		if (!files[i].has_content)
			r = names_add(&lists[files[i].is_there ? modified : added],
				      manifest->items[i].name, err);
	}
	for (size_t i = 0; r == 0 && i < ACTIVATE_CHANGES; i++) {
		if (result->changes[i])
			qsort(result->changes[i], config_texts_count(result->changes[i]),
			      sizeof(char *), text_compare);
	}
	return r;
}

int manifest_changes(const struct manifest *manifest, const struct generation_place *place,
		     const struct active_file *files, struct activate_result *result,
		     struct error *err)
{
	int r;

	/* Before the first activation nothing runs that has old secrets; the units of a user are
	 * not the system's. */
	if (manifest->user_mode ||
	    faccessat(place->link_dirfd, place->link_name, F_OK, AT_EACCESS) < 0)
		return 0;
	r = units_collect(manifest, files, result, err);
	if (r == 0 && manifest->log_changes)
		r = changes_collect(manifest, place, files, result, err);
	return r;
}

static int list_append(const char *name, char *const *units, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_fclose_ FILE *lines = NULL;
	_cleanup_close_ int dirfd = -1, fd = -1;
	size_t size = 0;

	if (!units)
		return 0;
	dirfd = open(NIXOS_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0 && errno == ENOENT)
		return 0;
	if (dirfd < 0)
		return error_set_errno(err, errno, "opening " NIXOS_FOLDER);
	lines = open_memstream(&text, &size);
	for (; lines && *units; units++)
		(void)fprintf(lines, "%s\n", *units);
	if (!lines || fflush(lines) != 0)
		return error_no_memory(err);
	fd = openat(dirfd, name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
		    S_IRUSR | S_IWUSR);
	if (fd < 0)
		return error_set_errno(err, errno, "opening " NIXOS_FOLDER "/%s", name);
	return fd_write(fd, span_of(text, size), name, err);
}

int manifest_units_list(const struct activate_result *result, bool dry, struct error *err)
{
	int r = list_append(dry ? "dry-activation-restart-list" : "activation-restart-list",
			    result->restart_units, err);

	return r < 0 ? r
		     : list_append(dry ? "dry-activation-reload-list" : "activation-reload-list",
				   result->reload_units, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Finds what changed, and the units to restart or reload. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "activate/manifest/model.h"
#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/path.h"

/* NixOS's switch-to-configuration reads the lists in it after the activation, and removes them. */
#define NIXOS_DIRECTORY "/run/nixos"

static int units_add(struct strings *strings, const json_t *units, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < json_array_size(units); i++)
		r = strings_add(strings, json_string_value(json_array_get(units, i)), err);
	return r;
}

static bool is_link(int parent_dirfd, const char *name)
{
	struct stat status;

	return fstatat(parent_dirfd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISLNK(status.st_mode);
}

/* Collects the files of the current generation that are not in `wanted`, which has a member for
 * each path. Links are not secrets. */
static int removed_find(const json_t *wanted, int parent_dirfd, const char *name, const char *path,
			struct activate_result *result, struct error *err)
{
	static const char rendered[] = MANIFEST_RENDERED "/";
	_cleanup_close_dir_ DIR *dir = dir_stream_open(parent_dirfd, name);
	const char *entry;
	int r = 0;

	if (!dir && (json_object_get(wanted, path) || is_link(parent_dirfd, name)))
		return 0;
	if (!dir && strncmp(path, rendered, strlen(rendered)) == 0)
		return strings_add(&result->changes[ACTIVATE_RENDERED_REMOVED],
				   path + strlen(rendered), err);
	if (!dir)
		return strings_add(&result->changes[ACTIVATE_REMOVED], path, err);
	while (r == 0 && (entry = dir_stream_next(dir))) {
		_cleanup_free_ char *below = *path ? path_join(path, entry) : strdup(entry);

		r = below ? removed_find(wanted, dirfd(dir), entry, below, result, err)
			  : error_no_memory(err);
	}
	return r;
}

static int names_collect(const struct manifest *manifest, const struct generation_place *place,
			 const struct generation_file *files, struct activate_result *result,
			 struct error *err)
{
	_cleanup_json_ json_t *wanted = json_object();
	_cleanup_close_ int dirfd =
		openat(place->link_dirfd, place->link_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = 0;

	for (size_t i = 0; r == 0 && i < manifest->item_count; i++) {
		const bool is_secret = i < manifest->secret_count;
		const enum activate_change change =
			files[i].exists
				? (is_secret ? ACTIVATE_MODIFIED : ACTIVATE_RENDERED_MODIFIED)
				: (is_secret ? ACTIVATE_ADDED : ACTIVATE_RENDERED_ADDED);

		if (json_object_set_new(wanted, files[i].path, json_true()) < 0)
			return error_no_memory(err);
		if (!files[i].has_content)
			r = strings_add(&result->changes[change], manifest->items[i].name, err);
	}
	if (r == 0 && dirfd >= 0)
		r = removed_find(wanted, dirfd, ".", "", result, err);
	for (size_t i = 0; r == 0 && i < ACTIVATE_CHANGES; i++) {
		if (result->changes[i].count > 0)
			qsort(result->changes[i].items, result->changes[i].count, sizeof(char *),
			      texts_compare);
	}
	return r;
}

int manifest_changes(const struct manifest *manifest, const struct generation_place *place,
		     const struct generation_file *files, struct activate_result *result,
		     struct error *err)
{
	int r = 0;

	/* Before the first activation no unit has old secrets. A user's units are not the system's.
	 */
	if (manifest->user_mode ||
	    faccessat(place->link_dirfd, place->link_name, F_OK, AT_EACCESS) < 0)
		return 0;
	/* As for sops-nix, a changed mode or owner alone does not concern a unit. */
	for (size_t i = 0; r == 0 && i < manifest->item_count; i++) {
		if (files[i].has_content)
			continue;
		r = units_add(&result->restart_units, manifest->items[i].restart_units, err);
		if (r == 0)
			r = units_add(&result->reload_units, manifest->items[i].reload_units, err);
	}
	if (r == 0 && manifest->log_changes)
		r = names_collect(manifest, place, files, result, err);
	return r;
}

/* Appends units to a list in one write. On a system without NixOS's directory there are no lists.
 */
static int list_append(const char *name, const struct strings *units, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_fclose_ FILE *lines = NULL;
	_cleanup_close_ int dirfd = -1, fd = -1;
	size_t size = 0;

	if (units->count == 0)
		return 0;
	dirfd = open(NIXOS_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0 && errno == ENOENT)
		return 0;
	if (dirfd < 0)
		return error_set_errno(err, errno, "opening " NIXOS_DIRECTORY);
	lines = open_memstream(&text, &size);
	for (size_t i = 0; lines && i < units->count; i++)
		(void)fprintf(lines, "%s\n", units->items[i]);
	if (!lines || fflush(lines) != 0)
		return error_no_memory(err);
	fd = openat(dirfd, name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
		    S_IRUSR | S_IWUSR);
	if (fd < 0)
		return error_set_errno(err, errno, "opening " NIXOS_DIRECTORY "/%s", name);
	return fd_write(fd, span_of(text, size), name, err);
}

int manifest_units_list(const struct activate_result *result, bool dry, struct error *err)
{
	int r = list_append(dry ? "dry-activation-restart-list" : "activation-restart-list",
			    &result->restart_units, err);

	return r < 0 ? r
		     : list_append(dry ? "dry-activation-reload-list" : "activation-reload-list",
				   &result->reload_units, err);
}

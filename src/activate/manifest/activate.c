/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "activate/manifest/manifest.h"
#include "base/cleanup.h"
#include "base/directory.h"

/* The files of a generation, with their contents: those of the items, in their order, then links.
 */
struct file_list {
	struct active_file *items; /* owned */
	size_t count;
};

static void file_list_release(struct file_list *list)
{
	active_files_destroy(list->items, list->count);
}

static int file_add(struct file_list *files, const struct manifest_item *item, const char *path,
		    const char *target, struct error *err)
{
	struct active_file *file = &files->items[files->count++];

	file->path = strdup(path);
	file->target = target ? strdup(target) : NULL;
	file->mode = item->mode;
	file->uid = item->uid;
	file->gid = item->gid;
	return !file->path || (target && !file->target) ? error_no_memory(err) : 0;
}

static int files_make(const struct manifest *manifest, struct file_list *files, struct error *err)
{
	size_t count = manifest->secret_count + manifest->template_count;
	size_t below = strlen(manifest->link_path) + 1;
	int r = 0;

	files->items = calloc(2 * count + 1, sizeof(*files->items));
	if (!files->items)
		return error_no_memory(err);
	for (size_t pass = 0; pass < 2; pass++) {
		for (size_t i = 0; r == 0 && i < count; i++) {
			const struct manifest_item *item = &manifest->items[i];
			_cleanup_free_ char *target = manifest_target(manifest, i);

			if (!target)
				return error_no_memory(err);
			if (pass == 0)
				r = file_add(files, item, target + below, NULL, err);
			/* A link that is wanted below symlinkPath goes with its generation. */
			else if (manifest_is_below(item->path, manifest->link_path) &&
				 strcmp(item->path, target) != 0)
				r = file_add(files, item, item->path + below, target, err);
		}
	}
	return r;
}

/* Opens the folder that a path is in, made with `mode` where it is not there; returns its
 * descriptor. */
static int parent_open(const char *path, mode_t mode, const char **name, struct error *err)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *folder = strndup(path, slash > path ? (size_t)(slash - path) : 1);

	if (!folder)
		return error_no_memory(err);
	*name = slash + 1;
	return dir_make(AT_FDCWD, folder, mode, err);
}

static int mount_point_open(const struct manifest *manifest, struct error *err)
{
	_cleanup_close_ int parent_dirfd = -1, fd = -1;
	enum generation_mount mount = manifest->use_tmpfs ? GENERATION_TMPFS : GENERATION_RAMFS;
	const char *name = NULL;
	int r;

	parent_dirfd = parent_open(manifest->mount_point, GENERATION_MODE, &name, err);
	if (parent_dirfd < 0)
		return parent_dirfd;
	fd = generation_folder_open(parent_dirfd, name,
				    manifest->user_mode ? GENERATION_UNMOUNTED : mount, err);
	if (fd < 0) {
		if (manifest->user_mode)
			error_hint(err, "plaintext must not go to a disk: secretsMountPoint is to "
					"be on a memory file system, such as XDG_RUNTIME_DIR");
		return error_wrap(err, "secretsMountPoint %s", manifest->mount_point);
	}
	if (!manifest->user_mode && fchown(fd, 0, manifest->directory_gid) < 0)
		return error_set_errno(err, errno, "giving %s to the group %u",
				       manifest->mount_point, manifest->directory_gid);
	/* Two runs at once would write the same generation; released when the folder is closed. */
	r = dir_lock(fd, manifest->mount_point, err);
	return r < 0 ? r : fd_release(&fd);
}

/* Nothing of the tree is touched; a folder that is not there yet has no generation. */
static int activate_dry(const struct manifest *manifest, const struct manifest_options *options,
			struct file_list *files, struct activate_result *result, struct error *err)
{
	_cleanup_close_ int dirfd = open(manifest->mount_point, O_PATH | O_DIRECTORY | O_CLOEXEC);
	const struct generation_place place = {
		.dirfd = dirfd,
		.link_dirfd = AT_FDCWD,
		.link_name = manifest->link_path,
		.target = manifest->mount_point,
	};
	int r;

	result->generation = dirfd < 0 ? 0 : generation_current(&place);
	r = generation_compare(&place, files->items, files->count, err);
	if (r < 0)
		return r;
	r = manifest_changes(manifest, &place, files->items, result, err);
	/* Owners are not known in a dry run, so only contents count. */
	for (size_t i = 0; i < files->count; i++)
		result->changed = result->changed || !files->items[i].has_content;
	if (r == 0 && options->list_units)
		r = manifest_units_list(result, true, err);
	return r;
}

/* Links first, which lead to a name that is the same in all generations; and units before the
 * switch, so that a run that is killed has told of them. */
static int generation_enter(const struct manifest *manifest, const struct manifest_options *options,
			    const struct generation_place *place,
			    const struct activate_result *result, struct error *err)
{
	__attribute__((cleanup(manifest_links_release))) struct manifest_links links = {0};
	int r = manifest_links_prepare(manifest, &links, err);

	if (r == 0)
		r = manifest_record_add(manifest, place->dirfd, err);
	if (r == 0)
		r = manifest_links_place(&links, err);
	if (r == 0 && options->list_units)
		r = manifest_units_list(result, false, err);
	if (r == 0 && result->changed)
		r = generation_switch(place, result->generation, err);
	if (r == 0)
		manifest_links_keep(&links);
	return r;
}

static int generation_install(const struct manifest *manifest,
			      const struct manifest_options *options,
			      const struct generation_place *place, const struct file_list *files,
			      struct activate_result *result, struct error *err)
{
	_cleanup_error_ struct error ignored = {0};
	int r = generation_compare(place, files->items, files->count, err);

	if (r < 0)
		return r;
	result->changed = r > 0;
	r = manifest_changes(manifest, place, files->items, result, err);
	if (r == 0 && result->changed)
		r = generation_write(place, ++result->generation, files->items, files->count, err);
	if (r == 0)
		r = generation_enter(manifest, options, place, result, err);
	/* Nothing points to a generation that could not be switched to. */
	if (r < 0) {
		(void)generation_clean(place, generation_current(place), 0, &ignored);
		return r;
	}
	r = manifest_record_prune(manifest, place->dirfd, err);
	return r < 0 ? r
		     : generation_clean(place, result->generation, manifest->keep_generations, err);
}

int activate_manifest(struct manifest *manifest, const struct manifest_options *options,
		      const struct report *report, struct activate_result *result,
		      struct error *err)
{
	__attribute__((cleanup(file_list_release))) struct file_list files = {0};
	__attribute__((cleanup(manifest_keys_release))) struct manifest_keys keys = {0};
	_cleanup_close_ int dirfd = -1, link_dirfd = -1;
	struct generation_place place = {
		.target = manifest->mount_point,
		.directory_gid = manifest->directory_gid,
	};
	int r;

	*result = (struct activate_result){.secret_count = manifest->secret_count};
	r = manifest_keys_load(manifest, options, report, &keys, err);
	if (r == 0)
		r = files_make(manifest, &files, err);
	if (r == 0)
		r = manifest_decrypt(manifest, &keys, options->gpg, files.items, err);
	if (r < 0)
		return r;
	if (options->dry)
		return activate_dry(manifest, options, &files, result, err);
	dirfd = mount_point_open(manifest, err);
	if (dirfd < 0)
		return dirfd;
	link_dirfd = parent_open(manifest->link_path, 0755, &place.link_name, err);
	if (link_dirfd < 0)
		return link_dirfd;
	place.dirfd = dirfd;
	place.link_dirfd = link_dirfd;
	result->generation = generation_current(&place);
	return generation_install(manifest, options, &place, &files, result, err);
}

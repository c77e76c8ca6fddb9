/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "activate/manifest/model.h"
#include "base/cleanup.h"
#include "base/lock.h"
#include "base/trusted/trusted.h"

static int file_add(struct generation_files *files, const struct manifest_item *item,
		    const char *path, const char *target, struct error *err)
{
	struct generation_file *file = generation_files_add(files, strdup(path), err);

	if (!file)
		return -(int)err->code;
	file->mode = item->mode;
	file->uid = item->uid;
	file->gid = item->gid;
	if (target)
		file->target = strdup(target);
	return target && !file->target ? error_no_memory(err) : 0;
}

/* Lists the files of the generation: those of the items in their order, then links to them that are
 * below symlinkPath, and so in the generation. */
static int files_list(const struct manifest *manifest, struct generation_files *files,
		      struct error *err)
{
	const size_t below = strlen(manifest->link_path) + 1;
	int r = 0;

	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; r == 0 && i < manifest->item_count; i++) {
			const struct manifest_item *item = &manifest->items[i];
			_cleanup_free_ char *target = manifest_target(manifest, item);

			if (!target)
				return error_no_memory(err);
			if (pass == 0)
				r = file_add(files, item, target + below, NULL, err);
			else if (manifest_is_below(item->path, manifest->link_path) &&
				 strcmp(item->path, target) != 0)
				r = file_add(files, item, item->path + below, target, err);
		}
	}
	return r;
}

/* Opens and locks secretsMountPoint: two runs at once would write the same generation. */
static int mount_point_open(const struct manifest *manifest, struct lock *lock, struct error *err)
{
	const char *name = NULL;
	bool is_foreign = false;
	_cleanup_close_ int parent_dirfd = trusted_parent_open(
		manifest->mount_point, GENERATION_MODE, &name, &is_foreign, err);
	_cleanup_close_ int fd = -1;
	struct stat status;
	int r;

	if (parent_dirfd < 0)
		return parent_dirfd;
	fd = generation_directory_open(parent_dirfd, name,
				       manifest->user_mode   ? GENERATION_UNMOUNTED
				       : manifest->use_tmpfs ? GENERATION_TMPFS
							     : GENERATION_RAMFS,
				       err);
	if (fd < 0 && manifest->user_mode)
		error_hint(err, "plaintext must not be written to disk: use a directory below "
				"$XDG_RUNTIME_DIR");
	if (fd < 0)
		return error_wrap(err, "secretsMountPoint %s", manifest->mount_point);
	/* After `su`, $XDG_RUNTIME_DIR may be another user's. */
	if (manifest->user_mode &&
	    (is_foreign || fstat(fd, &status) < 0 || status.st_uid != geteuid())) {
		error_set(err, VMCRED_FAILED, "secretsMountPoint %s: other users can change it",
			  manifest->mount_point);
		return error_hint(err, "set XDG_RUNTIME_DIR to a directory of your own");
	}
	if (!manifest->user_mode && fchown(fd, 0, manifest->directory_gid) < 0)
		return error_set_errno(err, errno, "changing the group of %s to %u",
				       manifest->mount_point, manifest->directory_gid);
	r = lock_take(lock, fd, true, manifest->mount_point, err);
	return r < 0 ? r : fd_release(&fd);
}

/* Reports what would change, and writes nothing but NixOS's lists. */
static int dry_run(const struct manifest *manifest, const struct manifest_options *options,
		   struct generation_files *files, struct activate_result *result,
		   struct error *err)
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
	r = generation_compare(&place, files, err);
	if (r >= 0)
		r = manifest_changes(manifest, &place, files->items, result, err);
	/* Owners are not resolved in a dry run, so only contents are compared. */
	for (size_t i = 0; i < files->count; i++)
		result->changed = result->changed || !files->items[i].has_content;
	if (r == 0 && options->list_units)
		r = manifest_units_list(result, true, err);
	return r;
}

/*
 * Switches to the generation. Before that, links are installed, whose targets are the same in all
 * generations, and units are listed, so that a run that is killed has listed them.
 */
static int generation_enter(const struct manifest *manifest, const struct manifest_options *options,
			    const struct generation_place *place, const struct report *report,
			    const struct activate_result *result, struct error *err)
{
	__attribute__((cleanup(manifest_links_release))) struct manifest_links links = {0};
	int r = manifest_links_prepare(manifest, report, &links, err);

	if (r == 0)
		r = manifest_record_add(manifest, place->dirfd, err);
	if (r == 0)
		r = manifest_links_place(&links, report, err);
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
			      const struct generation_place *place, const struct report *report,
			      struct generation_files *files, struct activate_result *result,
			      struct error *err)
{
	_cleanup_error_ struct error ignored = {0};
	int r = generation_compare(place, files, err);

	if (r < 0)
		return r;
	result->changed = r > 0;
	result->generation = generation_current(place);
	r = manifest_changes(manifest, place, files->items, result, err);
	if (r == 0 && result->changed)
		r = generation_write(place, ++result->generation, files, err);
	if (r == 0)
		r = generation_enter(manifest, options, place, report, result, err);
	/* Remove a generation that is not current. */
	if (r < 0) {
		(void)generation_clean(place, generation_current(place), 0, &ignored);
		return r;
	}
	r = manifest_record_prune(manifest, place->dirfd, err);
	return r < 0 ? r
		     : generation_clean(place, result->generation,
					(unsigned)manifest->keep_generations, err);
}

int manifest_install(struct manifest *manifest, const struct manifest_options *options,
		     const struct report *report, struct activate_result *result, struct error *err)
{
	_cleanup_generation_files_ struct generation_files files = {0};
	__attribute__((cleanup(manifest_keys_release))) struct manifest_keys keys = {0};
	_cleanup_close_ int dirfd = -1, link_dirfd = -1;
	_cleanup_lock_ struct lock lock = LOCK_NONE;
	struct generation_place place = {
		.target = manifest->mount_point,
		.directory_gid = manifest->directory_gid,
	};
	int r;

	*result = (struct activate_result){.secret_count = manifest->secret_count};
	r = manifest_keys_load(manifest, options, report, &keys, err);
	if (r == 0)
		r = files_list(manifest, &files, err);
	if (r == 0)
		r = manifest_decrypt(manifest, &keys, options->gpg, report, files.items, err);
	if (r < 0)
		return r;
	if (options->dry)
		return dry_run(manifest, options, &files, result, err);
	place.dirfd = dirfd = mount_point_open(manifest, &lock, err);
	if (dirfd < 0)
		return dirfd;
	place.link_dirfd = link_dirfd =
		trusted_parent_open(manifest->link_path, 0755, &place.link_name, NULL, err);
	return link_dirfd < 0
		       ? link_dirfd
		       : generation_install(manifest, options, &place, report, &files, result, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a finished folder to one that is shown. What is shown is on the disk before, and its name
 * afterwards: whatever the moment of a power cut, the old files are there or the new ones.
 *
 * For a few folders each of their files is synced. For many that takes longer than all the rest,
 * and one syncfs(2) does the same, where the file system is known to.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "vars/placing.h"
#include "vars/stage.h"

/* syncfs() also waits for what others wrote: not for less than this. */
#define TOGETHER_MIN 8

/* Where syncfs() brings content and names to the disk. Others may send what they have to a server,
 * and not ask it to keep it. */
static const unsigned long synced_whole[] = {
	EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC,       BTRFS_SUPER_MAGIC,
	F2FS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC,
};

static bool is_synced_together(int dirfd, size_t count)
{
	struct statfs status;

	if (count < TOGETHER_MIN || fstatfs(dirfd, &status) < 0)
		return false;
	for (size_t i = 0; i < sizeof(synced_whole) / sizeof(synced_whole[0]); i++) {
		if ((unsigned long)status.f_type == synced_whole[i])
			return true;
	}
	return false;
}

/* Returns 1 if all that was written is on the disk, 0 if each file has to be synced. */
static int together_sync(int store_dirfd, size_t count, struct error *err)
{
	_cleanup_close_ int dirfd = dir_open(store_dirfd, "vars", err);

	if (dirfd < 0)
		return dirfd;
	if (!is_synced_together(dirfd, count))
		return 0;
	if (syncfs(dirfd) < 0)
		return error_set_errno(err, errno, "syncing the store to the disk");
	return 1;
}

/* A file, or a folder behind all that is in it; of a link there is nothing but its name. */
static int tree_sync(int dirfd, const char *name, struct error *err)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_close_dir_ DIR *dir = NULL;
	const char *entry;
	int r = 0;

	if (fd < 0 && errno == ELOOP)
		return 0;
	if (fd < 0)
		return error_set_errno(err, errno, "opening %s to sync it to the disk", name);
	dir = dir_stream_open(fd, ".");
	while (r == 0 && dir && (entry = dir_stream_next(dir)))
		r = tree_sync(fd, entry, err);
	if (r == 0 && fsync(fd) < 0)
		r = error_set_errno(err, errno, "syncing %s to the disk", name);
	return r;
}

static int writing_wrap(const struct staged *staged, struct error *err)
{
	_cleanup_free_ char *parent = store_generators_path(staged->machine);

	return error_wrap(err, "writing %s/%s", parent ? parent : "?", staged->generator->name);
}

int stage_sync(const struct stage *stage, const struct staged *staged, size_t count,
	       struct error *err)
{
	int r = together_sync(stage->store_dirfd, count, err);

	if (r != 0)
		return r < 0 ? r : 0;
	for (size_t i = 0; r == 0 && i < count; i++) {
		char name[STAGED_NAME_SIZE];

		staged_name(&staged[i], name);
		r = tree_sync(stage->dirfd, name, err);
		if (r < 0)
			writing_wrap(&staged[i], err);
	}
	return r;
}

int stage_show(const struct stage *stage, struct staged *staged, struct error *err)
{
	_cleanup_free_ char *parent = store_generators_path(staged->machine);
	_cleanup_close_ int dirfd = -1;
	char name[STAGED_NAME_SIZE];
	int r;

	if (!parent)
		return error_no_memory(err);
	staged_name(staged, name);
	dirfd = dir_open(stage->store_dirfd, parent, err);
	r = dirfd < 0 ? dirfd
		      : placing_rename(stage->dirfd, name, dirfd, staged->generator->name,
				       &staged->replaced, err);
	return r < 0 ? writing_wrap(staged, err) : 0;
}

/* The folders above may be new as well. */
static int path_sync(int store_dirfd, const struct staged *staged, struct error *err)
{
	_cleanup_free_ char *path = store_generators_path(staged->machine);
	char *slash = path;
	int r = path ? 0 : error_no_memory(err);

	while (r == 0 && slash) {
		_cleanup_close_ int dirfd = dir_open(store_dirfd, path, err);

		r = dirfd < 0 ? dirfd : dir_sync(dirfd, staged->generator->name, err);
		slash = strrchr(path, '/');
		if (slash)
			*slash = '\0';
	}
	return r < 0 ? r : dir_sync(store_dirfd, staged->generator->name, err);
}

int stage_sync_shown(const struct stage *stage, const struct staged *staged, size_t count,
		     struct error *err)
{
	int r = together_sync(stage->store_dirfd, count, err);

	if (r != 0)
		return r < 0 ? r : 0;
	for (size_t i = 0; r == 0 && i < count; i++) {
		r = path_sync(stage->store_dirfd, &staged[i], err);
		if (r < 0)
			writing_wrap(&staged[i], err);
	}
	return r;
}

int stage_remove(const struct stage *stage, const struct staged *staged, struct error *err)
{
	char name[STAGED_NAME_SIZE];

	staged_name(staged, name);
	return dir_remove_tree(stage->dirfd, name, false, err);
}

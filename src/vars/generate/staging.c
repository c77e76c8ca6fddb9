/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files are on the disk before they are published, and their names afterwards: at any moment of a
 * power cut, either the old files are there or the new ones.
 */
#include "vars/generate/staging.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "vars/store/store.h"

int staging_begin(struct staging *staging, struct error *err)
{
	int r = member_cache_create(staging->store_dirfd, NULL, 0, &staging->cache, err);

	if (r < 0)
		return r;
	staging->dirfd = store_directory_begin(staging->store_dirfd, "the staging directory",
					       &staging->name, err);
	return staging->dirfd < 0 ? staging->dirfd : 0;
}

void staging_end(struct staging *staging)
{
	if (staging->name)
		store_directory_discard(staging->store_dirfd, staging->name);
	free(staging->name);
	cleanup_close_fd(&staging->dirfd);
	member_cache_destroy(&staging->cache);
}

void staged_name(const struct staged *staged, char name[STAGED_NAME_SIZE])
{
	snprintf(name, STAGED_NAME_SIZE, "%zu", staged->number);
}

int staged_error_wrap(const struct staged *staged, struct error *err)
{
	_cleanup_free_ char *parent = store_generators_path(staged->job->machine);

	return error_wrap(err, "writing %s/%s", parent ? parent : "?",
			  staged->job->generator->name);
}

/* Returns 1 if everything is synced, 0 if each file must be. */
static int together_sync(int store_dirfd, size_t count, struct error *err)
{
	_cleanup_close_ int dirfd = dir_open(store_dirfd, "vars", err);

	if (dirfd < 0)
		return dirfd;
	if (!store_syncs_together(dirfd, count))
		return 0;
	return store_sync(dirfd, err) < 0 ? -(int)err->code : 1;
}

/* A file, or a directory after its entries. A link is nothing but its name. */
static int tree_sync(int dirfd, const char *name, struct error *err)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_close_dir_ DIR *dir = NULL;
	const char *entry;
	int r = 0;

	if (fd < 0 && errno == ELOOP)
		return 0;
	if (fd < 0)
		return error_set_errno(err, errno, "opening %s to sync it", name);
	dir = dir_stream_open(fd, ".");
	while (r == 0 && dir && (entry = dir_stream_next(dir)))
		r = tree_sync(fd, entry, err);
	if (r == 0 && fsync(fd) < 0)
		r = error_set_errno(err, errno, "syncing %s", name);
	return r;
}

int staging_sync(const struct staging *staging, const struct staged *staged, size_t count,
		 struct error *err)
{
	int r = together_sync(staging->store_dirfd, count, err);

	if (r != 0)
		return r < 0 ? r : 0;
	for (size_t i = 0; r == 0 && i < count; i++) {
		char name[STAGED_NAME_SIZE];

		staged_name(&staged[i], name);
		r = tree_sync(staging->dirfd, name, err);
		if (r < 0)
			staged_error_wrap(&staged[i], err);
	}
	return r;
}

int staging_publish(const struct staging *staging, struct staged *staged, struct error *err)
{
	_cleanup_free_ char *parent = store_generators_path(staged->job->machine);
	_cleanup_close_ int dirfd = -1;
	char name[STAGED_NAME_SIZE];
	int r;

	if (!parent)
		return error_no_memory(err);
	staged_name(staged, name);
	dirfd = dir_open(staging->store_dirfd, parent, err);
	r = dirfd < 0 ? dirfd
		      : store_rename(staging->dirfd, name, dirfd, staged->job->generator->name,
				     &staged->replaced, err);
	return r < 0 ? staged_error_wrap(staged, err) : 0;
}

/* The directories above may be new as well. */
static int path_sync(int store_dirfd, const struct staged *staged, struct error *err)
{
	_cleanup_free_ char *path = store_generators_path(staged->job->machine);
	char *slash = path;
	int r = path ? 0 : error_no_memory(err);

	while (r == 0 && slash) {
		_cleanup_close_ int dirfd = dir_open(store_dirfd, path, err);

		r = dirfd < 0 ? dirfd : dir_sync(dirfd, staged->job->generator->name, err);
		slash = strrchr(path, '/');
		if (slash)
			*slash = '\0';
	}
	return r < 0 ? r : dir_sync(store_dirfd, staged->job->generator->name, err);
}

int staging_sync_published(const struct staging *staging, const struct staged *staged, size_t count,
			   struct error *err)
{
	int r = together_sync(staging->store_dirfd, count, err);

	if (r != 0)
		return r < 0 ? r : 0;
	for (size_t i = 0; r == 0 && i < count; i++) {
		r = path_sync(staging->store_dirfd, &staged[i], err);
		if (r < 0)
			staged_error_wrap(&staged[i], err);
	}
	return r;
}

int staging_remove(const struct staging *staging, const struct staged *staged, struct error *err)
{
	char name[STAGED_NAME_SIZE];

	staged_name(staged, name);
	return dir_remove_tree(staging->dirfd, name, false, err);
}

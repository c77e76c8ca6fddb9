/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "vars/store/store.h"

/* Temporary names are `.vmcred-new.XXXXXXXX`, different from those of
 * base/trusted/memory_directory.c, which removes all that it finds. */
#define PREFIX "vmcred-new"

int store_clean(int store_dirfd, struct error *err)
{
	return dir_remove_temporaries(store_dirfd, PREFIX, false, err);
}

int store_file_replace(int store_dirfd, int dirfd, const char *name, const char *path,
		       struct span content, struct error *err)
{
	return file_replace_from(store_dirfd, PREFIX, dirfd, name, path, content, 0644, err);
}

/* syncfs() also waits for the writes of other programs, so it must be worth it. */
#define TOGETHER_MIN 8

/* Where syncfs() writes content and names to the disk. Network file systems may only send them. */
static const unsigned long local_types[] = {
	EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC,       BTRFS_SUPER_MAGIC,
	F2FS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC,
};

bool store_syncs_together(int dirfd, size_t count)
{
	struct statfs status;

	if (count < TOGETHER_MIN || fstatfs(dirfd, &status) < 0)
		return false;
	for (size_t i = 0; i < sizeof(local_types) / sizeof(local_types[0]); i++) {
		if ((unsigned long)status.f_type == local_types[i])
			return true;
	}
	return false;
}

int store_sync(int dirfd, struct error *err)
{
	return syncfs(dirfd) < 0 ? error_set_errno(err, errno, "syncing the store") : 0;
}

int store_directory_begin(int store_dirfd, const char *what, char **temporary, struct error *err)
{
	int fd = dir_make_temporary(store_dirfd, PREFIX, 0755, temporary, err);

	return fd < 0 ? error_wrap(err, "creating %s", what) : fd;
}

int store_rename(int old_dirfd, const char *old_name, int dirfd, const char *name, bool *replaced,
		 struct error *err)
{
	*replaced = false;
	if (renameat2(old_dirfd, old_name, dirfd, name, RENAME_NOREPLACE) == 0)
		return 0;
	*replaced = errno == EEXIST &&
		    renameat2(old_dirfd, old_name, dirfd, name, RENAME_EXCHANGE) == 0;
	return *replaced ? 0 : error_set_errno(err, errno, "replacing %s", name);
}

int store_directory_commit(int store_dirfd, const char *temporary, int dirfd, const char *name,
			   struct error *err)
{
	bool replaced;
	int r = store_rename(store_dirfd, temporary, dirfd, name, &replaced, err);

	if (r == 0)
		r = dir_sync(dirfd, name, err);
	return r < 0 || !replaced ? r : dir_remove_tree(store_dirfd, temporary, false, err);
}

void store_directory_discard(int store_dirfd, const char *temporary)
{
	_cleanup_error_ struct error ignored = {0};

	(void)dir_remove_tree(store_dirfd, temporary, false, &ignored);
}

static int entry_remove(int store_dirfd, int dirfd, const char *name, struct error *err)
{
	_cleanup_free_ char *temporary = NULL;
	_cleanup_close_ int empty = store_directory_begin(store_dirfd, name, &temporary, err);
	int r;

	if (empty < 0)
		return empty;
	if (renameat(dirfd, name, store_dirfd, temporary) < 0) {
		r = errno;
		store_directory_discard(store_dirfd, temporary);
		/* Anything but a directory is removed in one step anyway. */
		return r == EISDIR || r == ENOTDIR ? dir_remove_tree(dirfd, name, false, err)
						   : error_set_errno(err, r, "removing %s", name);
	}
	r = dir_sync(dirfd, name, err);
	return r < 0 ? r : dir_remove_tree(store_dirfd, temporary, false, err);
}

/* The path's last slash; NULL if the directory before it is one of the store's own, such as
 * sops/users. */
static char *parent_end(char *path)
{
	char *slash = strrchr(path, '/'), *first = strchr(path, '/');

	return slash && slash != first && memchr(first + 1, '/', (size_t)(slash - first)) ? slash
											  : NULL;
}

int vars_path_remove(int store_dirfd, const char *path, struct error *err)
{
	_cleanup_free_ char *directory = strdup(path);
	_cleanup_close_ int dirfd = -1;
	char *slash = directory ? strrchr(directory, '/') : NULL;
	int r;

	if (!directory)
		return error_no_memory(err);
	if (slash)
		*slash = '\0';
	dirfd = dir_open(store_dirfd, slash ? directory : ".", err);
	if (dirfd < 0)
		return dirfd;
	r = entry_remove(store_dirfd, dirfd, slash ? slash + 1 : path, err);
	/* As in clan, there are no empty directories. */
	while (r == 0 && slash && (slash = parent_end(directory)) &&
	       unlinkat(store_dirfd, directory, AT_REMOVEDIR) == 0)
		*slash = '\0';
	return r;
}

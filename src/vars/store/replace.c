/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
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
	_cleanup_free_ char *temporary = NULL;
	int r = file_write_temporary(store_dirfd, PREFIX, content, 0644, path, &temporary, err);

	if (r < 0)
		return r;
	if (renameat(store_dirfd, temporary, dirfd, name) == 0)
		return dir_sync(dirfd, path, err);
	error_set_errno(err, errno, "replacing %s", path);
	(void)unlinkat(store_dirfd, temporary, 0);
	return -(int)err->code;
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

int store_directory_remove(int store_dirfd, int dirfd, const char *name, struct error *err)
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

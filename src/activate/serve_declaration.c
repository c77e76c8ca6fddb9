/* SPDX-License-Identifier: Apache-2.0 */
#include "activate/serve_declaration.h"

#include <errno.h>

#include "base/cleanup.h"

/* A store of Nix's has one time for all files: the inode and the folder count as well. */
static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

int serve_declaration_update(struct serve_declaration *declaration, const char *given, bool force,
			     struct error *err)
{
	struct serve_declaration fresh = {.store_dirfd = -1};
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int dirfd = -1;
	int r = config_find(given, &path, &dirfd, err);

	if (r < 0)
		return r;
	/* Before it is read: what changes meanwhile is seen the next time. */
	if (stat(path, &fresh.file) < 0 || fstat(dirfd, &fresh.folder) < 0)
		return error_set_errno(err, errno, "looking at the declaration %s", path);
	if (!force && declaration->store_dirfd >= 0 && is_same(&fresh.file, &declaration->file) &&
	    fresh.folder.st_dev == declaration->folder.st_dev &&
	    fresh.folder.st_ino == declaration->folder.st_ino)
		return 0;
	r = config_load_file(path, &fresh.config, err);
	if (r < 0)
		return r;
	fresh.store_dirfd = fd_release(&dirfd);
	serve_declaration_release(declaration);
	*declaration = fresh;
	return 1;
}

void serve_declaration_release(struct serve_declaration *declaration)
{
	config_destroy(&declaration->config);
	if (declaration->store_dirfd >= 0)
		close(declaration->store_dirfd);
	*declaration = (struct serve_declaration){.store_dirfd = -1};
}

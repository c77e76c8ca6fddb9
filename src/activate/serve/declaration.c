/* SPDX-License-Identifier: Apache-2.0 */
#include "activate/serve/declaration.h"

#include <errno.h>

#include "base/cleanup.h"

int serve_declaration_update(struct serve_declaration *declaration, const char *given, bool force,
			     struct error *err)
{
	_cleanup_config_ struct config config = {0};
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int dirfd = -1;
	struct stat file, folder;
	enum serve_change change;
	int r = config_find(given, &path, &dirfd, err);

	if (r < 0)
		return r;
	/* Before it is read: what changes meanwhile is seen the next time. */
	if (stat(path, &file) < 0 || fstat(dirfd, &folder) < 0)
		return error_set_errno(err, errno, "looking at the declaration %s", path);
	change = serve_watch_look(&declaration->watch, &file);
	if (force || folder.st_dev != declaration->folder.st_dev ||
	    folder.st_ino != declaration->folder.st_ino)
		change = SERVE_CHANGED;
	declaration->folder = folder;
	if (change == SERVE_SAME)
		return 0;
	r = config_load_file(path, &config, err);
	if (r < 0) {
		/* What kept it from being read may pass without a change of the file. */
		declaration->watch = (struct serve_watch){0};
		return r;
	}
	config_destroy(&declaration->config);
	if (declaration->store_dirfd >= 0)
		close(declaration->store_dirfd);
	declaration->config = config;
	declaration->store_dirfd = fd_release(&dirfd);
	config = (struct config){0};
	return change == SERVE_CHANGED;
}

void serve_declaration_release(struct serve_declaration *declaration)
{
	config_destroy(&declaration->config);
	if (declaration->store_dirfd >= 0)
		close(declaration->store_dirfd);
	*declaration = (struct serve_declaration){.store_dirfd = -1};
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/path.h"
#include "base/trusted/trusted.h"
#include "bundle/bundle.h"

/* Of directories, and of links before they get their name. */
#define NAME   "vmcred-bundle"
#define PREFIX "." NAME "."

/* The directory that the declaration's link leads to; an empty text if there is no such link. */
static void installed_find(int dirfd, char directory[PATH_MAX])
{
	const ssize_t size = readlinkat(dirfd, BUNDLE_DECLARATION, directory, PATH_MAX - 1);
	char *slash;

	directory[size < 0 ? 0 : size] = '\0';
	slash = strchr(directory, '/');
	if (!slash || strcmp(slash, "/" BUNDLE_DECLARATION) != 0 ||
	    strncmp(directory, PREFIX, strlen(PREFIX)) != 0)
		slash = directory;
	*slash = '\0';
}

static bool is_free(int dirfd, const char *name)
{
	return faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

/* Fails if there is a declaration that did not come from a bundle, or a store that would be used
 * instead of the bundle's (config_find()). */
static int place_check(int dirfd, struct error *err)
{
	const char *other = is_free(dirfd, "vars") ? NULL : "vars";
	char directory[PATH_MAX];

	installed_find(dirfd, directory);
	if (directory[0] == '\0' && !is_free(dirfd, BUNDLE_DECLARATION))
		other = BUNDLE_DECLARATION;
	if (!other)
		return 0;
	error_set(err, VMCRED_FAILED, "%s does not come from a bundle", other);
	return error_hint(err, "move it away if this host gets bundles from now on");
}

struct cleaning {
	int dirfd;
	char installed[PATH_MAX];
};

static int remains_remove(void *context, const char *entry, struct error *err)
{
	const struct cleaning *cleaning = context;

	if (strncmp(entry, PREFIX, strlen(PREFIX)) != 0 || strcmp(entry, cleaning->installed) == 0)
		return 0;
	return dir_remove_tree(cleaning->dirfd, entry, false, err);
}

/* Removes all bundles but the installed one. */
static int place_clean(const struct bundle_place *place, struct error *err)
{
	struct cleaning cleaning = {.dirfd = place->dirfd};

	installed_find(place->dirfd, cleaning.installed);
	return dir_each(place->dirfd, ".", remains_remove, &cleaning, err);
}

int bundle_place_open(const char *path, bool dry, struct bundle_place *place, struct error *err)
{
	int r = 0;

	place->dirfd =
		dry ? dir_open(AT_FDCWD, path, err) : trusted_directory_make(path, 0755, err);
	if (dry && place->dirfd == -(int)VMCRED_MISSING) {
		error_clear(err);
		return 0;
	}
	if (place->dirfd < 0)
		return place->dirfd;
	if (!dry)
		r = lock_take(&place->lock, place->dirfd, true, path, err);
	if (r == 0)
		r = place_check(place->dirfd, err);
	if (r < 0)
		return error_wrap(err, "%s", path);
	return dry ? 0 : place_clean(place, err);
}

int bundle_stage(struct bundle_place *place, const struct bundle *bundle, struct error *err)
{
	_cleanup_close_ int fd = dir_make_temporary(place->dirfd, NAME, 0755, &place->stage, err);
	int r;

	if (fd < 0)
		return fd;
	r = bundle_unpack(bundle, fd, err);
	/* Many small files: one by one would take a commit of the journal for each. */
	if (r == 0 && syncfs(fd) < 0)
		r = error_set_errno(err, errno, "syncing the bundle");
	return r < 0 ? r : fd_release(&fd);
}

/* Creates or replaces the declaration's link in one step. */
static int link_replace(int dirfd, const char *target, struct error *err)
{
	_cleanup_free_ char *temporary = dir_temporary_name(NAME);

	if (!temporary)
		return error_no_memory(err);
	if (symlinkat(target, dirfd, temporary) < 0)
		return error_set_errno(err, errno, "creating a link for %s", BUNDLE_DECLARATION);
	if (renameat(dirfd, temporary, dirfd, BUNDLE_DECLARATION) == 0)
		return 0;
	error_set_errno(err, errno, "replacing %s", BUNDLE_DECLARATION);
	(void)unlinkat(dirfd, temporary, 0);
	return -(int)err->code;
}

int bundle_install(struct bundle_place *place, struct error *err)
{
	_cleanup_free_ char *target = path_join(place->stage, BUNDLE_DECLARATION);
	int r = target ? link_replace(place->dirfd, target, err) : error_no_memory(err);

	if (r < 0)
		return r;
	free(place->stage);
	place->stage = NULL;
	r = dir_sync(place->dirfd, BUNDLE_DECLARATION, err);
	return r < 0 ? r : place_clean(place, err);
}

void bundle_place_close(struct bundle_place *place)
{
	_cleanup_error_ struct error ignored = {0};

	if (place->stage)
		(void)dir_remove_tree(place->dirfd, place->stage, false, &ignored);
	free(place->stage);
	place->stage = NULL;
	lock_release(&place->lock);
	cleanup_close_fd(&place->dirfd);
	place->dirfd = -1;
}

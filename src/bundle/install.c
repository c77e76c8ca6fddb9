/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/text.h"
#include "bundle/bundle.h"

/* Of directories, and of links before they get their name. */
#define PREFIX  "vmcred-bundle"
#define CURRENT "current"

/* The links through which everything else finds the bundle; the declaration last, because a
 * declaration without its store would be an error. */
static const struct {
	const char *name, *target;
} links[] = {
	{"vars", CURRENT "/vars"},
	{BUNDLE_DECLARATION, CURRENT "/" BUNDLE_DECLARATION},
};

#define LINKS (sizeof(links) / sizeof(links[0]))

/* Reads a link's target; an empty text if it is not a link. */
static void link_read(int dirfd, const char *name, char target[PATH_MAX])
{
	const ssize_t size = readlinkat(dirfd, name, target, PATH_MAX - 1);

	target[size < 0 ? 0 : size] = '\0';
}

/* Whether a name is free, or a link to that target: 1 if the link exists, 0, or a negative code. */
static int link_check(int dirfd, const char *name, const char *expected, struct error *err)
{
	char target[PATH_MAX];

	if (faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : error_set_errno(err, errno, "%s", name);
	link_read(dirfd, name, target);
	if (target[0] != '\0' && (!expected || strcmp(target, expected) == 0))
		return 1;
	error_set(err, VMCRED_FAILED, "%s exists and does not come from a bundle", name);
	return error_hint(err, "move it away if this host gets bundles from now on");
}

struct cleaning {
	int dirfd;
	char current[PATH_MAX];
};

static int remains_remove(void *context, const char *entry, struct error *err)
{
	const struct cleaning *cleaning = context;

	if (strncmp(entry, "." PREFIX ".", strlen("." PREFIX ".")) != 0 ||
	    strcmp(entry, cleaning->current) == 0)
		return 0;
	return dir_remove_tree(cleaning->dirfd, entry, false, err);
}

/* Removes all bundles but the installed one. */
static int place_clean(const struct bundle_place *place, struct error *err)
{
	struct cleaning cleaning = {.dirfd = place->dirfd};

	link_read(place->dirfd, CURRENT, cleaning.current);
	return dir_each(place->dirfd, ".", remains_remove, &cleaning, err);
}

int bundle_place_open(const char *path, bool dry, struct bundle_place *place, struct error *err)
{
	int r = 0;

	place->dirfd = dry ? dir_open(AT_FDCWD, path, err) : dir_make(AT_FDCWD, path, 0755, err);
	if (dry && place->dirfd == -(int)VMCRED_MISSING) {
		error_clear(err);
		return 0;
	}
	if (place->dirfd < 0)
		return place->dirfd;
	if (!dry)
		r = lock_take(&place->lock, place->dirfd, true, path, err);
	if (r == 0)
		r = link_check(place->dirfd, CURRENT, NULL, err);
	for (size_t i = 0; r >= 0 && i < LINKS; i++)
		r = link_check(place->dirfd, links[i].name, links[i].target, err);
	if (r < 0)
		return error_wrap(err, "%s", path);
	return dry ? 0 : place_clean(place, err);
}

int bundle_stage(struct bundle_place *place, const struct bundle *bundle, struct error *err)
{
	_cleanup_close_ int fd = dir_make_temporary(place->dirfd, PREFIX, 0755, &place->stage, err);
	int r;

	if (fd < 0)
		return fd;
	r = bundle_unpack(bundle, fd, err);
	/* Many small files: one by one would take a commit of the journal for each. */
	if (r == 0 && syncfs(fd) < 0)
		r = error_set_errno(err, errno, "syncing the bundle");
	return r < 0 ? r : fd_release(&fd);
}

/* Creates or replaces a link in one step. */
static int link_replace(int dirfd, const char *name, const char *target, struct error *err)
{
	_cleanup_free_ char *temporary = dir_temporary_name(PREFIX);

	if (!temporary)
		return error_no_memory(err);
	if (symlinkat(target, dirfd, temporary) < 0)
		return error_set_errno(err, errno, "creating a link for %s", name);
	if (renameat(dirfd, temporary, dirfd, name) == 0)
		return 0;
	error_set_errno(err, errno, "replacing %s", name);
	(void)unlinkat(dirfd, temporary, 0);
	return -(int)err->code;
}

int bundle_install(struct bundle_place *place, struct error *err)
{
	int r = link_replace(place->dirfd, CURRENT, place->stage, err);

	if (r < 0)
		return r;
	free(place->stage);
	place->stage = NULL;
	for (size_t i = 0; r >= 0 && i < LINKS; i++) {
		r = link_check(place->dirfd, links[i].name, links[i].target, err);
		if (r == 0)
			r = link_replace(place->dirfd, links[i].name, links[i].target, err);
	}
	if (r >= 0)
		r = dir_sync(place->dirfd, CURRENT, err);
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

/* SPDX-License-Identifier: Apache-2.0 */
/* The links from where a secret is expected to where it is, outside of the generations. */
#include "activate/manifest/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/directory.h"

enum link_state {
	LINK_IDLE,     /* nothing is to be done, or it is done */
	LINK_READY,    /* under its temporary name */
	LINK_ADDED,    /* in place, where nothing was */
	LINK_REPLACED, /* in place; what was there has the temporary name */
};

struct manifest_link {
	char *temporary; /* owned */
	const char *path;
	enum link_state state;
};

bool manifest_is_below(const char *path, const char *folder)
{
	size_t size = strlen(folder);

	return strncmp(path, folder, size) == 0 && path[size] == '/';
}

char *manifest_target(const struct manifest *manifest, size_t index)
{
	char *target = NULL;

	if (asprintf(&target, "%s/%s%s", manifest->link_path,
		     index < manifest->secret_count ? "" : MANIFEST_RENDERED "/",
		     manifest->items[index].name) < 0)
		return NULL;
	return target;
}

/* Removes a file, a link or an empty folder; what is not there is no error. */
static int entry_remove(const char *path)
{
	if (unlinkat(AT_FDCWD, path, 0) == 0 || errno == ENOENT)
		return 0;
	return errno == EISDIR ? unlinkat(AT_FDCWD, path, AT_REMOVEDIR) : -1;
}

void manifest_links_undo(struct manifest_links *links)
{
	/* Backwards, as they were put in place. */
	for (size_t i = links->count; i > 0; i--) {
		struct manifest_link *link = &links->items[i - 1];

		if (link->state == LINK_ADDED)
			(void)unlinkat(AT_FDCWD, link->path, 0);
		/* A folder cannot take a link's place, as a file does. */
		if (link->state == LINK_REPLACED &&
		    renameat(AT_FDCWD, link->temporary, AT_FDCWD, link->path) < 0 &&
		    unlinkat(AT_FDCWD, link->path, 0) == 0)
			(void)renameat(AT_FDCWD, link->temporary, AT_FDCWD, link->path);
		if (link->state == LINK_READY)
			(void)unlinkat(AT_FDCWD, link->temporary, 0);
		link->state = LINK_IDLE;
	}
}

void manifest_links_keep(struct manifest_links *links)
{
	for (size_t i = 0; i < links->count; i++) {
		if (links->items[i].state == LINK_REPLACED)
			(void)entry_remove(links->items[i].temporary);
		links->items[i].state = LINK_IDLE;
	}
}

void manifest_links_release(struct manifest_links *links)
{
	manifest_links_undo(links);
	for (size_t i = 0; links->items && i < links->count; i++)
		free(links->items[i].temporary);
	free(links->items);
	*links = (struct manifest_links){0};
}

static bool link_is_current(const struct manifest *manifest, const struct manifest_item *item,
			    const char *target)
{
	char found[PATH_MAX];
	struct stat status;
	ssize_t length = readlink(item->path, found, sizeof(found));

	return length >= 0 && (size_t)length == strlen(target) &&
	       memcmp(found, target, (size_t)length) == 0 && lstat(item->path, &status) == 0 &&
	       (manifest->user_mode || (status.st_uid == item->uid && status.st_gid == item->gid));
}

/* An empty folder gives way to a link, as for sops-nix. */
static int folder_check(const char *path, struct error *err)
{
	_cleanup_close_dir_ DIR *dir = dir_stream_open(AT_FDCWD, path);

	if (dir && dir_stream_next(dir))
		return error_set_errno(err, ENOTEMPTY, "replacing the folder %s", path);
	return 0;
}

/* The folder may be the user's own, who may put something else in the link's place meanwhile: that
 * is not given to anybody. */
static int link_give(const char *path, uid_t uid, gid_t gid)
{
	_cleanup_close_ int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0)
		return -1;
	if (!S_ISLNK(status.st_mode)) {
		errno = ESTALE;
		return -1;
	}
	return fchownat(fd, "", uid, gid, AT_EMPTY_PATH);
}

static int link_prepare(const struct manifest *manifest, const struct manifest_item *item,
			const char *target, struct manifest_link *link, struct error *err)
{
	const char *slash = strrchr(item->path, '/');
	_cleanup_free_ char *folder =
		strndup(item->path, slash > item->path ? (size_t)(slash - item->path) : 1);
	_cleanup_close_ int dirfd = -1;

	link->path = item->path;
	if (!folder)
		return error_no_memory(err);
	if (asprintf(&link->temporary, "%s/.%s.vmcred", folder, slash + 1) < 0) {
		link->temporary = NULL;
		return error_no_memory(err);
	}
	/* One of that name was left by a run that was killed. */
	if (entry_remove(link->temporary) < 0 && errno != ENOTDIR)
		return error_set_errno(err, errno, "removing a left-over %s", link->temporary);
	if (link_is_current(manifest, item, target))
		return 0;
	dirfd = dir_make(AT_FDCWD, folder, 0777, err);
	if (dirfd < 0)
		return dirfd;
	if (folder_check(item->path, err) < 0)
		return -(int)err->code;
	if (symlinkat(target, AT_FDCWD, link->temporary) < 0)
		return error_set_errno(err, errno, "making a link in %s", folder);
	link->state = LINK_READY;
	if (!manifest->user_mode && link_give(link->temporary, item->uid, item->gid) < 0)
		return error_set_errno(err, errno, "giving the link %s to %u:%u", item->path,
				       item->uid, item->gid);
	return 0;
}

int manifest_links_prepare(const struct manifest *manifest, struct manifest_links *links,
			   struct error *err)
{
	size_t count = manifest->secret_count + manifest->template_count;
	int r = 0;

	links->items = calloc(count + 1, sizeof(*links->items));
	if (!links->items)
		return error_no_memory(err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		const struct manifest_item *item = &manifest->items[i];
		_cleanup_free_ char *target = manifest_target(manifest, i);

		if (!target)
			return error_no_memory(err);
		if (manifest_is_below(item->path, manifest->link_path))
			continue;
		r = link_prepare(manifest, item, target, &links->items[links->count++], err);
		if (r < 0)
			return error_wrap(err, "linking to %s", item->name);
	}
	return r;
}

/* For file systems that cannot exchange two names: for a moment there is nothing in place. */
static int exchange_slowly(const struct manifest_link *link)
{
	_cleanup_free_ char *old = NULL;
	int errnum;

	if (asprintf(&old, "%s-old", link->temporary) < 0) {
		old = NULL;
		errno = ENOMEM;
		return -1;
	}
	if (renameat(AT_FDCWD, link->path, AT_FDCWD, old) < 0)
		return -1;
	if (renameat(AT_FDCWD, link->temporary, AT_FDCWD, link->path) == 0)
		return renameat(AT_FDCWD, old, AT_FDCWD, link->temporary);
	errnum = errno;
	(void)renameat(AT_FDCWD, old, AT_FDCWD, link->path);
	errno = errnum;
	return -1;
}

static int link_place(struct manifest_link *link)
{
	struct stat status;
	int r;

	if (lstat(link->path, &status) < 0 && errno == ENOENT) {
		r = renameat(AT_FDCWD, link->temporary, AT_FDCWD, link->path);
		link->state = r == 0 ? LINK_ADDED : LINK_READY;
		return r;
	}
	r = renameat2(AT_FDCWD, link->temporary, AT_FDCWD, link->path, RENAME_EXCHANGE);
	if (r < 0 && (errno == EINVAL || errno == ENOSYS))
		r = exchange_slowly(link);
	link->state = r == 0 ? LINK_REPLACED : LINK_READY;
	return r;
}

int manifest_links_place(struct manifest_links *links, struct error *err)
{
	for (size_t i = 0; i < links->count; i++) {
		struct manifest_link *link = &links->items[i];

		if (link->state == LINK_READY && link_place(link) < 0)
			return error_set_errno(err, errno, "putting the link %s in place",
					       link->path);
	}
	return 0;
}

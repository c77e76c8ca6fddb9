/* SPDX-License-Identifier: Apache-2.0 */
/* The links outside the generations, from the path of an item to symlinkPath. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "activate/manifest/model.h"
#include "base/cleanup.h"
#include "base/directory.h"

enum link_state {
	LINK_IDLE,     /* nothing to do, or done */
	LINK_READY,    /* has its temporary name */
	LINK_ADDED,    /* in its place, which was empty */
	LINK_REPLACED, /* in its place; the previous file has the temporary name */
};

struct manifest_link {
	char *temporary; /* owned */
	const char *path;
	enum link_state state;
};

/* Removes a file, link or empty directory. It need not exist. */
static int entry_remove(const char *path)
{
	if (unlinkat(AT_FDCWD, path, 0) == 0 || errno == ENOENT)
		return 0;
	return errno == EISDIR ? unlinkat(AT_FDCWD, path, AT_REMOVEDIR) : -1;
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
	/* In reverse order. */
	for (size_t i = links->count; i > 0; i--) {
		struct manifest_link *link = &links->items[i - 1];

		if (link->state == LINK_ADDED)
			(void)unlinkat(AT_FDCWD, link->path, 0);
		/* A file can be renamed over a link, a directory cannot. */
		if (link->state == LINK_REPLACED &&
		    renameat(AT_FDCWD, link->temporary, AT_FDCWD, link->path) < 0 &&
		    unlinkat(AT_FDCWD, link->path, 0) == 0)
			(void)renameat(AT_FDCWD, link->temporary, AT_FDCWD, link->path);
		if (link->state == LINK_READY)
			(void)unlinkat(AT_FDCWD, link->temporary, 0);
		free(link->temporary);
	}
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

/* Changes the owner of a link. Its directory may be writable by a user, who could replace the link
 * by another file meanwhile, whose owner must not change. */
static int link_own(const char *path, uid_t uid, gid_t gid)
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
	_cleanup_free_ char *directory =
		strndup(item->path, slash > item->path ? (size_t)(slash - item->path) : 1);
	_cleanup_close_ int dirfd = -1;
	_cleanup_close_dir_ DIR *replaced = NULL;

	link->path = item->path;
	link->temporary = directory ? text_format("%s/.%s.vmcred", directory, slash + 1) : NULL;
	if (!link->temporary)
		return error_no_memory(err);
	/* The leftover of a killed run. */
	if (entry_remove(link->temporary) < 0 && errno != ENOTDIR)
		return error_set_errno(err, errno, "removing the leftover %s", link->temporary);
	if (link_is_current(manifest, item, target))
		return 0;
	dirfd = dir_make(AT_FDCWD, directory, 0777, err);
	if (dirfd < 0)
		return dirfd;
	/* An empty directory is replaced, as by sops-nix. */
	replaced = dir_stream_open(AT_FDCWD, item->path);
	if (replaced && dir_stream_next(replaced))
		return error_set_errno(err, ENOTEMPTY, "replacing the directory %s", item->path);
	if (symlinkat(target, AT_FDCWD, link->temporary) < 0)
		return error_set_errno(err, errno, "creating a link in %s", directory);
	link->state = LINK_READY;
	if (!manifest->user_mode && link_own(link->temporary, item->uid, item->gid) < 0)
		return error_set_errno(err, errno, "changing the owner of the link %s to %u:%u",
				       item->path, item->uid, item->gid);
	return 0;
}

int manifest_links_prepare(const struct manifest *manifest, struct manifest_links *links,
			   struct error *err)
{
	links->items = calloc(manifest->item_count + 1, sizeof(*links->items));
	if (!links->items)
		return error_no_memory(err);
	for (size_t i = 0; i < manifest->item_count; i++) {
		const struct manifest_item *item = &manifest->items[i];
		_cleanup_free_ char *target = manifest_target(manifest, item);

		if (!target)
			return error_no_memory(err);
		if (manifest_is_below(item->path, manifest->link_path))
			continue;
		if (link_prepare(manifest, item, target, &links->items[links->count++], err) < 0)
			return error_wrap(err, "creating the link for %s", item->name);
	}
	return 0;
}

/* For file systems that cannot exchange two names: for a moment the place is empty. */
static int exchange_slowly(const struct manifest_link *link)
{
	_cleanup_free_ char *old = text_format("%s-old", link->temporary);
	int errnum;

	if (!old || renameat(AT_FDCWD, link->path, AT_FDCWD, old) < 0)
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
			return error_set_errno(err, errno, "installing the link %s", link->path);
	}
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The links outside the generations, from the path of an item to symlinkPath. A link may be in a
 * directory of another user, who can change it at any time: its directory is opened for each step,
 * and what that user prevents is only a warning.
 */
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
#include "base/trusted/trusted.h"

enum link_state {
	LINK_IDLE,     /* nothing to do, or done */
	LINK_READY,    /* has its temporary name */
	LINK_ADDED,    /* in its place, which was empty */
	LINK_REPLACED, /* in its place; the previous file has the temporary name */
};

struct manifest_link {
	char *temporary; /* owned; the name next to it */
	const char *path, *name;
	bool is_foreign; /* another user can prevent it */
	enum link_state state;
};

/* Removes a file, link or empty directory. It need not exist. */
static int entry_remove(int dirfd, const char *name)
{
	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	return errno == EISDIR ? unlinkat(dirfd, name, AT_REMOVEDIR) : -1;
}

static int directory_open(struct manifest_link *link, struct error *err)
{
	return trusted_parent_open(link->path, 0777, &link->name, &link->is_foreign, err);
}

void manifest_links_keep(struct manifest_links *links)
{
	for (size_t i = 0; i < links->count; i++) {
		struct manifest_link *link = &links->items[i];
		_cleanup_error_ struct error ignored = {0};
		_cleanup_close_ int dirfd = -1;

		if (link->state == LINK_REPLACED && (dirfd = directory_open(link, &ignored)) >= 0)
			(void)entry_remove(dirfd, link->temporary);
		link->state = LINK_IDLE;
	}
}

static void link_undo(struct manifest_link *link)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_close_ int dirfd = -1;

	if (link->state == LINK_IDLE || (dirfd = directory_open(link, &ignored)) < 0)
		return;
	if (link->state == LINK_ADDED)
		(void)unlinkat(dirfd, link->name, 0);
	/* A file can be renamed over a link, a directory cannot. */
	if (link->state == LINK_REPLACED &&
	    renameat(dirfd, link->temporary, dirfd, link->name) < 0 &&
	    unlinkat(dirfd, link->name, 0) == 0)
		(void)renameat(dirfd, link->temporary, dirfd, link->name);
	if (link->state == LINK_READY)
		(void)unlinkat(dirfd, link->temporary, 0);
	link->state = LINK_IDLE;
}

void manifest_links_release(struct manifest_links *links)
{
	/* In reverse order. */
	for (size_t i = links->count; i > 0; i--) {
		link_undo(&links->items[i - 1]);
		free(links->items[i - 1].temporary);
	}
	free(links->items);
	*links = (struct manifest_links){0};
}

bool manifest_link_leads_to(int link_fd, const char *target)
{
	char found[PATH_MAX];
	ssize_t length = readlinkat(link_fd, "", found, sizeof(found));

	return length >= 0 && (size_t)length == strlen(target) &&
	       memcmp(found, target, (size_t)length) == 0;
}

static bool link_is_current(const struct manifest *manifest, const struct manifest_item *item,
			    int dirfd, const char *name, const char *target)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat status;

	return fd >= 0 && manifest_link_leads_to(fd, target) && fstat(fd, &status) == 0 &&
	       (manifest->user_mode || (status.st_uid == item->uid && status.st_gid == item->gid));
}

/* Changes the owner of a link. The owner of the directory could have replaced it meanwhile by
 * another file or link, whose owner must not change. */
static int link_own(int dirfd, const char *name, const char *target, uid_t uid, gid_t gid)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (!manifest_link_leads_to(fd, target)) {
		errno = ESTALE;
		return -1;
	}
	return fchownat(fd, "", uid, gid, AT_EMPTY_PATH);
}

static int link_prepare(const struct manifest *manifest, const struct manifest_item *item,
			const char *target, struct manifest_link *link, struct error *err)
{
	_cleanup_close_ int dirfd = -1;
	_cleanup_close_dir_ DIR *replaced = NULL;

	link->path = item->path;
	link->temporary = text_format(".%s.vmcred", basename(item->path));
	if (!link->temporary)
		return error_no_memory(err);
	dirfd = directory_open(link, err);
	if (dirfd < 0)
		return dirfd;
	/* The leftover of a killed run. */
	if (entry_remove(dirfd, link->temporary) < 0)
		return error_set_errno(err, errno, "removing the leftover %s", link->temporary);
	if (link_is_current(manifest, item, dirfd, link->name, target))
		return 0;
	/* An empty directory is replaced, as by sops-nix. */
	replaced = dir_stream_open(dirfd, link->name);
	if (replaced && dir_stream_next(replaced))
		return error_set_errno(err, ENOTEMPTY, "replacing the directory %s", item->path);
	if (symlinkat(target, dirfd, link->temporary) < 0)
		return error_set_errno(err, errno, "creating the link %s", item->path);
	link->state = LINK_READY;
	if (!manifest->user_mode &&
	    link_own(dirfd, link->temporary, target, item->uid, item->gid) < 0)
		return error_set_errno(err, errno, "changing the owner of the link %s to %u:%u",
				       item->path, item->uid, item->gid);
	return 0;
}

/* A failure that another user may have caused is a warning, and the link is not installed. */
static int link_give_up(struct manifest_link *link, const struct report *report, struct error *err)
{
	if (!link->is_foreign)
		return -(int)err->code;
	report_message(report, REPORT_WARNING, "%s%s%s", err->text ? err->text : link->path,
		       err->hint ? ": " : "", err->hint ? err->hint : "");
	error_clear(err);
	link_undo(link);
	return 0;
}

int manifest_links_prepare(const struct manifest *manifest, const struct report *report,
			   struct manifest_links *links, struct error *err)
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
		if (link_prepare(manifest, item, target, &links->items[links->count++], err) < 0) {
			error_wrap(err, "creating the link for %s", item->name);
			if (link_give_up(&links->items[links->count - 1], report, err) < 0)
				return -(int)err->code;
		}
	}
	return 0;
}

/* For file systems that cannot exchange two names: for a moment the place is empty. */
static int exchange_slowly(const struct manifest_link *link, int dirfd)
{
	_cleanup_free_ char *old = text_format("%s-old", link->temporary);
	int errnum;

	if (!old || renameat(dirfd, link->name, dirfd, old) < 0)
		return -1;
	if (renameat(dirfd, link->temporary, dirfd, link->name) == 0)
		return renameat(dirfd, old, dirfd, link->temporary);
	errnum = errno;
	(void)renameat(dirfd, old, dirfd, link->name);
	errno = errnum;
	return -1;
}

static int link_place(struct manifest_link *link, int dirfd)
{
	struct stat status;
	int r;

	if (fstatat(dirfd, link->name, &status, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT) {
		r = renameat(dirfd, link->temporary, dirfd, link->name);
		link->state = r == 0 ? LINK_ADDED : LINK_READY;
		return r;
	}
	r = renameat2(dirfd, link->temporary, dirfd, link->name, RENAME_EXCHANGE);
	if (r < 0 && (errno == EINVAL || errno == ENOSYS))
		r = exchange_slowly(link, dirfd);
	link->state = r == 0 ? LINK_REPLACED : LINK_READY;
	return r;
}

int manifest_links_place(struct manifest_links *links, const struct report *report,
			 struct error *err)
{
	for (size_t i = 0; i < links->count; i++) {
		struct manifest_link *link = &links->items[i];
		_cleanup_close_ int dirfd = -1;

		if (link->state != LINK_READY)
			continue;
		dirfd = directory_open(link, err);
		if (dirfd >= 0 && link_place(link, dirfd) < 0)
			error_set_errno(err, errno, "installing the link %s", link->path);
		if (err->text && link_give_up(link, report, err) < 0)
			return -(int)err->code;
	}
	return 0;
}

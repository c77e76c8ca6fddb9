/* SPDX-License-Identifier: Apache-2.0 */
/* The links from where a secret is expected to where it is. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "activate/manifest.h"
#include "base/cleanup.h"
#include "base/io.h"

/* A link that is ready to be put in place. */
struct pending {
	char *temporary; /* owned; NULL: nothing is to be done */
	const char *path;
};

struct pending_list {
	struct pending *items; /* owned */
	size_t count;
};

static void pending_release(struct pending_list *list)
{
	for (size_t i = 0; list->items && i < list->count; i++) {
		if (list->items[i].temporary)
			(void)unlink(list->items[i].temporary);
		free(list->items[i].temporary);
	}
	free(list->items);
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

static int link_prepare(const struct manifest *manifest, const struct manifest_item *item,
			const char *target, struct pending *pending, struct error *err)
{
	const char *slash = strrchr(item->path, '/');
	_cleanup_free_ char *folder =
		strndup(item->path, slash > item->path ? (size_t)(slash - item->path) : 1);
	_cleanup_close_ int dirfd = -1;
	struct stat status;
	char *temporary = NULL;

	if (!folder)
		return error_no_memory(err);
	dirfd = dir_make(AT_FDCWD, folder, 0777, err);
	if (dirfd < 0)
		return dirfd;
	/* An empty folder gives way, as for sops-nix. */
	if (lstat(item->path, &status) == 0 && S_ISDIR(status.st_mode) && rmdir(item->path) < 0)
		return error_set_errno(err, errno, "removing the folder %s", item->path);
	if (asprintf(&temporary, "%s/.%s.vmcred", folder, slash + 1) < 0)
		return error_no_memory(err);
	/* One of that name was left by a run that was killed. */
	if ((unlink(temporary) < 0 && errno != ENOENT) || symlink(target, temporary) < 0) {
		error_set_errno(err, errno, "making a link in %s", folder);
		free(temporary);
		return -(int)err->code;
	}
	*pending = (struct pending){.temporary = temporary, .path = item->path};
	if (!manifest->user_mode && lchown(temporary, item->uid, item->gid) < 0)
		return error_set_errno(err, errno, "giving the link %s to %u:%u", item->path,
				       item->uid, item->gid);
	return 0;
}

static int item_prepare(const struct manifest *manifest, size_t index, struct pending *pending,
			struct error *err)
{
	const struct manifest_item *item = &manifest->items[index];
	_cleanup_free_ char *target = NULL;
	int r = 0;

	if (asprintf(&target, "%s/%s%s", manifest->link_path,
		     index < manifest->secret_count ? "" : MANIFEST_RENDERED "/", item->name) < 0) {
		target = NULL;
		return error_no_memory(err);
	}
	if (strcmp(target, item->path) != 0 && !link_is_current(manifest, item, target))
		r = link_prepare(manifest, item, target, pending, err);
	return r < 0 ? error_wrap(err, "linking to %s", item->name) : 0;
}

int manifest_links_make(const struct manifest *manifest, struct error *err)
{
	size_t count = manifest->secret_count + manifest->template_count;
	__attribute__((cleanup(pending_release))) struct pending_list list = {
		.items = calloc(count + 1, sizeof(*list.items)),
		.count = count,
	};
	int r = 0;

	if (!list.items)
		return error_no_memory(err);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = item_prepare(manifest, i, &list.items[i], err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (!list.items[i].temporary)
			continue;
		if (rename(list.items[i].temporary, list.items[i].path) < 0)
			r = error_set_errno(err, errno, "putting the link %s in place",
					    list.items[i].path);
		else
			free(pointer_release(&list.items[i].temporary));
	}
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/folder.h"

static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int folder_open(const char *path, struct error *err)
{
	_cleanup_free_ char *folder = strndup(path, (size_t)(name_of(path) - path));

	if (!folder)
		return error_no_memory(err);
	return dir_open(AT_FDCWD, *folder ? folder : ".", err);
}

int replacement_begin(struct replacement *replacement, const char *path, mode_t mode,
		      struct error *err)
{
	uint64_t random = 0;

	replacement->path = strdup(path);
	replacement->dirfd = folder_open(path, err);
	if (replacement->dirfd < 0)
		return replacement->dirfd;
	if (*name_of(path) == '\0')
		return error_set(err, VMCRED_USAGE, "%s names no file", path);
	/* 64 random bits: nobody else has the name. */
	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return error_set_errno(err, errno, "getting random bytes from the kernel");
	if (!replacement->path || asprintf(&replacement->temporary, ".%.200s.%016llx",
					   name_of(path), (unsigned long long)random) < 0) {
		replacement->temporary = NULL;
		return error_no_memory(err);
	}
	replacement->fd = openat(replacement->dirfd, replacement->temporary,
				 O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
	if (replacement->fd < 0) {
		int reason = errno;

		free(pointer_release(&replacement->temporary));
		return error_set_errno(err, reason, "making a temporary file for %s", path);
	}
	if (fchmod(replacement->fd, mode) < 0)
		return error_set_errno(err, errno, "setting the mode of %s", path);
	return 0;
}

int replacement_finish(struct replacement *replacement, struct error *err)
{
	if (fsync(replacement->fd) < 0)
		return error_set_errno(err, errno, "writing %s", replacement->path);
	if (renameat(replacement->dirfd, replacement->temporary, replacement->dirfd,
		     name_of(replacement->path)) < 0)
		return error_set_errno(err, errno, "putting the new %s in place",
				       replacement->path);
	free(pointer_release(&replacement->temporary));
	return dir_sync(replacement->dirfd, replacement->path, err);
}

void replacement_abandon(struct replacement *replacement)
{
	if (replacement->temporary)
		(void)unlinkat(replacement->dirfd, replacement->temporary, 0);
	cleanup_close_fd(&replacement->fd);
	cleanup_close_fd(&replacement->dirfd);
	free(replacement->temporary);
	free(replacement->path);
	*replacement = (struct replacement)REPLACEMENT_NONE;
}

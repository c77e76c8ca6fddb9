/* SPDX-License-Identifier: Apache-2.0 */
#include "base/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

/* For Linux before 5.6, which has no openat2(2): opens step by step and follows no link at all. */
static int steps_open(int dirfd, const char *path, int flags)
{
	_cleanup_free_ char *parts = strdup(path);
	_cleanup_close_ int parent = -1;
	char *rest = NULL, *name = parts ? strtok_r(parts, "/", &rest) : NULL;

	if (!parts)
		return -1;
	while (name) {
		char *next = strtok_r(NULL, "/", &rest);
		int fd;

		if (strcmp(name, "..") == 0) {
			errno = EXDEV;
			return -1;
		}
		fd = openat(parent < 0 ? dirfd : parent, name,
			    next ? O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
				 : flags | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 || !next)
			return fd;
		if (parent >= 0)
			close(parent);
		parent = fd;
		name = next;
	}
	errno = ENOENT;
	return -1;
}

static int path_open(int dirfd, const char *path, int flags)
{
	const struct open_how how = {
		.flags = (unsigned int)(flags | O_CLOEXEC),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	long fd;

	do {
		fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
		/* EAGAIN: a concurrent rename; the kernel cannot tell whether the path is safe. */
	} while (fd < 0 && errno == EAGAIN);
	return fd < 0 && errno == ENOSYS ? steps_open(dirfd, path, flags) : (int)fd;
}

/* Whether an open file is in such a store, and no other user can change it. Its path in /proc has
 * no links. */
static bool is_immutable(int fd)
{
	static const char *const stores[] = {"/nix/store/", "/gnu/store/"};
	char opened[32], target[PATH_MAX];
	struct stat status;
	ssize_t length;

	snprintf(opened, sizeof(opened), "/proc/self/fd/%d", fd);
	length = readlink(opened, target, sizeof(target) - 1);
	if (length < 0 || fstat(fd, &status) < 0 || (status.st_mode & (S_IWGRP | S_IWOTH)) ||
	    (status.st_uid != 0 && status.st_uid != geteuid()))
		return false;
	target[length] = '\0';
	for (size_t i = 0; i < sizeof(stores) / sizeof(stores[0]); i++) {
		if (strncmp(target, stores[i], strlen(stores[i])) == 0)
			return true;
	}
	return false;
}

/* Opens what the path leads to outside the directory. */
static int outside_open(int dirfd, const char *path, int flags)
{
	/* O_PATH has no effect on a device or FIFO. */
	_cleanup_close_ int fd = openat(dirfd, path, O_PATH | O_CLOEXEC);
	char opened[32];

	if (fd < 0 || !is_immutable(fd)) {
		errno = EXDEV;
		return -1;
	}
	snprintf(opened, sizeof(opened), "/proc/self/fd/%d", fd);
	return open(opened, flags | O_CLOEXEC);
}

int beneath_open(int dirfd, const char *path, int flags)
{
	const bool is_directory = flags & O_DIRECTORY;
	_cleanup_close_ int fd = -1;
	struct stat status;

	if (dirfd == AT_FDCWD || path[0] == '/')
		return openat(dirfd, path, flags | O_CLOEXEC);
	if (!is_directory)
		flags |= O_NONBLOCK | O_NOCTTY;
	fd = path_open(dirfd, path, flags);
	if (fd < 0 && errno == EXDEV)
		fd = outside_open(dirfd, path, flags);
	if (fd < 0 || is_directory)
		return fd_release(&fd);
	if (fstat(fd, &status) < 0)
		return -1;
	if (!S_ISREG(status.st_mode)) {
		errno = S_ISDIR(status.st_mode) ? EISDIR : ENOTSUP;
		return -1;
	}
	return fd_release(&fd);
}

int beneath_error(struct error *err, int errnum, const char *what, const char *path)
{
	if (errnum == EXDEV) {
		error_set(err, VMCRED_FAILED, "%s %s: a symbolic link leads outside the directory",
			  what, path);
		return error_hint(err, "replace the link with a regular file or directory");
	}
	if (errnum == ENOTSUP)
		return error_set(err, VMCRED_FAILED, "%s %s: not a regular file", what, path);
	return error_set_errno(err, errnum, "%s %s", what, path);
}

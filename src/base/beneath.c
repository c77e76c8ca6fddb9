/* SPDX-License-Identifier: Apache-2.0 */
#include "base/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Opens again, with other flags, what is open with O_PATH. */
static int opened_again(int fd, int flags)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags | O_CLOEXEC);
}

/* The path of an open file in /proc, which has no links; an empty text on failure. */
static void opened_path(int fd, char target[PATH_MAX])
{
	char entry[32];
	ssize_t length;

	snprintf(entry, sizeof(entry), "/proc/self/fd/%d", fd);
	length = readlink(entry, target, PATH_MAX - 1);
	target[length < 0 ? 0 : length] = '\0';
}

/*
 * Without openat2(2), which Linux before 5.6 and some containers do not have. The target of the
 * path is opened with O_PATH, which has no effect on a device or FIFO, and used if it is in the
 * directory.
 */
static int found_open(int dirfd, const char *path, int flags)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_PATH | O_CLOEXEC);
	char directory[PATH_MAX], found[PATH_MAX];
	size_t length;

	if (fd < 0)
		return -1;
	opened_path(dirfd, directory);
	opened_path(fd, found);
	length = strcmp(directory, "/") == 0 ? 0 : strlen(directory);
	if (directory[0] == '\0' || strncmp(found, directory, length) != 0 ||
	    (found[length] != '/' && found[length] != '\0')) {
		errno = EXDEV;
		return -1;
	}
	return opened_again(fd, flags);
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
	return fd < 0 && errno == ENOSYS ? found_open(dirfd, path, flags) : (int)fd;
}

/* Whether an open file is in such a store, and no other user can change it. */
static bool is_immutable(int fd)
{
	static const char *const stores[] = {"/nix/store/", "/gnu/store/"};
	char path[PATH_MAX];
	struct stat status;

	if (fstat(fd, &status) < 0 || (status.st_mode & (S_IWGRP | S_IWOTH)) ||
	    (status.st_uid != 0 && status.st_uid != geteuid()))
		return false;
	opened_path(fd, path);
	for (size_t i = 0; i < sizeof(stores) / sizeof(stores[0]); i++) {
		if (strncmp(path, stores[i], strlen(stores[i])) == 0)
			return true;
	}
	return false;
}

/* Opens what the path leads to outside the directory. */
static int outside_open(int dirfd, const char *path, int flags)
{
	/* O_PATH has no effect on a device or FIFO. */
	_cleanup_close_ int fd = openat(dirfd, path, O_PATH | O_CLOEXEC);

	if (fd >= 0 && is_immutable(fd))
		return opened_again(fd, flags);
	errno = EXDEV;
	return -1;
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

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
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

int beneath_open(int dirfd, const char *path, int flags)
{
	const bool is_directory = flags & O_DIRECTORY;
	_cleanup_close_ int fd = -1;
	struct stat status;

	if (dirfd == AT_FDCWD || path[0] == '/')
		return openat(dirfd, path, flags | O_CLOEXEC);
	fd = path_open(dirfd, path, is_directory ? flags : flags | O_NONBLOCK | O_NOCTTY);
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

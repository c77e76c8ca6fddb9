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

/* Where the process is, and what a user names by its whole path, is not others' to decide. */
static bool is_beneath(int dirfd, const char *path)
{
	return dirfd != AT_FDCWD && path[0] != '/';
}

/* Step by step, following no link at all: where there is no openat2(2), before Linux 5.6. */
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
		/* EAGAIN: something was renamed meanwhile, so the kernel cannot be sure. */
	} while (fd < 0 && errno == EAGAIN);
	return fd < 0 && errno == ENOSYS ? steps_open(dirfd, path, flags) : (int)fd;
}

int beneath_open(int dirfd, const char *path, int flags)
{
	const bool is_folder = flags & O_DIRECTORY;
	_cleanup_close_ int fd = -1;
	struct stat status;

	if (!is_beneath(dirfd, path))
		return openat(dirfd, path, flags | O_CLOEXEC);
	fd = path_open(dirfd, path, is_folder ? flags : flags | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || is_folder)
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
		error_set(err, VMCRED_FAILED, "%s %s: a link leads out of the folder that it is in",
			  what, path);
		return error_hint(err, "put a file or folder of its own in the link's place");
	}
	if (errnum == ENOTSUP)
		return error_set(err, VMCRED_FAILED, "%s %s: it is not a regular file", what, path);
	return error_set_errno(err, errnum, "%s %s", what, path);
}

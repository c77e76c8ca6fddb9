/* SPDX-License-Identifier: Apache-2.0 */
#include "base/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Gives the file the owner and the write permissions of the directory, as far as possible: root
 * must not keep the directory's owner out. */
static void permissions_set(int dirfd, int fd)
{
	struct stat directory;

	if (fstat(dirfd, &directory) < 0)
		return;
	if (fchown(fd, geteuid() == 0 ? directory.st_uid : (uid_t)-1, directory.st_gid) < 0)
		return;
	/* Readers need not open it. */
	(void)fchmod(fd, S_IRUSR | S_IWUSR | (directory.st_mode & S_IWGRP ? S_IRGRP | S_IWGRP : 0) |
				 (directory.st_mode & S_IWOTH ? S_IROTH | S_IWOTH : 0));
}

/* Opens the file, and creates it if necessary. An existing one may be anything, so it is not
 * changed. */
static int lock_open(int dirfd)
{
	const int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;

	for (;;) {
		int fd = openat(dirfd, LOCK_NAME, flags | O_CREAT | O_EXCL, 0600);

		if (fd >= 0)
			permissions_set(dirfd, fd);
		if (fd >= 0 || errno != EEXIST)
			return fd;
		fd = openat(dirfd, LOCK_NAME, flags);
		/* Its owner may just have removed it. */
		if (fd >= 0 || errno != ENOENT)
			return fd;
	}
}

/* Whether the file was not removed by its last owner before it was locked. */
static bool is_current(int dirfd, int fd)
{
	struct stat ours, theirs;

	return fstat(fd, &ours) == 0 &&
	       fstatat(dirfd, LOCK_NAME, &theirs, AT_SYMLINK_NOFOLLOW) == 0 &&
	       ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

static int lock_error(int dirfd, const char *what, struct error *err)
{
	error_set_errno(err, errno, "locking %s with " LOCK_NAME, what);
	if (faccessat(dirfd, LOCK_NAME, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		error_hint(err, "remove that file if no vmcred is running");
	return -(int)err->code;
}

int lock_take(struct lock *lock, int dirfd, bool waits, const char *what, struct error *err)
{
	for (;;) {
		_cleanup_close_ int fd = lock_open(dirfd);

		if (fd < 0 && faccessat(dirfd, ".", W_OK, AT_EACCESS) < 0)
			return 0;
		if (fd < 0)
			return lock_error(dirfd, what, err);
		if (flock(fd, LOCK_EX | (waits ? 0 : LOCK_NB)) < 0) {
			if (errno == EINTR)
				continue;
			return errno == EWOULDBLOCK ? 1 : lock_error(dirfd, what, err);
		}
		if (is_current(dirfd, fd)) {
			lock->dirfd = dirfd;
			lock->fd = fd_release(&fd);
			return 0;
		}
	}
}

void lock_release(struct lock *lock)
{
	if (lock->fd < 0)
		return;
	(void)unlinkat(lock->dirfd, LOCK_NAME, 0);
	close(lock->fd);
	lock->fd = -1;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/directory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/cleanup.h"
#include "base/text.h"

int dir_open(int dirfd, const char *path, struct error *err)
{
	int fd = beneath_open(dirfd, path, O_RDONLY | O_DIRECTORY);

	return fd < 0 ? beneath_error(err, errno, "opening", path) : fd;
}

int dir_make(int dirfd, const char *path, mode_t mode, struct error *err)
{
	_cleanup_close_ int fd =
		openat(dirfd, path[0] == '/' ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *end = path;

	if (fd < 0)
		return error_set_errno(err, errno, "creating %s", path);
	/* Each step opens the path from `dirfd`, which links must not leave. */
	while (*(end += strspn(end, "/"))) {
		const size_t length = strcspn(end, "/");
		_cleanup_free_ char *name = strndup(end, length),
				    *whole = strndup(path, (size_t)(end - path) + length);
		bool is_new;
		int next;

		if (!name || !whole)
			return error_no_memory(err);
		is_new = mkdirat(fd, name, mode) == 0;
		if ((!is_new && errno != EEXIST) || (is_new && fsync(fd) < 0))
			return error_set_errno(err, errno, "creating %s", path);
		next = beneath_open(dirfd, whole, O_RDONLY | O_DIRECTORY);
		if (next < 0)
			return beneath_error(err, errno, "creating", path);
		close(fd);
		fd = next;
		end += length;
	}
	return fd_release(&fd);
}

char *dir_temporary_name(const char *prefix)
{
	uint32_t random = 0;

	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return NULL;
	/* Room for a long file name as the prefix. */
	return text_format(".%.200s.%08x", prefix, random);
}

int dir_make_temporary(int dirfd, const char *prefix, mode_t mode, char **name, struct error *err)
{
	for (int attempt = 0; attempt < DIR_NAME_ATTEMPTS; attempt++) {
		_cleanup_free_ char *candidate = dir_temporary_name(prefix);
		int fd;

		if (!candidate)
			return error_no_memory(err);
		if (mkdirat(dirfd, candidate, mode) < 0) {
			if (errno == EEXIST)
				continue;
			return error_set_errno(err, errno, "creating a temporary directory for %s",
					       prefix);
		}
		fd = dir_open(dirfd, candidate, err);
		if (fd < 0) {
			(void)unlinkat(dirfd, candidate, AT_REMOVEDIR);
			return fd;
		}
		*name = pointer_release(&candidate);
		return fd;
	}
	return error_set(err, VMCRED_FAILED, "no free name for a temporary directory for %s",
			 prefix);
}

static int open_no_links(int dirfd, const char *name)
{
	return openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

DIR *dir_stream_open(int dirfd, const char *name)
{
	_cleanup_close_ int fd = open_no_links(dirfd, name);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	/* The stream owns it now. */
	if (dir)
		(void)fd_release(&fd);
	return dir;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

const char *dir_stream_next(DIR *dir)
{
	const struct dirent *entry;

	do {
		errno = 0;
		entry = readdir(dir);
	} while (entry && is_dots(entry->d_name));
	return entry ? entry->d_name : NULL;
}

int dir_each(int dirfd, const char *name,
	     int (*each)(void *context, const char *entry, struct error *err), void *context,
	     struct error *err)
{
	_Alignas(struct dirent64) char entries[8192];
	_cleanup_close_ int fd = open_no_links(dirfd, name);
	ssize_t size = 0;
	int r = 0;

	if (fd < 0)
		return error_set_errno(err, errno, "listing %s", name);
	while (r == 0 && (size = getdents64(fd, (void *)entries, sizeof(entries))) > 0) {
		for (ssize_t at = 0; r == 0 && at < size;) {
			const struct dirent64 *entry = (const void *)(entries + at);

			if (!is_dots(entry->d_name))
				r = each(context, entry->d_name, err);
			at += entry->d_reclen;
		}
	}
	return size < 0 ? error_set_errno(err, errno, "listing %s", name) : r;
}

int dir_sync(int dirfd, const char *what, struct error *err)
{
	return fsync(dirfd) < 0 ? error_set_errno(err, errno, "syncing the directory of %s", what)
				: 0;
}

/* Overwrites a regular file in place, but not its holes. Returns 0, or -1 with errno set. */
static int file_wipe(int dirfd, const char *name)
{
	static const uint8_t zeroes[4096];
	const int flags = O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	_cleanup_close_ int fd = openat(dirfd, name, flags);
	struct stat status;
	off_t done = 0;

	/* A read-only file, and the user is not root. */
	if (fd < 0 && errno == EACCES && fchmodat(dirfd, name, S_IRUSR | S_IWUSR, 0) == 0)
		fd = openat(dirfd, name, flags);
	if (fd < 0 || fstat(fd, &status) < 0)
		return -1;
	while ((done = lseek(fd, done, SEEK_DATA)) >= 0 && done < status.st_size) {
		size_t left = (size_t)(status.st_size - done);
		ssize_t wrote =
			pwrite(fd, zeroes, left < sizeof(zeroes) ? left : sizeof(zeroes), done);

		if (wrote < 0)
			return -1;
		done += wrote;
	}
	return done >= 0 || errno == ENXIO ? 0 : -1;
}

#define DEPTH_MAX 16 /* more than trees usually have */

/* A removal goes on after a failure. */
struct removal {
	bool wipe;
	int root;          /* the directory that is emptied */
	bool is_raised;    /* directories were moved to it */
	struct error *err; /* the first failure */
};

static void removal_fail(const struct removal *removal, const char *what, const char *name)
{
	if (!removal->err->code)
		error_set_errno(removal->err, errno, "%s %s", what, name);
}

/* Opens a directory whose entries will be removed. */
static int removal_open(int dirfd, const char *name, bool wipe)
{
	int fd = open_no_links(dirfd, name);

	/* A script may have made its directory inaccessible to its owner. */
	if (fd < 0 && errno == EACCES && wipe && fchmodat(dirfd, name, S_IRWXU, 0) == 0)
		fd = open_no_links(dirfd, name);
	if (fd >= 0 && wipe && fchmod(fd, S_IRWXU) < 0)
		close(fd_release(&fd));
	return fd;
}

static void file_remove(const struct removal *removal, int dirfd, const char *name, mode_t mode)
{
	if (removal->wipe && S_ISREG(mode) && file_wipe(dirfd, name) < 0 && errno != ENOENT)
		removal_fail(removal, "wiping", name);
	if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
		removal_fail(removal, "removing", name);
}

/* Moves a directory up to the root, under a new name. */
static void directory_raise(struct removal *removal, int dirfd, const char *name)
{
	for (int attempt = 0; attempt < DIR_NAME_ATTEMPTS; attempt++) {
		_cleanup_free_ char *raised = dir_temporary_name("removed");

		if (!raised)
			break;
		if (renameat(dirfd, name, removal->root, raised) == 0) {
			removal->is_raised = true;
			return;
		}
		/* Its ".." changes, so it must be writable. */
		if (errno == EACCES ? !removal->wipe || fchmodat(dirfd, name, S_IRWXU, 0) < 0
				    : errno != ENOTEMPTY && errno != EEXIST)
			break;
	}
	removal_fail(removal, "removing", name);
}

/*
 * Removes the entries of a directory. Directories at DEPTH_MAX are moved to the root, so that a
 * tree of any depth needs few descriptors and little stack.
 */
static void entries_remove(struct removal *removal, int fd, unsigned depth)
{
	_cleanup_close_dir_ DIR *dir = dir_stream_open(fd, ".");
	const char *name;

	while (dir && (name = dir_stream_next(dir))) {
		_cleanup_close_ int sub = -1;
		struct stat status;

		if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0) {
			if (errno != ENOENT)
				removal_fail(removal, "removing", name);
		} else if (!S_ISDIR(status.st_mode)) {
			file_remove(removal, fd, name, status.st_mode);
		} else if (depth == DEPTH_MAX) {
			directory_raise(removal, fd, name);
		} else {
			sub = removal_open(fd, name, removal->wipe);
			if (sub >= 0)
				entries_remove(removal, sub, depth + 1);
			if ((sub < 0 || unlinkat(fd, name, AT_REMOVEDIR) < 0) && errno != ENOENT)
				removal_fail(removal, "removing", name);
		}
	}
	if (!dir || errno != 0)
		removal_fail(removal, "listing", "a directory");
}

int dir_empty(int dirfd, bool wipe, struct error *err)
{
	_cleanup_error_ struct error failure = {0};
	struct removal removal = {.wipe = wipe, .root = dirfd, .is_raised = true, .err = &failure};

	while (removal.is_raised) {
		removal.is_raised = false;
		entries_remove(&removal, dirfd, 0);
	}
	return failure.code ? error_move(err, &failure) : 0;
}

int dir_remove_tree(int dirfd, const char *name, bool wipe, struct error *err)
{
	_cleanup_error_ struct error failure = {0};
	const struct removal removal = {.wipe = wipe, .root = -1, .err = &failure};
	_cleanup_close_ int fd = -1;
	struct stat status;

	if (fstatat(dirfd, name, &status, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno != ENOENT)
			removal_fail(&removal, "removing", name);
	} else if (!S_ISDIR(status.st_mode)) {
		file_remove(&removal, dirfd, name, status.st_mode);
	} else {
		fd = removal_open(dirfd, name, wipe);
		if (fd >= 0)
			(void)dir_empty(fd, wipe, &failure);
		if ((fd < 0 || unlinkat(dirfd, name, AT_REMOVEDIR) < 0) && errno != ENOENT)
			removal_fail(&removal, "removing", name);
	}
	return failure.code ? error_move(err, &failure) : 0;
}

int dir_remove_temporaries(int dirfd, const char *prefix, bool wipe, struct error *err)
{
	_cleanup_free_ char *start = text_format(".%s.", prefix);
	_cleanup_close_dir_ DIR *dir = dir_stream_open(dirfd, ".");
	const char *entry;
	int r = 0;

	if (!start)
		return error_no_memory(err);
	while (r == 0 && dir && (entry = dir_stream_next(dir))) {
		if (strncmp(entry, start, strlen(start)) == 0)
			r = dir_remove_tree(dirfd, entry, wipe, err);
	}
	return r == 0 && (!dir || errno != 0)
		       ? error_set_errno(err, errno, "listing temporary directories")
		       : r;
}

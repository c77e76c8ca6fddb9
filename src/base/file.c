/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/cleanup.h"
#include "base/directory.h"

int file_open(int dirfd, const char *path, struct error *err)
{
	int fd = beneath_open(dirfd, path, O_RDONLY | O_NOCTTY);

	return fd < 0 ? beneath_error(err, errno, "opening", path) : fd;
}

int fd_write(int fd, struct span bytes, const char *what, struct error *err)
{
	while (bytes.size > 0) {
		ssize_t wrote = write(fd, bytes.data, bytes.size);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0)
			return error_set_errno(err, errno, "writing %s", what);
		bytes = span_of(bytes.data + wrote, bytes.size - (size_t)wrote);
	}
	return 0;
}

/*
 * Writes the content of a new file and sets its mode. It gets the owner of the file `like` (NULL:
 * ours), as far as this user may give files away.
 */
static int new_file_fill(int fd, struct span content, mode_t mode, const struct stat *like,
			 bool sync, const char *what, struct error *err)
{
	int r = fd_write(fd, content, what, err);

	if (r < 0)
		return r;
	if (like && fchown(fd, like->st_uid, like->st_gid) < 0)
		(void)!fchown(fd, (uid_t)-1, like->st_gid);
	/* open(2) applies the umask, fchmod(2) does not. */
	if (fchmod(fd, mode) < 0)
		return error_set_errno(err, errno, "setting the mode of %s", what);
	return sync && fsync(fd) < 0 ? error_set_errno(err, errno, "syncing %s", what) : 0;
}

static int new_file_open(int dirfd, const char *name)
{
	return openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
}

static int new_file_write(int dirfd, const char *name, struct span content, mode_t mode, bool sync,
			  struct error *err)
{
	_cleanup_close_ int fd = new_file_open(dirfd, name);
	int r;

	if (fd < 0)
		return error_set_errno(err, errno, "creating %s", name);
	r = new_file_fill(fd, content, mode, NULL, sync, name, err);
	if (r < 0)
		(void)unlinkat(dirfd, name, 0);
	return r;
}

int file_write_new(int dirfd, const char *name, struct span content, mode_t mode, struct error *err)
{
	return new_file_write(dirfd, name, content, mode, true, err);
}

int file_write_unsynced(int dirfd, const char *name, struct span content, mode_t mode,
			struct error *err)
{
	return new_file_write(dirfd, name, content, mode, false, err);
}

/* Creates `.<prefix>.XXXXXXXX`; returns its descriptor. */
static int temporary_open(int dirfd, const char *prefix, const char *what, char **name,
			  struct error *err)
{
	for (int attempt = 0; attempt < DIR_NAME_ATTEMPTS; attempt++) {
		_cleanup_free_ char *candidate = dir_temporary_name(prefix);
		int fd = candidate ? new_file_open(dirfd, candidate) : -1;

		if (!candidate)
			return error_no_memory(err);
		if (fd >= 0) {
			*name = pointer_release(&candidate);
			return fd;
		}
		if (errno != EEXIST)
			return error_set_errno(err, errno, "creating a temporary file for %s",
					       what);
	}
	return error_set(err, VMCRED_FAILED, "no free name for a temporary file for %s", what);
}

static int temporary_write(int dirfd, const char *prefix, struct span content, mode_t mode,
			   const struct stat *like, const char *what, char **name,
			   struct error *err)
{
	_cleanup_free_ char *temporary = NULL;
	_cleanup_close_ int fd = temporary_open(dirfd, prefix, what, &temporary, err);
	int r;

	if (fd < 0)
		return fd;
	r = new_file_fill(fd, content, mode, like, true, what, err);
	if (r < 0)
		(void)unlinkat(dirfd, temporary, 0);
	else
		*name = pointer_release(&temporary);
	return r;
}

int file_write_temporary(int dirfd, const char *prefix, struct span content, mode_t mode,
			 const char *what, char **name, struct error *err)
{
	return temporary_write(dirfd, prefix, content, mode, NULL, what, name, err);
}

static int replace(int dirfd, const char *name, struct span content, mode_t mode,
		   const struct stat *like, struct error *err)
{
	_cleanup_free_ char *temporary = NULL;
	int r = temporary_write(dirfd, name, content, mode, like, name, &temporary, err);

	if (r < 0)
		return r;
	if (renameat(dirfd, temporary, dirfd, name) == 0)
		return dir_sync(dirfd, name, err);
	error_set_errno(err, errno, "replacing %s", name);
	(void)unlinkat(dirfd, temporary, 0);
	return -(int)err->code;
}

int file_replace(int dirfd, const char *name, struct span content, mode_t mode, struct error *err)
{
	return replace(dirfd, name, content, mode, NULL, err);
}

int file_replace_keeping(const char *path, struct span content, struct error *err)
{
	_cleanup_free_ char *real = realpath(path, NULL);
	char *slash = real ? strrchr(real, '/') : NULL;
	_cleanup_close_ int dirfd = -1;
	struct stat status;

	if (!slash || stat(real, &status) < 0)
		return error_set_errno(err, errno, "replacing %s", path);
	if (!S_ISREG(status.st_mode))
		return error_set(err, VMCRED_USAGE, "%s is not a regular file", path);
	*slash = '\0';
	dirfd = dir_open(AT_FDCWD, *real ? real : "/", err);
	if (dirfd < 0)
		return dirfd;
	return replace(dirfd, slash + 1, content, status.st_mode & 07777, &status, err);
}

int replacement_begin(struct replacement *replacement, const char *path, mode_t mode,
		      struct error *err)
{
	const char *name = basename(path);
	_cleanup_free_ char *directory = strndup(path, (size_t)(name - path));

	replacement->path = strdup(path);
	if (!directory || !replacement->path)
		return error_no_memory(err);
	replacement->dirfd = dir_open(AT_FDCWD, *directory ? directory : ".", err);
	if (replacement->dirfd < 0)
		return replacement->dirfd;
	if (*name == '\0')
		return error_set(err, VMCRED_USAGE, "%s is not a file name", path);
	replacement->fd =
		temporary_open(replacement->dirfd, name, path, &replacement->temporary, err);
	if (replacement->fd < 0)
		return replacement->fd;
	if (fchmod(replacement->fd, mode) < 0)
		return error_set_errno(err, errno, "setting the mode of %s", path);
	return 0;
}

int replacement_finish(struct replacement *replacement, struct error *err)
{
	if (fsync(replacement->fd) < 0)
		return error_set_errno(err, errno, "writing %s", replacement->path);
	if (renameat(replacement->dirfd, replacement->temporary, replacement->dirfd,
		     basename(replacement->path)) < 0)
		return error_set_errno(err, errno, "replacing %s", replacement->path);
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

int file_read_secret(int dirfd, const char *path, size_t size_max, struct secret *content,
		     struct error *err)
{
	_cleanup_close_ int fd = file_open(dirfd, path, err);

	if (fd < 0)
		return fd;
	return secret_read(content, fd, size_max, path, err);
}

int file_read_text(int dirfd, const char *path, size_t size_max, char **text, size_t *size,
		   struct error *err)
{
	_cleanup_close_ int fd = file_open(dirfd, path, err);
	_cleanup_free_ char *content = NULL;
	size_t used = 0, room = 4096;

	if (fd < 0)
		return fd;
	for (;;) {
		char *larger = realloc(content, room);
		ssize_t got;

		if (!larger)
			return error_no_memory(err);
		content = larger;
		got = read(fd, content + used, room - used - 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_set_errno(err, errno, "reading %s", path);
		if (got == 0)
			break;
		used += (size_t)got;
		if (used > size_max)
			return error_set(err, VMCRED_FAILED, "%s is larger than %zu bytes", path,
					 size_max);
		if (used + 1 == room)
			room *= 2;
	}
	content[used] = '\0';
	if (memchr(content, '\0', used))
		return error_set(err, VMCRED_USAGE, "%s is not a text file: it contains a NUL byte",
				 path);
	*text = pointer_release(&content);
	if (size)
		*size = used;
	return 0;
}

bool fd_is_on_memory(int fd)
{
	struct statfs status;

	return fstatfs(fd, &status) == 0 &&
	       (status.f_type == TMPFS_MAGIC || status.f_type == RAMFS_MAGIC);
}

int memory_file_create(const char *name, struct span content, struct error *err)
{
	const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	_cleanup_close_ int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r;

	if (fd < 0)
		return error_set_errno(err, errno, "creating the memory file %s", name);
	/* Only the owner may open it again as /dev/fd/N. */
	if (fchmod(fd, S_IRUSR) < 0)
		return error_set_errno(err, errno, "setting the mode of the memory file %s", name);
	r = fd_write(fd, content, name, err);
	if (r < 0)
		return r;
	if (lseek(fd, 0, SEEK_SET) < 0 || fcntl(fd, F_ADD_SEALS, seals) < 0)
		return error_set_errno(err, errno, "sealing the memory file %s", name);
	return fd_release(&fd);
}

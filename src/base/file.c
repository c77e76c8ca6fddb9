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

ssize_t fd_send(int socket, struct msghdr message, const int *fds, size_t count)
{
	union {
		struct cmsghdr header; /* for its alignment */
		char bytes[CMSG_SPACE(FD_SEND_MAX * sizeof(int))];
	} control = {0};
	const size_t size = count * sizeof(int);
	struct cmsghdr *header;

	message.msg_control = control.bytes;
	message.msg_controllen = (socklen_t)CMSG_SPACE(size);
	header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = (socklen_t)CMSG_LEN(size);
	memcpy(CMSG_DATA(header), fds, size);
	return sendmsg(socket, &message, MSG_NOSIGNAL);
}

/* Writes the content of a new file and sets its mode. */
static int new_file_fill(int fd, struct span content, mode_t mode, bool sync, const char *what,
			 struct error *err)
{
	int r = fd_write(fd, content, what, err);

	if (r < 0)
		return r;
	/* open(2) applies the umask, fchmod(2) does not. */
	if (fchmod(fd, mode) < 0)
		return error_set_errno(err, errno, "setting the mode of %s", what);
	return sync && fsync(fd) < 0 ? error_set_errno(err, errno, "syncing %s", what) : 0;
}

static int new_file_open(int dirfd, const char *name, mode_t mode)
{
	return openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
}

static int new_file_write(int dirfd, const char *name, struct span content, mode_t mode, bool sync,
			  struct error *err)
{
	_cleanup_close_ int fd = new_file_open(dirfd, name, S_IRUSR | S_IWUSR);
	int r;

	if (fd < 0)
		return error_set_errno(err, errno, "creating %s", name);
	r = new_file_fill(fd, content, mode, sync, name, err);
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

int file_open_temporary(int dirfd, const char *prefix, mode_t mode, const char *what, char **name,
			struct error *err)
{
	for (int attempt = 0; attempt < DIR_NAME_ATTEMPTS; attempt++) {
		_cleanup_free_ char *candidate = dir_temporary_name(prefix);
		int fd = candidate ? new_file_open(dirfd, candidate, mode) : -1;

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

int file_replace(int dirfd, const char *name, struct span content, mode_t mode, struct error *err)
{
	return file_replace_from(dirfd, name, dirfd, name, name, content, mode, err);
}

int file_replace_from(int temporary_dirfd, const char *prefix, int dirfd, const char *name,
		      const char *path, struct span content, mode_t mode, struct error *err)
{
	_cleanup_free_ char *temporary = NULL;
	_cleanup_close_ int fd = file_open_temporary(temporary_dirfd, prefix, S_IRUSR | S_IWUSR,
						     path, &temporary, err);
	int r;

	if (fd < 0)
		return fd;
	r = new_file_fill(fd, content, mode, true, path, err);
	if (r == 0 && renameat(temporary_dirfd, temporary, dirfd, name) == 0)
		return dir_sync(dirfd, path, err);
	if (r == 0)
		r = error_set_errno(err, errno, "replacing %s", path);
	(void)unlinkat(temporary_dirfd, temporary, 0);
	return r;
}

int file_read_secret(int dirfd, const char *path, size_t size_max, struct secret *content,
		     struct error *err)
{
	_cleanup_close_ int fd = file_open(dirfd, path, err);

	if (fd < 0)
		return fd;
	return secret_read(content, fd, size_max, path, err);
}

int fd_read_bytes(int fd, size_t size_max, const char *what, char **bytes, size_t *size,
		  struct error *err)
{
	_cleanup_free_ char *content = NULL;
	size_t used = 0, room = 4096;

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
			return error_set_errno(err, errno, "reading %s", what);
		if (got == 0)
			break;
		used += (size_t)got;
		if (used > size_max)
			return error_set(err, VMCRED_FAILED, "%s is larger than %zu bytes", what,
					 size_max);
		if (used + 1 == room)
			room *= 2;
	}
	content[used] = '\0';
	*bytes = pointer_release(&content);
	*size = used;
	return 0;
}

int file_read_text(int dirfd, const char *path, size_t size_max, char **text, size_t *size,
		   struct error *err)
{
	_cleanup_close_ int fd = file_open(dirfd, path, err);
	_cleanup_free_ char *content = NULL;
	size_t used = 0;
	int r = fd < 0 ? fd : fd_read_bytes(fd, size_max, path, &content, &used, err);

	if (r < 0)
		return r;
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

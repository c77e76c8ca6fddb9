/* SPDX-License-Identifier: Apache-2.0 */
#include "base/trusted/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/secret.h"
#include "base/text.h"

#define OWN_DESCRIPTORS "/proc/self/fd"

/* The largest file that is written in place: the largest SOPS document. */
#define OVERWRITTEN_SIZE_MAX ((size_t)2 * 1024 * 1024 * 1024)

/* A copy of the descriptor N if the target is /proc/self/fd/N, to which /dev/stdout is a link. It
 * was given to this process, so its owner does not matter. */
static int descriptor_open(const struct output *output, struct error *err)
{
	struct stat ours, directory;
	int fd;

	if (stat("/proc/self/fd", &ours) < 0 || fstat(output->target.dirfd, &directory) < 0)
		return error_set_errno(err, errno, "opening %s", output->path);
	if (ours.st_dev != directory.st_dev || ours.st_ino != directory.st_ino)
		return error_set(err, VMCRED_FAILED,
				 "opening %s: it is a descriptor of another process", output->path);
	fd = fcntl((int)strtol(output->target.name, NULL, 10), F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? error_set_errno(err, errno, "opening %s", output->path) : fd;
}

/* A FIFO of another user has readers of that user. */
static int special_open(const struct output *output, const struct stat *status, struct error *err)
{
	const bool is_device = S_ISCHR(status->st_mode) || S_ISBLK(status->st_mode);

	if (status->st_uid != geteuid() && !(is_device && trusted_user_is_ours(status->st_uid))) {
		error_set(err, VMCRED_FAILED,
			  "opening %s: it is not a regular file, and belongs to user %u",
			  output->path, status->st_uid);
		return error_hint(err, "choose another file");
	}
	return trusted_target_reopen(&output->target, O_WRONLY, output->path, err);
}

static int temporary_open(struct output *output, struct error *err)
{
	const bool is_new = output->target.fd < 0 && output->content == OUTPUT_CIPHERTEXT;
	const mode_t mode = is_new ? 0666 : S_IRUSR | S_IWUSR;
	int fd = -1;

	/* Naming it takes /proc, and not every file system has files without a name. */
	if (faccessat(AT_FDCWD, OWN_DESCRIPTORS, X_OK, 0) == 0)
		fd = openat(output->target.dirfd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, mode);
	output->is_unnamed = fd >= 0;
	if (fd < 0)
		fd = file_open_temporary(output->target.dirfd, output->target.name, mode,
					 output->path, &output->temporary, err);
	output->is_unreplaceable =
		fd < 0 && faccessat(output->target.dirfd, ".", W_OK | X_OK, AT_EACCESS) < 0;
	return fd;
}

int output_begin(struct output *output, const char *path, enum output_content content,
		 struct error *err)
{
	struct stat status = {.st_mode = S_IFREG};
	int r;

	output->path = path;
	output->content = content;
	r = trusted_target_open(path, &output->target, err);
	if (r < 0)
		return r;
	if (output->target.fd >= 0 && fstat(output->target.fd, &status) < 0)
		return error_set_errno(err, errno, "opening %s", path);
	if (S_ISDIR(status.st_mode))
		return error_set_errno(err, EISDIR, "opening %s", path);
	if (S_ISREG(status.st_mode))
		output->fd = temporary_open(output, err);
	else if (S_ISLNK(status.st_mode))
		output->fd = descriptor_open(output, err);
	else
		output->fd = special_open(output, &status, err);
	return output->fd < 0 ? output->fd : 0;
}

/* Sets owner and mode of the new file. */
static int attributes_set(const struct output *output, struct error *err)
{
	mode_t mode = S_IRUSR | S_IWUSR;
	struct stat old;

	if (output->content == OUTPUT_CIPHERTEXT) {
		if (output->target.fd < 0)
			return 0;
		if (fstat(output->target.fd, &old) < 0)
			return error_set_errno(err, errno, "opening %s", output->path);
		if (fchown(output->fd, old.st_uid, old.st_gid) < 0)
			(void)!fchown(output->fd, (uid_t)-1, old.st_gid);
		mode = old.st_mode & 0777;
	}
	return fchmod(output->fd, mode) < 0
		       ? error_set_errno(err, errno, "setting the mode of %s", output->path)
		       : 0;
}

/* Names the complete file. */
static int temporary_name(struct output *output, struct error *err)
{
	_cleanup_free_ char *file = text_format(OWN_DESCRIPTORS "/%d", output->fd);

	for (int attempt = 0; file && attempt < DIR_NAME_ATTEMPTS; attempt++) {
		_cleanup_free_ char *name = dir_temporary_name(output->target.name);

		if (!name)
			break;
		if (linkat(AT_FDCWD, file, output->target.dirfd, name, AT_SYMLINK_FOLLOW) == 0) {
			output->temporary = pointer_release(&name);
			return 0;
		}
		if (errno != EEXIST)
			return error_set_errno(err, errno, "creating a temporary file for %s",
					       output->path);
	}
	return error_no_memory(err);
}

int output_finish(struct output *output, struct error *err)
{
	const struct trusted_target *target = &output->target;
	_cleanup_close_ int dirfd = -1;
	int r;

	if (!output->temporary && !output->is_unnamed)
		return 0;
	r = attributes_set(output, err);
	if (r < 0)
		return r;
	dirfd = openat(target->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0 || fsync(output->fd) < 0)
		return error_set_errno(err, errno, "writing %s", output->path);
	if (output->is_unnamed && temporary_name(output, err) < 0)
		return -(int)err->code;
	if (renameat(target->dirfd, output->temporary, target->dirfd, target->name) < 0) {
		/* EBUSY: a mount point. */
		output->is_unreplaceable = errno == EBUSY || errno == EPERM || errno == EACCES;
		error_set_errno(err, errno, "replacing %s", output->path);
		return output->is_unreplaceable && output->content == OUTPUT_PLAINTEXT
			       ? error_hint(err, "write the plaintext to another file")
			       : -(int)err->code;
	}
	free(pointer_release(&output->temporary));
	return dir_sync(dirfd, output->path, err);
}

void output_abandon(struct output *output)
{
	if (output->temporary)
		(void)unlinkat(output->target.dirfd, output->temporary, 0);
	cleanup_close_fd(&output->fd);
	free(output->temporary);
	trusted_target_release(&output->target);
	*output = (struct output)OUTPUT_NONE;
}

/* Makes `bytes` the content of an open file. */
static int content_put(int fd, struct span bytes, const char *path, struct error *err)
{
	int r;

	if (lseek(fd, 0, SEEK_SET) < 0)
		return error_set_errno(err, errno, "writing %s", path);
	r = fd_write(fd, bytes, path, err);
	if (r < 0)
		return r;
	return ftruncate(fd, (off_t)bytes.size) < 0 || fsync(fd) < 0
		       ? error_set_errno(err, errno, "writing %s", path)
		       : 0;
}

static int overwrite(const struct output *output, struct span bytes, struct error *err)
{
	_cleanup_error_ struct error failure = {0}, lost = {0};
	_cleanup_secret_ struct secret old = {0};
	_cleanup_close_ int fd =
		trusted_target_reopen(&output->target, O_RDWR, output->path, &failure);

	/* The file is not writable either: the first error says more. */
	if (fd < 0)
		return -(int)err->code;
	error_clear(err);
	if (secret_read(&old, fd, OVERWRITTEN_SIZE_MAX, output->path, err) < 0)
		return -(int)err->code;
	if (content_put(fd, bytes, output->path, err) == 0)
		return 0;
	return content_put(fd, secret_span(&old), output->path, &lost) < 0
		       ? error_hint(err, "its old content is damaged: restore it from a copy")
		       : -(int)err->code;
}

int output_write(const char *path, enum output_content content, struct span bytes,
		 struct error *err)
{
	_cleanup_output_ struct output output = OUTPUT_NONE;
	int r = output_begin(&output, path, content, err);

	if (r == 0)
		r = fd_write(output.fd, bytes, path, err);
	if (r == 0)
		r = output_finish(&output, err);
	return r < 0 && output.is_unreplaceable && content == OUTPUT_CIPHERTEXT &&
			       output.target.fd >= 0
		       ? overwrite(&output, bytes, err)
		       : r;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "activate/generation.h"
#include "base/cleanup.h"
#include "base/io.h"

#define FOLDER_NAME "secrets.d"

/* Search, but not list: a unit's user reaches its own file and sees no other names; sops-nix's
 * mode. */
#define FOLDER_MODE 0751

/* The best file system for secrets that the kernel has, the best one first. */
static int memory_mount(const char *path)
{
	static const struct {
		const char *type, *options;
	} choices[] = {
		{"tmpfs", "mode=0751,noswap"}, /* Linux 6.4 */
		{"ramfs", "mode=0751"},        /* is never swapped either, but has no size limit */
	};

	for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
		if (mount("vmcred", path, choices[i].type, MS_NOSUID | MS_NODEV | MS_NOEXEC,
			  choices[i].options) == 0)
			return 0;
	}
	return -errno;
}

static bool is_own_mount(int fd, int parent_dirfd)
{
	struct stat status, parent;

	return fstat(fd, &status) == 0 && fstat(parent_dirfd, &parent) == 0 &&
	       status.st_dev != parent.st_dev;
}

int generation_folder_open(int run_dirfd, bool may_mount, struct error *err)
{
	_cleanup_close_ int fd = dir_make(run_dirfd, FOLDER_NAME, FOLDER_MODE, err);

	if (fd < 0)
		return fd;
	if (may_mount && !is_own_mount(fd, run_dirfd)) {
		int r = memory_mount("/run/" FOLDER_NAME);

		/* In a container without the right to mount, /run itself will do where it is tmpfs.
		 */
		if (r < 0 && !fd_is_on_memory(fd))
			return error_set_errno(
				err, -r, "mounting a memory file system on /run/" FOLDER_NAME);
		if (r == 0) {
			close(fd_release(&fd));
			fd = dir_open(run_dirfd, FOLDER_NAME, err);
			if (fd < 0)
				return fd;
		}
	}
	if (!fd_is_on_memory(fd)) {
		error_set(err, VMCRED_FAILED, FOLDER_NAME " is not on a memory file system");
		return error_hint(
			err, "plaintext must not go to a disk: give a --root on tmpfs, such as one "
			     "below /run or /dev/shm");
	}
	/* Whatever the umask was when it was made. */
	if (fchmod(fd, FOLDER_MODE) < 0)
		return error_set_errno(err, errno, "setting the mode of " FOLDER_NAME);
	return fd_release(&fd);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "activate/generation.h"
#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/trusted/memory_mount.h"

/* Mounts the best file system for secrets that the kernel supports. */
static int memory_mount(int dirfd, enum generation_mount mount)
{
	_cleanup_close_ int mounted = memory_mount_create("0751", mount == GENERATION_RAMFS, false);

	return mounted < 0 || memory_mount_attach(mounted, dirfd) < 0 ? -errno : 0;
}

int generation_directory_open(int parent_dirfd, const char *name, enum generation_mount mount,
			      struct error *err)
{
	_cleanup_close_ int fd = dir_make(parent_dirfd, name, GENERATION_MODE, err);

	if (fd < 0)
		return fd;
	if (mount != GENERATION_UNMOUNTED &&
	    (!memory_mount_exists(fd, parent_dirfd) || !fd_is_on_memory(fd))) {
		int r = memory_mount(fd, mount);

		/* A container may not be allowed to mount; /run itself may be a tmpfs there. */
		if (r < 0 && !fd_is_on_memory(fd))
			return error_set_errno(err, -r, "mounting a memory file system on %s",
					       name);
		if (r == 0) {
			close(fd_release(&fd));
			fd = dir_open(parent_dirfd, name, err);
			if (fd < 0)
				return fd;
		}
	}
	if (!fd_is_on_memory(fd))
		return error_set(err, VMCRED_FAILED, "%s is not on a memory file system", name);
	/* Independent of the umask. */
	if (fchmod(fd, GENERATION_MODE) < 0)
		return error_set_errno(err, errno, "setting the mode of %s", name);
	return fd_release(&fd);
}

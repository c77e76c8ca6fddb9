/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "activate/generation.h"
#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"

/* Uses the new mount API: unlike mount(2), it does not write unknown parameters to the kernel log.
 */
static int memory_mount_one(int dirfd, const char *type, const char *flag)
{
	_cleanup_close_ int context = fsopen(type, FSOPEN_CLOEXEC), mounted = -1;

	if (context < 0 || fsconfig(context, FSCONFIG_SET_STRING, "source", "vmcred", 0) < 0 ||
	    fsconfig(context, FSCONFIG_SET_STRING, "mode", "0751", 0) < 0 ||
	    (flag && fsconfig(context, FSCONFIG_SET_FLAG, flag, NULL, 0) < 0) ||
	    fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	mounted = fsmount(context, FSMOUNT_CLOEXEC,
			  MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (mounted < 0 || move_mount(mounted, "", dirfd, "",
				      MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

/* Mounts the best file system for secrets that the kernel supports. */
static int memory_mount(int dirfd, enum generation_mount mount)
{
	static const struct {
		const char *type, *flag;
		bool only_tmpfs;
	} choices[] = {
		{"tmpfs", "noswap", true}, /* Linux 6.4 */
		{"ramfs", NULL, false},    /* never swapped either, but without a size limit */
	};
	int r = 0;

	for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
		if (choices[i].only_tmpfs && mount == GENERATION_RAMFS)
			continue;
		r = memory_mount_one(dirfd, choices[i].type, choices[i].flag);
		if (r == 0)
			return 0;
	}
	return r;
}

static bool is_own_mount(int fd, int parent_dirfd)
{
	struct stat status, parent;

	return fstat(fd, &status) == 0 && fstat(parent_dirfd, &parent) == 0 &&
	       status.st_dev != parent.st_dev;
}

int generation_directory_open(int parent_dirfd, const char *name, enum generation_mount mount,
			      struct error *err)
{
	_cleanup_close_ int fd = dir_make(parent_dirfd, name, GENERATION_MODE, err);

	if (fd < 0)
		return fd;
	if (mount != GENERATION_UNMOUNTED &&
	    (!is_own_mount(fd, parent_dirfd) || !fd_is_on_memory(fd))) {
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

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/trusted/memory_mount.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

/*
 * Uses the new mount API: unlike mount(2), it does not write unknown parameters to the kernel log.
 * By their numbers, since musl has no functions for these system calls.
 */
static int create(const char *type, const char *flag, const char *mode, unsigned int attributes)
{
	_cleanup_close_ int context = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);

	if (context < 0 ||
	    syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "source", "vmcred", 0) < 0 ||
	    syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "mode", mode, 0) < 0 ||
	    (flag && syscall(SYS_fsconfig, context, FSCONFIG_SET_FLAG, flag, NULL, 0) < 0) ||
	    syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	return (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes);
}

int memory_mount_create(const char *mode, bool only_ramfs, bool executable)
{
	const unsigned int attributes =
		MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (executable ? 0 : MOUNT_ATTR_NOEXEC);
	int fd = only_ramfs ? -1 : create("tmpfs", "noswap", mode, attributes);

	return fd >= 0 ? fd : create("ramfs", NULL, mode, attributes);
}

bool memory_mount_exists(int dirfd, int parent_dirfd)
{
	struct stat status, parent;

	return fstat(dirfd, &status) == 0 && fstat(parent_dirfd, &parent) == 0 &&
	       status.st_dev != parent.st_dev;
}

int memory_mount_attach(int mount_fd, int dirfd)
{
	return (int)syscall(SYS_move_mount, mount_fd, "", dirfd, "",
			    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/script/directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/directory.h"

/* A file system that only the holder of the descriptor can reach. */
static int detached_mount(const char *type, const char *flag)
{
	_cleanup_close_ int context = fsopen(type, FSOPEN_CLOEXEC);

	if (context < 0 || fsconfig(context, FSCONFIG_SET_STRING, "mode", "0700", 0) < 0 ||
	    (flag && fsconfig(context, FSCONFIG_SET_FLAG, flag, NULL, 0) < 0) ||
	    fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	return fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
}

int script_directory_make(struct script_directory *directory, bool mountable, struct error *err)
{
	int r;

	/* noswap needs Linux 6.4; ramfs is never swapped. */
	if (mountable)
		directory->mount = detached_mount("tmpfs", "noswap");
	if (mountable && directory->mount < 0)
		directory->mount = detached_mount("ramfs", NULL);
	if (directory->mount >= 0) {
		directory->dirfd = directory->mount;
		return 0;
	}
	r = memory_directory_make(&directory->memory, "the script's $out", err);
	directory->dirfd = directory->memory.dirfd;
	return r;
}

void script_directory_remove(struct script_directory *directory)
{
	if (directory->mount >= 0) {
		_cleanup_close_dir_ DIR *dir = dir_stream_open(directory->mount, ".");
		const char *entry;

		while (dir && (entry = dir_stream_next(dir))) {
			_cleanup_error_ struct error ignored = {0};

			(void)dir_remove_tree(directory->mount, entry, true, &ignored);
		}
		close(directory->mount);
	}
	directory->mount = -1;
	memory_directory_remove(&directory->memory);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stays of the host: its files, read-only, so that the script finds its programs. What goes:
 * /run with the sockets of systemd, D-Bus and container engines, /tmp with those of agents, all
 * devices but the harmless ones, the network with its abstract sockets, other processes.
 */
#include "vars/script/isolation.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

#define SPACES (CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID)

static bool file_put(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* The user stays who he is; the rights to make the other namespaces are those of one of his own. */
static const char *user_enter(const struct isolation *isolation)
{
	/* The maps can be written by a process that can be dumped alone. There is no secret in this
	 * one: they are not inherited (base/secret.h). */
	(void)prctl(PR_SET_DUMPABLE, 1);
	if (unshare(CLONE_NEWUSER) < 0)
		return "making a user namespace";
	if (!file_put("/proc/self/setgroups", "deny") ||
	    !file_put("/proc/self/uid_map", isolation->uid_map) ||
	    !file_put("/proc/self/gid_map", isolation->gid_map))
		return "mapping the user into its namespace";
	return NULL;
}

static const char *namespaces_enter(const struct isolation *isolation)
{
	const char *step;

	/* In a container root may lack the right to do without a user namespace. */
	if (isolation->uid == 0 && unshare(SPACES) == 0)
		return NULL;
	if (isolation->uid == 0 && errno != EPERM)
		return "making namespaces";
	step = user_enter(isolation);
	if (!step && unshare(SPACES) < 0)
		step = "making namespaces";
	return step;
}

static bool mount_put(int tree, const char *path)
{
	/* On some systems /tmp is a link. */
	return move_mount(tree, "", AT_FDCWD, path,
			  MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS) == 0;
}

/* An empty memory file system in place of what is there. A place that is not there hides nothing.
 */
static bool hide(const char *path, const char *options)
{
	return mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options) == 0 ||
	       errno == ENOENT || errno == ENOTDIR;
}

static bool protect(const char *path)
{
	struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};

	return mount_setattr(AT_FDCWD, path, 0, &read_only, sizeof(read_only)) == 0 ||
	       errno == ENOENT || errno == ENOTDIR || errno == EINVAL;
}

/* NixOS has its programs behind links in /run. */
static const char *run_hide(void)
{
	static const char *const links[] = {"current-system", "booted-system"};
	_cleanup_close_ int before = open("/run", O_PATH | O_DIRECTORY | O_CLOEXEC), run = -1;

	if (!hide("/run", "mode=0755,size=1m"))
		return "hiding /run";
	run = open("/run", O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; before >= 0 && i < sizeof(links) / sizeof(links[0]); i++) {
		char target[4096];
		ssize_t size = readlinkat(before, links[i], target, sizeof(target) - 1);

		if (size <= 0)
			continue;
		target[size] = '\0';
		if (symlinkat(target, run, links[i]) < 0)
			return "keeping a link of /run";
	}
	return protect("/run") ? NULL : "making /run read-only";
}

/* The devices that give or take bytes and know nobody. */
static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random",
				      "/dev/urandom"};

#define DEVICE_COUNT (sizeof(devices) / sizeof(devices[0]))

static const struct {
	const char *path, *target;
} device_links[] = {
	{"/dev/fd", "/proc/self/fd"},       {"/dev/stdin", "/proc/self/fd/0"},
	{"/dev/stdout", "/proc/self/fd/1"}, {"/dev/stderr", "/proc/self/fd/2"},
	{"/dev/shm", ISOLATION_FOLDER},
};

static const char *devices_hide(const int trees[DEVICE_COUNT])
{
	if (!hide("/dev", "mode=0755,size=1m"))
		return "hiding the devices";
	for (size_t i = 0; i < DEVICE_COUNT; i++) {
		_cleanup_close_ int place =
			trees[i] < 0 ? -1 : open(devices[i], O_CREAT | O_WRONLY | O_CLOEXEC, 0666);

		if (trees[i] >= 0 && (place < 0 || !mount_put(trees[i], devices[i])))
			return "keeping a device";
	}
	for (size_t i = 0; i < sizeof(device_links) / sizeof(device_links[0]); i++) {
		if (symlink(device_links[i].target, device_links[i].path) < 0)
			return "making a link in /dev";
	}
	return protect("/dev") ? NULL : "making /dev read-only";
}

static int tree_of(const char *path)
{
	return open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
}

/* All is taken in hand before it is hidden, and put back behind that. */
static const char *mounts_enter(const struct isolation *isolation)
{
	struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
	int folder = isolation->mount, trees[DEVICE_COUNT];
	const char *step;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return "leaving the host's mounts alone";
	if (isolation->folder)
		folder = tree_of(isolation->folder);
	for (size_t i = 0; i < DEVICE_COUNT; i++)
		trees[i] = tree_of(devices[i]);
	if (mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &read_only, sizeof(read_only)) < 0)
		return "making the file system read-only";
	if (isolation->runtime_dir && !hide(isolation->runtime_dir, "mode=0700,size=1m"))
		return "hiding $XDG_RUNTIME_DIR";
	step = run_hide();
	if (!step)
		step = devices_hide(trees);
	for (size_t i = 0; i < DEVICE_COUNT; i++)
		cleanup_close_fd(&trees[i]);
	if (!step && (folder < 0 || !mount_put(folder, ISOLATION_FOLDER)))
		step = "mounting the script's folder on " ISOLATION_FOLDER;
	return step;
}

const char *isolation_enter(const struct isolation *isolation)
{
	const char *step = namespaces_enter(isolation);

	return step ? step : mounts_enter(isolation);
}

/* Nothing that the script starts can undo the above. */
static const char *capabilities_drop(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return "giving up new privileges";
	for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
		(void)prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
	return syscall(SYS_capset, &header, none) < 0 ? "giving up capabilities" : NULL;
}

const char *isolation_finish(void)
{
	/* Where another namespace hides parts of /proc the kernel refuses a whole one; the old one
	 * does as well. */
	(void)mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL);
	if (chdir(ISOLATION_FOLDER) < 0)
		return "entering the script's folder";
	return capabilities_drop();
}

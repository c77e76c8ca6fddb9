/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sandbox/sandbox.h"

/* Exists on every host, and is not needed until the new root directory replaces the host's. */
#define ROOT_PLACE "/proc"

static bool map_write(const char *path, unsigned int id)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && dprintf(fd, "%u %u 1", id, id) > 0;
}

static bool setgroups_deny(void)
{
	_cleanup_close_ int fd = open("/proc/self/setgroups", O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, "deny", strlen("deny")) > 0;
}

const char *namespaces_enter(void)
{
	const uid_t uid = geteuid();
	const gid_t gid = getegid();
	int flags = CLONE_NEWNS;

	for (size_t i = 0; i < POLICY_NAMESPACES; i++)
		flags |= policy_namespaces[i].flag;
	/* Root in a container may need a user namespace, too. */
	if (uid == 0 && unshare(flags) == 0)
		return NULL;
	if (uid == 0 && errno != EPERM)
		return "creating namespaces";
	if (unshare(CLONE_NEWUSER) < 0)
		return "creating a user namespace";
	if (!setgroups_deny() || !map_write("/proc/self/uid_map", uid) ||
	    !map_write("/proc/self/gid_map", gid))
		return "mapping the user into its namespace";
	return unshare(flags) < 0 ? "creating namespaces" : NULL;
}

/* A new file system, not mounted anywhere yet. */
static int mount_make(const char *type, unsigned int attributes)
{
	_cleanup_close_ int context = fsopen(type, FSOPEN_CLOEXEC);

	if (context < 0 || fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	return fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | attributes);
}

/* A copy of a mount that may be placed elsewhere. */
static int mount_copy(const char *path)
{
	return open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
}

static bool read_only_set(int tree)
{
	struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID};

	return mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
			     sizeof(attributes)) == 0;
}

/* What the step mounts. */
static int tree_open(const struct policy_step *step, const char *directory, int mount)
{
	int tree = -1;

	switch (step->action) {
	case POLICY_SHOW:
		tree = mount_copy(step->path);
		break;
	case POLICY_HIDE:
		return mount_make("tmpfs", MOUNT_ATTR_RDONLY);
	case POLICY_DEVICE:
		return mount_copy(step->path);
	case POLICY_LINK:
		return -1;
	case POLICY_SCRIPT:
		return mount >= 0 ? mount : mount_copy(directory);
	case POLICY_PROC:
		tree = mount_make("proc", MOUNT_ATTR_NOEXEC);
		/* In some containers the kernel refuses a new one; the container's is acceptable.
		 */
		if (tree < 0)
			tree = mount_copy(step->path);
		break;
	}
	return tree >= 0 && read_only_set(tree) ? tree : -1;
}

/* Creates the directories that lead to the path below the root directory, and itself. */
static bool directories_make(int root, const char *path, bool is_whole)
{
	char copy[PATH_MAX];
	size_t size = strlen(path);

	if (size >= sizeof(copy)) {
		errno = ENAMETOOLONG;
		return false;
	}
	for (size_t i = 1; i <= size; i++) {
		if (path[i] != '/' && (path[i] != '\0' || !is_whole))
			continue;
		memcpy(copy, path + 1, i - 1);
		copy[i - 1] = '\0';
		if (mkdirat(root, copy, 0755) < 0 && errno != EEXIST)
			return false;
	}
	return true;
}

static bool step_apply(const struct policy_step *step, int root)
{
	const char *below = step->path + 1;
	const bool is_directory = step->action != POLICY_DEVICE && step->action != POLICY_LINK;

	if (!directories_make(root, step->path, is_directory))
		return false;
	if (step->action == POLICY_LINK)
		return symlinkat(step->target, root, below) == 0;
	if (step->action == POLICY_DEVICE && mknodat(root, below, S_IFREG | 0666, 0) < 0)
		return false;
	return move_mount(step->tree, "", root, below, MOVE_MOUNT_F_EMPTY_PATH) == 0;
}

/* The working directory becomes the root directory, and the old one disappears. */
static bool root_enter(int root)
{
	return fchdir(root) == 0 && syscall(SYS_pivot_root, ".", ".") == 0 &&
	       umount2(".", MNT_DETACH) == 0 && chdir(SANDBOX_DIRECTORY) == 0;
}

static const char *step_failed(const struct policy_step *step)
{
	static char text[256];
	const int errnum = errno;

	snprintf(text, sizeof(text), "%s %s", policy_verbs[step->action], step->path);
	errno = errnum;
	return text;
}

const char *namespaces_fill(struct policy *policy, const char *directory, int mount_fd)
{
	_cleanup_close_ int root = -1;
	struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return "separating the mounts from the host's";
	for (size_t i = 0; i < policy->count; i++) {
		struct policy_step *step = &policy->steps[i];

		step->tree = tree_open(step, directory, mount_fd);
		if (step->tree < 0 && step->action != POLICY_LINK)
			return step_failed(step);
	}
	root = mount_make("tmpfs", 0);
	if (root < 0 || move_mount(root, "", AT_FDCWD, ROOT_PLACE, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return "creating a root directory";
	for (size_t i = 0; i < policy->count; i++) {
		if (!step_apply(&policy->steps[i], root))
			return step_failed(&policy->steps[i]);
	}
	if (fchmodat(root, ".", 0755, 0) < 0 ||
	    mount_setattr(root, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0)
		return "making the root directory read-only";
	return root_enter(root) ? NULL : "entering the root directory";
}

const char *namespaces_seal(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

	/* So that nothing the script starts can undo the above. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return "giving up new privileges";
	for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
		(void)prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
	return syscall(SYS_capset, &header, none) < 0 ? "giving up capabilities" : NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/script/namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

void namespaces_prepare(struct namespaces *namespaces)
{
	namespaces->uid = geteuid();
	snprintf(namespaces->uid_map, sizeof(namespaces->uid_map), "%u %u 1", geteuid(), geteuid());
	snprintf(namespaces->gid_map, sizeof(namespaces->gid_map), "%u %u 1", getegid(), getegid());
}

static bool map_write(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

static const char *unshare_all(const struct namespaces *namespaces)
{
	int flags = CLONE_NEWNS;

	for (size_t i = 0; i < POLICY_NAMESPACES; i++)
		flags |= policy_namespaces[i].flag;
	/* Root in a container may need a user namespace, too. */
	if (namespaces->uid == 0 && unshare(flags) == 0)
		return NULL;
	if (namespaces->uid == 0 && errno != EPERM)
		return "creating namespaces";
	/* Only a dumpable process can write the maps. It inherits no secrets (base/secret.h). */
	(void)prctl(PR_SET_DUMPABLE, 1);
	if (unshare(CLONE_NEWUSER) < 0)
		return "creating a user namespace";
	if (!map_write("/proc/self/setgroups", "deny") ||
	    !map_write("/proc/self/uid_map", namespaces->uid_map) ||
	    !map_write("/proc/self/gid_map", namespaces->gid_map))
		return "mapping the user into its namespace";
	return unshare(flags) < 0 ? "creating namespaces" : NULL;
}

/* MOVE_MOUNT_T_SYMLINKS: on some systems /tmp is a link. */
static bool mount_move(int tree, const char *path)
{
	return move_mount(tree, "", AT_FDCWD, path,
			  MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS) == 0;
}

static bool read_only_set(const char *path, unsigned int flags)
{
	struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};

	return mount_setattr(AT_FDCWD, path, flags, &attributes, sizeof(attributes)) == 0;
}

/* `tree`: for a device and the script's directory, the host's, opened before it was hidden. */
static bool step_apply(const struct policy_step *step, int tree)
{
	_cleanup_close_ int place = -1;

	switch (step->action) {
	case POLICY_READ_ONLY:
		return read_only_set(step->path, AT_RECURSIVE);
	case POLICY_HIDE:
		return mount("tmpfs", step->path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") == 0;
	case POLICY_DEVICE:
		place = open(step->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
		return place >= 0 && mount_move(tree, step->path);
	case POLICY_LINK:
		return symlink(step->target, step->path) == 0;
	case POLICY_SEAL:
		return read_only_set(step->path, 0);
	case POLICY_SCRIPT:
		return mount_move(tree, step->path);
	case POLICY_PROC:
		break; /* namespaces_finish() */
	}
	return true;
}

const char *namespaces_enter(const struct namespaces *namespaces)
{
	const struct policy *policy = namespaces->policy;
	int trees[POLICY_STEPS_MAX];
	const char *failed = unshare_all(namespaces);

	if (failed)
		return failed;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return "separating the mounts from the host's";
	for (size_t i = 0; i < policy->count; i++) {
		const struct policy_step *step = &policy->steps[i];
		const char *path = step->action == POLICY_DEVICE   ? step->path
				   : step->action == POLICY_SCRIPT ? namespaces->directory
								   : NULL;

		trees[i] = path ? open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)
			   : step->action == POLICY_SCRIPT ? dup(namespaces->mount)
							   : -1;
	}
	for (size_t i = 0; !failed && i < policy->count; i++) {
		if (!step_apply(&policy->steps[i], trees[i]))
			failed = policy->steps[i].doing;
	}
	for (size_t i = 0; i < policy->count; i++)
		cleanup_close_fd(&trees[i]);
	return failed;
}

const char *namespaces_finish(const struct namespaces *namespaces)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};
	const struct policy *policy = namespaces->policy;

	/* In some containers the kernel refuses a new /proc; the container's is acceptable. */
	for (size_t i = 0; i < policy->count; i++) {
		if (policy->steps[i].action == POLICY_PROC)
			(void)mount("proc", policy->steps[i].path, "proc",
				    MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL);
	}
	if (chdir(POLICY_SCRIPT_DIRECTORY) < 0)
		return "entering the script's directory";
	/* So that nothing the script starts can undo the above. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return "giving up new privileges";
	for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
		(void)prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
	return syscall(SYS_capset, &header, none) < 0 ? "giving up capabilities" : NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/policy.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "sandbox/sandbox.h"

const struct policy_namespace policy_namespaces[POLICY_NAMESPACES] = {
	{CLONE_NEWCGROUP, "--unshare-cgroup-try"}, {CLONE_NEWIPC, "--unshare-ipc"},
	{CLONE_NEWNET, "--unshare-net"},           {CLONE_NEWPID, "--unshare-pid"},
	{CLONE_NEWUTS, "--unshare-uts"},
};

const char *const policy_verbs[] = {
	[POLICY_SHOW] = "showing",
	[POLICY_HIDE] = "hiding",
	[POLICY_DEVICE] = "showing",
	[POLICY_LINK] = "creating the link",
	[POLICY_SCRIPT] = "mounting the script's directory on",
	[POLICY_PROC] = "mounting",
};

/* What does not exist is omitted; so are links without a target. */
static const struct {
	enum policy_action action;
	const char *path;
	const char *target; /* NULL: that of the host's link */
} rows[] = {
	{POLICY_SHOW, "/usr", NULL},
	{POLICY_SHOW, "/bin", NULL},
	{POLICY_SHOW, "/sbin", NULL},
	{POLICY_SHOW, "/lib", NULL},
	{POLICY_SHOW, "/lib32", NULL},
	{POLICY_SHOW, "/lib64", NULL},
	{POLICY_SHOW, "/libx32", NULL},
	{POLICY_SHOW, "/opt", NULL},
	{POLICY_SHOW, "/nix/store", NULL},
	{POLICY_SHOW, "/gnu/store", NULL},
	{POLICY_SHOW, "/etc", NULL},
	{POLICY_HIDE, "/etc/ssh", NULL},            /* host keys are identities */
	{POLICY_LINK, "/run/current-system", NULL}, /* the programs of NixOS */
	{POLICY_LINK, "/run/booted-system", NULL},
	{POLICY_DEVICE, "/dev/null", NULL},
	{POLICY_DEVICE, "/dev/zero", NULL},
	{POLICY_DEVICE, "/dev/full", NULL},
	{POLICY_DEVICE, "/dev/random", NULL},
	{POLICY_DEVICE, "/dev/urandom", NULL},
	{POLICY_LINK, "/dev/fd", "/proc/self/fd"},
	{POLICY_LINK, "/dev/stdin", "/proc/self/fd/0"},
	{POLICY_LINK, "/dev/stdout", "/proc/self/fd/1"},
	{POLICY_LINK, "/dev/stderr", "/proc/self/fd/2"},
	{POLICY_LINK, "/dev/shm", SANDBOX_DIRECTORY},
	{POLICY_SCRIPT, SANDBOX_DIRECTORY, NULL},
	{POLICY_PROC, "/proc", NULL},
};

/* Without the host's files, whatever is in $PATH. */
static const char *const private_places[] = {"/dev", "/proc", "/run", SANDBOX_DIRECTORY};

/* Symbolic links are followed if they are shown, but a link does not hide what is elsewhere. */
static bool is_directory(const char *path, bool follows)
{
	struct stat status;

	return (follows ? stat(path, &status) : lstat(path, &status)) == 0 &&
	       S_ISDIR(status.st_mode);
}

static int step_add(struct policy *policy, enum policy_action action, const char *path,
		    const char *target, struct error *err)
{
	if (array_extend(&policy->steps, policy->count, sizeof(*policy->steps), err) < 0)
		return -(int)err->code;
	policy->steps[policy->count++] = (struct policy_step){action, path, target, -1};
	return 0;
}

static int row_add(struct policy *policy, size_t row, struct error *err)
{
	const enum policy_action action = rows[row].action;
	const char *path = rows[row].path, *target = rows[row].target;
	bool exists = true;

	if (action == POLICY_SHOW || action == POLICY_HIDE)
		exists = is_directory(path, action == POLICY_SHOW);
	else if (action == POLICY_DEVICE)
		exists = access(path, F_OK) == 0;
	else if (action == POLICY_LINK && !target)
		exists = (target = realpath(path, NULL)) != NULL;
	return exists ? step_add(policy, action, path, target, err) : 0;
}

static bool is_in(const char *path, const char *directory)
{
	const size_t length = strlen(directory);

	return strncmp(path, directory, length) == 0 &&
	       (path[length] == '/' || path[length] == '\0');
}

static bool is_placed(const struct policy *policy, const char *path)
{
	for (size_t i = 0; i < sizeof(private_places) / sizeof(private_places[0]); i++) {
		if (is_in(path, private_places[i]))
			return true;
	}
	for (size_t i = 0; i < policy->count; i++) {
		if (policy->steps[i].action == POLICY_SHOW && is_in(path, policy->steps[i].path))
			return true;
	}
	return false;
}

/* Shows a directory of $PATH that is elsewhere, such as ~/bin. */
static int path_add(struct policy *policy, const char *directory, struct error *err)
{
	char *path = directory[0] == '/' ? path_absolute(directory) : NULL;

	if (!path || !path[1] || !is_directory(path, true) || is_placed(policy, path)) {
		free(path);
		return 0;
	}
	return step_add(policy, POLICY_SHOW, path, NULL, err);
}

int policy_make(struct policy *policy, struct error *err)
{
	const char *directories = getenv("PATH");
	_cleanup_free_ char *copy = strdup(directories ? directories : "");
	char *rest = copy, *directory;
	int r = copy ? 0 : error_no_memory(err);

	for (size_t i = 0; r == 0 && i < sizeof(rows) / sizeof(rows[0]); i++)
		r = row_add(policy, i, err);
	while (r == 0 && (directory = strsep(&rest, ":")))
		r = path_add(policy, directory, err);
	return r;
}

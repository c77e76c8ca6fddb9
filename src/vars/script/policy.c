/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/script/policy.h"

#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/program.h"

const struct policy_namespace policy_namespaces[POLICY_NAMESPACES] = {
	{CLONE_NEWCGROUP, "--unshare-cgroup-try"}, {CLONE_NEWIPC, "--unshare-ipc"},
	{CLONE_NEWNET, "--unshare-net"},           {CLONE_NEWPID, "--unshare-pid"},
	{CLONE_NEWUTS, "--unshare-uts"},
};

static const char *const verbs[] = {
	[POLICY_READ_ONLY] = "making read-only:",
	[POLICY_HIDE] = "hiding",
	[POLICY_DEVICE] = "keeping",
	[POLICY_LINK] = "creating the link",
	[POLICY_SEAL] = "making read-only:",
	[POLICY_SCRIPT] = "mounting the script's directory on",
	[POLICY_PROC] = "mounting",
};

#define RUNTIME_DIRECTORY "$XDG_RUNTIME_DIR"

/* A HIDE of what does not exist is omitted, with what follows in it; so are missing devices and
 * links without a target. */
static const struct {
	enum policy_action action;
	const char *path;
	const char *target; /* NULL: that of the host's link */
} rows[] = {
	{POLICY_READ_ONLY, "/", NULL},
	{POLICY_HIDE, RUNTIME_DIRECTORY, NULL},
	{POLICY_SEAL, RUNTIME_DIRECTORY, NULL},
	{POLICY_HIDE, "/run", NULL},
	{POLICY_LINK, "/run/current-system", NULL}, /* the programs of NixOS */
	{POLICY_LINK, "/run/booted-system", NULL},
	{POLICY_SEAL, "/run", NULL},
	{POLICY_HIDE, "/dev", NULL},
	{POLICY_DEVICE, "/dev/null", NULL},
	{POLICY_DEVICE, "/dev/zero", NULL},
	{POLICY_DEVICE, "/dev/full", NULL},
	{POLICY_DEVICE, "/dev/random", NULL},
	{POLICY_DEVICE, "/dev/urandom", NULL},
	{POLICY_LINK, "/dev/fd", "/proc/self/fd"},
	{POLICY_LINK, "/dev/stdin", "/proc/self/fd/0"},
	{POLICY_LINK, "/dev/stdout", "/proc/self/fd/1"},
	{POLICY_LINK, "/dev/stderr", "/proc/self/fd/2"},
	{POLICY_LINK, "/dev/shm", POLICY_SCRIPT_DIRECTORY},
	{POLICY_SEAL, "/dev", NULL},
	{POLICY_SCRIPT, POLICY_SCRIPT_DIRECTORY, NULL},
	{POLICY_PROC, "/proc", NULL},
	{POLICY_SEAL, "/proc", NULL},
};

static bool is_directory(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* The host's target of a link: 1, 0 if it is not a link, or a negative code. */
static int link_read(struct policy *policy, struct policy_step *step, struct error *err)
{
	char target[PATH_MAX];
	ssize_t size = readlink(step->path, target, sizeof(target) - 1);

	if (size <= 0)
		return 0;
	target[size] = '\0';
	if (strings_add(&policy->texts, target, err) < 0)
		return -(int)err->code;
	step->target = policy->texts.items[policy->texts.count - 1];
	return 1;
}

int policy_make(struct policy *policy, struct error *err)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct policy_step step = {rows[i].action, rows[i].path, rows[i].target, NULL};
		int r = 1;

		if (step.path[0] == '$')
			step.path = runtime && runtime[0] == '/' ? runtime : NULL;
		if (!step.path)
			continue;
		if (step.action == POLICY_HIDE || step.action == POLICY_SEAL)
			r = is_directory(step.path);
		else if (step.action == POLICY_DEVICE)
			r = access(step.path, F_OK) == 0;
		else if (step.action == POLICY_LINK && !step.target)
			r = link_read(policy, &step, err);
		if (r == 0)
			continue;
		if (r < 0 || strings_add_format(&policy->texts, err, "%s %s", verbs[step.action],
						step.path) < 0)
			return -(int)err->code;
		step.doing = policy->texts.items[policy->texts.count - 1];
		policy->steps[policy->count++] = step;
	}
	return 0;
}

void policy_destroy(struct policy *policy)
{
	strings_destroy(&policy->texts);
	policy->count = 0;
}

int policy_environment(struct strings *environment, const char *directory, bool has_prompts,
		       struct error *err)
{
	static const struct {
		const char *name, *path;
	} variables[] = {
		/* A temporary home, for programs that need one, such as gpg. */
		{"HOME", "/tmp"}, {"TMPDIR", "/tmp"},      {"in", "/in"},
		{"out", "/out"},  {"prompts", "/prompts"}, /* last */
	};
	const size_t count = sizeof(variables) / sizeof(variables[0]) - (has_prompts ? 0 : 1);
	const char *path = getenv("PATH");
	int r = strings_add_format(environment, err, "PATH=%s", path ? path : PROGRAM_PATH_DEFAULT);

	for (size_t i = 0; r == 0 && i < count; i++)
		r = strings_add_format(environment, err, "%s=%s%s", variables[i].name, directory,
				       variables[i].path);
	return r;
}

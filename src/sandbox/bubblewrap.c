/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/bubblewrap.h"

#include "base/program.h"
#include "sandbox/sandbox.h"

static const struct {
	const char *option;
	bool has_source; /* before the path */
} options[] = {
	[POLICY_SHOW] = {"--ro-bind", true},    [POLICY_HIDE] = {"--tmpfs", false},
	[POLICY_DEVICE] = {"--dev-bind", true}, [POLICY_LINK] = {"--symlink", true},
	[POLICY_SCRIPT] = {"--bind", true},     [POLICY_PROC] = {"--proc", false},
};

static int step_add(struct strings *argv, const struct policy_step *step, const char *directory,
		    struct error *err)
{
	const char *source = step->action == POLICY_SCRIPT ? directory
			     : step->target                ? step->target
							   : step->path;
	int r = strings_add(argv, options[step->action].option, err);

	if (r == 0 && options[step->action].has_source)
		r = strings_add(argv, source, err);
	if (r == 0)
		r = strings_add(argv, step->path, err);
	if (r == 0 && (step->action == POLICY_HIDE || step->action == POLICY_PROC)) {
		r = strings_add(argv, "--remount-ro", err);
		if (r == 0)
			r = strings_add(argv, step->path, err);
	}
	return r;
}

int bubblewrap_add(struct strings *argv, const struct policy *policy, const char *directory,
		   int filter_fd, struct error *err)
{
	static char *const before[] = {(char *)"--unshare-user-try",
				       (char *)"--die-with-parent",
				       (char *)"--new-session",
				       (char *)"--cap-drop",
				       (char *)"ALL",
				       NULL};
	static char *const after[] = {(char *)"--remount-ro",    (char *)"/",  (char *)"--chdir",
				      (char *)SANDBOX_DIRECTORY, (char *)"--", NULL};
	char *bwrap = NULL;
	int r = program_find("bwrap", &bwrap, err);

	if (r == 0)
		r = strings_take(argv, bwrap, err);
	if (r == 0)
		r = strings_add_all(argv, before, err);
	for (size_t i = 0; r == 0 && i < POLICY_NAMESPACES; i++)
		r = strings_add(argv, policy_namespaces[i].option, err);
	for (size_t i = 0; r == 0 && i < policy->count; i++)
		r = step_add(argv, &policy->steps[i], directory, err);
	if (r == 0)
		r = strings_add(argv, "--seccomp", err);
	if (r == 0)
		r = strings_add_format(argv, err, "%d", filter_fd);
	return r < 0 ? r : strings_add_all(argv, after, err);
}

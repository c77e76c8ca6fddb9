/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/cleanup.h"
#include "base/program.h"
#include "vars/script/policy.h"
#include "vars/script/process.h"

/* The policy as arguments of bwrap(1). */
static int bubblewrap_add(struct strings *argv, const struct policy *policy, const char *directory,
			  struct error *err)
{
	static char *const always[] = {(char *)"--unshare-user-try",
				       (char *)"--die-with-parent",
				       (char *)"--new-session",
				       (char *)"--cap-drop",
				       (char *)"ALL",
				       NULL};
	static const struct {
		const char *option;
		bool has_source; /* before the path */
	} options[] = {
		[POLICY_READ_ONLY] = {"--ro-bind", true}, [POLICY_HIDE] = {"--tmpfs", false},
		[POLICY_DEVICE] = {"--dev-bind", true},   [POLICY_LINK] = {"--symlink", true},
		[POLICY_SEAL] = {"--remount-ro", false},  [POLICY_SCRIPT] = {"--bind", true},
		[POLICY_PROC] = {"--proc", false},
	};
	char *bwrap = NULL;
	int r = program_find("bwrap", &bwrap, err);

	if (r == 0)
		r = strings_take(argv, bwrap, err);
	if (r == 0)
		r = strings_add_all(argv, always, err);
	for (size_t i = 0; r == 0 && i < POLICY_NAMESPACES; i++)
		r = strings_add(argv, policy_namespaces[i].option, err);
	for (size_t i = 0; r == 0 && i < policy->count; i++) {
		const struct policy_step *step = &policy->steps[i];
		const char *source = step->action == POLICY_SCRIPT ? directory
				     : step->target                ? step->target
								   : step->path;

		r = strings_add(argv, options[step->action].option, err);
		if (r == 0 && options[step->action].has_source)
			r = strings_add(argv, source, err);
		if (r == 0)
			r = strings_add(argv, step->path, err);
	}
	if (r == 0)
		r = strings_add(argv, "--chdir", err);
	if (r == 0)
		r = strings_add(argv, POLICY_SCRIPT_DIRECTORY, err);
	return r < 0 ? r : strings_add(argv, "--", err);
}

int script_command_make(struct script_command *command, const struct script_process *process,
			const struct policy *policy, struct error *err)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_free_ char *bash = NULL;
	/* A failing or misspelled command must not result in an empty secret. */
	const bool has_bash = program_find("bash", &bash, &ignored) == 0;
	const char *const shell[] = {
		has_bash ? bash : "/bin/sh",       has_bash ? "-euo" : "-eu",
		has_bash ? "pipefail" : "-c",      has_bash ? "-c" : process->script,
		has_bash ? process->script : NULL, NULL};
	int r = 0;

	if (process->sandbox == SANDBOX_BUBBLEWRAP)
		r = bubblewrap_add(&command->argv, policy, process->directory, err);
	if (r == 0)
		r = strings_add_all(&command->argv, (char *const *)shell, err);
	return r < 0 ? r
		     : policy_environment(&command->environment,
					  process->sandbox == SANDBOX_NONE
						  ? process->directory
						  : POLICY_SCRIPT_DIRECTORY,
					  process->has_prompts, err);
}

void script_command_destroy(struct script_command *command)
{
	strings_destroy(&command->argv);
	strings_destroy(&command->environment);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/git/git.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/text.h"

/* git sets these for its hooks: `git rev-parse --local-env-vars`. */
static bool is_of_repository(const char *variable)
{
	static const char *const names[] = {
		"GIT_DIR",        "GIT_WORK_TREE",        "GIT_COMMON_DIR",
		"GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
		"GIT_GRAFT_FILE", "GIT_SHALLOW_FILE",     "GIT_PREFIX"};
	const size_t size = strcspn(variable, "=");

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strlen(names[i]) == size && strncmp(variable, names[i], size) == 0)
			return true;
	}
	return false;
}

/* Without the variables that would choose another repository than the directory's. */
static int environment_make(const char *directory, char ***environment, struct error *err)
{
	_cleanup_free_ char *top = NULL;
	int r = git_top_find(directory ? directory : ".", &top, err);
	size_t used = 0;

	*environment = r == 0 ? program_environment_with("GIT_ALLOW_PROTOCOL=") : NULL;
	if (!*environment)
		return r < 0 ? r : error_no_memory(err);
	for (char **entry = *environment; top && *entry; entry++) {
		if (!is_of_repository(*entry))
			(*environment)[used++] = *entry;
	}
	if (top)
		(*environment)[used] = NULL;
	return 0;
}

int git_start_reading(const struct program *git, const char *const *arguments, FILE **output,
		      pid_t *pid, struct error *err)
{
	static const char *const words[] = {"git",
					    "-c",
					    "core.fsmonitor=false",
					    "-c",
					    "safe.bareRepository=explicit",
					    "-c",
					    "submodule.recurse=false",
					    "-c",
					    "core.useReplaceRefs=false",
					    NULL};
	_cleanup_free_ char **environment = NULL;
	_cleanup_strings_ struct strings argv = {0};
	struct program started = *git;
	int r = environment_make(git->directory, &environment, err);

	if (r == 0)
		r = strings_add_all(&argv, (char *const *)words, err);
	if (r == 0)
		r = strings_add_all(&argv, (char *const *)arguments, err);
	started.file = words[0];
	started.argv = argv.items;
	started.environment = environment;
	return r < 0 ? r : program_start_reading(&started, output, pid, err);
}

int git_top_find(const char *directory, char **top, struct error *err)
{
	_cleanup_free_ char *up = realpath(directory, NULL);

	*top = NULL;
	if (!up)
		return errno != ENOMEM ? 0 : error_no_memory(err);
	for (;; *strrchr(up, '/') = '\0') {
		_cleanup_free_ char *git = path_join(up, ".git");

		if (!git)
			return error_no_memory(err);
		if (faccessat(AT_FDCWD, git, F_OK, 0) == 0)
			break;
		if (!strchr(up, '/'))
			return 0;
	}
	*top = pointer_release(&up);
	return 0;
}

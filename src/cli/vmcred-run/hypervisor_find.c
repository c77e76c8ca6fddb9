/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred-run/hypervisor_find.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"

enum candidate {
	CANDIDATE_NONE,
	CANDIDATE_OURSELVES,
	CANDIDATE_PROGRAM,
};

static enum candidate candidate_look(const char *path)
{
	struct stat ourselves, other;

	if (stat(path, &other) < 0 || !S_ISREG(other.st_mode) || access(path, X_OK) < 0)
		return CANDIDATE_NONE;
	if (stat("/proc/self/exe", &ourselves) == 0 && ourselves.st_dev == other.st_dev &&
	    ourselves.st_ino == other.st_ino)
		return CANDIDATE_OURSELVES;
	return CANDIDATE_PROGRAM;
}

static int named_check(const char *path, const char *who, struct error *err)
{
	enum candidate candidate = candidate_look(path);

	if (candidate == CANDIDATE_PROGRAM)
		return 0;
	if (candidate == CANDIDATE_OURSELVES)
		return error_set(err, VMCRED_USAGE, "%s names %s, which is vmcred itself", who,
				 path);
	return error_set(err, VMCRED_FAILED, "%s names %s, which is no program", who, path);
}

/*
 * What stands on $PATH before vmcred is not what vmcred stands for: it may be a script of the same
 * name that has called us.
 */
static int path_search(const char *name, char **found, struct error *err)
{
	const char *folders = getenv("PATH");

	for (const char *at = folders ? folders : ""; *at; at += strspn(at, ":")) {
		size_t length = strcspn(at, ":");
		_cleanup_free_ char *folder = strndup(at, length);
		_cleanup_free_ char *path = folder ? path_join(folder, name) : NULL;
		enum candidate candidate;

		if (!path)
			return error_no_memory(err);
		at += length;
		/* A relative folder would depend on where the caller happens to be. */
		candidate = path[0] == '/' ? candidate_look(path) : CANDIDATE_NONE;
		if (candidate == CANDIDATE_PROGRAM && !*found) {
			*found = pointer_release(&path);
		} else if (candidate == CANDIDATE_OURSELVES) {
			free(*found);
			*found = NULL;
		}
	}
	return 0;
}

int hypervisor_find(const struct config *config, const char *name, char **path, struct error *err)
{
	const char *named = getenv(HYPERVISOR_VARIABLE), *who = "$" HYPERVISOR_VARIABLE;
	int r;

	*path = NULL;
	if (!named || !*named) {
		named = config_hypervisor_path(config, name);
		who = "the declaration";
	}
	if (named) {
		r = named_check(named, who, err);
		*path = r == 0 ? strdup(named) : NULL;
		return r < 0 || *path ? r : error_no_memory(err);
	}
	r = path_search(name, path, err);
	if (r < 0 || *path)
		return r;
	error_set(err, VMCRED_FAILED, "there is no %s behind vmcred on $PATH", name);
	return error_hint(err, "name it in the declaration: hypervisors: {%s: /PATH}", name);
}

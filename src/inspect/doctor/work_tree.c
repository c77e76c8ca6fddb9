/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/git/git.h"
#include "base/text.h"
#include "inspect/doctor/doctor.h"

/* Of git-grep(1). */
#define NO_MATCH      1
#define NO_REPOSITORY 128

#define START_FAILED (-1)

static int file_add(struct doctor *doctor, struct strings *paths, const char *path,
		    struct error *err)
{
	int r;

	if (strings_contain(paths, path))
		return 0;
	r = strings_add(paths, path, err);
	return r < 0 ? r
		     : doctor_add(doctor, "private-key-in-work-tree", DOCTOR_ERROR, NULL,
				  text_format("%s contains a private key", path),
				  text_format("move it out of the work tree"), err);
}

/* Returns the exit code of git, or START_FAILED. */
static int search(struct doctor *doctor, int store_dirfd, const char *where, struct strings *paths,
		  struct error *err)
{
	_cleanup_free_ char *directory = text_format("/proc/self/fd/%d", store_dirfd);
	const char *const arguments[] = {
		"grep",   where, "--files-with-matches", "--null", "--extended-regexp",
		"--text", "-e",  DOCTOR_AGE_KEY,         "-e",     DOCTOR_PEM_KEY,
		NULL};
	const struct program git = {.directory = directory, .fds = {-1, -1, -1}};
	_cleanup_error_ struct error ignored = {0};
	_cleanup_fclose_ FILE *output = NULL;
	_cleanup_free_ char *path = NULL;
	size_t size = 0;
	int status = 0, r = 0;
	pid_t pid = 0;

	if (!directory)
		return error_no_memory(err);
	if (git_start_reading(&git, arguments, &output, &pid, &ignored) < 0)
		return START_FAILED;
	while (r == 0 && getdelim(&path, &size, '\0', output) > 0)
		r = file_add(doctor, paths, path, err);
	fclose(pointer_release(&output));
	if (program_wait(pid, &status, &ignored) < 0 || !WIFEXITED(status))
		return START_FAILED;
	return r < 0 ? r : WEXITSTATUS(status);
}

int doctor_check_work_tree(struct doctor *doctor, int store_dirfd, const struct report *report,
			   const char **unsearched, struct error *err)
{
	static const char unusable[] = "the work tree or its git history was not searched for "
				       "private keys: git cannot be used";
	_cleanup_free_ char *directory = text_format("/proc/self/fd/%d", store_dirfd), *top = NULL;
	_cleanup_strings_ struct strings paths = {0};
	int code = search(doctor, store_dirfd, "--untracked", &paths, err);
	const bool is_repository = code != NO_REPOSITORY;
	int r = 0;

	/* What is ignored and tracked all the same is not among the others. */
	if (code == 0 || code == NO_MATCH)
		code = search(doctor, store_dirfd, "--no-recurse-submodules", &paths, err);
	else if (code == NO_REPOSITORY)
		code = search(doctor, store_dirfd, "--no-index", &paths, err);
	*unsearched = code == 0 || code == NO_MATCH ? NULL : unusable;
	if (err->text)
		return -(int)err->code;
	if (!*unsearched && is_repository)
		return doctor_check_history(doctor, store_dirfd, report, unsearched, err);
	/* Such as a repository of another user, in which git does nothing. */
	r = directory ? git_top_find(directory, &top, err) : error_no_memory(err);
	if (top)
		*unsearched = unusable;
	return r;
}

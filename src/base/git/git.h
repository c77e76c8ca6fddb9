/* SPDX-License-Identifier: Apache-2.0 */
/*
 * git(1) in a repository that others write to. A commit can contain a bare repository with a
 * configuration, which git would use below its directory, and configuration can run programs:
 * git(1) starts none of them here, and fetches nothing that a partial clone lacks. Commits are
 * those that were made: git-replace(1) has no effect. Where the directory is in a repository, that
 * one counts, and not another one whose hook has started this process.
 */
#ifndef VMCRED_BASE_GIT_GIT_H
#define VMCRED_BASE_GIT_GIT_H

#include "base/program.h"

/* As program_start_reading(), with git's arguments in `arguments`, which is NULL-terminated. Input,
 * errors and directory are those of `git`. */
int git_start_reading(const struct program *git, const char *const *arguments, FILE **output,
		      pid_t *pid, struct error *err);

/* The nearest directory with ".git", from a directory upwards; NULL if there is none. The caller
 * frees `*top`. */
int git_top_find(const char *directory, char **top, struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens paths through directories of other users, such as a user's home. A user can replace each
 * directory of theirs by a symbolic link, so that root would change or read files elsewhere.
 *
 * Links that only root and this process's user control are followed. A link that another user
 * controls is followed only if it leads to an existing directory or file of that user.
 */
#ifndef VMCRED_BASE_TRUSTED_H
#define VMCRED_BASE_TRUSTED_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/* Whether the user is root or this process's user. */
bool trusted_user_is_ours(uid_t uid);

/*
 * Opens the parent directory of a path with O_PATH; returns its descriptor or a negative code.
 * `name` becomes the last part of the path. Missing directories are created with `mode` and synced;
 * 0: VMCRED_MISSING, as for a part that is not a directory. `is_foreign`, which may be NULL:
 * whether another user controls a part of the path; also set on failure.
 */
int trusted_parent_open(const char *path, mode_t mode, const char **name, bool *is_foreign,
			struct error *err);

/*
 * Opens a directory where other users cannot rename, remove or replace what this user creates: it
 * and its parents belong to root or this user, and who else can write there is restricted by the
 * sticky bit. Returns its descriptor or a negative code.
 */
int trusted_directory_open(const char *path, struct error *err);

/* Opens a directory that a user names for new files, and creates what is missing of it with `mode`,
 * as trusted_parent_open() does. Returns its descriptor or a negative code. */
int trusted_directory_make(const char *path, mode_t mode, struct error *err);

/* Opens a regular file for reading; returns its descriptor or a negative code. */
int trusted_file_open(const char *path, struct error *err);

/*
 * Refuses a file that nobody named, such as ./vmcred.yaml, unless it and its directory belong to
 * this process's user or root: their owner decides what vmcred does. With sudo they may also
 * belong to the user who called it. VMCRED_USAGE; the hint is --config.
 */
int trusted_found_check(const char *path, struct error *err);

/* What a path leads to, for a command that writes there. */
struct trusted_target {
	int dirfd;  /* owned; opened with O_PATH */
	char *name; /* owned; in the directory; a link only in /proc, such as /proc/self/fd/1 */
	int fd;     /* owned; opened with O_PATH; -1: it does not exist */
};

#define TRUSTED_TARGET_NONE           \
	{                             \
		.dirfd = -1, .fd = -1 \
	}

/*
 * Finds the target of a path; it need not exist. Fails if another user created the target, or a
 * link on the way, in a directory with the sticky bit that is not theirs. `*target` is
 * TRUSTED_TARGET_NONE.
 */
int trusted_target_open(const char *path, struct trusted_target *target, struct error *err);

/* Opens the existing target for access; returns its descriptor. `path` names it in the error. */
int trusted_target_reopen(const struct trusted_target *target, int flags, const char *path,
			  struct error *err);

void trusted_target_release(struct trusted_target *target);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens paths through directories of other users, such as a user's home. A user can replace each
 * directory of theirs by a symbolic link, so that root would change or read files elsewhere.
 *
 * Links that only root and this process's user control are followed. A link that another user
 * controls is followed only if it leads to an existing directory or file of that user. Inside
 * activate/ only.
 */
#ifndef VMCRED_ACTIVATE_TRUSTED_H
#define VMCRED_ACTIVATE_TRUSTED_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/*
 * Opens the parent directory of a path with O_PATH; returns its descriptor or a negative code.
 * `name` becomes the last part of the path. Missing directories are created with `mode` and synced;
 * 0: VMCRED_MISSING, as for a part that is not a directory. `is_foreign`, which may be NULL:
 * whether another user controls a part of the path; also set on failure.
 */
int trusted_parent_open(const char *path, mode_t mode, const char **name, bool *is_foreign,
			struct error *err);

/* Opens a regular file for reading; returns its descriptor or a negative code. */
int trusted_file_open(const char *path, struct error *err);

#endif

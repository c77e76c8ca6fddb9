/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths in a folder whose content others have written, such as a repository: no link on the way and
 * no ".." leads out of the folder, and what is opened to be read is a regular file, which neither
 * blocks nor does something.
 */
#ifndef VMCRED_BASE_BENEATH_H
#define VMCRED_BASE_BENEATH_H

#include "base/error.h"

/*
 * As openat(2), with O_CLOEXEC; the caller closes it. All of this is so where the path is relative
 * to a descriptor: AT_FDCWD and absolute paths are the user's own words. errno is EXDEV where the
 * path leads out of the folder, and ENOTSUP where it is neither a regular file nor, with
 * O_DIRECTORY, a folder.
 */
int beneath_open(int dirfd, const char *path, int flags);

/* As error_set_errno() for an errno of beneath_open(). `what` was being done with the path. */
int beneath_error(struct error *err, int errnum, const char *what, const char *path);

#endif

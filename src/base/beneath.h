/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens paths in a directory that others can write to, such as a repository: symbolic links and
 * ".." cannot lead outside it, and a file must be a regular file, which cannot block the reader.
 *
 * Links may lead to the stores of Nix and Guix, of which NixOS makes /etc. All files there are
 * public and can only be created by the store's owner.
 */
#ifndef VMCRED_BASE_BENEATH_H
#define VMCRED_BASE_BENEATH_H

#include "base/error.h"

/*
 * As openat(2), with O_CLOEXEC; the caller closes it. AT_FDCWD and absolute paths are given by the
 * user and not restricted. errno is EXDEV if the path leads outside the directory, and ENOTSUP if
 * it is neither a regular file nor, with O_DIRECTORY, a directory.
 */
int beneath_open(int dirfd, const char *path, int flags);

/* As error_set_errno() for an errno of beneath_open(): "`what` `path`: ...". */
int beneath_error(struct error *err, int errnum, const char *what, const char *path);

#endif

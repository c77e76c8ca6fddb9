/* SPDX-License-Identifier: Apache-2.0 */
/* New file systems for secrets: in memory, and never written to swap. */
#ifndef VMCRED_BASE_TRUSTED_MEMORY_MOUNT_H
#define VMCRED_BASE_TRUSTED_MEMORY_MOUNT_H

#include <stdbool.h>

/*
 * Creates one whose root directory has this mode, such as "0700": a tmpfs with noswap (Linux 6.4),
 * else a ramfs, which has no size limit. Returns its descriptor, or -1 with errno set. It is
 * mounted nowhere yet; unless it is attached, closing the descriptor removes it. `executable`:
 * programs in it can be executed.
 */
int memory_mount_create(const char *mode, bool only_ramfs, bool executable);

/* Mounts it on the directory. Returns 0, or -1 with errno set. */
int memory_mount_attach(int mount_fd, int dirfd);

/* Whether the directory is in another file system than its parent. */
bool memory_mount_exists(int dirfd, int parent_dirfd);

#endif

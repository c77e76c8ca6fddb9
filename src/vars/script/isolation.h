/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process does to itself to become a sandbox: namespaces of its own, a file system without
 * anything to write to or to talk to, no capabilities. All of it runs between fork() and exec() in
 * a process that may have been forked from one of several threads: it makes system calls and calls
 * nothing that could wait for a lock. Inside vars/ only.
 */
#ifndef VMCRED_VARS_SCRIPT_ISOLATION_H
#define VMCRED_VARS_SCRIPT_ISOLATION_H

#include <sys/types.h>

/* Where the script's folder is in a sandbox, in place of the host's /tmp. */
#define ISOLATION_FOLDER "/tmp"

/* Filled by the parent, which must not be changed by what it is like when it forks. */
struct isolation {
	const char *folder;      /* what becomes /tmp, or NULL: `mount` does */
	int mount;               /* a detached mount, or -1 */
	const char *runtime_dir; /* hidden, or NULL */
	uid_t uid;
	char uid_map[64], gid_map[64];
};

/* In the process whose children will be in the sandbox: NULL, or what was not possible, with errno.
 */
const char *isolation_enter(const struct isolation *isolation);

/* In the first of them. */
const char *isolation_finish(void);

#endif

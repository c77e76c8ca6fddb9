/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy as namespaces of our own. This runs between fork() and exec() in a process that may
 * come from one of several threads: only system calls, nothing that could wait for a lock.
 */
#ifndef VMCRED_VARS_SCRIPT_NAMESPACES_H
#define VMCRED_VARS_SCRIPT_NAMESPACES_H

#include <sys/types.h>

#include "vars/script/policy.h"

/* Prepared by the parent. */
struct namespaces {
	const struct policy *policy;
	const char *directory; /* the script's, or NULL: `mount` */
	int mount;             /* a detached mount, borrowed, or -1 */
	uid_t uid;
	char uid_map[64], gid_map[64];
};

void namespaces_prepare(struct namespaces *namespaces);

/* In the process whose children are in the sandbox: NULL, or what failed, with errno. */
const char *namespaces_enter(const struct namespaces *namespaces);

/* In the first of these. */
const char *namespaces_finish(const struct namespaces *namespaces);

#endif

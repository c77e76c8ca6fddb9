/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sandboxed script can see: one policy for both implementations.
 *
 * A script has an empty, read-only root directory with the host's programs in it, its own directory
 * as /tmp, harmless devices, and its own processes. It does not have the sockets, FIFOs and files
 * of services and users in /run, /var or home directories, such as identities; nor the network with
 * its abstract sockets, nor any capability.
 */
#ifndef VMCRED_SANDBOX_POLICY_H
#define VMCRED_SANDBOX_POLICY_H

#include "base/text.h"

enum policy_action {
	POLICY_SHOW,   /* the host's directory, recursively, read-only */
	POLICY_HIDE,   /* an empty, read-only directory */
	POLICY_DEVICE, /* the host's device */
	POLICY_LINK,   /* a symbolic link */
	POLICY_SCRIPT, /* the script's directory, writable */
	POLICY_PROC,   /* the sandbox's processes, read-only */
};

struct policy_step {
	enum policy_action action;
	const char *path;   /* absolute */
	const char *target; /* of a link */
	int tree;           /* used by namespaces.c */
};

/* The policy on this host, to be applied in order. Starts as {0}; it lives as long as the
 * process. */
struct policy {
	struct policy_step *steps;
	size_t count;
};

int policy_make(struct policy *policy, struct error *err);

/* What a step does, for errors: "showing". */
extern const char *const policy_verbs[];

/* Besides those for mounts and, if necessary, users. */
struct policy_namespace {
	int flag;           /* unshare(2) */
	const char *option; /* bwrap(1) */
};

#define POLICY_NAMESPACES 5

extern const struct policy_namespace policy_namespaces[POLICY_NAMESPACES];

#endif

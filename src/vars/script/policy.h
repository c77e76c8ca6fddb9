/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sandboxed script can see: one policy for both implementations, our own namespaces
 * (namespaces.c) and bubblewrap (bubblewrap.c).
 *
 * A script has the host's files, read-only, so that it finds its programs; its own directory as
 * /tmp; and its own processes. It does not have /run, with the sockets of systemd, D-Bus and
 * container engines, $XDG_RUNTIME_DIR, the host's /tmp, devices except harmless ones, the network
 * with its abstract sockets, or any capability. The sandbox protects from accidents; the author of
 * a script is trusted with what the script reads.
 */
#ifndef VMCRED_VARS_SCRIPT_POLICY_H
#define VMCRED_VARS_SCRIPT_POLICY_H

#include "base/text.h"

/* Where the script finds its directory, instead of the host's /tmp. */
#define POLICY_SCRIPT_DIRECTORY "/tmp"

enum policy_action {
	POLICY_READ_ONLY, /* the whole file system at `path`, recursively */
	POLICY_HIDE,      /* an empty file system at `path` */
	POLICY_DEVICE,    /* the host's device */
	POLICY_LINK,      /* a symbolic link */
	POLICY_SEAL,      /* the file system at `path` becomes read-only */
	POLICY_SCRIPT,    /* the script's directory, writable */
	POLICY_PROC,      /* the sandbox's processes */
};

struct policy_step {
	enum policy_action action;
	const char *path;
	const char *target; /* of a link */
	const char *doing;  /* for errors: "hiding /run" */
};

#define POLICY_STEPS_MAX 32

/* The policy on this host, to be applied in order. Starts as {0}. */
struct policy {
	struct policy_step steps[POLICY_STEPS_MAX];
	size_t count;
	struct strings texts; /* what the above point to */
};

#define _cleanup_policy_ __attribute__((cleanup(policy_destroy)))

int policy_make(struct policy *policy, struct error *err);
void policy_destroy(struct policy *policy);

/* Besides those for mounts and, if necessary, users. */
struct policy_namespace {
	int flag;           /* unshare(2) */
	const char *option; /* bwrap(1) */
};

#define POLICY_NAMESPACES 5

extern const struct policy_namespace policy_namespaces[POLICY_NAMESPACES];

/* Adds the variables of the script, which is the whole environment. `directory` is where the script
 * finds its own. */
int policy_environment(struct strings *environment, const char *directory, bool has_prompts,
		       struct error *err);

#endif

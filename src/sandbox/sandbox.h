/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmcred-sandbox, the program that runs the script of a generator in a sandbox. It is a program of
 * its own, so that no process that the script can see has vmcred's memory, environment or
 * descriptors: it starts with the script's environment, its arguments below and what they name.
 * vmcred and the program belong to the same installation; nobody else calls it.
 *
 * One policy (policy.h, syscalls.h) has two implementations: our own namespaces (namespaces.h) and
 * bubblewrap (bubblewrap.c), which a host may allow to create namespaces where it refuses them to
 * us. A script that runs without a sandbox is supervised in the same way.
 *
 * The processes are the supervisor, which vmcred starts; its child, the first process in the
 * namespaces, which takes all others with it when it ends; and the shell. The process that waits
 * for the shell reports its status through a pipe, and so does one that fails before: an exit code
 * alone could be the script's.
 */
#ifndef VMCRED_SANDBOX_SANDBOX_H
#define VMCRED_SANDBOX_SANDBOX_H

#define SANDBOX_PROGRAM "vmcred-sandbox"

/* Where a sandboxed script finds its directory, which has in/, out/, prompts/ and tmp/. */
#define SANDBOX_DIRECTORY "/tmp"

enum sandbox_kind {
	SANDBOX_NONE,       /* the script sees the host */
	SANDBOX_NAMESPACES, /* our own */
	SANDBOX_BUBBLEWRAP, /* by bwrap(1) */
};

/* The arguments, all required. */
enum sandbox_argument {
	SANDBOX_KIND = 1,    /* a number of `enum sandbox_kind` */
	SANDBOX_PARENT,      /* the caller's process; the sandbox ends with it */
	SANDBOX_REPORTS,     /* the descriptor that gets the report */
	SANDBOX_MOUNT,       /* the script's directory as a detached mount, or -1 */
	SANDBOX_SCRIPT_PATH, /* its path, if there is no mount */
	SANDBOX_SCRIPT,      /* the script itself */
	SANDBOX_ARGUMENTS,
};

/* Written once. */
struct sandbox_report {
	char failed[256]; /* what failed, such as "hiding /etc/ssh"; "": `status` is the shell's */
	int errnum;       /* 0: `failed` is the whole error */
	int status;
	int refused; /* the sandbox could not be created; the script has not run */
};

#endif

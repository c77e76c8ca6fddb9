/* SPDX-License-Identifier: Apache-2.0 */
/* Running a script to its end: its command, its processes, and what it prints. */
#ifndef VMCRED_VARS_SCRIPT_PROCESS_H
#define VMCRED_VARS_SCRIPT_PROCESS_H

#include "base/secret.h"
#include "base/text.h"

enum script_sandbox {
	SANDBOX_NONE,       /* the script sees the host */
	SANDBOX_NAMESPACES, /* our own */
	SANDBOX_BUBBLEWRAP, /* by bwrap(1), which may be allowed what we are not */
};

/* The directory has in/, out/, prompts/ and tmp/. */
struct script_process {
	enum script_sandbox sandbox;
	const char *script;
	const char *directory; /* absolute; NULL: `mount`, only with our own namespaces */
	int mount;             /* a detached mount, borrowed, or -1 */
	bool has_prompts;      /* $prompts is set */
	unsigned int seconds_max;
};

/*
 * Runs the script and kills all that it leaves running. What it prints is appended to `output`, the
 * last 64 KiB. VMCRED_FAILED: it failed, exceeded its time, or could not be started. `*refused`:
 * the host allows no namespaces, or its kernel is too old; the script has not run.
 */
int script_process_run(const struct script_process *process, struct secret *output, bool *refused,
		       struct error *err);

/*
 * The command line: bash, as in clan, or else the system's shell, within bubblewrap if the process
 * says so; and the environment. They are built before fork(), after which nothing may allocate.
 */
struct script_command {
	struct strings argv, environment;
};

#define _cleanup_script_command_ __attribute__((cleanup(script_command_destroy)))

struct policy;

int script_command_make(struct script_command *command, const struct script_process *process,
			const struct policy *policy, struct error *err);
void script_command_destroy(struct script_command *command);

#endif

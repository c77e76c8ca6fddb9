/* SPDX-License-Identifier: Apache-2.0 */
/* Running a script to its end, by vmcred-sandbox, and what it prints. */
#ifndef VMCRED_VARS_SCRIPT_PROCESS_H
#define VMCRED_VARS_SCRIPT_PROCESS_H

#include "base/secret.h"
#include "sandbox/sandbox.h"

/* The directory has in/, out/, prompts/ and tmp/. */
struct script_process {
	enum sandbox_kind sandbox;
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

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process of a generator's script: a shell with a clean environment and, in a sandbox of
 * namespaces, no network, no way to write anywhere but to its folder, and nothing that outlives it.
 * A sandbox is against accidents; who writes a script is trusted with what the script sees. Inside
 * vars/ only.
 */
#ifndef VMCRED_VARS_SANDBOX_H
#define VMCRED_VARS_SANDBOX_H

#include "base/error.h"
#include "base/secret.h"

struct sandbox {
	const char *script; /* for sh -euc */
	const char *folder; /* absolute; has in/, out/, prompts/ and tmp/ */
	bool has_prompts;   /* $prompts is set */
	bool isolated;      /* with namespaces */
	unsigned int seconds_max;
};

/*
 * Runs the script to its end; what it printed is added to `output`. VMCRED_FAILED: it failed, it
 * took too long, or the sandbox could not be made. Nothing of it runs any more afterwards.
 */
int sandbox_run(const struct sandbox *sandbox, struct secret *output, struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process of a generator's script: a shell with a clean environment and, in a sandbox of
 * namespaces, no network, no sockets of the host, no way to write anywhere but to its folder, and
 * nothing that outlives it. A sandbox is against accidents; who writes a script is trusted with
 * what the script sees. Inside vars/ only.
 */
#ifndef VMCRED_VARS_SCRIPT_SANDBOX_H
#define VMCRED_VARS_SCRIPT_SANDBOX_H

#include "base/error.h"
#include "base/secret.h"

enum sandbox_kind {
	SANDBOX_NONE,       /* the script sees the host */
	SANDBOX_NAMESPACES, /* made here */
	SANDBOX_BUBBLEWRAP, /* made by bwrap(1), which may do it where this program may not */
};

/* The folder has in/, out/, prompts/ and tmp/. In a sandbox it is on /tmp. */
struct sandbox {
	enum sandbox_kind kind;
	const char *script;
	const char *folder; /* absolute; NULL: `mount`, with namespaces alone */
	int mount;          /* a detached mount, borrowed, or -1 */
	bool has_prompts;   /* $prompts is set */
	unsigned int seconds_max;
};

/*
 * Runs the script to its end; what it printed is added to `output`, its last 64 KiB. VMCRED_FAILED:
 * it failed, it took too long, or the sandbox could not be made. `*refused`: because of that; the
 * host allows no namespaces, or its kernel is too old. Nothing of it runs any more afterwards.
 */
int sandbox_run(const struct sandbox *sandbox, struct secret *output, bool *refused,
		struct error *err);

/* Whether bubblewrap is there. */
bool sandbox_has_bubblewrap(void);

#endif

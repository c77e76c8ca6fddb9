/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: a booted VM until its end. vmcred only passes on signals, the VMM's error output and
 * the guest's messages, and shuts the VM down cleanly.
 *
 * SIGTERM and SIGINT start the next of these steps, and so does a step that takes too long: ask the
 * guest to power off; ask the VMM to end; kill the VMM. Other signals (SIGHUP, SIGQUIT, SIGUSR1,
 * SIGUSR2) are forwarded. A signal from the terminal has already reached the VMM too.
 */
#ifndef VMCRED_VMM_SUPERVISE_H
#define VMCRED_VMM_SUPERVISE_H

#include "vmm/child.h"
#include "vmm/notify.h"
#include "vmm/stderr_relay.h"

struct supervision {
	struct child *child;
	struct stderr_relay *output;
	struct notify *notify;
	int discard;         /* a descriptor whose data is read and dropped, or -1 */
	int stop_timeout_ms; /* for the guest to power off; 0: it is not asked to */
	const struct report *report;

	/* Both return at once. Negative: the request failed, the next step is taken. */
	int (*power_off)(void *vmm, struct error *err);
	int (*quit)(void *vmm, struct error *err);
	void *vmm; /* their first argument */
};

/*
 * Ends the VMM of a launch that failed with the error that is set. `connection` is the socket on
 * which its VM was requested. Returns the launch's result: 128 + N if signal N interrupted it; an
 * error with the VMM's own output if the VMM ended by itself; else the error that was set.
 */
int supervise_abandon(struct child *child, struct stderr_relay *output, int connection,
		      struct error *err);

/* Returns the VMM's exit code, or 128 + N after signal N; the child is gone. */
int supervise(const struct supervision *supervision);

#endif

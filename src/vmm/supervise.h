/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: a booted VM until its end. vmcred has nothing else to do by then: it passes on
 * signals, the VMM's words and the guest's messages, and ends the VM in good order.
 *
 * SIGTERM and SIGINT take the next of these steps, and so does a step that takes too long:
 * the guest is asked to power off; the VMM is asked to end; the VMM is killed. Other signals
 * (SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2) are passed on. What the terminal sent, the VMM has got too.
 */
#ifndef VMCRED_VMM_SUPERVISE_H
#define VMCRED_VMM_SUPERVISE_H

#include "vmm/child.h"
#include "vmm/notify.h"
#include "vmm/words.h"

struct supervision {
	struct child *child;
	struct words *words;
	struct notify *notify;
	int chatter;         /* a descriptor whose bytes are thrown away, or -1 */
	int stop_timeout_ms; /* for the guest to power off; 0: it is not asked to */
	const struct report *report;

	/* Both return at once. Negative: it cannot be asked, the next step is taken. */
	int (*power_off)(void *vmm, struct error *err);
	int (*quit)(void *vmm, struct error *err);
	void *vmm; /* their first argument */
};

/*
 * A launch that failed with the error that is set: the VMM is not left half started. `connection`
 * is the socket on which it was asked for its VM. Returns what to report: a signal that was sent to
 * us is no error, and where the VMM ended by itself the error is that, in its own words.
 */
int supervise_abandon(struct child *child, struct words *words, int connection, struct error *err);

/* Returns the VMM's exit code, 128 + N for signal N; the child is gone. */
int supervise(const struct supervision *supervision);

#endif

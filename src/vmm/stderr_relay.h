/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: forwards a VMM's standard error to ours.
 *
 * Until the VM is booted each line is checked: a line that repeats a credential, alone or together
 * with the lines before it, is replaced by a warning, and the last lines are kept for the error of
 * a launch that fails. A running program's standard error cannot be replaced, so its output still
 * goes through our pipe after that; then bytes are forwarded as they arrive and nothing is kept. If
 * our own standard error is full, the VMM waits as it would without us, and we do not.
 */
#ifndef VMCRED_VMM_STDERR_RELAY_H
#define VMCRED_VMM_STDERR_RELAY_H

#include <poll.h>

#include "base/report.h"
#include "oem/oem.h"

#define STDERR_QUOTED_MAX 1000

/* More than eight escaped bytes, however they are escaped: base/repetition/repetition.h. */
#define STDERR_BEFORE_MAX 256

struct stderr_relay {
	int from;                    /* non-blocking; -1: none, or at its end */
	int to;                      /* not owned */
	const struct oem_list *list; /* must not be repeated; NULL: lines are not checked */
	const char *expose_log;      /* what shows them, for the warning */
	const struct report *report;
	struct secret pending;             /* read and not forwarded yet */
	bool skipping;                     /* the rest of a line that is hidden */
	size_t checked;                    /* of `pending`: complete lines that may be forwarded */
	uint8_t before[STDERR_BEFORE_MAX]; /* the end of what was checked */
	size_t before_size;
	char quoted[STDERR_QUOTED_MAX]; /* the end of what was forwarded, on one line */
	size_t quoted_size;
};

#define STDERR_RELAY_NONE            \
	(struct stderr_relay)        \
	{                            \
		.from = -1, .to = -1 \
	}

/* `*child_end` is for the VMM; the caller closes it. The list must exist until
 * stderr_relay_trust(). */
int stderr_relay_create(struct stderr_relay *relay, const struct oem_list *list,
			const char *expose_log, const struct report *report, int *child_end,
			struct error *err);

/* What to wait for next: a row for poll(2); its fd is -1 if there is nothing. */
struct pollfd stderr_relay_poll(const struct stderr_relay *relay);

/* Forwards what is available, as far as our standard error accepts it: a piece, because a VMM that
 * writes without end must not keep us from signals and timeouts. Does not wait. */
void stderr_relay_forward(struct stderr_relay *relay);

/* The VM is booted: lines are not checked any more. */
void stderr_relay_trust(struct stderr_relay *relay);

/* The VMM has ended: forwards the rest, including an unfinished line. */
void stderr_relay_finish(struct stderr_relay *relay);

/* Adds the VMM's last output to an error, if there was any. */
void stderr_relay_quote(const struct stderr_relay *relay, struct error *err);

void stderr_relay_destroy(struct stderr_relay *relay);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: a VMM as a child of this process. It does not outlive us, however we end; what comes
 * for us while it runs is supervise.h's business.
 *
 * PR_SET_PDEATHSIG ends the child with us. The kernel drops that when a program gets privileges of
 * its own (setuid, file capabilities) or changes its user; there a second small process, the guard,
 * waits for our end and kills the child.
 */
#ifndef VMCRED_VMM_CHILD_H
#define VMCRED_VMM_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

struct child {
	pid_t pid;
	int pid_fd;    /* readable once the child has ended */
	int signal_fd; /* readable when somebody sent us a signal that is the child's */
	pid_t guard;   /* or -1 */
};

#define CHILD_NONE                                                    \
	(struct child)                                                \
	{                                                             \
		.pid = -1, .pid_fd = -1, .signal_fd = -1, .guard = -1 \
	}

struct child_command {
	const char *program; /* a path, or a name on $PATH */
	char *const *argv;
	const int *inherited; /* additional descriptors that it keeps */
	size_t inherited_count;
	int error_fd;      /* becomes its standard error; -1: it has ours */
	bool changes_user; /* its arguments tell it to */
};

/*
 * Starts a program and blocks the signals that are the child's. The error of an exec that fails
 * comes back from here.
 */
int child_start(struct child *child, const struct child_command *command, struct error *err);

/* Whether it has ended by itself, or does so within that time or until a signal comes for us. */
bool child_end_await(const struct child *child, int timeout_ms);

/*
 * The number of a signal that came for us, or 0; does not wait. `from_terminal` (may be NULL): it
 * went to the whole foreground group, so that the child has it already.
 */
int child_signal(const struct child *child, bool *from_terminal);

/* Waits for its end. Returns its exit code, 128 + N for signal N. */
int child_reap(struct child *child);

/* Ends it: SIGTERM, so that it can put the terminal in order, and soon SIGKILL. Returns as
 * child_reap(). */
int child_stop(struct child *child);

#endif

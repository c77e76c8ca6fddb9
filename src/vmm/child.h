/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: a VMM as a child of this process, which stays only to hand it on: signals go to the
 * VMM, its exit code comes back, and it does not outlive us.
 */
#ifndef VMCRED_VMM_CHILD_H
#define VMCRED_VMM_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

struct child {
	pid_t pid;
	int pid_fd;    /* readable once the child has ended */
	int signal_fd; /* readable when somebody sent us a signal that is the child's */
};

/*
 * Starts a program with `inherited` as its one additional descriptor, and blocks the signals that
 * will be passed on. The error of an exec that fails comes back from here.
 */
int child_start(struct child *child, char *const *argv, int inherited, struct error *err);

/* Whether it has ended by itself, or does so within that time or until a signal comes for us. */
bool child_end_await(const struct child *child, int timeout_ms);

/* The number of a signal that came for us, or 0; does not wait. */
int child_signal(const struct child *child);

/* Waits for its end, passing signals on. Returns its exit code, 128 + N for signal N. */
int child_wait(struct child *child);

/* Ends it: SIGTERM, so that it can put the terminal in order, and soon SIGKILL. Returns as
 * child_wait(). */
int child_stop(struct child *child);

#endif

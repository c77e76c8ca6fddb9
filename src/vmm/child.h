/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: a VMM as a child of this process. It never outlives this process. supervise.h
 * handles the signals that arrive while it runs.
 *
 * PR_SET_PDEATHSIG kills the child with its parent. The kernel resets that if a program gains
 * privileges (setuid, file capabilities) or changes its user; then a second small process, the
 * guard, waits for the end of this one and kills the child.
 */
#ifndef VMCRED_VMM_CHILD_H
#define VMCRED_VMM_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <termios.h>

#include "base/error.h"

/* A terminal that the VMM may make raw and non-blocking. One that is killed does not undo that. */
struct child_terminal {
	bool exists;
	int flags; /* of open files: fcntl(2) */
	struct termios modes;
};

struct child {
	const char *program; /* borrowed from the command */
	pid_t pid;
	int pid_fd;    /* readable once the child has ended */
	int signal_fd; /* readable when this process received a signal to handle */
	pid_t guard;   /* or -1 */
	struct child_terminal terminals[2]; /* on standard input and output */
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
	int error_fd;      /* becomes its standard error */
	bool changes_user; /* its arguments make it do that */
};

/* Starts a program and blocks the signals that signal_fd reports. Reports a failed exec. */
int child_start(struct child *child, const struct child_command *command, struct error *err);

/* Whether it has ended, or does so within that time and before a signal arrives. */
bool child_end_await(const struct child *child, int timeout_ms);

/*
 * The number of a signal that arrived, or 0; does not wait. `from_terminal` (may be NULL): the
 * terminal sent it to the whole foreground process group, so the child has received it too.
 */
int child_signal(const struct child *child, bool *from_terminal);

/* Waits for its end and restores the terminal. Returns its status: waitpid(2). */
int child_reap(struct child *child);

/* Ends it with SIGTERM, so that it can restore the terminal, and soon with SIGKILL. Returns as
 * child_reap(). */
int child_stop(struct child *child);

/* Sets the error of an exec of `program` that failed with `errnum`. */
int child_exec_error(const char *program, int errnum, struct error *err);

#endif

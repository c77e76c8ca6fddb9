/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of a script: the supervisor, which creates the namespaces; its child, the first
 * process in them, which takes all others with it when it ends; and the shell. Without namespaces
 * of our own the supervisor starts the shell itself. The process that waits for the shell reports
 * its status through a pipe, and so does one that fails before: an exit code alone could be the
 * script's.
 *
 * The supervisor may be forked from one of several threads. It and its children only make system
 * calls, and close the other threads' descriptors.
 */
#ifndef VMCRED_VARS_SCRIPT_SUPERVISOR_H
#define VMCRED_VARS_SCRIPT_SUPERVISOR_H

#include "vars/script/namespaces.h"
#include "vars/script/process.h"

struct supervisor_report {
	char failed[128]; /* what failed, such as "hiding /run"; "": `status` is the shell's */
	int errnum;
	int status;
	int refused; /* the sandbox could not be created */
};

struct supervisor {
	const struct script_process *process;
	const struct script_command *command;
	struct namespaces namespaces;
	int output, reports; /* the pipes' ends to write to */
};

/* Right after fork(). `parent` is the process that called it. */
_Noreturn void supervisor_run(struct supervisor *supervisor, pid_t parent);

#endif

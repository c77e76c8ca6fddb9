/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of a script: the keeper, which makes the namespaces, its child, which is the first
 * process in them and takes everything with it when it ends, and the shell. Without namespaces of
 * ours the keeper starts the shell. Whoever waits for the shell reports its status through a pipe,
 * and so does who fails on the way: an exit code alone could be the script's own.
 *
 * The keeper may be forked from one of several threads. It and its children only make system calls,
 * and keep no descriptor of what the other threads are doing. Inside vars/ only.
 */
#ifndef VMCRED_VARS_SCRIPT_KEEPER_H
#define VMCRED_VARS_SCRIPT_KEEPER_H

#include "vars/script/isolation.h"
#include "vars/script/sandbox.h"
#include "vars/script/shell.h"

/* What comes through the pipe of reports. */
struct report_message {
	char step[48]; /* what failed; "": `status` is the shell's */
	int errnum;
	int status;
	int refused; /* the sandbox could not be made */
};

struct starting {
	const struct sandbox *sandbox;
	const struct shell *shell;
	struct isolation isolation;
	int output, reports;
};

/* The keeper's life, right after fork(); `parent` is who forked it. */
_Noreturn void keeper_run(struct starting *starting, pid_t parent);

#endif

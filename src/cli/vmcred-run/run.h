/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a VM's hypervisor: what `vmcred run` shares with a call by the hypervisor's own name.
 */
#ifndef VMCRED_CLI_VMCRED_RUN_RUN_H
#define VMCRED_CLI_VMCRED_RUN_RUN_H

#include "cli/cli.h"

/* Which program gets whose credentials. */
struct run_target {
	const char *vm;
	const char *program;     /* the hypervisor's file; NULL: argv[0] */
	const char *hypervisor;  /* the name that tells which it is; NULL: the program's own */
	char *const *argv;       /* its command line; empty: the declaration's */
	const char *credentials; /* the folder, or NULL */
};

/*
 * Hardens the process and starts it as `run` does without options. `config` is released once it is
 * not needed. Returns the hypervisor's exit code, or does not return.
 */
int run_target_start(struct cli *cli, struct config *config, const struct run_target *target,
		     struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmcred-run: composes OEM strings, launches and supervises hypervisors, and generates units. It
 * links only the core library: it cannot decrypt a document. The commands, one file each.
 */
#ifndef VMCRED_CLI_VMCRED_RUN_COMMANDS_H
#define VMCRED_CLI_VMCRED_RUN_COMMANDS_H

#include "cli/cli.h"
#include "vmm/vmm.h"

int command_compose(struct cli *cli, int argc, char **argv, struct error *err);
int command_generator(struct cli *cli, int argc, char **argv, struct error *err);
int command_hypervisor(struct cli *cli, int argc, char **argv, struct error *err);
int command_run(struct cli *cli, int argc, char **argv, struct error *err);
int command_units(struct cli *cli, int argc, char **argv, struct error *err);

/* Hardens the process, and reads the declaration as cli->load says: --config, the entry of the
 * unit's VM (config/config.h), or the one that cli_start() finds. */
int launch_declaration_load(struct cli *cli, struct config *config, struct error *err);

/* Reads a declaration for a launch; `flags` are of enum config_flag. */
int launch_declaration_read(const char *path, unsigned int flags, struct config *config,
			    struct error *err);

/* Writes the drop-in of a unit below the directory `output`, which is `dirfd`. */
int unit_dropin_write(int dirfd, const char *output, const char *unit, const char *text,
		      struct error *err);

/* Becomes the hypervisor without vmcred. Returns only if that fails. */
int hypervisor_exec(const char *program, char *const *argv, struct error *err);

/* The report of a launch: drops a message that nobody reads in time, so that a VM is always stopped
 * in time. `reporter`, which prints, must outlive it. */
struct report launch_report(struct report *reporter);

/*
 * Tells the launch what options say and, where `given` or its value is NULL, the declaration.
 * `given` has CONFIG_LAUNCH_OPTIONS values. The
 * values were checked, and are borrowed.
 */
int launch_options_apply(struct vmm_launch *launch, const struct config_vm *vm,
			 const char *const *given, struct error *err);

/*
 * Starts the hypervisor of a VM with its credentials from the directory `credentials` (or NULL).
 * `argv` is its command line; empty: the declared one. `given` are the values of options, as
 * in launch_options_apply(). `launch` has a program and name, which may be NULL: argv[0]. Releases
 * `config` before the VM starts. Returns the hypervisor's exit code, or does not return.
 */
int run_vm(struct config *config, const char *name, char *const *argv, const char *credentials,
	   const char *const *given, struct vmm_launch *launch, struct error *err);

#endif

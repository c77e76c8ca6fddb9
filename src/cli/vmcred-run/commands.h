/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmcred-run: composes OEM strings, launches and supervises hypervisors, and generates units. It
 * links the core library alone: it cannot decrypt a document. The commands, one file each.
 */
#ifndef VMCRED_CLI_VMCRED_RUN_COMMANDS_H
#define VMCRED_CLI_VMCRED_RUN_COMMANDS_H

#include "cli/cli.h"

int command_compose(struct cli *cli, int argc, char **argv, struct error *err);
int command_hypervisor(struct cli *cli, int argc, char **argv, struct error *err);
int command_run(struct cli *cli, int argc, char **argv, struct error *err);
int command_units(struct cli *cli, int argc, char **argv, struct error *err);

#endif

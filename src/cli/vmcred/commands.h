/* SPDX-License-Identifier: Apache-2.0 */
/* vmcred: the store, activation, serving and inspection. The commands, one file each. */
#ifndef VMCRED_CLI_VMCRED_COMMANDS_H
#define VMCRED_CLI_VMCRED_COMMANDS_H

#include "cli/cli.h"

int command_age(struct cli *cli, int argc, char **argv, struct error *err);
int command_activate(struct cli *cli, int argc, char **argv, struct error *err);
int command_check(struct cli *cli, int argc, char **argv, struct error *err);
int command_fix(struct cli *cli, int argc, char **argv, struct error *err);
int command_generate(struct cli *cli, int argc, char **argv, struct error *err);
int command_get(struct cli *cli, int argc, char **argv, struct error *err);
int command_group(struct cli *cli, int argc, char **argv, struct error *err);
int command_inspect(struct cli *cli, int argc, char **argv, struct error *err);
int command_install_secrets(struct cli *cli, int argc, char **argv, struct error *err);
int command_keygen(struct cli *cli, int argc, char **argv, struct error *err);
int command_list(struct cli *cli, int argc, char **argv, struct error *err);
int command_machine(struct cli *cli, int argc, char **argv, struct error *err);
int command_serve(struct cli *cli, int argc, char **argv, struct error *err);
int command_set(struct cli *cli, int argc, char **argv, struct error *err);
int command_user(struct cli *cli, int argc, char **argv, struct error *err);

#endif

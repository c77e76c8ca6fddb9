/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `machine` and `user` are the same command about different things: `add NAME`, `remove NAME` and
 * `list`.
 */
#ifndef VMCRED_CLI_VMCRED_MEMBER_H
#define VMCRED_CLI_VMCRED_MEMBER_H

#include "cli/cli.h"
#include "vars/vars.h"

int cli_member_command(struct cli *cli, enum vars_member_type type, const struct cli_usage *about,
		       int argc, char **argv, struct error *err);

/* Prints the names of the store's machines, users or groups. */
int cli_members_print(struct cli *cli, int store_dirfd, enum vars_member_type type,
		      struct error *err);

#endif

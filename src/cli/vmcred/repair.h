/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encrypting secrets to those who may read them: what `fix` is, and what every command does that
 * changes who may.
 */
#ifndef VMCRED_CLI_VMCRED_REPAIR_H
#define VMCRED_CLI_VMCRED_REPAIR_H

#include "cli/cli.h"
#include "vars/vars.h"

/*
 * Goes through the secrets of the machines (NULL: all) and prints a line for each that it changed.
 * `exclude` may be NULL. `identity` is --identity, or NULL; the file is read when the first
 * secret has to be opened. `*changed` counts. A secret that fails is told, and does not stop the
 * others: the error is for all of them.
 */
int cli_repair(struct cli *cli, const struct config *config, int store_dirfd, char *const *machines,
	       const struct vars_exclusion *exclude, const char *identity, size_t *changed,
	       struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by the name of another program, a symbolic link to this one, the program behaves as that
 * one. One row a name.
 */
#ifndef VMCRED_CLI_PERSONALITY_H
#define VMCRED_CLI_PERSONALITY_H

#include "cli/cli.h"

/*
 * The command that stands for the name by which the program was called, or NULL where that is its
 * own. It gets the whole argv.
 */
const struct cli_command *personality_find(char *const *argv);

/* The name by which the program was called: the last part of the path that was executed. */
const char *personality_name(char *const *argv);

#endif

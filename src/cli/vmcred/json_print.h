/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How every subcommand prints what a script reads, with --json.
 */
#ifndef VMCRED_CLI_VMCRED_JSON_PRINT_H
#define VMCRED_CLI_VMCRED_JSON_PRINT_H

#include <jansson.h>

/* Prints a value to stdout, indented, with a newline behind it. That stdout could not be written is
 * main()'s to say. */
void cli_json_print(const json_t *value);

#endif

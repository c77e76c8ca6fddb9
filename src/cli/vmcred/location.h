/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file of the store as a user names it: a machine, and GENERATOR/FILE.
 */
#ifndef VMCRED_CLI_VMCRED_LOCATION_H
#define VMCRED_CLI_VMCRED_LOCATION_H

#include "vars/vars.h"

/* VMCRED_USAGE: it is not declared, or not for that machine. */
int cli_location_find(const struct config *config, const char *machine, const char *word,
		      struct vars_location *location, struct error *err);

/* Prints "MACHINE GENERATOR/FILE", or "shared GENERATOR/FILE". */
void cli_location_print(const struct vars_location *location);

#endif

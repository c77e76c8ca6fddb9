/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a generator's script with $out on a memory file system. Inside vars/ only.
 */
#ifndef VMCRED_VARS_SCRIPT_H
#define VMCRED_VARS_SCRIPT_H

#include "vars/vars.h"

/*
 * Runs the script and reads the declared files from $out. One that fails, runs longer than ten
 * minutes, or writes other files than declared is an error with its output, in which the values
 * that it wrote are masked. What it left running is killed.
 */
int script_run(const struct config_generator *generator, struct vars_value *values,
	       struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a generator's script: $in, $prompts and $out are folders on a memory file system. Inside
 * vars/ only.
 */
#ifndef VMCRED_VARS_SCRIPT_SCRIPT_H
#define VMCRED_VARS_SCRIPT_SCRIPT_H

#include "vars/vars.h"

/*
 * Runs the script and reads the declared files from $out. One that fails, runs too long, or writes
 * other files than declared is an error with its output, in which the values that it wrote, read
 * and was told are masked. What it left running is killed.
 */
int script_run(const struct config_generator *generator, const struct vars_inputs *inputs,
	       struct vars_value *values, struct error *err);

#endif

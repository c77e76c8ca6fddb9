/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scripts of generators. A script runs in a sandbox (sandbox/sandbox.h), as bash with `set -euo
 * pipefail`, with $in, $prompts and $out on a memory file system. Its files are read from there
 * into secret memory; then the directory is wiped. What it prints is kept in secret memory, dropped
 * if it succeeds and shown if it fails, with all known values masked: a script that traces itself
 * prints its secrets.
 *
 * Our own namespaces come first: only they allow a $out that is never swapped. Where the host
 * refuses them, bubblewrap may still be allowed to create them.
 */
#ifndef VMCRED_VARS_SCRIPT_SCRIPT_H
#define VMCRED_VARS_SCRIPT_SCRIPT_H

#include "vars/generator.h"

/* Runs the script and reads the declared files. It is an error if it fails, exceeds its time, or
 * writes other files. */
int script_run(const struct config_generator *generator, const struct inputs *inputs,
	       struct value *values, struct error *err);

#endif

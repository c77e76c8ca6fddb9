/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hides the values that are known in what a script printed. All of them are looked for before any
 * is hidden, so that one that is part of another does not save its rest. Inside vars/ only.
 */
#ifndef VMCRED_VARS_SCRIPT_MASK_H
#define VMCRED_VARS_SCRIPT_MASK_H

#include <stdbool.h>

#include "base/secret.h"

struct mask {
	struct secret *output; /* borrowed */
	bool *hidden;          /* owned; for each byte of it */
};

/* Returns 0, or -1 without memory. */
int mask_start(struct mask *mask, struct secret *output);

/* A value as a whole, in base64 or in hexadecimal too, and each line of one that has several: a
 * script prints them one by one. */
void mask_value(struct mask *mask, struct span value);

/* Overwrites what was found. */
void mask_apply(struct mask *mask);
void mask_destroy(struct mask *mask);

#endif

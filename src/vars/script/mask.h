/* SPDX-License-Identifier: Apache-2.0 */
/* Masks known values in a script's output. All are searched before any is overwritten, so that one
 * value within another does not leave the rest of it. */
#ifndef VMCRED_VARS_SCRIPT_MASK_H
#define VMCRED_VARS_SCRIPT_MASK_H

#include <stdbool.h>

#include "base/secret.h"

struct mask {
	struct secret *output; /* borrowed */
	bool *hidden;          /* owned; for each of its bytes */
};

/* Returns 0, or -1 without memory. */
int mask_start(struct mask *mask, struct secret *output);

/* Finds a value, also in Base64 or hexadecimal, and each of its lines. */
void mask_value(struct mask *mask, struct span value);

/* Overwrites all that was found. */
void mask_apply(struct mask *mask);
void mask_destroy(struct mask *mask);

#endif

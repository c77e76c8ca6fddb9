/* SPDX-License-Identifier: Apache-2.0 */
/* The policy as the arguments of bwrap(1). */
#ifndef VMCRED_SANDBOX_BUBBLEWRAP_H
#define VMCRED_SANDBOX_BUBBLEWRAP_H

#include "sandbox/policy.h"

/* Adds bwrap and its options. `directory` is the script's; bwrap reads the filter of system calls
 * from the descriptor `filter_fd`. */
int bubblewrap_add(struct strings *argv, const struct policy *policy, const char *directory,
		   int filter_fd, struct error *err);

#endif

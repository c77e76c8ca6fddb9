/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: the process that ends a child when its parent is gone, where PR_SET_PDEATHSIG does
 * not. It holds two descriptors and nothing else.
 */
#ifndef VMCRED_VMM_GUARD_H
#define VMCRED_VMM_GUARD_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/* Whether the program that `pid` runs has privileges of its own (prctl(2), PR_SET_PDEATHSIG). */
bool guard_needed(pid_t pid);

/* Starts a guard over the child of a pidfd. Returns its process id or a negative code. */
pid_t guard_start(int pid_fd, struct error *err);

/* Ends it; -1 is none. */
void guard_stop(pid_t guard);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: a secret on its way to a program that reads it as /dev/fd/N.
 */
#ifndef VMCRED_VMM_HANDOVER_H
#define VMCRED_VMM_HANDOVER_H

#include "base/error.h"
#include "base/span.h"

/*
 * A descriptor to read `content` from, once, to its end. It is a pipe: what was read is gone, while
 * the program keeps the descriptor as long as it lives, and a pipe's pages are never swapped. Where
 * the system grants no pipe that is large enough it is a sealed memory file. O_CLOEXEC, and above
 * the standard descriptors.
 */
int handover_create(struct span content, struct error *err);

#endif

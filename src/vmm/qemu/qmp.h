/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: a monitor of QEMU's (QMP, QEMU's docs/interop/qmp-spec) on a socket that has no name
 * and is nobody else's: as much of it as starting and stopping need. Its answers are not trusted:
 * size and time are limited, and nothing of them is kept.
 */
#ifndef VMCRED_VMM_QEMU_QMP_H
#define VMCRED_VMM_QEMU_QMP_H

#include "vmm/child.h"
#include "vmm/command.h"
#include "vmm/words.h"

/* Makes both ends: `*ours` is non-blocking, `*theirs` goes to QEMU. The caller closes both. */
int qmp_create(int *ours, int *theirs, struct error *err);

/* Adds the options by which QEMU takes its end. */
int qmp_command_add(struct command *command, int theirs, struct error *err);

/*
 * Waits until QEMU answers, which it does once its machine is there and it runs. VMCRED_FAILED: it
 * ended, a signal came for us, or it took too long.
 */
int qmp_await(int fd, const struct child *child, struct words *words, struct error *err);

/* Sends a command without arguments; does not wait for its answer. */
int qmp_send(int fd, const char *command, struct error *err);

#endif

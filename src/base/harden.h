/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hardens a process before it reads its first secret: not dumpable (no core file, no ptrace by the
 * same user, /proc/PID owned by root), and a check that enough memory can be locked. cli/ calls it
 * once; the library changes no process-wide state.
 */
#ifndef VMCRED_BASE_HARDEN_H
#define VMCRED_BASE_HARDEN_H

#include "base/error.h"
#include "base/report.h"

/*
 * `lock_bytes` is the size of the secrets at any one time. If they cannot be locked, that is a
 * warning; if the process stays dumpable, that is an error.
 */
int process_harden(size_t lock_bytes, const struct report *report, struct error *err);

/*
 * Disables core files of this process and of the programs that it starts. The limit is 1, if it may
 * be: with 0, a program that the kernel pipes cores to, such as apport, would get them all the same
 * (core(5)). Returns 0, or -1 with errno set.
 */
int process_core_disable(void);

#endif

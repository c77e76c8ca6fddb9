/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process that will hold secrets does to itself before it reads the first one: not dumpable
 * (no core, no ptrace by the same user, /proc/PID owned by root), freed heap memory overwritten,
 * and a check that enough memory can be locked. Called once, by cli/; the library changes no
 * process-wide state.
 */
#ifndef VMCRED_BASE_HARDEN_H
#define VMCRED_BASE_HARDEN_H

#include "base/error.h"
#include "base/report.h"

/*
 * `lock_bytes` is what the caller expects to hold at one time. Refused locking is a warning; a
 * process that stays dumpable is an error.
 */
int process_harden(size_t lock_bytes, const struct report *report, struct error *err);

#endif

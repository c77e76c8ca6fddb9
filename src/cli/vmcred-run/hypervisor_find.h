/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real program behind a hypervisor's name by which vmcred was called.
 */
#ifndef VMCRED_CLI_VMCRED_RUN_HYPERVISOR_FIND_H
#define VMCRED_CLI_VMCRED_RUN_HYPERVISOR_FIND_H

#include "config/config.h"

/* Names the real program, before what is declared. */
#define HYPERVISOR_VARIABLE "VMCRED_HYPERVISOR"

/*
 * Its path: $VMCRED_HYPERVISOR, the declaration's `hypervisors`, or the next program of that name
 * on $PATH: behind vmcred's own place there, where it has one. Never vmcred itself, by whatever
 * link. The caller frees `*path`.
 */
int hypervisor_find(const struct config *config, const char *name, char **path, struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: the drivers that vmm.c has a table of.
 */
#ifndef VMCRED_VMM_DRIVERS_H
#define VMCRED_VMM_DRIVERS_H

#include "vmm/vmm.h"

extern const struct vmm_ops vmm_cloud_hypervisor;
extern const struct vmm_ops vmm_qemu;
extern const struct vmm_ops vmm_vmspawn;

#endif

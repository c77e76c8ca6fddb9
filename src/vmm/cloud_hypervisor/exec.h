/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: Cloud Hypervisor in this process's place. Its API has to be asked for the VM by
 * somebody: a helper process, which ends once the VM is booted, or kills what became of its parent
 * where that fails, so that a failed launch has an exit status that says so.
 */
#ifndef VMCRED_VMM_CLOUD_HYPERVISOR_EXEC_H
#define VMCRED_VMM_CLOUD_HYPERVISOR_EXEC_H

#include "vmm/cloud_hypervisor/config.h"
#include "vmm/notify.h"
#include "vmm/vmm.h"

/* As vmm_ops.launch; returns 0 in the helper, whose VM is booted. */
int cloud_hypervisor_exec(struct vmm_launch *launch, const struct cloud_hypervisor_config *config,
			  const struct notify *notify, struct error *err);

#endif

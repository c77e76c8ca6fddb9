/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: --vm-config FILE. Its OEM strings are as public as the file is, like those of a
 * command line; the rest is Cloud Hypervisor's to judge.
 */
#ifndef VMCRED_VMM_CLOUD_HYPERVISOR_FILE_H
#define VMCRED_VMM_CLOUD_HYPERVISOR_FILE_H

#include "base/error.h"
#include "vmm/cloud_hypervisor/config.h"

/* Reads config->vm_config into config->vm and config->oem_strings. */
int cloud_hypervisor_file_read(struct cloud_hypervisor_config *config, struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: a Cloud Hypervisor process that gets its VM through its API.
 */
#ifndef VMCRED_VMM_CLOUD_HYPERVISOR_LAUNCH_H
#define VMCRED_VMM_CLOUD_HYPERVISOR_LAUNCH_H

#include "vmm/cloud_hypervisor/config.h"
#include "vmm/vmm.h"

/* The last version whose API takes no more than OEM_LIMIT_API_BODY. */
#define CLOUD_HYPERVISOR_SMALL_BODY_VERSION 53

/* The major version that the program prints, or 0 where it says nothing of the kind. */
int cloud_hypervisor_version(const char *program);

/*
 * Its command line with the API on the descriptor `listener`. Prepares what it will find: its
 * environment is set, and a socket of its vsock device that nobody listens on is removed.
 */
int cloud_hypervisor_command(const struct cloud_hypervisor_config *config, int listener,
			     struct command *command, struct error *err);

/* Starts it, makes and boots the VM, wipes the list and waits. As vmm_ops.launch. */
int cloud_hypervisor_boot(struct vmm_launch *launch, const struct cloud_hypervisor_config *config,
			  struct notify *notify, struct error *err);

#endif

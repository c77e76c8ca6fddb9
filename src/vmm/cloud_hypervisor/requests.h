/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: what is asked of a Cloud Hypervisor that waits for its VM. Starting the process, and
 * ending it where this fails, is cloud_hypervisor_launch.c.
 */
#ifndef VMCRED_VMM_CLOUD_HYPERVISOR_REQUESTS_H
#define VMCRED_VMM_CLOUD_HYPERVISOR_REQUESTS_H

#include "base/report.h"
#include "oem/oem.h"
#include "vmm/cloud_hypervisor/config.h"
#include "vmm/words.h"

/* All of it is the caller's. */
struct cloud_hypervisor_api {
	int fd;              /* connected to its socket, non-blocking */
	int interrupts[2];   /* descriptors; when one becomes readable, waiting ends. -1: none */
	struct words *words; /* what the VMM says meanwhile is passed on; may be NULL */
	const struct oem_list *list;
	const struct report *report;
};

/*
 * Creates the VM with the list's OEM strings and its interfaces' descriptors, which are closed
 * here, and boots it. VMCRED_FAILED: refused, in the VMM's own words unless they repeat an OEM
 * string, or as api_call(). VMCRED_USAGE: its version does not know what is asked of it.
 */
int cloud_hypervisor_vm_start(const struct cloud_hypervisor_api *api,
			      const struct cloud_hypervisor_config *config, struct error *err);

#endif

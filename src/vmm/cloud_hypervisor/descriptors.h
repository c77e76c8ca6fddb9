/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: descriptors that were inherited for the VM's interfaces (--net fd=[3,4]). vm.create
 * takes none, so such an interface is added by vm.add-net, with its descriptors beside the request,
 * and so are all interfaces behind it: the list keeps its order, and with it the guest's PCI slots.
 */
#ifndef VMCRED_VMM_CLOUD_HYPERVISOR_DESCRIPTORS_H
#define VMCRED_VMM_CLOUD_HYPERVISOR_DESCRIPTORS_H

#include <jansson.h>

#include "base/error.h"
#include "vmm/cloud_hypervisor/api_client.h"
#include "vmm/cloud_hypervisor/config.h"

/* How many of the VM's interfaces vm.create makes: those in front of the first with descriptors. */
size_t cloud_hypervisor_interfaces_at_once(const struct cloud_hypervisor_config *config);

/*
 * Checks that all descriptors are there and were inherited, and keeps the VMM from inheriting them,
 * too. VMCRED_USAGE names one that is not there, comes twice, or is a standard one.
 */
int cloud_hypervisor_descriptors_keep(const struct cloud_hypervisor_config *config,
				      struct error *err);

/* Closes all of them, once the VMM has its own, or is not going to have any. */
void cloud_hypervisor_descriptors_close(const struct cloud_hypervisor_config *config);

/* The body of vm.add-net for an interface, without its descriptors, which go to `fds` (room for
 * API_DESCRIPTORS_MAX). */
int cloud_hypervisor_interface_body(const json_t *interface, struct secret *body, int *fds,
				    size_t *fd_count, struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: what not every Cloud Hypervisor knows. In the JSON of its API it ignores what it
 * does not know, so a VM would start without what was asked for; its own command line would have
 * refused it. Before such a key is sent, the running program is asked for its version and for what
 * it was built with (vmm.ping); for all others nobody is asked.
 */
#ifndef VMCRED_VMM_CLOUD_HYPERVISOR_VERSION_H
#define VMCRED_VMM_CLOUD_HYPERVISOR_VERSION_H

#include "base/error.h"
#include "base/span.h"
#include "vmm/cloud_hypervisor/config.h"

/* Notes a row that was used, unless every version knows it. `key` is NULL for the option itself. */
int cloud_hypervisor_need_add(struct cloud_hypervisor_config *config, const struct option_row *row,
			      const struct option_key *key, struct error *err);

/*
 * Whether the program that gave this answer to vmm.ping knows all that was noted; VMCRED_USAGE
 * names what it does not, and its version. A version that cannot be read is taken to know all.
 */
int cloud_hypervisor_needs_check(const struct cloud_hypervisor_config *config, struct span answer,
				 struct error *err);

#endif

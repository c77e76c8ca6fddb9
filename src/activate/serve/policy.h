/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who gets what: a unit that the declaration has for a VM gets the credentials in the VM's
 * loadCredentials, and nothing else. So it does not help a unit to ask for more than it is given.
 */
#ifndef VMCRED_ACTIVATE_SERVE_POLICY_H
#define VMCRED_ACTIVATE_SERVE_POLICY_H

#include "activate/serve/address.h"
#include "config/config.h"
#include "vars/vars.h"

/*
 * Finds the secret of the machine's that the address asks for. Of a credential whose name may be
 * cut, what is left must be the beginning of one name only. VMCRED_USAGE: the unit does not get it,
 * with the reason.
 */
int serve_policy_find(const struct config *config, const char *machine,
		      const struct serve_address *address, const struct config_vm **vm,
		      const struct config_load **load, struct vars_location *location,
		      struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "activate/serve/policy.h"

#include <string.h>

static int load_find(const struct config_vm *vm, const struct serve_address *address,
		     const struct config_load **load, struct error *err)
{
	size_t length = strlen(address->credential), count = 0;

	for (size_t i = 0; i < vm->load_count; i++) {
		const char *name = vm->loads[i].credential;

		if (address->is_full ? strncmp(name, address->credential, length) != 0
				     : strcmp(name, address->credential) != 0)
			continue;
		*load = &vm->loads[i];
		count++;
	}
	if (count == 1)
		return 0;
	if (count == 0) {
		error_set(err, VMCRED_USAGE, "the declaration does not give it to the VM %s",
			  vm->name);
		return error_hint(err, "it has to stand in the VM's loadCredentials");
	}
	error_set(err, VMCRED_USAGE,
		  "the name is cut, and %zu credentials of the VM %s begin like that", count,
		  vm->name);
	return error_hint(err, "give the credentials or the unit shorter names");
}

int serve_policy_find(const struct config *config, const char *machine,
		      const struct serve_address *address, const struct config_vm **vm,
		      const struct config_load **load, struct vars_location *location,
		      struct error *err)
{
	int r;

	*vm = config_vm_of_unit(config, address->unit);
	if (!*vm) {
		error_set(err, VMCRED_USAGE, "%s declares no VM that runs in this unit",
			  config->path);
		return error_hint(err,
				  "a VM's unit is microvm@VM.service, or what its `unit` says");
	}
	r = load_find(*vm, address, load, err);
	if (r < 0)
		return r;
	location->generator = config_generator_find(config, (*load)->generator);
	if (location->generator)
		location->file = config_file_find(location->generator, (*load)->file);
	if (!location->generator || !location->file || !location->file->deploy ||
	    !config_generator_is_for(location->generator, machine))
		return error_set(err, VMCRED_USAGE,
				 "the declaration deploys no secret %s/%s on the machine %s",
				 (*load)->generator, (*load)->file, machine);
	location->machine = location->generator->share ? NULL : machine;
	return 0;
}

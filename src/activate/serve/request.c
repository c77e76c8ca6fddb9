/* SPDX-License-Identifier: Apache-2.0 */
#include "activate/serve/request.h"

#include <string.h>

static int load_find(const struct config_vm *vm, const struct serve_request *request,
		     const struct config_load **load, struct error *err)
{
	const struct load_address *address = &request->asked;
	const struct config_load *loads = request->is_guest ? vm->channel : vm->loads;
	const size_t length = strlen(address->credential);
	const size_t all = request->is_guest ? vm->channel_count : vm->load_count;
	size_t count = 0;

	for (size_t i = 0; i < all; i++) {
		const char *name = loads[i].credential;

		if (address->is_full ? strncmp(name, address->credential, length) == 0
				     : strcmp(name, address->credential) == 0) {
			*load = &loads[i];
			count++;
		}
	}
	if (count == 1)
		return 0;
	if (vm->problem)
		return error_set(err, VMCRED_USAGE, "%s", vm->problem);
	if (count == 0)
		return error_set(err, VMCRED_USAGE, "not in %s of the VM %s",
				 request->is_guest ? "channelCredentials" : "loadCredentials",
				 vm->name);
	error_set(err, VMCRED_USAGE, "%zu credentials of the VM %s start with this truncated name",
		  count, vm->name);
	return error_hint(err, "use shorter names for the credentials or the unit");
}

int serve_load_grant(const struct config *config, const char *machine, const struct config_vm *vm,
		     const struct config_load *load, struct serve_grant *grant, struct error *err)
{
	const struct config_generator *generator;
	const struct config_file *file;

	if (!load->generator)
		return error_set(err, VMCRED_USAGE,
				 "declared as the file %s, not as a secret of the store",
				 load->source);
	generator = config_generator_find(config, load->generator, machine);
	file = generator ? config_file_find(generator, load->file) : NULL;
	if (!file || !file->deploy || !config_generator_is_for(generator, machine))
		return error_set(err, VMCRED_USAGE, "%s is not deployed on the machine %s",
				 load->source, machine);
	*grant = (struct serve_grant){
		vm, load, {generator->share ? NULL : machine, generator, file}};
	return 0;
}

int serve_request_grant(const struct config *config, const char *machine,
			const struct serve_request *request, struct serve_grant *grant,
			struct error *err)
{
	const struct config_vm *vm = config_vm_of_unit(config, request->asked.unit);
	const struct config_load *load = NULL;
	int r;

	if (!vm) {
		error_set(err, VMCRED_USAGE, "no VM in %s has this unit", config->path);
		return error_hint(err, "a VM's unit is microvm@VM.service, or the value of `unit`");
	}
	r = load_find(vm, request, &load, err);
	return r < 0 ? r : serve_load_grant(config, machine, vm, load, grant, err);
}

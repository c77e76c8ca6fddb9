/* SPDX-License-Identifier: Apache-2.0 */
/* Declarations: any text is rejected, or everything can be derived from it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A VM's entry is a declaration of that VM with the same entry. */
static void entry_check(const struct config_vm *vm)
{
	_cleanup_config_ struct config config = {0};
	_cleanup_error_ struct error err = {0};
	const struct config_vm *read;

	if (config_load_text(vm->entry, strlen(vm->entry), "entry", &config, &err) < 0)
		abort();
	read = config_vm_get(&config, vm->name, &err);
	if (!read || strcmp(read->entry, vm->entry) != 0 || strcmp(read->unit, vm->unit) != 0 ||
	    read->oem_string_count != vm->oem_string_count)
		abort();
	for (size_t i = 0; i < vm->oem_string_count; i++) {
		if (strcmp(read->oem_strings[i], vm->oem_strings[i]) != 0)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_config_ struct config config = {0};
	_cleanup_error_ struct error err = {0};

	if (config_load_text((const char *)data, size, "vmcred.yaml", &config, &err) < 0) {
		/* VMCRED_FAILED: merge-conflict markers. */
		if ((err.code != VMCRED_USAGE && err.code != VMCRED_FAILED) || !err.text)
			abort();
		return 0;
	}
	for (size_t i = 0; i < config.vm_count; i++) {
		char *text = config_vm_dropin(&config, &config.vms[i], NULL);

		if (!text || config_vm_get(&config, config.vms[i].name, &err) == NULL)
			abort();
		free(text);
		if (config.vms[i].entry)
			entry_check(&config.vms[i]);
	}
	return 0;
}

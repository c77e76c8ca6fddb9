/* SPDX-License-Identifier: Apache-2.0 */
/* Declarations: any text is rejected, or everything can be derived from it. */
#include <stdint.h>
#include <stdlib.h>

#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
	}
	return 0;
}

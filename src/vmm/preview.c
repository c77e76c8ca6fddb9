/* SPDX-License-Identifier: Apache-2.0 */
/* What vmm_run() adds to a list, with the sizes that it has then. */
#include "base/cleanup.h"
#include "base/text.h"
#include "vmm/delivery_wait.h"
#include "vmm/notify.h"

/* Of a key that nobody has issued. */
static int key_add(struct oem_list *list, const char *unit, struct error *err)
{
	_cleanup_free_ char *key = text_format(CHANNEL_KEY_BEGINNING "%s %0*d %0*d\n", unit,
					       2 * CHANNEL_ID_SIZE, 0, 2 * CHANNEL_KEY_SIZE, 0);

	return key ? oem_list_add_credential(list, CHANNEL_CREDENTIAL, span_of_text(key), err)
		   : error_no_memory(err);
}

static int notify_add(struct vmm_launch *launch, struct error *err)
{
	/* The kernel chooses the port for vhost-vsock: nearly all have ten digits. */
	const unsigned int port = launch->vsock.socket ? NOTIFY_UNIX_PORT : UINT32_MAX;
	_cleanup_free_ char *address = text_format(NOTIFY_HOST_ADDRESS "%u", port);

	struct oem_list *list = &launch->list;

	for (size_t i = 0; i < list->count; i++) {
		if (list->strings[i].name && strcmp(list->strings[i].name, NOTIFY_CREDENTIAL) == 0)
			return 0;
	}
	return address ? oem_list_add_credential(list, NOTIFY_CREDENTIAL, span_of_text(address),
						 err)
		       : error_no_memory(err);
}

int vmm_preview_add(struct vmm_launch *launch, const struct config_vm *vm, struct error *err)
{
	const char *notify = vm->launch[CONFIG_LAUNCH_NOTIFY];
	int r = 0;

	if (vm->channel_count > 0 && channel_guest_proves(launch))
		r = key_add(&launch->list, vm->unit, err);
	if (r == 0 &&
	    (vm->launch[CONFIG_LAUNCH_READY_TARGET] || (notify && strcmp(notify, "true") == 0)))
		r = notify_add(launch, err);
	return r < 0 || vm->channel_count == 0 ? r : vmm_manifest_add(&launch->list, err);
}

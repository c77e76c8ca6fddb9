/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/drivers.h"

static int arguments_read(char *const *argv, struct oem_list *list, const struct report *report,
			  struct error *err)
{
	(void)argv;
	(void)list;
	(void)report;
	return error_set(err, VMCRED_FAILED, "not built yet");
}

const struct vmm_ops vmm_cloud_hypervisor = {
	.name = "Cloud Hypervisor",
	.programs = (const char *const[]){"cloud-hypervisor*", NULL},
	.arguments_read = arguments_read,
};

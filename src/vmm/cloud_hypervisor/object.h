/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: "key=value,…" as an object of the VM's configuration, by a key table, and what no
 * table can say of some options.
 */
#ifndef VMCRED_VMM_CLOUD_HYPERVISOR_OBJECT_H
#define VMCRED_VMM_CLOUD_HYPERVISOR_OBJECT_H

#include <jansson.h>

#include "base/error.h"
#include "vmm/cloud_hypervisor/config.h"
#include "vmm/cloud_hypervisor/options.h"

/*
 * Reads an option's text into a new object. OEM strings go to the configuration's list, and so does
 * what not every version knows.
 */
int option_object_read(struct cloud_hypervisor_config *config, const struct option_row *row,
		       const char *text, json_t **object, struct error *err);

/* struct option_row's finish */
int option_console_finish(json_t *object, struct error *err);
int option_disk_finish(json_t *object, struct error *err);
int option_platform_finish(json_t *object, struct error *err);
int option_rate_limit_finish(json_t *object, struct error *err);
int option_rate_limit_group_finish(json_t *object, struct error *err);
int option_vhost_user_finish(json_t *object, struct error *err);

#endif

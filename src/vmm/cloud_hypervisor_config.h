/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: Cloud Hypervisor's command line, translated to the body of its API request vm.create
 * by the table in cloud_hypervisor_options.c. What the table does not know is an error that names
 * it: guessing would start another VM than the one that was asked for.
 */
#ifndef VMCRED_VMM_CLOUD_HYPERVISOR_CONFIG_H
#define VMCRED_VMM_CLOUD_HYPERVISOR_CONFIG_H

#include <jansson.h>

#include "oem/oem.h"
#include "vmm/command.h"

struct cloud_hypervisor_config {
	json_t *vm;                 /* VmConfig without the OEM strings: public */
	struct command command;     /* the program and the options that stay its arguments */
	struct command platform;    /* --platform's key=value pairs but oem_strings */
	struct command oem_strings; /* those of --platform */
	char *api_socket;           /* the path of --api-socket, or NULL */
	bool logs_config;           /* -v: the VMM would log its configuration */
};

#define _cleanup_cloud_hypervisor_config_ __attribute__((cleanup(cloud_hypervisor_config_destroy)))

int cloud_hypervisor_config_read(char *const *argv, struct cloud_hypervisor_config *config,
				 struct error *err);
void cloud_hypervisor_config_destroy(struct cloud_hypervisor_config *config);

/* The body of vm.create with the list's OEM strings, added to `body`. */
int cloud_hypervisor_config_body(const struct cloud_hypervisor_config *config,
				 const struct oem_list *list, struct secret *body,
				 struct error *err);

#endif

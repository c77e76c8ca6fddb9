/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: Cloud Hypervisor's command line, translated to the body of its API request vm.create
 * by the tables behind cloud_hypervisor_options.h. What they do not know is an error that names it:
 * guessing would start another VM than the one that was asked for. The way out is --vm-config FILE,
 * an option of vmcred's own among the hypervisor's: a file with a VmConfig as the API takes it.
 */
#ifndef VMCRED_VMM_CLOUD_HYPERVISOR_CONFIG_H
#define VMCRED_VMM_CLOUD_HYPERVISOR_CONFIG_H

#include <stdbool.h>

#include <jansson.h>

#include "oem/oem.h"
#include "vmm/cloud_hypervisor/options.h"
#include "vmm/command.h"

struct cloud_hypervisor_need;

struct cloud_hypervisor_config {
	json_t *vm;                 /* VmConfig without the OEM strings: public */
	struct command command;     /* the program and the options that stay its arguments */
	struct command platform;    /* --platform's key=value pairs but oem_strings */
	struct command oem_strings; /* those of --platform, or of the file */
	char *api_socket;           /* the path of --api-socket, or "fd=N", or NULL */
	char *vm_config;            /* the file of --vm-config, or NULL */
	const char *vm_option;      /* the first option that is the VM's, or NULL; the table's */
	bool restores;              /* --restore */
	bool logs_config;           /* -v: the VMM would log its configuration */
	struct cloud_hypervisor_need *needs; /* what not every version knows */
	size_t need_count;
};

#define _cleanup_cloud_hypervisor_config_ __attribute__((cleanup(cloud_hypervisor_config_destroy)))

int cloud_hypervisor_config_read(char *const *argv, struct cloud_hypervisor_config *config,
				 struct error *err);
void cloud_hypervisor_config_destroy(struct cloud_hypervisor_config *config);

/* The body of vm.create with the list's OEM strings, added to `body`. Interfaces that are added one
 * by one are not in it: cloud_hypervisor_descriptors.h. */
int cloud_hypervisor_config_body(const struct cloud_hypervisor_config *config,
				 const struct oem_list *list, struct secret *body,
				 struct error *err);

#endif

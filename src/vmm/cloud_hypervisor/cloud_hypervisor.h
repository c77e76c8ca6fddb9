/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: Cloud Hypervisor. It accepts OEM strings on its command line or through its API, and
 * only the API hides them. So its command line is translated, once and by the tables of options.h,
 * to a configuration (VmConfig); vmcred starts the program with only its API, sends the
 * configuration with the OEM strings, and stays as its parent.
 *
 * An option or a key that the tables do not know is an error that names it: a guess would start a
 * different VM. For these there are two options of vmcred's own among the hypervisor's.
 * --vm-config-merge JSON adds members to the VmConfig, as the declaration's vmConfig does; the VMM
 * must know them. --vm-config FILE is a whole VmConfig as the API accepts it, whose OEM strings are
 * as public as the file is.
 *
 * Specifications: vmm/src/api/openapi/cloud-hypervisor.yaml and the sources that options.h names.
 */
#ifndef VMCRED_VMM_CLOUD_HYPERVISOR_CLOUD_HYPERVISOR_H
#define VMCRED_VMM_CLOUD_HYPERVISOR_CLOUD_HYPERVISOR_H

#include <stdbool.h>

#include <jansson.h>

#include "base/text.h"
#include "oem/oem.h"
#include "vmm/cloud_hypervisor/options.h"
#include "vmm/notify.h"

/* The member with the path of the initrd. */
#define CLOUD_HYPERVISOR_INITRD "payload.initramfs"

/* A used row that not every version supports. `key` is NULL for the option itself. */
struct cloud_hypervisor_need {
	const struct option_row *row;
	const struct option_key *key;
};

struct cloud_hypervisor_config {
	json_t *vm;                     /* VmConfig without the OEM strings: public */
	struct strings argv;            /* the program and the options that stay its arguments */
	struct strings platform;        /* --platform's key=value pairs except oem_strings */
	struct strings oem_strings;     /* those of --platform, or of the file */
	char *api_socket;               /* the path of --api-socket, or "fd=N", or NULL */
	char *vm_config;                /* the file of --vm-config, or NULL */
	char *vm_config_merge;          /* --vm-config-merge, or NULL */
	const char *vm_config_declared; /* vmConfig, in JSON, or NULL; borrowed */
	json_t *merged;                 /* both, or NULL */
	const char *vm_option; /* the first option of the VM, or NULL; borrowed from the table */
	bool restores;         /* --restore */
	bool has_smbios;       /* the guest has the table */
	bool uses_initrd;      /* credentials are delivered in the initrd */
	bool logs_config;      /* -v: the VMM would log its configuration */
	struct cloud_hypervisor_need *needs; /* owned */
	size_t need_count;
	struct secret body; /* of vm.create, once it is checked */
};

#define _cleanup_cloud_hypervisor_config_ __attribute__((cleanup(cloud_hypervisor_config_destroy)))

/* Parses a command line and its --vm-config. `*config` must own nothing. */
int cloud_hypervisor_config_read(char *const *argv, struct cloud_hypervisor_config *config,
				 struct error *err);
void cloud_hypervisor_config_destroy(struct cloud_hypervisor_config *config);

/* Parses an option's text "key=value,…" into a new object, by its table. OEM strings and needs are
 * added to the configuration instead. */
int option_object_read(struct cloud_hypervisor_config *config, const struct option_row *row,
		       const char *text, json_t **object, struct error *err);

/* Merges a patch in JSON into the configuration, if there is one. VMCRED_USAGE: it is not an
 * object, or has OEM strings. `what` names it. */
int cloud_hypervisor_merge(struct cloud_hypervisor_config *config, const char *text,
			   const char *what, struct error *err);

/* Whether the program that gave this answer to vm.info knows all merged members: its API ignores
 * others. VMCRED_USAGE names the one that it does not know. */
int cloud_hypervisor_merge_check(const struct cloud_hypervisor_config *config, struct span answer,
				 struct error *err);

/* Adds a used row, unless every version supports it. */
int cloud_hypervisor_need_add(struct cloud_hypervisor_config *config, const struct option_row *row,
			      const struct option_key *key, struct error *err);

/*
 * Whether the program that gave this answer to vmm.ping supports all needs; VMCRED_USAGE names the
 * one that it does not support, and its version. A version that cannot be parsed supports all.
 */
int cloud_hypervisor_needs_check(const struct cloud_hypervisor_config *config, struct span answer,
				 struct error *err);

/*
 * How many of the VM's interfaces vm.create makes: those before the first one with descriptors
 * (--net fd=[3,4]). vm.create accepts no descriptors, so that one and all after it are added by
 * vm.add-net: so the list keeps its order, and with it the guest's PCI slots.
 */
size_t cloud_hypervisor_interfaces_at_once(const struct cloud_hypervisor_config *config);

/* The body of vm.create with the list's OEM strings. */
int cloud_hypervisor_config_body(const struct cloud_hypervisor_config *config,
				 const struct oem_list *list, struct secret *body,
				 struct error *err);

/* Starts the program, creates and boots the VM, wipes the list and waits. As vmm_ops.start. */
int cloud_hypervisor_boot(struct vmm_launch *launch, struct cloud_hypervisor_config *config,
			  struct notify *notify, struct error *err);

#endif

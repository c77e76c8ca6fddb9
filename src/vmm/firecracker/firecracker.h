/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: Firecracker. It has no OEM strings, so credentials are a segment of the initrd that
 * its configuration (--config-file) names. vmcred reads the configuration once, and Firecracker
 * gets it with the memory file's path instead of the initrd's, both through descriptors; nothing
 * else is changed. vmcred stays as its parent, and overwrites the segment once the VM is booted.
 *
 * A VM that is configured through the API alone gets no credentials. Specifications: Firecracker's
 * src/firecracker/src/main.rs, src/vmm/src/resources.rs and swagger/firecracker.yaml.
 */
#ifndef VMCRED_VMM_FIRECRACKER_FIRECRACKER_H
#define VMCRED_VMM_FIRECRACKER_FIRECRACKER_H

#include <jansson.h>

#include "base/text.h"
#include "vmm/vmm.h"

struct firecracker_config {
	json_t *vm;             /* owned; the configuration, or NULL without --config-file */
	size_t argument;        /* the index of its path in argv */
	const char *api_socket; /* borrowed from argv; NULL with --no-api */
	const char *initrd;     /* in `vm`; NULL: there is none */
};

/* Parses a command line and its --config-file. `*config` owns nothing. */
int firecracker_config_read(char *const *argv, struct firecracker_config *config,
			    struct error *err);

/* Adds the credentials of the kernel's command line (systemd.set_credential=) to the list. */
int firecracker_config_credentials(const struct firecracker_config *config,
				   const struct vmm_launch *launch, struct oem_list *list,
				   struct error *err);

/* The configuration as text, with the initrd's path replaced, unless it is NULL. */
int firecracker_config_text(const struct firecracker_config *config, const char *initrd,
			    const struct oem_list *list, struct secret *out, struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: what the machine that a QEMU command line asks for has: a way for credentials to
 * reach its guest, a vsock device.
 */
#ifndef VMCRED_VMM_QEMU_MACHINE_H
#define VMCRED_VMM_QEMU_MACHINE_H

#include "vmm/vmm.h"

/* The answer: VMM_TRANSPORT_DEFAULT where there is no way that is known to work. */
struct qemu_machine {
	enum vmm_transport transport;
	const char *why; /* what keeps SMBIOS from it, as a whole phrase with %s for the type */
	char *type;      /* owned; "" where the command line has none */
	bool has_firmware;
};

#define _cleanup_qemu_machine_ __attribute__((cleanup(qemu_machine_destroy)))

/* `program` tells the architecture. */
int qemu_machine_read(const char *program, char *const *argv, struct qemu_machine *machine,
		      struct error *err);
void qemu_machine_destroy(struct qemu_machine *machine);

/* The driver's vsock_find(). */
int qemu_vsock_find(const struct vmm_launch *launch, struct vmm_vsock *vsock, struct error *err);

#endif

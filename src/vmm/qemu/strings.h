/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: OEM strings as QEMU takes them: `-smbios type=11,path=/dev/fd/N`, whole, with every
 * comma, quote and newline, and in no argument; or, for guests without an SMBIOS table, `-fw_cfg
 * name=…,file=/dev/fd/N`, where systemd looks too, for credentials alone.
 */
#ifndef VMCRED_VMM_QEMU_STRINGS_H
#define VMCRED_VMM_QEMU_STRINGS_H

#include "vmm/command.h"
#include "vmm/vmm.h"

struct qemu_strings {
	struct command *command; /* the caller's; gets the arguments */
	int *fds;                /* what QEMU has to inherit; owned, O_CLOEXEC */
	size_t count;
};

#define _cleanup_qemu_strings_ __attribute__((cleanup(qemu_strings_destroy)))

/* Adds all strings of the list but those of the command line itself. */
int qemu_strings_hand_over(struct qemu_strings *strings, const struct vmm_launch *launch,
			   enum vmm_transport transport, struct error *err);

/* Takes a descriptor over, whatever happens. */
int qemu_strings_keep(struct qemu_strings *strings, int fd, struct error *err);

/* Closes the descriptors. */
void qemu_strings_destroy(struct qemu_strings *strings);

#endif

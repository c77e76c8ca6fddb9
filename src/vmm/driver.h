/* SPDX-License-Identifier: Apache-2.0 */
/* Inside vmm/: what a driver must do. A new hypervisor is such a struct and a row in vmm.c. */
#ifndef VMCRED_VMM_DRIVER_H
#define VMCRED_VMM_DRIVER_H

#include "base/text.h"
#include "vmm/child.h"
#include "vmm/notify.h"
#include "vmm/stderr_relay.h"
#include "vmm/vmm.h"

struct vmm_ops {
	const char *name;            /* for messages */
	const char *const *programs; /* patterns (fnmatch(3)) for the program's name, then NULL */
	const char *const *launches; /* the subcommands that start a VM, then NULL; NULL: all do */
	bool is_supervisor; /* it notifies the service manager and stops its guest by itself */
	enum vmm_transport transport; /* unless the command line or the user chooses another */

	/* Whether the command line only queries the program, and starts no VM. NULL: it has one of
	 * the usual options for that, which is not another option's value. */
	bool (*is_query)(char *const *argv);

	/* Parses the command line into launch->prepared and launch->vsock, and adds its OEM strings
	 * to the list. */
	int (*prepare)(struct vmm_launch *launch, struct error *err);

	/* Checks what the driver itself limits, with the whole list; sets launch->body_size. */
	int (*check)(struct vmm_launch *launch, struct error *err);

	/* As vmm_run(), after the checks. */
	int (*start)(struct vmm_launch *launch, struct notify *notify, struct error *err);

	void (*destroy)(void *prepared); /* `prepared` is never NULL */
};

extern const struct vmm_ops vmm_alioth;
extern const struct vmm_ops vmm_cloud_hypervisor;
extern const struct vmm_ops vmm_crosvm;
extern const struct vmm_ops vmm_firecracker;
extern const struct vmm_ops vmm_kvmtool;
extern const struct vmm_ops vmm_qemu;
extern const struct vmm_ops vmm_stratovirt;
extern const struct vmm_ops vmm_vmspawn;

/* The list whose credentials the VMM's output and answers must not repeat: an empty one with
 * VMM_EXPOSE_LOG. */
const struct oem_list *vmm_hidden_list(const struct vmm_launch *launch);

/* For a message: what makes this process stay the VMM's parent. */
const char *vmm_staying_options(const struct vmm_launch *launch);

/* Whether there is a string to deliver that the command line does not. */
bool vmm_has_strings(const struct vmm_launch *launch);

/* Starts launch->program as a child whose standard error `output` checks and forwards. The caller
 * destroys `output` in any case. */
int vmm_child_start(const struct vmm_launch *launch, struct child_command *command,
		    struct child *child, struct stderr_relay *output, struct error *err);

/* Wipes the list and becomes the VMM; returns only if that fails. */
int vmm_exec(struct vmm_launch *launch, char *const *argv, struct error *err);

/*
 * A descriptor from which `content` can be read once, to its end, as /dev/fd/N: a full pipe. What
 * was read is gone, though the program keeps the descriptor, and a pipe's pages are never swapped.
 * If the system refuses a pipe of that size, or it must be `seekable`, it is a sealed memory file.
 * O_CLOEXEC, and above the standard descriptors.
 */
int vmm_secret_fd(struct span content, bool seekable, struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stage 6, launch: a hypervisor with its usual command line, and a list of OEM strings that it
 * never sees there. One driver a hypervisor, behind `struct vmm_ops`; which one is decided by the
 * program's name. A new hypervisor is a file with such a struct and a row in vmm.c.
 *
 * A driver works in two steps, so that names and limits are checked over everything before anything
 * starts: arguments_read() adds the OEM strings of the command line to the list, the caller
 * composes the rest (oem/oem.h), launch() hands the whole list over. The list is wiped as soon as
 * the hypervisor has it.
 *
 * While a VM runs vmcred stays as its VMM's small parent (supervise.h), or becomes the VMM (exec):
 * enum vmm_parent.
 *
 * Trusted: the command line and the environment, which are the user's. The hypervisor's answers are
 * not: they are shown only if they hold none of the strings. Nothing secret goes into an argument
 * or the environment, unless the user said VMM_EXPOSE_ARGV.
 */
#ifndef VMCRED_VMM_VMM_H
#define VMCRED_VMM_VMM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/report.h"
#include "oem/oem.h"

/* What the user accepts to have in view. */
enum vmm_expose {
	VMM_EXPOSE_NOTHING = 0,
	VMM_EXPOSE_ARGV = 1 << 0, /* OEM strings as literal arguments */
	VMM_EXPOSE_LOG = 1 << 1,  /* OEM strings in a log that the VMM was asked to keep */
};

/* What becomes of this process. */
enum vmm_parent {
	VMM_PARENT_DEFAULT, /* the hypervisor's custom: Cloud Hypervisor gets a parent, QEMU none */
	VMM_PARENT_STAYS,   /* the VMM is a child, and stopped in good order */
	VMM_PARENT_EXEC,    /* the VMM takes this process's place */
};

/* How strings reach the guest where a hypervisor has more than one way. */
enum vmm_transport {
	VMM_TRANSPORT_DEFAULT, /* what the guest of that machine can read */
	VMM_TRANSPORT_SMBIOS,
	VMM_TRANSPORT_FW_CFG,
};

/* Until when a guest is given time to power off; with what follows it is less than systemd's
 * DefaultTimeoutStopSec=90s. */
#define VMM_STOP_TIMEOUT_MS (60 * 1000)

/* The VM's vsock device as the host sees it. */
struct vmm_vsock {
	uint32_t cid; /* the guest's; 0: the VM has no such device */
	char *socket; /* owned; a unix socket stands for it (<socket>_<port>); NULL: AF_VSOCK */
};

struct notify; /* the service manager's ear, inside vmm/ */

struct vmm_launch {
	const char *program;   /* the VMM's file, or its name on $PATH */
	const char *name;      /* the name or path that tells which VMM it is: vmm_find() */
	char *const *argv;     /* the VMM's command line, NULL-terminated; [0] is only a name */
	struct oem_list *list; /* all OEM strings, also those of the command line */
	unsigned int expose;   /* of enum vmm_expose */
	enum vmm_parent parent;
	enum vmm_transport transport;
	int stop_timeout_ms;      /* 0: the guest is not asked to power off */
	bool guest_reports;       /* the guest's own READY=1 goes to $NOTIFY_SOCKET */
	const char *vsock_socket; /* where a vsock daemon of QEMU's has its socket, or NULL */
	const struct report *report;
};

struct vmm_ops {
	const char *name; /* what messages call it */
	const char *const
		*programs;  /* patterns (fnmatch(3)) for the program's name, NULL at the end */
	bool is_supervisor; /* it answers the service manager and stops its guest by itself */

	/*
	 * Adds the OEM strings that the command line holds to the list. VMCRED_USAGE for arguments
	 * that the driver would have to guess at; nothing is started.
	 */
	int (*arguments_read)(char *const *argv, struct oem_list *list, const struct report *report,
			      struct error *err);

	/*
	 * What the driver itself limits, checked without starting anything; `*body` is the size of
	 * the API body, or 0 where there is none.
	 */
	int (*check)(const struct vmm_launch *launch, size_t *body, struct error *err);

	/* The VM's vsock device, by its command line. `*vsock` is empty; the caller frees what it
	 * owns. */
	int (*vsock_find)(const struct vmm_launch *launch, struct vmm_vsock *vsock,
			  struct error *err);

	/*
	 * Starts the VMM and wipes the list. Becomes the VMM (exec) and does not return, or waits
	 * for it and returns its exit code, 128 + N if signal N ended it. Negative: nothing runs.
	 */
	int (*launch)(struct vmm_launch *launch, struct notify *notify, struct error *err);
};

/* The driver for a program, by its name, or NULL with VMCRED_USAGE, which names the known ones. */
const struct vmm_ops *vmm_find(const char *program, struct error *err);

/* vmm_ops.arguments_read, and the error says whose arguments they are. */
int vmm_arguments_read(const struct vmm_ops *ops, char *const *argv, struct oem_list *list,
		       const struct report *report, struct error *err);

/* Checks the list and all limits, and starts. As vmm_ops.launch. */
int vmm_run(const struct vmm_ops *ops, struct vmm_launch *launch, struct error *err);

#endif

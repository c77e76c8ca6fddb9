/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stage 6, launch: a hypervisor with its usual command line, and a list of OEM strings that never
 * appears there. Each hypervisor has a driver (driver.h), which the program's name selects.
 *
 * A launch parses the command line, and every file in it, once. What is checked is what starts:
 *
 *     vmm_prepare(&launch, err)             parse the command line, add its OEM strings
 *     oem_list_compose(&launch.list, ...)   add the declaration's strings and the credentials
 *     vmm_run(&launch, err)                 check everything, start, wipe the list
 *     vmm_launch_destroy(&launch)
 *
 * While a VM runs vmcred stays as the small parent of its VMM (supervise.h), or becomes the VMM by
 * exec: enum vmm_parent.
 *
 * Trusted: the command line and the environment, which are the user's. Not trusted: the
 * hypervisor's answers, which are shown only if they repeat no credential. No secret is put
 * into an argument or the environment, unless the user set VMM_EXPOSE_ARGV.
 */
#ifndef VMCRED_VMM_VMM_H
#define VMCRED_VMM_VMM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/report.h"
#include "oem/oem.h"

/* What the user allows to be exposed. */
enum vmm_expose {
	VMM_EXPOSE_ARGV = 1 << 0, /* OEM strings as literal arguments */
	VMM_EXPOSE_LOG = 1 << 1,  /* OEM strings in what the VMM prints, answers and logs */
};

/* What this process does after it has started the VMM. */
enum vmm_parent {
	VMM_PARENT_DEFAULT, /* QEMU: VMM_PARENT_EXEC; Cloud Hypervisor, Firecracker:
			       VMM_PARENT_STAYS */
	VMM_PARENT_STAYS,   /* the VMM is a child, and is shut down cleanly */
	VMM_PARENT_EXEC,    /* this process becomes the VMM */
};

/* How strings reach the guest. */
enum vmm_transport {
	VMM_TRANSPORT_DEFAULT, /* the one that the guest of that machine can read */
	VMM_TRANSPORT_SMBIOS,
	VMM_TRANSPORT_FW_CFG, /* credentials only */
	VMM_TRANSPORT_INITRD, /* credentials only */
};

/* How long a guest may take to power off. With the later steps this stays below systemd's
 * DefaultTimeoutStopSec=90s. */
#define VMM_STOP_TIMEOUT_MS (60 * 1000)

/* The VM's vsock device as the host sees it. */
struct vmm_vsock {
	uint32_t cid; /* the guest's; 0: the VM has no such device */
	const char
		*socket; /* borrowed; the unix socket <socket>_<port> replaces it; NULL: AF_VSOCK */
	bool socket_missing; /* a daemon has the socket, and its path is not known */
	bool is_vhost;       /* AF_VSOCK, if it has a device: the command line may not say */
};

struct vmm_launch {
	const char *program; /* the VMM's file, or its name on $PATH */
	const char *name;    /* the name or path that selects the driver */
	char *const *argv;   /* the VMM's command line, NULL-terminated; [0] is only a name */
	unsigned int expose; /* of enum vmm_expose */
	enum vmm_parent parent;
	enum vmm_transport transport;
	int stop_timeout_ms;      /* 0: the guest is not asked to power off */
	bool guest_reports;       /* the guest's own READY=1 goes to $NOTIFY_SOCKET */
	const char *ready_target; /* a unit of the guest whose start counts as READY=1; or NULL */
	bool requires_delivery;   /* the unit is ready when the guest has all credentials */
	const char *vm_config;    /* merged into Cloud Hypervisor's VmConfig: JSON, or NULL */
	const char *credentials;  /* the directory of the credentials, or NULL; borrowed */
	const char *vsock_socket; /* the socket of QEMU's vsock daemon, or NULL */
	bool by_keys;             /* the user can only declare keys, and give no options */
	const struct report *report;

	struct oem_list list; /* all OEM strings, also those of the command line */

	/* Set by vmm_prepare(). */
	const struct vmm_ops *ops;
	void *prepared; /* the driver's: the parsed command line */
	struct vmm_vsock vsock;
	bool is_confidential; /* the guest does not trust the host */

	size_t body_size; /* set by vmm_check(): bytes of the API request, 0 without an API */
};

#define _cleanup_vmm_launch_ __attribute__((cleanup(vmm_launch_destroy)))

/* systemd-vmspawn before it puts credentials on QEMU's command line. */
#define VMM_VMSPAWN_VERSION_MIN 258

/* The name of an option in a message. */
const char *vmm_option(const struct vmm_launch *launch, const char *option, const char *key);

/* Whether a program of that name or path has a driver. */
bool vmm_is_known(const char *name);

/* Whether the command line of a known program starts a VM: it is not a query such as --version or
 * -M help, and has no other subcommand. */
bool vmm_starts_vm(const char *name, char *const *argv);

/* The transport of a launch, and of one that would start a VM as declared. SMBIOS, which has the
 * lowest limits, if the hypervisor is not known. */
enum vmm_transport vmm_transport_find(const struct vmm_launch *launch);
enum vmm_transport vmm_transport_declared(const struct config_vm *vm);

/* The one of that name, a value of the declaration; NULL: the default. */
enum vmm_transport vmm_transport_named(const char *name);

/* oem_list_check() for what that transport limits. */
int vmm_list_check(const struct oem_list *list, enum vmm_transport transport, struct error *err);

/*
 * Adds what vmm_run() adds for a declared VM to a list that is only measured: the channel key, the
 * address for the guest's notifications, the manifest. They have the sizes that they have then, but
 * no valid values. A launch that was not prepared has only the list.
 */
int vmm_preview_add(struct vmm_launch *launch, const struct config_vm *vm, struct error *err);

/*
 * Selects the driver, parses the command line, and adds its OEM strings to the list. VMCRED_USAGE:
 * an unknown program, or arguments that the driver does not know. Nothing is started.
 */
int vmm_prepare(struct vmm_launch *launch, struct error *err);

/* Checks the hypervisor's own limits; without vmm_prepare() there are none. Nothing is started. */
int vmm_check(struct vmm_launch *launch, struct error *err);

/*
 * Checks the list and all limits, starts the VMM and wipes the list. Becomes the VMM (exec) and
 * does not return, or waits for it and returns its exit code, 128 + N after signal N. Negative:
 * nothing runs.
 */
int vmm_run(struct vmm_launch *launch, struct error *err);

void vmm_launch_destroy(struct vmm_launch *launch);

#endif

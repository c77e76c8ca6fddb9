/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "vmm/child.h"
#include "vmm/driver.h"

/* The drivers; a new one is a row here. */
static const struct vmm_ops *const drivers[] = {
	&vmm_cloud_hypervisor, &vmm_firecracker, &vmm_qemu,       &vmm_crosvm,
	&vmm_kvmtool,          &vmm_alioth,      &vmm_stratovirt, &vmm_vmspawn,
};

#define DRIVER_COUNT (sizeof(drivers) / sizeof(drivers[0]))

/* Sets the error, whose hint lists all names. */
static void driver_refuse(const char *name, struct error *err)
{
	_cleanup_strings_ struct strings names = {0};
	_cleanup_error_ struct error ignored = {0};
	_cleanup_free_ char *joined = NULL;

	for (size_t i = 0; i < DRIVER_COUNT; i++)
		(void)strings_add_all(&names, (char *const *)drivers[i]->programs, &ignored);
	joined = strings_join(&names, ", ");
	error_set(err, VMCRED_USAGE, "unknown hypervisor \"%s\"", name);
	error_hint(err,
		   "known names are %s; for a script, see CALLED BY A HYPERVISOR'S NAME in "
		   "vmcred-run(1)",
		   joined ? joined : "in vmcred-run(1)");
}

static const struct vmm_ops *driver_find(const char *program, struct error *err)
{
	const char *slash = strrchr(program, '/'), *name = slash ? slash + 1 : program;

	for (size_t i = 0; i < DRIVER_COUNT; i++) {
		for (const char *const *pattern = drivers[i]->programs; *pattern; pattern++) {
			if (fnmatch(*pattern, name, 0) == 0)
				return drivers[i];
		}
	}
	driver_refuse(name, err);
	return NULL;
}

bool vmm_is_known(const char *name)
{
	_cleanup_error_ struct error ignored = {0};

	return driver_find(name, &ignored);
}

/* If such an option follows another one, it may be the value of that. Then the command line starts
 * a VM with its credentials, or the program answers. */
static bool is_usual_query(char *const *argv)
{
	static const char *const queries[] = {"--version", "-version", "-V", "--help",
					      "-help",     "-h",       NULL};

	/* What follows "--" is the guest's, or an operand. */
	for (bool follows_option = false; *argv && strcmp(*argv, "--") != 0; argv++) {
		if (!follows_option && texts_contain((char *const *)queries, *argv))
			return true;
		follows_option = **argv == '-' && !strchr(*argv, '=');
	}
	return false;
}

bool vmm_starts_vm(const char *name, char *const *argv)
{
	_cleanup_error_ struct error ignored = {0};
	const struct vmm_ops *ops = driver_find(name, &ignored);

	if (!ops || !argv[0])
		return true;
	if (ops->is_query ? ops->is_query(argv) : is_usual_query(argv + 1))
		return false;
	if (!ops->launches)
		return true;
	for (const char *const *launch = ops->launches; *launch; launch++) {
		if (texts_contain(argv + 1, *launch))
			return true;
	}
	return false;
}

static enum vmm_transport transport_or_smbios(enum vmm_transport transport)
{
	return transport == VMM_TRANSPORT_DEFAULT ? VMM_TRANSPORT_SMBIOS : transport;
}

enum vmm_transport vmm_transport_find(const struct vmm_launch *launch)
{
	if (launch->transport != VMM_TRANSPORT_DEFAULT || !launch->ops)
		return transport_or_smbios(launch->transport);
	return transport_or_smbios(launch->ops->transport);
}

enum vmm_transport vmm_transport_named(const char *name)
{
	static const enum vmm_transport transports[] = {VMM_TRANSPORT_SMBIOS, VMM_TRANSPORT_FW_CFG,
							VMM_TRANSPORT_INITRD};

	/* In the order of the words. */
	return name ? transports[config_launch_word(CONFIG_LAUNCH_TRANSPORT, name)]
		    : VMM_TRANSPORT_DEFAULT;
}

enum vmm_transport vmm_transport_declared(const struct config_vm *vm)
{
	_cleanup_error_ struct error ignored = {0};
	const enum vmm_transport named = vmm_transport_named(vm->launch[CONFIG_LAUNCH_TRANSPORT]);
	const struct vmm_ops *ops =
		vm->command && vm->command[0] ? driver_find(vm->command[0], &ignored) : NULL;

	return transport_or_smbios(named != VMM_TRANSPORT_DEFAULT ? named
				   : ops                          ? ops->transport
								  : VMM_TRANSPORT_DEFAULT);
}

int vmm_list_check(const struct oem_list *list, enum vmm_transport transport, struct error *err)
{
	return transport == VMM_TRANSPORT_INITRD ? oem_list_check_values(list, err)
						 : oem_list_check(list, err);
}

bool vmm_has_strings(const struct vmm_launch *launch)
{
	for (size_t i = 0; i < launch->list.count; i++) {
		if (launch->list.strings[i].origin != OEM_ARGUMENTS)
			return true;
	}
	return false;
}

/* VMCRED_MISSING is for what is declared, not for a file or directory of the command line. */
static int command_line_result(int r, struct error *err)
{
	if (r == -VMCRED_MISSING)
		err->code = VMCRED_USAGE;
	return r < 0 ? -(int)err->code : r;
}

int vmm_prepare(struct vmm_launch *launch, struct error *err)
{
	int r;

	launch->ops = driver_find(launch->name, err);
	if (!launch->ops)
		return -(int)err->code;
	r = launch->vm_config && launch->ops != &vmm_cloud_hypervisor
		    ? error_set(err, VMCRED_USAGE, "vmConfig is only for Cloud Hypervisor")
		    : command_line_result(launch->ops->prepare(launch, err), err);
	return r < 0 ? error_wrap(err, "reading the command line of %s", launch->argv[0]) : 0;
}

int vmm_check(struct vmm_launch *launch, struct error *err)
{
	return launch->ops ? launch->ops->check(launch, err) : 0;
}

const char *vmm_option(const struct vmm_launch *launch, const char *option, const char *key)
{
	return launch->by_keys ? key : option;
}

const char *vmm_staying_options(const struct vmm_launch *launch)
{
#define OPTIONS "--supervise, --notify, --ready-target, --require-delivery"
#define KEYS    "supervise, notify, readyTarget, requireDelivery"
	/* A relay of such connections stays, too. */
	return launch->vsock.socket
		       ? vmm_option(launch, OPTIONS ", --stop-timeout or channelCredentials",
				    KEYS ", stopTimeout or channelCredentials")
		       : vmm_option(launch, OPTIONS " or --stop-timeout", KEYS " or stopTimeout");
#undef OPTIONS
#undef KEYS
}

static void exposure_warn(const struct vmm_launch *launch)
{
	if (launch->expose & VMM_EXPOSE_ARGV)
		report_message(launch->report, REPORT_WARNING,
			       "%s: every user of this host can read the OEM strings in the "
			       "command line of %s",
			       vmm_option(launch, "--expose=argv", "expose: argv"),
			       launch->ops->name);
	if (launch->expose & VMM_EXPOSE_LOG)
		report_message(launch->report, REPORT_WARNING,
			       "%s: the log of %s contains the OEM strings, including credentials",
			       vmm_option(launch, "--expose=log", "expose: log"),
			       launch->ops->name);
}

/* systemd since 254; src/core/import-creds.c. The static strings arrive, and so does what is in the
 * initrd, which such a VM measures. */
static void confidential_warn(const struct vmm_launch *launch)
{
	bool has_credential = false;

	for (size_t i = 0; i < launch->list.count; i++)
		has_credential = has_credential || launch->list.strings[i].name;
	if (launch->is_confidential && has_credential &&
	    vmm_transport_find(launch) != VMM_TRANSPORT_INITRD)
		report_message(launch->report, REPORT_WARNING,
			       "systemd in the guest of a confidential VM ignores credentials from "
			       "the host");
}

int vmm_run(struct vmm_launch *launch, struct error *err)
{
	_cleanup_notify_ struct notify notify = NOTIFY_NONE;
	_cleanup_secret_ struct secret key = {0};
	int r;

	r = channel_key_read(launch->credentials, CHANNEL_CREDENTIAL, &key, err);
	if (r == -(int)VMCRED_MISSING) {
		error_clear(err);
		r = 0;
	}
	if (r == 0)
		r = command_line_result(
			channel_relay_prepare(&notify.channel, launch, secret_span(&key), err),
			err);
	if (r == 0 && !launch->ops->is_supervisor) {
		r = command_line_result(notify_prepare(&notify, launch, err), err);
	} else if (r == 0 && (launch->parent == VMM_PARENT_STAYS || launch->guest_reports)) {
		r = error_set(err, VMCRED_USAGE, "it supervises its VM itself");
		error_hint(err, "remove %s", vmm_staying_options(launch));
	}
	if (r == 0)
		r = delivery_wait_prepare(&notify.delivery, launch, secret_span(&key), err);
	/* It is in the list, and read again for each connection. */
	secret_destroy(&key);
	if (r == 0)
		r = vmm_list_check(&launch->list, vmm_transport_find(launch), err);
	if (r == 0)
		r = vmm_check(launch, err);
	if (r < 0)
		return error_wrap(err, "preparing to start %s", launch->ops->name);
	exposure_warn(launch);
	confidential_warn(launch);
	r = command_line_result(launch->ops->start(launch, &notify, err), err);
	/* Whatever the exit code of its VMM. */
	if (r >= 0 && notify.delivery.state == DELIVERY_REJECTED)
		r = error_move(err, &notify.delivery.rejection);
	return r < 0 ? error_wrap(err, "starting %s", launch->program) : r;
}

void vmm_launch_destroy(struct vmm_launch *launch)
{
	if (launch->prepared)
		launch->ops->destroy(launch->prepared);
	launch->prepared = NULL;
	oem_list_destroy(&launch->list);
}

const struct oem_list *vmm_hidden_list(const struct vmm_launch *launch)
{
	static const struct oem_list nothing = {0};

	return launch->expose & VMM_EXPOSE_LOG ? &nothing : &launch->list;
}

int vmm_child_start(const struct vmm_launch *launch, struct child_command *command,
		    struct child *child, struct stderr_relay *output, struct error *err)
{
	_cleanup_close_ int error_fd = -1;
	int r = stderr_relay_create(output, vmm_hidden_list(launch),
				    vmm_option(launch, "--expose=log", "expose: log"),
				    launch->report, &error_fd, err);

	if (r < 0)
		return r;
	command->program = launch->program;
	command->error_fd = error_fd;
	r = child_start(child, command, err);
	if (r == 0)
		report_message(launch->report, REPORT_INFO, "started %s as process %d",
			       launch->program, (int)child->pid);
	return r;
}

int vmm_exec(struct vmm_launch *launch, char *const *argv, struct error *err)
{
	report_message(launch->report, REPORT_INFO, "executing %s", launch->program);
	oem_list_destroy(&launch->list);
	execvp(launch->program, argv);
	return child_exec_error(launch->program, errno, err);
}

/* A full pipe without a writer, or -1 if it would not hold everything. */
static int pipe_fill(struct span content)
{
	_cleanup_close_ int to = -1;
	_cleanup_close_ int from = -1;
	int ends[2];

	if (content.size > INT_MAX || pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	from = ends[0];
	to = ends[1];
	/* No larger than needed: an unprivileged user's pipes are limited (pipe(7)). */
	if (fcntl(to, F_SETPIPE_SZ, content.size > 0 ? (int)content.size : 1) < 0)
		return -1;
	if (content.size > 0 && write(to, content.data, content.size) != (ssize_t)content.size)
		return -1;
	return fd_release(&from);
}

int vmm_secret_fd(struct span content, bool seekable, struct error *err)
{
	_cleanup_close_ int fd = seekable ? -1 : pipe_fill(content);
	int above;

	if (fd < 0)
		fd = memory_file_create("vmcred", content, err);
	if (fd < 0 || fd > STDERR_FILENO)
		return fd_release(&fd);
	/* The caller had closed a standard descriptor, and the program would use this instead. */
	above = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	return above < 0 ? error_set_errno(err, errno, "duplicating a descriptor") : above;
}

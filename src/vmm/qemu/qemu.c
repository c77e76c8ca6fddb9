/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/qemu/qemu.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "initrd/initrd.h"
#include "vmm/driver.h"
#include "vmm/supervise.h"

/* The driver's prepared state. */
struct qemu {
	struct qemu_arguments arguments;
	struct qemu_machine machine;
};

static void qemu_destroy(void *prepared)
{
	struct qemu *qemu = prepared;

	qemu_arguments_destroy(&qemu->arguments);
	free(qemu);
}

static int qemu_prepare(struct vmm_launch *launch, struct error *err)
{
	struct qemu *qemu = calloc(1, sizeof(*qemu));
	int r;

	if (!qemu)
		return error_no_memory(err);
	launch->prepared = qemu;
	r = qemu_arguments_read(launch->argv, &qemu->arguments, err);
	if (r == 0)
		r = qemu_strings_read(&qemu->arguments, &launch->list, launch->report, err);
	if (r < 0)
		return r;
	qemu->machine = qemu_machine_find(&qemu->arguments, launch->name);
	launch->is_confidential = qemu->machine.is_confidential;
	qemu_vsock_find(&qemu->arguments, launch->vsock_socket, &launch->vsock);
	return 0;
}

static enum vmm_transport transport_of(const struct vmm_launch *launch)
{
	const struct qemu *qemu = launch->prepared;

	return launch->transport != VMM_TRANSPORT_DEFAULT ? launch->transport
							  : qemu->machine.transport;
}

/* The path of the initrd, or NULL. QEMU uses the last one; -initrd is short for -machine initrd=.
 */
static const char *initrd_find(const struct vmm_launch *launch)
{
	const struct qemu *qemu = launch->prepared;
	const char *found = NULL;

	for (size_t i = 0; i < qemu->arguments.count; i++) {
		const struct qemu_option *option = &qemu->arguments.options[i];
		const char *path = NULL;

		if (strcmp(option->name, "initrd") == 0)
			path = option->value;
		else if (strcmp(option->name, "machine") == 0)
			path = qemu_option_get(option, "initrd");
		found = path ? path : found;
	}
	return found;
}

static int transport_initrd_check(const struct vmm_launch *launch, struct error *err)
{
	int r = 0;

	if (!initrd_find(launch)) {
		r = error_set(err, VMCRED_USAGE, "the command line has no -initrd");
		error_hint(err, "add one, or use another transport");
	}
	if (r == 0)
		r = initrd_check(&launch->list, err);
	return r < 0 ? error_wrap(err, "%s",
				  vmm_option(launch, "--transport=initrd", "transport: initrd"))
		     : 0;
}

/* Whether fw_cfg can carry a string. */
static int fw_cfg_check(const struct vmm_launch *launch, const struct oem_string *string,
			struct error *err)
{
	const size_t name_max = QEMU_FW_CFG_NAME_SIZE_MAX - strlen(QEMU_FW_CFG_PREFIX);
	const struct qemu *qemu = launch->prepared;

	if (!string->name) {
		error_set(err, VMCRED_USAGE,
			  "fw_cfg carries only credentials, not plain OEM strings "
			  "(platformOEMStrings)");
		error_hint(err, "remove them, or use another machine type");
	} else if (strlen(string->name) > name_max) {
		error_set(err, VMCRED_USAGE,
			  "credential name %s has %zu bytes; the limit with fw_cfg is %zu",
			  string->name, strlen(string->name), name_max);
		error_hint(err, "use a shorter name, or another machine type");
	} else {
		return 0;
	}
	return launch->transport == VMM_TRANSPORT_FW_CFG
		       ? error_wrap(err, "%s",
				    vmm_option(launch, "--transport=fw_cfg", "transport: fw_cfg"))
		       : error_wrap(err, "machine type %s %s", qemu->machine.type,
				    qemu->machine.why);
}

static int qemu_check(struct vmm_launch *launch, struct error *err)
{
	const struct qemu *qemu = launch->prepared;
	enum vmm_transport transport = transport_of(launch);
	const char *continued = NULL;
	int r = 0;

	if (launch->parent == VMM_PARENT_STAYS &&
	    qemu_arguments_have(&qemu->arguments, "daemonize")) {
		error_set(err, VMCRED_USAGE, "-daemonize detaches QEMU from a supervising vmcred");
		return error_hint(err, "remove -daemonize, or %s", vmm_staying_options(launch));
	}
	/* QEMU replaces the guest's memory, with its SMBIOS table and fw_cfg, by another VM's. */
	if (qemu_arguments_have(&qemu->arguments, "incoming"))
		continued = "incoming";
	else if (qemu_arguments_have(&qemu->arguments, "loadvm"))
		continued = "loadvm";
	if (transport == VMM_TRANSPORT_INITRD && vmm_has_strings(launch))
		r = transport_initrd_check(launch, err);
	for (size_t i = 0; i < launch->list.count && r == 0; i++) {
		const struct oem_string *string = &launch->list.strings[i];

		if (string->origin == OEM_ARGUMENTS)
			continue;
		if (continued) {
			error_set(err, VMCRED_USAGE,
				  "-%s: the VM keeps the OEM strings with which it was booted and "
				  "accepts no others",
				  continued);
			r = error_hint(err, "deliver credentials to a VM that is booted");
		} else if (transport == VMM_TRANSPORT_DEFAULT) {
			/* The VM would start, and its guest would get nothing. */
			error_set(err, VMCRED_USAGE,
				  "cannot deliver OEM strings: machine type \"%s\" of %s %s",
				  qemu->machine.type, launch->program, qemu->machine.why);
			r = error_hint(err, "choose %s if it has one",
				       vmm_option(launch,
						  "--transport=smbios or --transport=fw_cfg",
						  "transport: smbios or transport: fw_cfg"));
		} else if (transport == VMM_TRANSPORT_FW_CFG) {
			r = fw_cfg_check(launch, string, err);
		}
	}
	return r;
}

/* A supervised QEMU. */
struct vmm {
	struct child child;
	struct stderr_relay output;
	int monitor;
};

static int guest_power_off(void *data, struct error *err)
{
	const struct vmm *vmm = data;

	return qmp_send(vmm->monitor, "system_powerdown", err);
}

static int vmm_quit(void *data, struct error *err)
{
	const struct vmm *vmm = data;

	return qmp_send(vmm->monitor, "quit", err);
}

/* Starts QEMU with its strings and its end of the monitor. */
static int vmm_start(struct vmm *vmm, struct vmm_launch *launch, struct qemu_command *command,
		     struct error *err)
{
	const struct qemu *qemu = launch->prepared;
	struct child_command start = {
		.changes_user = qemu_arguments_have(&qemu->arguments, "runas") ||
				qemu_arguments_have(&qemu->arguments, "run-with"),
	};
	int r = qmp_open(command, &vmm->monitor, err);

	if (r < 0)
		return r;
	start.argv = command->argv.items;
	start.inherited = command->fds;
	start.inherited_count = command->fd_count;
	return vmm_child_start(launch, &start, &vmm->child, &vmm->output, err);
}

static int qemu_supervise(struct vmm_launch *launch, struct qemu_command *command,
			  struct notify *notify, struct error *err)
{
	struct vmm vmm = {.child = CHILD_NONE, .output = STDERR_RELAY_NONE, .monitor = -1};
	int r = vmm_start(&vmm, launch, command, err);

	/* Only QEMU keeps its descriptors: otherwise this process could read the pipes, too. */
	qemu_command_destroy(command);
	if (r == 0) {
		/* Until QEMU answers, its output may repeat a string. */
		r = qmp_await(vmm.monitor, &vmm.child, &vmm.output, err);
		if (r < 0)
			r = supervise_abandon(&vmm.child, &vmm.output, vmm.monitor, err);
		else
			stderr_relay_trust(&vmm.output);
		oem_list_destroy(&launch->list);
	}
	if (r == 0)
		r = supervise(&(struct supervision){
			.child = &vmm.child,
			.output = &vmm.output,
			.notify = notify,
			.discard = vmm.monitor,
			.stop_timeout_ms = launch->stop_timeout_ms,
			.report = launch->report,
			.power_off = guest_power_off,
			.quit = vmm_quit,
			.vmm = &vmm,
		});
	stderr_relay_destroy(&vmm.output);
	cleanup_close_fd(&vmm.monitor);
	return r;
}

/* Replaces the paths of files that were read. */
static int files_replace(struct qemu_command *command, const struct qemu_arguments *arguments,
			 struct error *err)
{
	for (size_t i = 0; i < arguments->file_count; i++) {
		const struct qemu_file *file = &arguments->files[i];
		char *path = qemu_command_add_file(command, span_of_text(file->text), false, err);

		if (!path)
			return -(int)err->code;
		free(command->argv.items[file->argument]);
		command->argv.items[file->argument] = path;
	}
	return 0;
}

/* Adds a memory file as the last initrd, which QEMU reads again when the guest restarts. */
static int initrd_replace(struct qemu_command *command, const struct vmm_launch *launch,
			  struct error *err)
{
	_cleanup_initrd_ struct initrd initrd = INITRD_NONE;
	int r = initrd_create(initrd_find(launch), &launch->list, &initrd, err);

	if (r == 0)
		r = initrd_seal(&initrd, err);
	if (r < 0)
		return error_wrap(err, "adding the credentials to the initrd");
	r = strings_add(&command->argv, "-initrd", err);
	if (r == 0)
		r = strings_add_format(&command->argv, err, "/dev/fd/%d", initrd.fd);
	return r < 0 ? r : qemu_command_keep(command, fd_release(&initrd.fd), err);
}

static int qemu_start(struct vmm_launch *launch, struct notify *notify, struct error *err)
{
	const struct qemu *qemu = launch->prepared;
	_cleanup_qemu_command_ struct qemu_command command = {0};
	int r = strings_add_all(&command.argv, launch->argv, err);

	if (r == 0)
		r = files_replace(&command, &qemu->arguments, err);
	if (r == 0)
		r = qemu_command_replace_files(&command, &qemu->arguments, err);
	if (r == 0 && transport_of(launch) == VMM_TRANSPORT_INITRD)
		r = vmm_has_strings(launch) ? initrd_replace(&command, launch, err) : 0;
	else if (r == 0)
		r = qemu_command_add_strings(&command, &qemu->arguments, launch,
					     transport_of(launch), err);
	if (r < 0)
		return r;
	if (launch->parent == VMM_PARENT_STAYS)
		return qemu_supervise(launch, &command, notify, err);
	for (size_t i = 0; i < command.fd_count; i++) {
		if (fcntl(command.fds[i], F_SETFD, 0) < 0)
			return error_set_errno(err, errno, "passing a descriptor on");
	}
	notify_exec(notify);
	return vmm_exec(launch, command.argv.items, err);
}

const struct vmm_ops vmm_qemu = {
	.name = "QEMU",
	.programs = (const char *const[]){"qemu-system-*", "qemu-kvm", "kvm", NULL},
	.is_query = qemu_is_query,
	.prepare = qemu_prepare,
	.check = qemu_check,
	.start = qemu_start,
	.destroy = qemu_destroy,
};

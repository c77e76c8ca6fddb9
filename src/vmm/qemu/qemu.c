/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "vmm/command.h"
#include "vmm/drivers.h"
#include "vmm/qemu/arguments.h"
#include "vmm/qemu/machine.h"
#include "vmm/qemu/qmp.h"
#include "vmm/qemu/strings.h"
#include "vmm/supervise.h"

/*
 * QEMU has all that it needs in its arguments and descriptors (qemu_strings.c), so that vmcred
 * becomes QEMU, or stays as its parent with a monitor of its own.
 */

static int fw_cfg_check(const struct oem_string *string, const char *why, struct error *err)
{
	const size_t prefix = strlen(QEMU_FW_CFG_PREFIX);
	const size_t name_max = oem_limit_max(OEM_LIMIT_FW_CFG_NAME) - prefix;

	if (!string->name) {
		error_set(err, VMCRED_USAGE,
			  "%s, so that plain OEM strings (platformOEMStrings) cannot be delivered",
			  why);
		return error_hint(err, "remove them, or take another machine type");
	}
	if (strlen(string->name) > name_max) {
		error_set(err, VMCRED_USAGE,
			  "%s, so that a credential's name may have %zu bytes, and %s has %zu", why,
			  name_max, string->name, strlen(string->name));
		return error_hint(err, "take a shorter name, or another machine type");
	}
	return 0;
}

/* Why strings do not go into the SMBIOS table. */
static int fw_cfg_reason(const struct vmm_launch *launch, const struct qemu_machine *machine,
			 char **why, struct error *err)
{
	int length = launch->transport == VMM_TRANSPORT_FW_CFG
			     ? asprintf(why, "--transport=fw_cfg carries credentials alone")
			     : asprintf(why, "the machine type %s %s", machine->type, machine->why);

	if (length >= 0)
		return 0;
	*why = NULL;
	return error_no_memory(err);
}

static bool list_has_ours(const struct oem_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->strings[i].origin != OEM_ARGUMENTS)
			return true;
	}
	return false;
}

/* A machine with neither way would start, and its guest would get nothing. */
static int transport_choose(const struct vmm_launch *launch, const struct qemu_machine *machine,
			    enum vmm_transport *transport, struct error *err)
{
	*transport =
		launch->transport != VMM_TRANSPORT_DEFAULT ? launch->transport : machine->transport;
	if (*transport != VMM_TRANSPORT_DEFAULT || !list_has_ours(launch->list))
		return 0;
	error_set(
		err, VMCRED_USAGE,
		"no way is known by which OEM strings reach a guest of the machine type \"%s\" of "
		"%s",
		machine->type, launch->program);
	return error_hint(err, "--transport=smbios or --transport=fw_cfg says that there is one");
}

static int daemonize_check(void *data, const char *option, const char *value, struct error *err)
{
	(void)data;
	(void)value;
	if (strcmp(option, "daemonize") != 0)
		return 0;
	error_set(err, VMCRED_USAGE, "-daemonize takes QEMU away from a vmcred that stays");
	return error_hint(err, "leave -daemonize out, or --supervise, --notify and --stop-timeout");
}

static int qemu_check(const struct vmm_launch *launch, size_t *body, struct error *err)
{
	_cleanup_qemu_machine_ struct qemu_machine machine = {0};
	_cleanup_free_ char *why = NULL;
	enum vmm_transport transport = VMM_TRANSPORT_DEFAULT;
	int r = qemu_machine_read(launch->name, launch->argv, &machine, err);

	*body = 0;
	if (r == 0)
		r = transport_choose(launch, &machine, &transport, err);
	if (r == 0 && launch->parent == VMM_PARENT_STAYS)
		r = qemu_options_visit(launch->argv, daemonize_check, NULL, err);
	if (r == 0)
		r = fw_cfg_reason(launch, &machine, &why, err);
	for (size_t i = 0; i < launch->list->count && r == 0 && transport == VMM_TRANSPORT_FW_CFG;
	     i++) {
		if (launch->list->strings[i].origin != OEM_ARGUMENTS)
			r = fw_cfg_check(&launch->list->strings[i], why, err);
	}
	return r;
}

static int strings_hand_over(const struct vmm_launch *launch, struct qemu_strings *strings,
			     struct error *err)
{
	_cleanup_qemu_machine_ struct qemu_machine machine = {0};
	enum vmm_transport transport = VMM_TRANSPORT_DEFAULT;
	int r = qemu_machine_read(launch->name, launch->argv, &machine, err);

	if (r == 0)
		r = transport_choose(launch, &machine, &transport, err);
	return r == 0 ? qemu_strings_hand_over(strings, launch, transport, err) : r;
}

/* Becomes QEMU. */
static int qemu_exec(const struct vmm_launch *launch, const struct command *command,
		     const struct qemu_strings *strings, const struct notify *notify,
		     struct error *err)
{
	for (size_t i = 0; i < strings->count; i++) {
		if (fcntl(strings->fds[i], F_SETFD, 0) < 0)
			return error_set_errno(err, errno, "handing a descriptor over");
	}
	report_message(launch->report, REPORT_INFO, "executing %s with %zu arguments",
		       launch->program, command->count - 1);
	/* The pipes hold what QEMU needs; nothing is left for it to inherit. */
	oem_list_destroy(launch->list);
	notify_send(notify, "READY=1");
	execvp(launch->program, command->words);
	return command_exec_error(launch->program, errno, err);
}

struct supervised {
	struct child child;
	struct words words;
	int monitor;
};

static int guest_power_off(void *vmm, struct error *err)
{
	const struct supervised *supervised = vmm;

	return qmp_send(supervised->monitor, "system_powerdown", err);
}

static int vmm_quit(void *vmm, struct error *err)
{
	const struct supervised *supervised = vmm;

	return qmp_send(supervised->monitor, "quit", err);
}

static int user_note(void *data, const char *option, const char *value, struct error *err)
{
	bool *changes = data;

	(void)value;
	(void)err;
	if (strcmp(option, "runas") == 0 || strcmp(option, "run-with") == 0)
		*changes = true;
	return 0;
}

/* Starts QEMU with its strings and its end of the monitor, and waits for its first answer. */
static int qemu_start(struct supervised *supervised, const struct vmm_launch *launch,
		      struct command *command, struct qemu_strings *strings, struct error *err)
{
	_cleanup_close_ int error_fd = -1;
	struct child_command start = {.error_fd = -1};
	int theirs = -1;
	int r = qmp_create(&supervised->monitor, &theirs, err);

	if (r == 0)
		r = qemu_strings_keep(strings, theirs, err);
	if (r == 0)
		r = qmp_command_add(command, theirs, err);
	if (r == 0)
		r = qemu_options_visit(launch->argv, user_note, &start.changes_user, err);
	if (r == 0)
		r = words_create(&supervised->words, launch->list, launch->report, &error_fd, err);
	if (r < 0)
		return r;
	start.program = launch->program;
	start.argv = command->words;
	start.inherited = strings->fds;
	start.inherited_count = strings->count;
	start.error_fd = error_fd;
	r = child_start(&supervised->child, &start, err);
	if (r < 0)
		return r;
	report_message(launch->report, REPORT_INFO, "started %s as process %d", launch->program,
		       (int)supervised->child.pid);
	return 0;
}

/* Until QEMU answers what it says may repeat a string: only then the list is wiped. */
static int qemu_await(struct supervised *supervised, const struct vmm_launch *launch,
		      struct error *err)
{
	int r = qmp_await(supervised->monitor, &supervised->child, &supervised->words, err);

	if (r < 0)
		r = supervise_abandon(&supervised->child, &supervised->words, supervised->monitor,
				      err);
	else
		words_trust(&supervised->words);
	oem_list_destroy(launch->list);
	return r;
}

/* The machine runs: until its end. */
static int qemu_follow(struct supervised *supervised, const struct vmm_launch *launch,
		       struct notify *notify)
{
	const struct supervision supervision = {
		.child = &supervised->child,
		.words = &supervised->words,
		.notify = notify,
		.chatter = supervised->monitor,
		.stop_timeout_ms = launch->stop_timeout_ms,
		.report = launch->report,
		.power_off = guest_power_off,
		.quit = vmm_quit,
		.vmm = supervised,
	};

	report_message(launch->report, REPORT_INFO, "the VM is booted");
	notify_booted(notify);
	malloc_trim(0);
	return supervise(&supervision);
}

static int qemu_supervise(const struct vmm_launch *launch, struct command *command,
			  struct qemu_strings *strings, struct notify *notify, struct error *err)
{
	struct supervised supervised = {.child = CHILD_NONE, .words = WORDS_NONE, .monitor = -1};
	int r = qemu_start(&supervised, launch, command, strings, err);

	/* QEMU's from here; of the pipes we would be a second reader. */
	qemu_strings_destroy(strings);
	command_destroy(command);
	if (r == 0)
		r = qemu_await(&supervised, launch, err);
	if (r == 0)
		r = qemu_follow(&supervised, launch, notify);
	words_destroy(&supervised.words);
	cleanup_close_fd(&supervised.monitor);
	return r;
}

static int qemu_launch(struct vmm_launch *launch, struct notify *notify, struct error *err)
{
	_cleanup_command_ struct command command = {0};
	_cleanup_qemu_strings_ struct qemu_strings strings = {0};
	int r = command_add_all(&command, launch->argv, err);

	strings.command = &command;
	if (r == 0)
		r = strings_hand_over(launch, &strings, err);
	if (r < 0)
		return r;
	return launch->parent == VMM_PARENT_STAYS
		       ? qemu_supervise(launch, &command, &strings, notify, err)
		       : qemu_exec(launch, &command, &strings, notify, err);
}

const struct vmm_ops vmm_qemu = {
	.name = "QEMU",
	.programs = (const char *const[]){"qemu-system-*", "qemu-kvm", "kvm", NULL},
	.arguments_read = qemu_arguments_read,
	.check = qemu_check,
	.vsock_find = qemu_vsock_find,
	.launch = qemu_launch,
};

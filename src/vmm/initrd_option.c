/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hypervisors that have no OEM strings, or only on their command line, and an option that names the
 * initrd: crosvm, kvmtool, alioth, StratoVirt. That option's value becomes a memory file with the
 * credentials; all else is unchanged. They open it once, by its path, and may do so again when the
 * guest restarts, so it is sealed and stays.
 *
 * None of them reports that its VM is booted, or powers its guest off on request in the same way,
 * so a supervised one is ready when it has started, and SIGTERM ends it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "initrd/initrd.h"
#include "vmm/driver.h"
#include "vmm/supervise.h"

/* The argument with the path, which may be part of the option, as in --initrd=PATH. */
struct initrd_option {
	size_t argument; /* its index in argv; 0: there is none */
	size_t skipped;  /* bytes before the path */
	bool is_repeated;
	const struct option_row *conflict; /* what keeps the initrd from the guest, or NULL */
};

enum option_kind {
	OPTION_INITRD,
	OPTION_FIRMWARE, /* it boots without the initrd */
	OPTION_RESTORE,  /* the guest's memory is that of a snapshot */
};

/* The options that matter: src/crosvm/cmdline.rs; builtin-run.c; alioth-cli/src/boot/boot.rs;
 * machine_manager/src/cmdline.rs. */
static const struct option_row {
	const struct vmm_ops *ops;
	const char *spelling;
	enum option_kind kind;
} option_rows[] = {
	{&vmm_crosvm, "--initrd", OPTION_INITRD},
	{&vmm_crosvm, "-i", OPTION_INITRD},
	{&vmm_crosvm, "--bios", OPTION_FIRMWARE},
	{&vmm_crosvm, "--restore", OPTION_RESTORE},
	{&vmm_kvmtool, "--initrd", OPTION_INITRD},
	{&vmm_kvmtool, "-i", OPTION_INITRD},
	{&vmm_kvmtool, "--firmware", OPTION_FIRMWARE},
	{&vmm_kvmtool, "-f", OPTION_FIRMWARE},
	{&vmm_alioth, "--initramfs", OPTION_INITRD},
	{&vmm_alioth, "-i", OPTION_INITRD},
	{&vmm_stratovirt, "-initrd", OPTION_INITRD},
	{&vmm_stratovirt, "-incoming", OPTION_RESTORE},
};

/* Bytes of the argument before the path if it has a path: "--initrd=PATH", "-iPATH". */
static size_t path_start(const char *argument, const char *spelling)
{
	size_t length = strlen(spelling);

	if (strncmp(argument, spelling, length) != 0 || !argument[length])
		return 0;
	if (argument[length] == '=')
		return length + 1;
	return length == strlen("-i") ? length : 0;
}

static void option_found(struct initrd_option *option, const struct option_row *row,
			 size_t argument, size_t skipped)
{
	if (row->kind != OPTION_INITRD) {
		option->conflict = row;
		return;
	}
	option->is_repeated = option->argument > 0;
	option->argument = argument;
	option->skipped = skipped;
}

static int initrd_option_prepare(struct vmm_launch *launch, struct error *err)
{
	struct initrd_option *option = calloc(1, sizeof(*option));

	if (!option)
		return error_no_memory(err);
	launch->prepared = option;
	launch->vsock.is_vhost = true;
	for (size_t i = 1; launch->argv[i] && strcmp(launch->argv[i], "--") != 0; i++) {
		for (size_t j = 0; j < sizeof(option_rows) / sizeof(option_rows[0]); j++) {
			const struct option_row *row = &option_rows[j];
			size_t skipped = path_start(launch->argv[i], row->spelling);

			if (row->ops != launch->ops)
				continue;
			if (skipped > 0) {
				option_found(option, row, i, skipped);
				break;
			}
			if (strcmp(launch->argv[i], row->spelling) == 0 && launch->argv[i + 1]) {
				option_found(option, row, ++i, 0);
				break;
			}
		}
	}
	return 0;
}

static int conflict_refuse(const struct option_row *row, struct error *err)
{
	if (row->kind == OPTION_RESTORE) {
		error_set(err, VMCRED_USAGE,
			  "%s: a restored VM keeps the credentials with which it was booted and "
			  "accepts no others",
			  row->spelling);
		return error_hint(err, "deliver credentials to a VM that is booted");
	}
	error_set(err, VMCRED_USAGE,
		  "%s: credentials are delivered in the initrd, which firmware does not load",
		  row->spelling);
	return error_hint(err, "boot a kernel");
}

static int initrd_option_check(struct vmm_launch *launch, struct error *err)
{
	const struct initrd_option *option = launch->prepared;

	if (launch->guest_reports)
		return error_set(err, VMCRED_USAGE, "--notify is not supported");
	if (launch->expose & VMM_EXPOSE_ARGV)
		return error_set(err, VMCRED_USAGE, "--expose=argv is not supported");
	if (launch->transport != VMM_TRANSPORT_DEFAULT && launch->transport != VMM_TRANSPORT_INITRD)
		return error_set(err, VMCRED_USAGE, "--transport must be initrd");
	if (!vmm_has_strings(launch))
		return 0;
	if (option->conflict)
		return conflict_refuse(option->conflict, err);
	if (option->is_repeated)
		return error_set(err, VMCRED_USAGE, "the command line names two initrds");
	if (option->argument == 0) {
		error_set(err, VMCRED_USAGE,
			  "credentials are delivered in the initrd, and the command line has none");
		return error_hint(err, "add the option for it");
	}
	return initrd_check(&launch->list, err);
}

/* Replaces the path by that of a memory file. */
static int path_replace(const struct vmm_launch *launch, struct strings *argv,
			struct initrd *initrd, struct error *err)
{
	const struct initrd_option *option = launch->prepared;
	char **argument = &argv->items[option->argument];
	char *replaced;
	int r = initrd_create(*argument + option->skipped, &launch->list, initrd, err);

	if (r == 0)
		r = initrd_seal(initrd, err);
	if (r < 0)
		return error_wrap(err, "adding the credentials to the initrd");
	replaced = text_format("%.*s/dev/fd/%d", (int)option->skipped, *argument, initrd->fd);
	if (!replaced)
		return error_no_memory(err);
	free(*argument);
	*argument = replaced;
	return 0;
}

static int nothing_request(void *vmm, struct error *err)
{
	(void)vmm;
	return error_set(err, VMCRED_FAILED, "ending the VMM with SIGTERM");
}

static int vmm_supervise(struct vmm_launch *launch, const struct strings *argv,
			 struct initrd *initrd, struct notify *notify, struct error *err)
{
	struct child child = CHILD_NONE;
	struct stderr_relay output = STDERR_RELAY_NONE;
	struct child_command start = {
		.argv = argv->items,
		.inherited = &initrd->fd,
		.inherited_count = initrd->fd < 0 ? 0 : 1,
	};
	int r = vmm_child_start(launch, &start, &child, &output, err);

	initrd_destroy(initrd);
	if (r == 0) {
		/* It does not look into the initrd. */
		stderr_relay_trust(&output);
		oem_list_destroy(&launch->list);
		r = supervise(&(struct supervision){
			.child = &child,
			.output = &output,
			.notify = notify,
			.discard = -1,
			.stop_timeout_ms = launch->stop_timeout_ms,
			.report = launch->report,
			.power_off = nothing_request,
			.quit = nothing_request,
		});
	}
	stderr_relay_destroy(&output);
	return r;
}

static int initrd_option_start(struct vmm_launch *launch, struct notify *notify, struct error *err)
{
	_cleanup_strings_ struct strings argv = {0};
	_cleanup_initrd_ struct initrd initrd = INITRD_NONE;
	int r = strings_add_all(&argv, launch->argv, err);

	if (r == 0 && vmm_has_strings(launch))
		r = path_replace(launch, &argv, &initrd, err);
	if (r < 0)
		return r;
	if (launch->parent == VMM_PARENT_STAYS)
		return vmm_supervise(launch, &argv, &initrd, notify, err);
	if (initrd.fd >= 0 && fcntl(initrd.fd, F_SETFD, 0) < 0)
		return error_set_errno(err, errno, "passing a descriptor on");
	notify_exec(notify);
	return vmm_exec(launch, argv.items, err);
}

#define INITRD_OPTION_OPS                                                    \
	.transport = VMM_TRANSPORT_INITRD, .prepare = initrd_option_prepare, \
	.check = initrd_option_check, .start = initrd_option_start, .destroy = free

const struct vmm_ops vmm_crosvm = {
	.name = "crosvm",
	.programs = (const char *const[]){"crosvm", NULL},
	.launches = (const char *const[]){"run", NULL},
	INITRD_OPTION_OPS,
};

const struct vmm_ops vmm_kvmtool = {
	.name = "kvmtool",
	.programs = (const char *const[]){"lkvm", "kvmtool", NULL},
	.launches = (const char *const[]){"run", "sandbox", NULL},
	INITRD_OPTION_OPS,
};

const struct vmm_ops vmm_alioth = {
	.name = "alioth",
	.programs = (const char *const[]){"alioth", NULL},
	.launches = (const char *const[]){"boot", "run", NULL},
	INITRD_OPTION_OPS,
};

const struct vmm_ops vmm_stratovirt = {
	.name = "StratoVirt",
	.programs = (const char *const[]){"stratovirt", NULL},
	INITRD_OPTION_OPS,
};

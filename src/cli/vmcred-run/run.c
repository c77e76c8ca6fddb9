/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/journal.h"
#include "cli/vmcred-run/commands.h"

/* "argv", "log", or both separated by ','. */
static int expose_parse(const char *list, unsigned int *expose, struct error *err)
{
	for (const char *item = list; item && *item; item += strspn(item, ",")) {
		size_t length = strcspn(item, ",");

		if (length == 4 && strncmp(item, "argv", length) == 0) {
			*expose |= VMM_EXPOSE_ARGV;
		} else if (length == 3 && strncmp(item, "log", length) == 0) {
			*expose |= VMM_EXPOSE_LOG;
		} else {
			error_set(err, VMCRED_USAGE, "unknown --expose \"%s\"", list);
			return error_hint(err, "use argv, log or argv,log");
		}
		item += length;
	}
	return 0;
}

/* Seconds without a sign; more than a day is a mistake. */
static int stop_timeout_parse(const char *text, int *timeout_ms, struct error *err)
{
	enum {
		DAY_SECONDS = 24 * 60 * 60
	};
	char *end = NULL;
	unsigned long seconds = *text >= '0' && *text <= '9' ? strtoul(text, &end, 10) : 0;

	if (!end || *end || seconds > DAY_SECONDS)
		return error_set(err, VMCRED_USAGE,
				 "--stop-timeout \"%s\" must be a number of seconds from 0 to %d",
				 text, DAY_SECONDS);
	*timeout_ms = (int)seconds * 1000;
	return 0;
}

static int ready_target_check(const char *target, struct error *err)
{
	return config_is_unit(target, ".target")
		       ? 0
		       : error_set(err, VMCRED_USAGE,
				   "--ready-target \"%s\" must be the name of a .target unit",
				   target);
}

/* A declared target does what --ready-target does. */
static int ready_target_declared(struct vmm_launch *launch, const char *target, char **copy,
				 struct error *err)
{
	if (!target || launch->ready_target)
		return 0;
	if (launch->parent == VMM_PARENT_EXEC)
		return error_set(err, VMCRED_USAGE, "--exec cannot be combined with readyTarget");
	*copy = strdup(target);
	if (!*copy)
		return error_no_memory(err);
	launch->parent = VMM_PARENT_STAYS;
	launch->guest_reports = true;
	launch->ready_target = *copy;
	return 0;
}

static int transport_parse(const char *text, enum vmm_transport *transport, struct error *err)
{
	if (strcmp(text, "smbios") == 0)
		*transport = VMM_TRANSPORT_SMBIOS;
	else if (strcmp(text, "fw_cfg") == 0)
		*transport = VMM_TRANSPORT_FW_CFG;
	else if (strcmp(text, "initrd") == 0)
		*transport = VMM_TRANSPORT_INITRD;
	else {
		error_set(err, VMCRED_USAGE, "unknown --transport \"%s\"", text);
		return error_hint(err, "use smbios, fw_cfg or initrd");
	}
	return 0;
}

/* A descriptor of ours must not replace a closed standard one: programs would write to it. */
static int standard_descriptors_open(struct error *err)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd < 0)
		return error_set_errno(err, errno, "opening /dev/null");
	close(fd);
	return 0;
}

int launch_declaration_read(const char *path, unsigned int flags, struct config *config,
			    struct error *err)
{
	_cleanup_error_ struct error ignored = {0};
	int r = config_load_file_as(path, flags, config, err);

	/* A VM can be tried on a host that is not declared. */
	if (r == 0)
		(void)config_vms_choose(config, NULL, &ignored);
	return r;
}

int launch_declaration_load(struct cli *cli, struct config *config, struct error *err)
{
	_cleanup_free_ char *path = NULL;
	int r = cli_harden(cli, err);

	if (r == 0 && !cli->config)
		r = config_load_entry(getenv("CREDENTIALS_DIRECTORY"), config, err);
	if (r != 0)
		return r < 0 ? r : 0;
	r = config_find(cli->config, &path, NULL, err);
	return r < 0 ? r : launch_declaration_read(path, cli->load, config, err);
}

/* Which credentials the hypervisor gets, for the audit log of the VM's unit. */
static void launch_log(const struct vmm_launch *launch, const char *vm)
{
	_cleanup_free_ char *text = NULL, *line = NULL;
	size_t size, count = 0;
	FILE *stream = cli_journal_is_stderr() ? open_memstream(&text, &size) : NULL;

	if (!stream)
		return;
	fprintf(stream, "VMCRED_VM=%s\n", vm);
	for (size_t i = 0; i < launch->list.count; i++) {
		if (!launch->list.strings[i].name)
			continue;
		fprintf(stream, "VMCRED_CREDENTIAL=%s\n", launch->list.strings[i].name);
		count++;
	}
	if (fclose(stream) == 0)
		line = text_format("starting %s for the VM %s with %zu credential%s",
				   launch->program, vm, count, count == 1 ? "" : "s");
	if (line)
		(void)cli_journal_send(&(struct cli_journal_entry){
			.event = CLI_JOURNAL_LAUNCHED,
			.level = REPORT_INFO,
			.line = line,
			.result = "starting",
			.more = text,
		});
}

int run_vm(struct config *config, const char *name, char *const *argv, const char *credentials,
	   struct vmm_launch *launch, struct error *err)
{
	const struct config_vm *vm = config_vm_get(config, name, err);
	_cleanup_strings_ struct strings command = {0};
	_cleanup_free_ char *ready_target = NULL;
	int r;

	if (!vm)
		return -(int)err->code;
	r = standard_descriptors_open(err);
	if (r < 0)
		return r;
	if (!argv[0])
		argv = vm->command;
	if (!argv || !argv[0]) {
		error_set(err, VMCRED_USAGE, "no command for %s", name);
		return error_hint(err, "give it after --, or declare vms.%s.command", name);
	}
	/* Copies, because they may belong to the declaration. */
	r = strings_add_all(&command, argv, err);
	if (r == 0)
		r = ready_target_declared(launch, vm->ready_target, &ready_target, err);
	if (r < 0)
		return r;
	launch->argv = command.items;
	if (!launch->program && vmm_is_known(argv[0]) && hypervisor_is_query(argv))
		return hypervisor_exec(argv[0], argv, err);
	launch->vm_config = vm->vm_config;
	if (!launch->program)
		launch->program = launch->argv[0];
	if (!launch->name)
		launch->name = launch->program;
	r = vmm_prepare(launch, err);
	if (r == 0)
		r = oem_list_compose(&launch->list, vm, credentials, launch->report, err);
	if (r == 0)
		launch_log(launch, vm->name);
	/* It may be large, and is not needed while the VM runs. */
	config_destroy(config);
	if (r == 0)
		r = vmm_run(launch, err);
	vmm_launch_destroy(launch);
	return r;
}

int command_run(struct cli *cli, int argc, char **argv, struct error *err)
{
	const char *credentials = getenv("CREDENTIALS_DIRECTORY");
	const char *expose = NULL, *stop_timeout = NULL, *transport = NULL;
	bool exec = false, supervise = false;
	struct vmm_launch launch = {.stop_timeout_ms = VMM_STOP_TIMEOUT_MS, .report = &cli->report};
	const struct cli_option options[] = {
		{"credentials", "DIR",
		 "directory of the credentials (default: $CREDENTIALS_DIRECTORY)", &credentials},
		{"exec", NULL, "replace vmcred with the hypervisor (default for QEMU and vmspawn)",
		 &exec},
		{"expose", "argv|log",
		 "allow OEM strings to be visible in: argv, log, or both (argv,log)", &expose},
		{"notify", NULL, "relay the guest's sd_notify messages to $NOTIFY_SOCKET",
		 &launch.guest_reports},
		{"ready-target", "TARGET",
		 "with --notify, the guest is ready when it reaches this target,\n"
		 "                         too (default: multi-user.target)",
		 &launch.ready_target},
		{"stop-timeout", "SECONDS",
		 "time for the guest to power off on SIGTERM (default: 60)", &stop_timeout},
		{"supervise", NULL, "stay as the hypervisor's parent (default for the others)",
		 &supervise},
		{"transport", "smbios|fw_cfg|initrd",
		 "the way for credentials (default: by hypervisor and machine type)", &transport},
		{"vsock-socket", "FILE", "QEMU: the socket of its vhost-user-vsock daemon",
		 &launch.vsock_socket},
		{0},
	};
	const struct cli_usage usage = {
		.command = "run",
		.arguments = "VM [-- PROGRAM ARGUMENT...]",
		.about = "Start the hypervisor of a declared VM with its credentials. The command "
			 "line is\n"
			 "the declared one or the one after --; credentials are passed where no "
			 "other\n"
			 "user can see them. The exit code is the hypervisor's.",
		.options = options,
		.arguments_min = 1,
		.arguments_max = -1,
	};
	_cleanup_config_ struct config config = {0};
	const char *stays;
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r == CLI_HELPED ? 0 : r;
	stays = supervise              ? "--supervise"
		: launch.guest_reports ? "--notify"
		: launch.ready_target  ? "--ready-target"
		: stop_timeout         ? "--stop-timeout"
				       : NULL;
	if (exec && stays)
		return error_set(err, VMCRED_USAGE, "--exec cannot be combined with %s", stays);
	launch.parent = exec ? VMM_PARENT_EXEC : stays ? VMM_PARENT_STAYS : VMM_PARENT_DEFAULT;
	launch.guest_reports = launch.guest_reports || launch.ready_target;
	r = expose_parse(expose, &launch.expose, err);
	if (r == 0 && launch.ready_target)
		r = ready_target_check(launch.ready_target, err);
	if (r == 0 && stop_timeout)
		r = stop_timeout_parse(stop_timeout, &launch.stop_timeout_ms, err);
	if (r == 0 && transport)
		r = transport_parse(transport, &launch.transport, err);
	cli->load = CONFIG_LENIENT;
	if (r == 0)
		r = launch_declaration_load(cli, &config, err);
	return r < 0 ? r
		     : run_vm(&config, argv[first], argv + first + 1, credentials, &launch, err);
}

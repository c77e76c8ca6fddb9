/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/journal.h"
#include "cli/vmcred-run/commands.h"

/* Whether a value is given or declared, and not a switch that is off. */
static bool is_set(const char *const values[], enum config_launch_option option)
{
	return values[option] && strcmp(values[option], "false") != 0;
}

static int both_reject(const struct config_vm *vm, const char *const values[],
		       enum config_launch_option one, enum config_launch_option other,
		       struct error *err)
{
	const struct config_launch_row *rows = config_launch_rows;
	const bool one_is_key = values[one] == vm->launch[one];
	const bool other_is_key = values[other] == vm->launch[other];

	return error_set(err, VMCRED_USAGE, "%s%s cannot be combined with %s%s",
			 one_is_key ? "" : "--", one_is_key ? rows[one].key : rows[one].option,
			 other_is_key ? "" : "--",
			 other_is_key ? rows[other].key : rows[other].option);
}

int launch_options_apply(struct vmm_launch *launch, const struct config_vm *vm,
			 const char *const *given, struct error *err)
{
	static const enum config_launch_option staying[] = {
		CONFIG_LAUNCH_SUPERVISE, CONFIG_LAUNCH_NOTIFY, CONFIG_LAUNCH_READY_TARGET,
		CONFIG_LAUNCH_STOP_TIMEOUT, CONFIG_LAUNCH_REQUIRE_DELIVERY};
	const char *values[CONFIG_LAUNCH_OPTIONS];
	const char *value;
	size_t stays = 0;

	for (size_t i = 0; i < CONFIG_LAUNCH_OPTIONS; i++)
		values[i] = given && given[i] ? given[i] : vm->launch[i];
	while (stays < sizeof(staying) / sizeof(staying[0]) && !is_set(values, staying[stays]))
		stays++;
	if (stays < sizeof(staying) / sizeof(staying[0]))
		launch->parent = VMM_PARENT_STAYS;
	if (is_set(values, CONFIG_LAUNCH_EXEC)) {
		if (launch->parent == VMM_PARENT_STAYS)
			return both_reject(vm, values, CONFIG_LAUNCH_EXEC, staying[stays], err);
		launch->parent = VMM_PARENT_EXEC;
	}
	launch->guest_reports =
		is_set(values, CONFIG_LAUNCH_NOTIFY) || values[CONFIG_LAUNCH_READY_TARGET];
	launch->requires_delivery = is_set(values, CONFIG_LAUNCH_REQUIRE_DELIVERY);
	value = values[CONFIG_LAUNCH_EXPOSE];
	if (value)
		launch->expose = config_launch_words(CONFIG_LAUNCH_EXPOSE, value);
	value = values[CONFIG_LAUNCH_STOP_TIMEOUT];
	if (value)
		launch->stop_timeout_ms = (int)strtoul(value, NULL, 10) * 1000;
	launch->transport = vmm_transport_named(values[CONFIG_LAUNCH_TRANSPORT]);
	launch->ready_target = values[CONFIG_LAUNCH_READY_TARGET];
	launch->vsock_socket = values[CONFIG_LAUNCH_VSOCK_SOCKET];
	launch->vm_config = vm->vm_config;
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

/* A copy of a text that may belong to the declaration, or NULL. */
static int text_keep(const char **text, char **copy, struct error *err)
{
	if (!*text)
		return 0;
	*text = *copy = strdup(*text);
	return *copy ? 0 : error_no_memory(err);
}

/* How long a message waits for a standard error that nobody reads. */
#define REPORT_TIMEOUT_MS 1000

/* The VM must be stopped in time, also if nobody reads its messages any more. */
static void line_when_ready(const struct report *report, enum report_level level, const char *text)
{
	const struct report *reporter = report->data;
	struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};

	if (poll(&ready, 1, REPORT_TIMEOUT_MS) > 0)
		reporter->line(reporter, level, text);
}

struct report launch_report(struct report *reporter)
{
	return (struct report){.level = reporter->level, .line = line_when_ready, .data = reporter};
}

int run_vm(struct config *config, const char *name, char *const *argv, const char *credentials,
	   const char *const *given, struct vmm_launch *launch, struct error *err)
{
	const struct config_vm *vm = config_vm_get(config, name, err);
	_cleanup_strings_ struct strings command = {0};
	_cleanup_free_ char *ready_target = NULL, *vsock_socket = NULL;
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
	r = strings_add_all(&command, argv, err);
	if (r == 0)
		r = launch_options_apply(launch, vm, given, err);
	if (r == 0)
		r = text_keep(&launch->ready_target, &ready_target, err);
	if (r == 0)
		r = text_keep(&launch->vsock_socket, &vsock_socket, err);
	if (r < 0)
		return r;
	launch->argv = command.items;
	if (!launch->program && vmm_is_known(argv[0]) && !vmm_starts_vm(argv[0], argv))
		return hypervisor_exec(argv[0], argv, err);
	if (!launch->program)
		launch->program = launch->argv[0];
	if (!launch->name)
		launch->name = launch->program;
	launch->credentials = credentials;
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

/* Adds the table's options to those of the command. */
static void options_add(struct cli_option options[], bool switches[], const char *given[])
{
	for (size_t i = 0; i < CONFIG_LAUNCH_OPTIONS; i++) {
		const struct config_launch_row *row = &config_launch_rows[i];

		options[i] = (struct cli_option){row->option, row->argument, row->help, &given[i]};
		if (row->form == CONFIG_LAUNCH_SWITCH)
			options[i].target = &switches[i];
	}
}

int command_run(struct cli *cli, int argc, char **argv, struct error *err)
{
	const char *credentials = getenv("CREDENTIALS_DIRECTORY");
	const char *given[CONFIG_LAUNCH_OPTIONS] = {NULL};
	bool switches[CONFIG_LAUNCH_OPTIONS] = {false};
	struct report report;
	struct vmm_launch launch = {.stop_timeout_ms = VMM_STOP_TIMEOUT_MS, .report = &report};
	struct cli_option options[1 + CONFIG_LAUNCH_OPTIONS + 1] = {
		{"credentials", "DIRECTORY",
		 "directory of the credentials (default: $CREDENTIALS_DIRECTORY)", &credentials},
	};
	const struct cli_usage usage = {
		.command = "run",
		.examples = "  vmcred run web-vm\n"
			    "  vmcred run web-vm -- qemu-system-x86_64 -m 512 -kernel vmlinuz\n",
		.arguments = "VM [-- PROGRAM ARGUMENT...]",
		.about = "Start the hypervisor of a declared VM with its credentials. The command "
			 "line is the declared one or the one after --; credentials are passed "
			 "where no other user can see them. The exit code is the hypervisor's.",
		.options = options,
		.arguments_min = 1,
		.arguments_max = -1,
	};
	_cleanup_config_ struct config config = {0};
	int first, r;

	options_add(options + 1, switches, given);
	r = cli_parse(cli, &usage, argc, argv, &first, err);
	if (r != 0)
		return r == CLI_HELPED ? 0 : r;
	report = launch_report(&cli->report);
	for (size_t i = 0; r == 0 && i < CONFIG_LAUNCH_OPTIONS; i++) {
		if (switches[i])
			given[i] = "true";
		if (given[i] &&
		    config_launch_check((enum config_launch_option)i, given[i], err) < 0)
			r = error_wrap(err, "--%s", config_launch_rows[i].option);
	}
	cli->load = CONFIG_LENIENT;
	if (r == 0)
		r = launch_declaration_load(cli, &config, err);
	return r < 0 ? r
		     : run_vm(&config, argv[first], argv + first + 1, credentials, given, &launch,
			      err);
}

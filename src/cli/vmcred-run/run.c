/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/harden.h"
#include "cli/vmcred-run/commands.h"
#include "cli/vmcred-run/run.h"
#include "vmm/vmm.h"

static const struct {
	const char *word;
	enum vmm_expose expose;
} exposures[] = {
	{"argv", VMM_EXPOSE_ARGV},
	{"log", VMM_EXPOSE_LOG},
};

#define EXPOSURE_COUNT (sizeof(exposures) / sizeof(exposures[0]))

/* One word, or several with ',' between them. */
static int expose_parse(const char *words, unsigned int *expose, struct error *err)
{
	for (const char *word = words; word && *word; word += strspn(word, ",")) {
		size_t length = strcspn(word, ","), i = 0;

		while (i < EXPOSURE_COUNT && (strlen(exposures[i].word) != length ||
					      strncmp(exposures[i].word, word, length) != 0))
			i++;
		if (i == EXPOSURE_COUNT) {
			error_set(err, VMCRED_USAGE, "--expose=%s is not known", words);
			return error_hint(err, "it can be argv or log");
		}
		*expose |= exposures[i].expose;
		word += length;
	}
	return 0;
}

static void words_free(char ***words)
{
	for (char **word = *words; word && *word; word++)
		free(*word);
	free(*words);
}

#define _cleanup_words_free_ __attribute__((cleanup(words_free)))

/* The VMM's argv, copied: the words behind the VM's name, or the declaration's. */
static int command_choose(const struct config_vm *vm, char *const *words, char ***argv,
			  struct error *err)
{
	char *const *from = words[0] ? words : vm->command;
	size_t count = 0;

	if (!from || !from[0]) {
		error_set(err, VMCRED_USAGE, "%s has no command to run", vm->name);
		return error_hint(err, "give it behind --, or declare vms.%s.command", vm->name);
	}
	while (from[count])
		count++;
	*argv = calloc(count + 1, sizeof(**argv));
	for (size_t i = 0; *argv && i < count; i++) {
		(*argv)[i] = strdup(from[i]);
		if (!(*argv)[i])
			return error_no_memory(err);
	}
	return *argv ? 0 : error_no_memory(err);
}

/* What run's options say. */
struct run_options {
	const char *credentials;
	const char *expose;
	const char *stop_timeout;
	const char *transport;
	const char *vsock_socket;
	bool exec, supervise, notify;
};

/* Seconds, without a sign; more than a day is a mistake. */
static int stop_timeout_parse(const char *word, int *timeout_ms, struct error *err)
{
	enum {
		DAY_SECONDS = 24 * 60 * 60
	};
	char *end = NULL;
	unsigned long seconds = VMM_STOP_TIMEOUT_MS / 1000;

	if (word) {
		seconds = *word >= '0' && *word <= '9' ? strtoul(word, &end, 10) : DAY_SECONDS + 1;
		if (seconds > DAY_SECONDS || (end && *end))
			return error_set(err, VMCRED_USAGE,
					 "--stop-timeout takes seconds, 0 to %d, and not \"%s\"",
					 DAY_SECONDS, word);
	}
	*timeout_ms = (int)seconds * 1000;
	return 0;
}

static int transport_parse(const char *word, enum vmm_transport *transport, struct error *err)
{
	if (!word)
		*transport = VMM_TRANSPORT_DEFAULT;
	else if (strcmp(word, "smbios") == 0)
		*transport = VMM_TRANSPORT_SMBIOS;
	else if (strcmp(word, "fw_cfg") == 0)
		*transport = VMM_TRANSPORT_FW_CFG;
	else {
		error_set(err, VMCRED_USAGE, "--transport=%s is not known", word);
		return error_hint(err, "it can be smbios or fw_cfg");
	}
	return 0;
}

/* Words that say what becomes of this process must not contradict each other. */
static int parent_choose(const struct run_options *options, enum vmm_parent *parent,
			 struct error *err)
{
	const char *other = options->supervise      ? "--supervise"
			    : options->notify       ? "--notify"
			    : options->stop_timeout ? "--stop-timeout"
						    : NULL;

	if (options->exec && other) {
		error_set(err, VMCRED_USAGE, "--exec and %s exclude each other", other);
		return error_hint(err, "with --exec no vmcred is left that could do it");
	}
	*parent = options->exec ? VMM_PARENT_EXEC : other ? VMM_PARENT_STAYS : VMM_PARENT_DEFAULT;
	return 0;
}

static int options_apply(const struct run_options *options, struct vmm_launch *launch,
			 struct error *err)
{
	int r = expose_parse(options->expose, &launch->expose, err);

	if (r == 0)
		r = stop_timeout_parse(options->stop_timeout, &launch->stop_timeout_ms, err);
	if (r == 0)
		r = transport_parse(options->transport, &launch->transport, err);
	if (r == 0)
		r = parent_choose(options, &launch->parent, err);
	launch->guest_reports = options->notify;
	launch->vsock_socket = options->vsock_socket;
	return r;
}

/* A descriptor of ours that took the place of a closed one would be written to as such. */
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

/* The list by the declaration, which is not needed once the VMM runs: `*argv` is a copy. */
static int target_compose(struct cli *cli, const struct config *config,
			  const struct run_target *target, char ***argv, struct vmm_launch *launch,
			  const struct vmm_ops **ops, struct error *err)
{
	const struct config_vm *vm = config_vm_get(config, target->vm, err);
	int r;

	if (!vm)
		return -(int)err->code;
	r = command_choose(vm, target->argv, argv, err);
	if (r < 0 || !*argv)
		return r;
	launch->argv = *argv;
	launch->program = target->program ? target->program : (*argv)[0];
	launch->name = target->hypervisor ? target->hypervisor : launch->program;
	*ops = vmm_find(launch->name, err);
	if (!*ops)
		return -(int)err->code;
	r = vmm_arguments_read(*ops, *argv, launch->list, &cli->report, err);
	return r < 0 ? r
		     : oem_list_compose(launch->list, vm, target->credentials, &cli->report, err);
}

/* Starts it; `options` has what run's options say. */
static int target_start(struct cli *cli, struct config *config, const struct run_target *target,
			const struct vmm_launch *options, struct error *err)
{
	_cleanup_oem_list_ struct oem_list list = {0};
	_cleanup_words_free_ char **argv = NULL;
	struct vmm_launch launch = *options;
	const struct vmm_ops *ops = NULL;
	int r;

	launch.list = &list;
	launch.report = &cli->report;
	r = target_compose(cli, config, target, &argv, &launch, &ops, err);
	config_destroy(config);
	return r < 0 || !ops ? r : vmm_run(ops, &launch, err);
}

int run_target_start(struct cli *cli, struct config *config, const struct run_target *target,
		     struct error *err)
{
	struct vmm_launch launch = {.stop_timeout_ms = VMM_STOP_TIMEOUT_MS};
	int r = process_harden(CLI_LOCK_BYTES, &cli->report, err);

	if (r == 0)
		r = standard_descriptors_open(err);
	return r < 0 ? r : target_start(cli, config, target, &launch, err);
}

int command_run(struct cli *cli, int argc, char **argv, struct error *err)
{
	struct run_options chosen = {.credentials = getenv("CREDENTIALS_DIRECTORY")};
	const struct cli_option options[] = {
		{"credentials", "DIR",
		 "the folder of credentials (default: $CREDENTIALS_DIRECTORY)",
		 &chosen.credentials},
		{"exec", NULL, "become the hypervisor (QEMU: the default)", &chosen.exec},
		{"expose", "WHERE",
		 "let OEM strings be seen: argv, log, or both with a comma between them",
		 &chosen.expose},
		{"notify", NULL, "relay the guest's sd_notify messages to $NOTIFY_SOCKET",
		 &chosen.notify},
		{"stop-timeout", "SECONDS",
		 "what the guest may take to power off when vmcred is to end (60)",
		 &chosen.stop_timeout},
		{"supervise", NULL,
		 "stay as the hypervisor's parent (Cloud Hypervisor: the default)",
		 &chosen.supervise},
		{"transport", "WAY", "QEMU: smbios or fw_cfg (default: what the machine has)",
		 &chosen.transport},
		{"vsock-socket", "FILE", "QEMU: the socket of its vhost-user-vsock daemon",
		 &chosen.vsock_socket},
		{0},
	};
	const struct cli_usage usage = {
		.command = "run",
		.arguments = "VM [-- PROGRAM ARGUMENT...]",
		.about = "Start the hypervisor of a declared VM with its credentials. The command "
			 "line is\n"
			 "the declaration's, or what stands behind --; the credentials are added "
			 "to it out\n"
			 "of everybody's sight. The exit code is the hypervisor's.",
		.options = options,
		.arguments_min = 1,
		.arguments_max = -1,
	};
	_cleanup_config_ struct config config = {0};
	struct run_target target = {0};
	struct vmm_launch launch = {0};
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r == CLI_HELPED ? 0 : r;
	target.vm = argv[first];
	target.argv = argv + first + 1;
	target.credentials = chosen.credentials;
	r = options_apply(&chosen, &launch, err);
	if (r == 0)
		r = standard_descriptors_open(err);
	if (r == 0)
		r = cli_start(cli, &config, NULL, err);
	return r < 0 ? r : target_start(cli, &config, &target, &launch, err);
}

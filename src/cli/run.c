/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/cli.h"
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

/* The VMM's argv: the words behind the VM's name, or the declaration's. */
static int command_choose(const struct config_vm *vm, char **words, char *const **argv,
			  struct error *err)
{
	*argv = words[0] ? words : vm->command;
	if (*argv && (*argv)[0])
		return 0;
	error_set(err, VMCRED_USAGE, "%s has no command to run", vm->name);
	return error_hint(err, "give it behind --, or declare vms.%s.command", vm->name);
}

static int vm_run(struct cli *cli, const struct config_vm *vm, char **words,
		  const char *credentials, unsigned int expose, struct error *err)
{
	_cleanup_oem_list_ struct oem_list list = {0};
	struct vmm_launch launch = {.list = &list, .expose = expose, .report = &cli->report};
	const struct vmm_ops *ops;
	int r = command_choose(vm, words, &launch.argv, err);

	if (r < 0)
		return r;
	ops = vmm_find(launch.argv, err);
	if (!ops)
		return -(int)err->code;
	r = vmm_arguments_read(ops, launch.argv, &list, &cli->report, err);
	if (r == 0)
		r = oem_list_compose(&list, vm, credentials, &cli->report, err);
	return r < 0 ? r : vmm_run(ops, &launch, err);
}

int command_run(struct cli *cli, int argc, char **argv, struct error *err)
{
	const char *credentials = getenv("CREDENTIALS_DIRECTORY"), *expose_word = NULL;
	const struct cli_option options[] = {
		{"credentials", "DIR",
		 "the folder of credentials (default: $CREDENTIALS_DIRECTORY)", &credentials},
		{"expose", "WHERE",
		 "let OEM strings be seen: argv, log, or both with a comma between them",
		 &expose_word},
		{0},
	};
	const struct cli_usage usage = {
		.command = "run",
		.words = "VM [-- PROGRAM ARGUMENT...]",
		.about = "Start the hypervisor of a declared VM with its credentials. The command "
			 "line is\n"
			 "the declaration's, or what stands behind --; the credentials are added "
			 "to it out\n"
			 "of everybody's sight. The exit code is the hypervisor's.",
		.options = options,
		.words_min = 1,
		.words_max = -1,
	};
	_cleanup_config_ struct config config = {0};
	unsigned int expose = VMM_EXPOSE_NOTHING;
	const struct config_vm *vm;
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r == CLI_HELPED ? 0 : r;
	r = expose_parse(expose_word, &expose, err);
	if (r == 0)
		r = cli_start(cli, &config, NULL, err);
	if (r < 0)
		return r;
	vm = config_vm_get(&config, argv[first], err);
	if (!vm)
		return -(int)err->code;
	return vm_run(cli, vm, argv + first + 1, credentials, expose, err);
}

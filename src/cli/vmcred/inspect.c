/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cli/vmcred/commands.h"
#include "config/config.h"
#include "inspect/inspect.h"

static void result_print_json(const struct inspect_result *result)
{
	_cleanup_json_ json_t *list = json_array();

	for (size_t i = 0; i < INSPECT_STAGE_COUNT; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s?}", "stage",
						      result->stages[i].name, "state",
						      inspect_state_name(result->stages[i].state),
						      "seen", result->stages[i].seen));
	cli_json_print(list);
}

static void result_print(const struct inspect_result *result)
{
	printf("#  %-9s %-8s %s\n", "STAGE", "STATE", "FINDING");
	for (size_t i = 0; i < INSPECT_STAGE_COUNT; i++)
		printf("%zu  %-9s %-8s %s\n", i + 1, result->stages[i].name,
		       inspect_state_name(result->stages[i].state),
		       result->stages[i].seen ? result->stages[i].seen : "out of memory");
}

int command_inspect(struct cli *cli, int argc, char **argv, struct error *err)
{
	struct inspect_options options = {0};
	const char *identity = NULL;
	const struct cli_option rows[] = {
		{"identity", "FILE", CLI_IDENTITY_HELP, &identity},
		{"machine", "MACHINE",
		 "whose secrets the VM gets (default: that of this host, the only one, its "
		 "`machine`, or the one with its name)",
		 &options.machine},
		{"proof", "FILE", "the guest's console log with its proofs", &options.proof},
		{"root", "DIRECTORY", "inspect the files below it", &options.root},
		{0},
	};
	const struct cli_usage usage = {
		.command = "inspect",
		.examples = "  vmcred inspect web-vm --proof console.log\n",
		.arguments = "VM",
		.about = "Show where a VM's secrets are, stage by stage, without their values. "
			 "Exit code 3 if something declared is missing; 4 if an old value is in "
			 "use, a document was changed, a secret is exposed, or a digest from the "
			 "guest does not match.",
		.options = rows,
		.has_json = true,
		.arguments_min = 1,
		.arguments_max = 1,
	};
	_cleanup_age_identities_ struct age_identities identities = {0};
	_cleanup_config_ struct config config = {0};
	__attribute__((cleanup(inspect_result_release))) struct inspect_result result = {0};
	_cleanup_close_ int store_dirfd = -1;
	const struct config_vm *vm;
	int first, r;

	r = cli_parse(cli, &usage, argc, argv, &first, err);
	if (r != 0)
		return r < 0 ? r : 0;
	options.vm = argv[first];
	cli->load = CONFIG_LENIENT;
	r = cli_start(cli, &config, &store_dirfd, err);
	vm = r == 0 ? config_vm_get(&config, options.vm, err) : NULL;
	if (!vm)
		return -(int)err->code;
	if (identity || config_vm_uses_store(vm))
		r = cli_identities_load(identity, &cli->report, &identities, err);
	if (r == 0)
		r = inspect_vm(&config, store_dirfd, &identities, &options, &result, err);
	if (r < 0)
		return r;
	if (cli->json)
		result_print_json(&result);
	else
		result_print(&result);
	switch (inspect_result_worst(&result)) {
	case INSPECT_WRONG:
		return error_set(err, VMCRED_INTEGRITY, "%s: integrity check failed", options.vm);
	case INSPECT_STALE:
		return error_set(err, VMCRED_INTEGRITY, "%s: an old value is in use", options.vm);
	case INSPECT_MISSING:
		return error_set(err, VMCRED_MISSING, "%s: something declared is missing",
				 options.vm);
	case INSPECT_SEEN:
	case INSPECT_UNSEEN:
		break;
	}
	return 0;
}

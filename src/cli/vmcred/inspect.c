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
	printf("#  %-9s %-8s %s\n", "STAGE", "STATE", "WHAT WAS SEEN");
	for (size_t i = 0; i < INSPECT_STAGE_COUNT; i++)
		printf("%zu  %-9s %-8s %s\n", i + 1, result->stages[i].name,
		       inspect_state_name(result->stages[i].state),
		       result->stages[i].seen ? result->stages[i].seen : "out of memory");
}

/* The findings as the command's own error, so that a script needs the exit code alone. */
static int result_code(const struct inspect_result *result, const char *vm, struct error *err)
{
	enum vmcred_code code = inspect_result_code(result);

	if (code == VMCRED_INTEGRITY)
		return error_set(err, code, "%s: a stage is wrong", vm);
	if (code == VMCRED_MISSING)
		return error_set(err, code, "%s: something declared is missing", vm);
	return 0;
}

int command_inspect(struct cli *cli, int argc, char **argv, struct error *err)
{
	struct inspect_options options = {0};
	const char *identity = NULL;
	const struct cli_option rows[] = {
		{"identity", "FILE", CLI_IDENTITY_HELP, &identity},
		{"machine", "NAME", "whose secrets the VM gets (default: the machine of its name)",
		 &options.machine},
		{"proof", "FILE", "the guest's console, with its proof lines", &options.proof},
		{"root", "DIR", "look below DIR", &options.root},
		{0},
	};
	const struct cli_usage usage = {
		.command = "inspect",
		.arguments = "VM",
		.about = "Show for each stage what of a VM's secrets is there, and never a value. "
			 "Exit code 3 if\n"
			 "something declared is missing, 4 if a document was changed, a value is "
			 "in view, or a\n"
			 "digest that the guest printed is not that of a credential.",
		.options = rows,
		.has_json = true,
		.arguments_min = 1,
		.arguments_max = 1,
	};
	_cleanup_age_identities_ struct age_identities identities = {0};
	_cleanup_config_ struct config config = {0};
	__attribute__((cleanup(inspect_result_release))) struct inspect_result result = {0};
	_cleanup_close_ int store_dirfd = -1;
	int first, r;

	r = cli_parse(cli, &usage, argc, argv, &first, err);
	if (r != 0)
		return r < 0 ? r : 0;
	options.vm = argv[first];
	r = cli_start(cli, &config, &store_dirfd, err);
	if (r == 0)
		r = cli_identities_load(identity, &identities, err);
	if (r == 0)
		r = inspect_vm(&config, store_dirfd, &identities, &options, &result, err);
	if (r < 0)
		return r;
	if (cli->json)
		result_print_json(&result);
	else
		result_print(&result);
	return result_code(&result, options.vm, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "activate/activate.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/identity.h"
#include "config/config.h"

static json_t *units_json(char *const *units)
{
	json_t *list = json_array();

	for (; units && *units; units++)
		json_array_append_new(list, json_string(*units));
	return list;
}

static void result_print(const struct cli *cli, const struct activate_result *result)
{
	if (cli->json) {
		_cleanup_json_ json_t *object = json_pack(
			"{s:b, s:i, s:i, s:o, s:o}", "changed", result->changed, "generation",
			(int)result->generation, "secrets", (int)result->secret_count,
			"restartUnits", units_json(result->restart_units), "reloadUnits",
			units_json(result->reload_units));

		json_dumpf(object, stdout, JSON_INDENT(2));
		printf("\n");
		return;
	}
	printf("%zu secrets in generation %u%s\n", result->secret_count, result->generation,
	       result->changed ? "" : ", unchanged");
	for (char **unit = result->restart_units; unit && *unit; unit++)
		printf("to restart: %s\n", *unit);
	for (char **unit = result->reload_units; unit && *unit; unit++)
		printf("to reload: %s\n", *unit);
}

int command_activate(struct cli *cli, int argc, char **argv, struct error *err)
{
	struct activate_options options = {0};
	const char *identity = NULL;
	const struct cli_option rows[] = {
		{"machine", "NAME", "whose secrets (default: the only machine declared)",
		 &options.machine},
		{"identity", "FILE", CLI_IDENTITY_HELP, &identity},
		{"root", "DIR", "write below DIR, which must be on a memory file system",
		 &options.root},
		{0},
	};
	const struct cli_usage usage = {
		.command = "activate",
		.words = "",
		.about = "Decrypt a machine's secrets to " CONFIG_SECRETS_LINK
			 ", on a memory file system, as a new\n"
			 "generation that replaces the old one in one step. Unchanged secrets stay "
			 "as they are.",
		.options = rows,
		.has_json = true,
	};
	_cleanup_age_identities_ struct age_identities identities = {0};
	_cleanup_config_ struct config config = {0};
	__attribute__((cleanup(activate_result_release))) struct activate_result result = {0};
	_cleanup_close_ int store_dirfd = -1;
	int first, r;

	r = cli_parse(cli, &usage, argc, argv, &first, err);
	if (r != 0)
		return r < 0 ? r : 0;
	r = cli_start(cli, &config, &store_dirfd, err);
	if (r < 0)
		return r;
	if (!options.machine && config.machine_count == 1)
		options.machine = config.machines[0].name;
	if (!options.machine) {
		error_set(err, VMCRED_USAGE, "%s declares %zu machines", config.path,
			  config.machine_count);
		return error_hint(err, "say which with --machine NAME");
	}
	r = cli_identities_load(identity, &identities, err);
	if (r == 0)
		r = activate_machine(&config, store_dirfd, &identities, &options, &cli->report,
				     &result, err);
	if (r == 0)
		result_print(cli, &result);
	return r;
}

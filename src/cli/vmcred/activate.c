/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "activate/activate.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/pool.h"
#include "cli/vmcred/commands.h"
#include "config/config.h"

/* Lists the units that are pending. */
static int units_list(struct activate_result *result, struct error *err)
{
	const struct activation_record *record = &result->record;
	int r = 0;

	for (size_t i = 0; r == 0 && i < record->pending_count; i++)
		r = strings_add(record->pending[i].action == ACTIVATION_RESTART
					? &result->restart_units
					: &result->reload_units,
				record->pending[i].unit, err);
	return r;
}

/* `phase`: NULL for a manifest, which has none. */
static void result_print(const struct cli *cli, const char *phase,
			 const struct activate_result *result)
{
	if (cli->json) {
		_cleanup_json_ json_t *object =
			json_pack("{s:s*, s:b, s:i, s:i, s:o, s:o}", "neededFor", phase, "changed",
				  result->changed, "generation", (int)result->generation, "secrets",
				  (int)result->secret_count, "restartUnits",
				  cli_json_texts(result->restart_units.items), "reloadUnits",
				  cli_json_texts(result->reload_units.items));

		cli_json_print(object);
		return;
	}
	/* The default phase is not mentioned. */
	if (phase && strcmp(phase, config_phase_get(CONFIG_SERVICES)->name) == 0)
		phase = NULL;
	printf("%zu secrets%s%s in generation %u%s\n", result->secret_count, phase ? " for " : "",
	       phase ? phase : "", result->generation, result->changed ? "" : ", unchanged");
	for (size_t i = 0; i < result->restart_units.count; i++)
		printf("to restart: %s\n", result->restart_units.items[i]);
	for (size_t i = 0; i < result->reload_units.count; i++)
		printf("to reload: %s\n", result->reload_units.items[i]);
}

int command_activate(struct cli *cli, int argc, char **argv, struct error *err)
{
	struct activate_options options = {0};
	struct cli_manifest call = {0};
	const char *identity = NULL, *needed_for = NULL;
	const struct cli_option rows[] = {
		{"machine", "NAME", "whose secrets (default: the only machine declared)",
		 &options.machine},
		{"needed-for", "PHASE", "services (default), users, activation or partitioning",
		 &needed_for},
		{"identity", "FILE", CLI_IDENTITY_HELP, &identity},
		{"root", "DIR", "write below DIR, which must be on a memory file system",
		 &options.root},
		{"check-mode", "MODE", "only check the manifest: manifest, sopsfile or off",
		 &call.check_mode},
		{"ignore-passwd", NULL, "with a manifest: everything is root's",
		 &call.ignore_passwd},
		{0},
	};
	const struct cli_usage usage = {
		.command = "activate",
		.arguments = "[MANIFEST]",
		.arguments_max = 1,
		.about = "Decrypt a machine's secrets to " CONFIG_SECRETS_LINK
			 ", on a memory file system, as a new\n"
			 "generation that replaces the old one atomically. If nothing changed, "
			 "nothing is written.\n"
			 "Other phases have other directories; see vmcred-activate(1). With a "
			 "MANIFEST, install\n"
			 "the secrets of that manifest.json of sops-nix.",
		.options = rows,
		.has_json = true,
	};
	_cleanup_age_identities_ struct age_identities identities = {0};
	_cleanup_config_ struct config config = {0};
	_cleanup_activate_result_ struct activate_result result = {0};
	_cleanup_close_ int store_dirfd = -1;
	bool installed;
	int first, r;

	r = cli_parse(cli, &usage, argc, argv, &first, err);
	if (r != 0)
		return r < 0 ? r : 0;
	call.path = first < argc ? argv[first] : NULL;
	if (call.path && (options.machine || options.root || identity || needed_for))
		return error_set(err, VMCRED_USAGE,
				 "--machine, --needed-for, --identity and --root cannot be used "
				 "with a manifest");
	if (!call.path && (call.check_mode || call.ignore_passwd))
		return error_set(err, VMCRED_USAGE,
				 "--check-mode and --ignore-passwd need a manifest");
	if (call.path) {
		r = cli_manifest_install(cli, &call, &installed, &result, err);
		if (r == 0 && installed)
			result_print(cli, NULL, &result);
		return r;
	}
	if (needed_for)
		r = config_phase_find(needed_for, &options.needed_for, err);
	if (r < 0)
		return error_wrap(err, "--needed-for");
	cli->threads = pool_threads();
	/* The VMs make no difference. */
	cli->load = CONFIG_LENIENT;
	r = cli_start(cli, &config, &store_dirfd, err);
	if (r < 0)
		return r;
	options.machine = activate_machine_choose(&config, options.machine, err);
	if (!options.machine)
		return -(int)err->code;
	r = cli_identities_load(identity, &cli->report, &identities, err);
	if (r == 0)
		r = activate_machine(&config, store_dirfd, &identities, &options, &cli->report,
				     &result, err);
	if (r == 0)
		r = units_list(&result, err);
	if (r == 0)
		result_print(cli, config_phase_get(options.needed_for)->name, &result);
	return r;
}

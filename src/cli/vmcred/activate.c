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
#include "cli/vmcred/manifest.h"
#include "config/config.h"

static json_t *units_json(char *const *units)
{
	json_t *list = json_array();

	for (; units && *units; units++)
		json_array_append_new(list, json_string(*units));
	return list;
}

/* `phase` is its name, or NULL: a manifest has none. */
static void result_print(const struct cli *cli, const char *phase,
			 const struct activate_result *result)
{
	const char *services = config_phase_get(CONFIG_SERVICES)->name;
	bool is_told = phase && strcmp(phase, services) != 0;

	if (cli->json) {
		_cleanup_json_ json_t *object =
			json_pack("{s:s*, s:b, s:i, s:i, s:o, s:o}", "neededFor", phase, "changed",
				  result->changed, "generation", (int)result->generation, "secrets",
				  (int)result->secret_count, "restartUnits",
				  units_json(result->restart_units), "reloadUnits",
				  units_json(result->reload_units));

		cli_json_print(object);
		return;
	}
	printf("%zu secrets%s%s in generation %u%s\n", result->secret_count, is_told ? " for " : "",
	       is_told ? phase : "", result->generation, result->changed ? "" : ", unchanged");
	for (char **unit = result->restart_units; unit && *unit; unit++)
		printf("to restart: %s\n", *unit);
	for (char **unit = result->reload_units; unit && *unit; unit++)
		printf("to reload: %s\n", *unit);
}

/* What only a declaration has has no place beside a manifest, and the reverse. */
static int words_check(bool has_manifest, const struct activate_options *options,
		       const char *identity, const char *needed_for,
		       const struct manifest_call *call, struct error *err)
{
	if (has_manifest && (options->machine || options->root || identity || needed_for)) {
		error_set(err, VMCRED_USAGE,
			  "a manifest says itself what --machine, --needed-for, --identity and "
			  "--root would");
		return error_hint(err, "leave them out");
	}
	if (!has_manifest && (call->check_mode || call->ignore_passwd)) {
		error_set(err, VMCRED_USAGE, "--check-mode and --ignore-passwd are for a manifest");
		return error_hint(err, "name its file");
	}
	return 0;
}

static int manifest_run(struct cli *cli, const struct manifest_call *call,
			struct activate_result *result, struct error *err)
{
	bool installed = false;
	int r = cli_manifest_activate(cli, call, &installed, result, err);

	if (r == 0 && installed)
		result_print(cli, NULL, result);
	return r;
}

int command_activate(struct cli *cli, int argc, char **argv, struct error *err)
{
	struct activate_options options = {0};
	struct manifest_call call = {0};
	const char *identity = NULL, *needed_for = NULL;
	const struct cli_option rows[] = {
		{"machine", "NAME", "whose secrets (default: the only machine declared)",
		 &options.machine},
		{"needed-for", "PHASE",
		 "which: services (default), users, activation, partitioning", &needed_for},
		{"identity", "FILE", CLI_IDENTITY_HELP, &identity},
		{"root", "DIR", "write below DIR, which must be on a memory file system",
		 &options.root},
		{"check-mode", "MODE", "of a manifest: only check it (manifest, sopsfile, off)",
		 &call.check_mode},
		{"ignore-passwd", NULL, "of a manifest: look up no owner, all is root's",
		 &call.ignore_passwd},
		{0},
	};
	const struct cli_usage usage = {
		.command = "activate",
		.arguments = "[MANIFEST]",
		.arguments_max = 1,
		.about = "Decrypt a machine's secrets to " CONFIG_SECRETS_LINK
			 ", on a memory file system, as a new\n"
			 "generation that replaces the old one in one step. Unchanged secrets stay "
			 "as they are.\n"
			 "What is needed for something else than services is elsewhere; see "
			 "vmcred.yaml(5).\n"
			 "With sops-nix's manifest.json, do what that says.",
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
	call.path = first < argc ? argv[first] : NULL;
	r = words_check(call.path, &options, identity, needed_for, &call, err);
	if (r < 0)
		return r;
	if (call.path)
		return manifest_run(cli, &call, &result, err);
	if (needed_for)
		r = config_phase_find(needed_for, &options.needed_for, err);
	if (r < 0)
		return error_wrap(err, "--needed-for");
	cli->threads = pool_threads();
	r = cli_start(cli, &config, &store_dirfd, err);
	if (r < 0)
		return r;
	options.machine = activate_machine_choose(&config, options.machine, err);
	if (!options.machine)
		return -(int)err->code;
	r = cli_identities_load(identity, &identities, err);
	if (r == 0)
		r = activate_machine(&config, store_dirfd, &identities, &options, &cli->report,
				     &result, err);
	if (r == 0)
		result_print(cli, config_phase_get(options.needed_for)->name, &result);
	return r;
}

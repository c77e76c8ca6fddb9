/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "activate/activate.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/pool.h"
#include "cli/journal.h"
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

/* What to print. */
struct outcome {
	const struct activate_result *result;
	const char *phase;                    /* NULL for a manifest, which has none */
	const struct cli_restarted *restarts; /* NULL: not requested */
	bool dry;
	json_t *list; /* gets the JSON instead of standard output; or NULL */
};

static json_t *outcome_json(const struct outcome *outcome)
{
	const struct activate_result *result = outcome->result;
	json_t *object = json_pack("{s:s*, s:b, s:i, s:i, s:o, s:o}", "neededFor", outcome->phase,
				   "changed", result->changed, "generation",
				   (int)result->generation, "secrets", (int)result->secret_count,
				   "restartUnits", cli_json_texts(result->restart_units.items),
				   "reloadUnits", cli_json_texts(result->reload_units.items));
	_cleanup_json_ json_t *more = NULL, *failed = json_object();

	for (size_t i = 0; i < result->record.failure_count; i++)
		json_object_set_new(failed, result->record.failures[i].name,
				    json_string(result->record.failures[i].reason));
	if (outcome->phase)
		json_object_set(object, "failed", failed);
	if (outcome->restarts)
		more = json_pack("{s:o, s:o}", "restarted",
				 cli_json_texts(outcome->restarts->restarted.items), "reloaded",
				 cli_json_texts(outcome->restarts->reloaded.items));
	else if (outcome->dry)
		more = json_pack("{s:b, s:o, s:o, s:o}", "dryRun", true, "added",
				 cli_json_texts(result->changes[ACTIVATE_ADDED].items), "modified",
				 cli_json_texts(result->changes[ACTIVATE_MODIFIED].items),
				 "removed",
				 cli_json_texts(result->changes[ACTIVATE_REMOVED].items));
	if (more)
		json_object_update(object, more);
	return object;
}

static void units_print(const char *what, const struct strings *units)
{
	for (size_t i = 0; i < units->count; i++)
		printf("%s: %s\n", what, units->items[i]);
}

static void outcome_print(const struct cli *cli, const struct outcome *outcome)
{
	const struct activate_result *result = outcome->result;
	const char *phase = outcome->phase;

	if (cli->json) {
		_cleanup_json_ json_t *object = outcome_json(outcome);

		if (outcome->list)
			json_array_append(outcome->list, object);
		else
			cli_json_print(object);
		return;
	}
	/* The default phase is not mentioned. */
	if (phase && strcmp(phase, config_phase_get(CONFIG_SERVICES)->name) == 0)
		phase = NULL;
	printf("%zu secret%s%s%s %sin generation %u%s\n", result->secret_count,
	       result->secret_count == 1 ? "" : "s", phase ? " for " : "", phase ? phase : "",
	       outcome->dry && result->changed ? "would be " : "", result->generation,
	       result->changed ? "" : ", unchanged");
	if (outcome->dry)
		cli_changes_print(result, true);
	if (outcome->restarts) {
		units_print("restarted", &outcome->restarts->restarted);
		units_print("reloaded", &outcome->restarts->reloaded);
	}
	units_print(outcome->dry ? "would restart" : "to restart", &result->restart_units);
	units_print(outcome->dry ? "would reload" : "to reload", &result->reload_units);
}

/* Prints what was requested and not waited for. */
static void requests_print(const struct cli *cli, const struct cli_restarted *restarts)
{
	if (cli->json) {
		_cleanup_json_ json_t *object = json_pack(
			"{s:o, s:o}", "restarting", cli_json_texts(restarts->restarted.items),
			"reloading", cli_json_texts(restarts->reloaded.items));

		cli_json_print(object);
		return;
	}
	units_print("restarting", &restarts->restarted);
	units_print("reloading", &restarts->reloaded);
}

static int restarts_check(const struct cli_restarted *restarts, struct error *err)
{
	_cleanup_free_ char *names = NULL;

	if (restarts->failed.count == 0)
		return 0;
	names = strings_join(&restarts->failed, " ");
	if (!names)
		return error_no_memory(err);
	error_set(err, VMCRED_FAILED, "restarting units: %s still use old values", names);
	return error_hint(err, "see `systemctl status %s`", names);
}

/* The options. */
struct call {
	struct activate_options options;
	struct cli_manifest manifest;
	const char *identity, *needed_for;
	bool restarts, only_restarts;
};

static int call_check(const struct call *call, struct error *err)
{
	const bool names_files = call->options.machine || call->identity || call->options.root;
	const bool restarts = call->restarts || call->only_restarts;

	if (call->manifest.path &&
	    (names_files || call->needed_for || restarts || call->options.dry))
		return error_set(err, VMCRED_USAGE,
				 "--machine, --needed-for, --identity, --root, --restart, "
				 "--restart-pending and --dry-run cannot be used with a manifest");
	if (!call->manifest.path && (call->manifest.check_mode || call->manifest.ignore_passwd))
		return error_set(err, VMCRED_USAGE,
				 "--check-mode and --ignore-passwd need a manifest");
	if (call->only_restarts && (names_files || call->restarts || call->options.dry))
		return error_set(err, VMCRED_USAGE,
				 "--restart-pending can be used with --needed-for only");
	if (call->restarts && call->options.root) {
		error_set(err, VMCRED_USAGE, "--restart cannot be used with --root");
		return error_hint(err, "it restarts units of the running system");
	}
	if (call->options.dry && !call->options.root && geteuid() != 0) {
		error_set(err, VMCRED_FAILED, "--dry-run compares files that only root can read");
		return error_hint(err, "run as root");
	}
	return 0;
}

static int manifest_activate(struct cli *cli, const struct cli_manifest *manifest,
			     struct error *err)
{
	_cleanup_activate_result_ struct activate_result result = {0};
	const struct outcome outcome = {.result = &result};
	bool installed;
	int r = cli_manifest_install(cli, manifest, &installed, &result, err);

	if (r == 0 && installed)
		outcome_print(cli, &outcome);
	return r;
}

/* For vmcred-activate.service: it cannot wait for a unit that must start after it. */
static int pending_request(struct cli *cli, enum config_needed_for phase, struct error *err)
{
	_cleanup_activation_record_ struct activation_record record = {.phase = phase};
	_cleanup_cli_restarted_ struct cli_restarted restarts = {0};
	int r = cli_harden(cli, err);

	if (r == 0)
		r = cli_pending_restart(&record, false, &restarts, err);
	if (r == 0)
		requests_print(cli, &restarts);
	return r;
}

/* systemd would only say "Failed to set up credentials" when the unit starts. */
static void credential_log(const struct config_vm *vm, const struct config_load *load,
			   const struct activation_failure *failure, bool is_kept)
{
	_cleanup_free_ char *line = text_format(
		"%scredential %s: %s %s: %s",
		config_vm_is_optional(vm, load->credential) ? "optional " : "", load->credential,
		failure->name, is_kept ? "keeps its previous value" : "is not activated",
		failure->reason);

	if (line)
		(void)cli_journal_send(&(struct cli_journal_entry){
			.event = CLI_JOURNAL_NOT_ACTIVATED,
			.level = REPORT_WARNING,
			.line = line,
			.result = is_kept ? "kept" : "not-activated",
			.unit = vm->unit,
			.credential = load->credential,
		});
}

/* Logs failed secrets for each VM's unit that loads one; `serve` logs its own answers. */
static void failures_log(const struct config *config, const struct activation_record *record)
{
	for (size_t i = 0; i < record->failure_count; i++) {
		const struct activation_failure *failure = &record->failures[i];
		const bool is_kept = activation_record_secret_find(record, failure->name);

		for (size_t j = 0; j < config->vm_count; j++) {
			const struct config_vm *vm = &config->vms[j];

			for (size_t k = 0; k < vm->load_count; k++) {
				if (vm->source != CONFIG_SOURCE_SOCKET &&
				    strcmp(vm->loads[k].source, failure->name) == 0)
					credential_log(vm, &vm->loads[k], failure, is_kept);
			}
		}
	}
}

/* The audit log has each activation, also those by hand. */
static void activation_log(const struct activate_result *result)
{
	const struct activation_record *record = &result->record;
	const char *phase = config_phase_get(record->phase)->name;
	_cleanup_free_ char *line =
		text_format("%s: %zu secret%s for %s in generation %u%s", record->machine,
			    result->secret_count, result->secret_count == 1 ? "" : "s", phase,
			    result->generation, result->changed ? "" : ", unchanged");
	_cleanup_free_ char *more = text_format(
		"VMCRED_MACHINE=%s\nVMCRED_PHASE=%s\nVMCRED_GENERATION=%u\nVMCRED_SECRETS=%zu\n"
		"VMCRED_FAILED=%zu\n",
		record->machine, phase, result->generation, result->secret_count,
		record->failure_count);

	if (line && more)
		(void)cli_journal_send(&(struct cli_journal_entry){
			.event = CLI_JOURNAL_ACTIVATED,
			.level = REPORT_INFO,
			.line = line,
			.result = result->changed ? "activated" : "unchanged",
			.more = more,
		});
}

int cli_activate(struct cli *cli, const struct config *config, int store_dirfd,
		 const struct age_identities *identities, const struct activate_options *options,
		 bool restart, json_t *list, struct error *err)
{
	_cleanup_activate_result_ struct activate_result result = {0};
	_cleanup_cli_restarted_ struct cli_restarted restarts = {0};
	const struct outcome outcome = {
		.result = &result,
		.phase = config_phase_get(options->needed_for)->name,
		.restarts = restart && !options->dry ? &restarts : NULL,
		.dry = options->dry,
		.list = list,
	};
	int r = activate_machine(config, store_dirfd, identities, options, &cli->report, &result,
				 err);

	if (!options->root && !options->dry)
		failures_log(config, &result.record);
	if (r < 0)
		return r;
	if (!options->root && !options->dry && result.record.machine)
		activation_log(&result);
	/* The units of this system do not use what is below another root. */
	if (outcome.restarts)
		r = cli_pending_restart(&result.record, true, &restarts, err);
	else if (!options->root)
		r = cli_pending_look(&result.record, options->dry, err);
	if (units_list(&result, err) < 0)
		return -(int)err->code;
	outcome_print(cli, &outcome);
	r = r < 0 ? r : restarts_check(&restarts, err);
	return r < 0 ? r : error_move(err, &result.failure);
}

static int machine_activate(struct cli *cli, struct call *call, struct error *err)
{
	struct activate_options *options = &call->options;
	_cleanup_age_identities_ struct age_identities identities = {0};
	_cleanup_config_ struct config config = {0};
	const struct config_machine *machine;
	_cleanup_close_ int store_dirfd = -1;
	int r;

	cli->threads = pool_threads();
	/* An error in a VM must not keep the secrets from being activated. */
	cli->load = CONFIG_LENIENT;
	r = cli_start(cli, &config, &store_dirfd, err);
	if (r < 0)
		return r;
	machine = config_machine_choose(&config, options->machine, err);
	if (!machine || config_vms_keep(&config, machine->name, err) < 0)
		return -(int)err->code;
	options->machine = machine->name;
	r = cli_identities_load(call->identity, &cli->report, &identities, err);
	return r < 0 ? r
		     : cli_activate(cli, &config, store_dirfd, &identities, options, call->restarts,
				    NULL, err);
}

int command_activate(struct cli *cli, int argc, char **argv, struct error *err)
{
	struct call call = {0};
	const struct cli_option rows[] = {
		{"machine", "MACHINE", CLI_MACHINE_HELP, &call.options.machine},
		{"needed-for", "PHASE", "services (default), users, activation or partitioning",
		 &call.needed_for},
		{"identity", "FILE", CLI_IDENTITY_HELP, &call.identity},
		{"root", "DIRECTORY", "write below it; it must be on a memory file system",
		 &call.options.root},
		{"restart", NULL, "then restart or reload the units that use old values, and wait",
		 &call.restarts},
		{"restart-pending", NULL, "activate nothing; only request these restarts",
		 &call.only_restarts},
		{"dry-run", NULL, "print what would change, and write nothing", &call.options.dry},
		{"check-mode", "manifest|sopsfile|off", "only check the manifest",
		 &call.manifest.check_mode},
		{"ignore-passwd", NULL, "with a manifest: everything is root's",
		 &call.manifest.ignore_passwd},
		{0},
	};
	const struct cli_usage usage = {
		.command = "activate",
		.examples = "  vmcred activate --restart\n",
		.arguments = "[MANIFEST]",
		.arguments_max = 1,
		.about = "Decrypt a machine's secrets to " CONFIG_SECRETS_LINK
			 ", on a memory file system, as a new generation that replaces the old one "
			 "atomically. If nothing changed, the old one stays. Units that still use "
			 "old values are listed, or restarted with --restart. Other phases have "
			 "other directories; see vmcred-activate(1). With a MANIFEST, install the "
			 "secrets of that manifest.json of sops-nix.",
		.options = rows,
		.words = config_phase_names,
		.has_json = true,
	};
	int first, r;

	r = cli_parse(cli, &usage, argc, argv, &first, err);
	if (r != 0)
		return r < 0 ? r : 0;
	call.manifest.path = first < argc ? argv[first] : NULL;
	r = call_check(&call, err);
	if (r < 0)
		return r;
	if (call.manifest.path)
		return manifest_activate(cli, &call.manifest, err);
	if (call.needed_for)
		r = config_phase_find(call.needed_for, &call.options.needed_for, err);
	if (r < 0)
		return error_wrap(err, "--needed-for");
	return call.only_restarts ? pending_request(cli, call.options.needed_for, err)
				  : machine_activate(cli, &call, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/harden.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/vmcred/commands.h"
#include "config/config.h"
#include "inspect/inspect.h"

/* When the unit was started, or when it stopped. */
static int64_t unit_since(const struct inspect_unit *unit)
{
	const int64_t since_us =
		inspect_unit_is_running(unit) ? unit->started_us : unit->changed_us;

	return since_us > 0 ? inspect_realtime(since_us) : 0;
}

static const char *unit_text(const struct inspect_unit *unit)
{
	if (!unit->active[0])
		return "unknown";
	/* A unit without a file is not only inactive. */
	return strcmp(unit->active, "inactive") == 0 && strcmp(unit->load, "loaded") != 0
		       ? unit->load
		       : unit->active;
}

static json_t *record_json(const struct activation_record *record)
{
	json_t *failed = json_array();
	char activated[CLI_TIME_SIZE];

	for (size_t i = 0; i < record->failure_count; i++)
		json_array_append_new(failed,
				      json_pack("{s:s, s:s}", "secret", record->failures[i].name,
						"reason", record->failures[i].reason));
	return json_pack("{s:s, s:s, s:I, s:s?, s:i, s:o}", "neededFor",
			 config_phase_get(record->phase)->name, "machine", record->machine,
			 "generation", (json_int_t)record->generation, "activated",
			 cli_time_text(record->activated.realtime, true, activated), "secrets",
			 (int)record->secret_count, "failed", failed);
}

static const char *delivery_text(const struct inspect_host_vm *vm)
{
	return vm->is_delivering ? delivery_state_name(delivery_report_state(&vm->delivery, NULL))
				 : NULL;
}

static json_t *vm_json(const struct inspect_host_vm *vm)
{
	json_t *credentials = json_array();
	char since[CLI_TIME_SIZE], changed[CLI_TIME_SIZE];

	for (size_t i = 0; i < vm->credential_count; i++) {
		const struct inspect_credential *credential = &vm->credentials[i];
		const struct config_load *load = credential->load;
		enum delivery_state delivery;
		const bool is_sent = inspect_host_delivery(vm, load->credential, &delivery);

		json_array_append_new(
			credentials,
			json_pack("{s:s, s:s?, s:s?, s:s?, s:s, s:s?, s:s?}", "credential",
				  load->credential, "generator", load->generator, "file",
				  load->file, "path", load->generator ? NULL : load->source,
				  "state", inspect_loaded_name(credential->state), "changed",
				  credential->secret
					  ? cli_time_text(credential->secret->changed.realtime,
							  true, changed)
					  : NULL,
				  "delivery", is_sent ? delivery_state_name(delivery) : NULL));
	}
	return json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:s?, s:s?, s:o}", "vm", vm->vm->name, "unit",
			 vm->vm->unit, "state", unit_text(vm->unit), "subState",
			 vm->unit->sub[0] ? vm->unit->sub : NULL, "since",
			 cli_time_text(unit_since(vm->unit), true, since), "problem",
			 vm->vm->problem, "delivery", delivery_text(vm), "credentials",
			 credentials);
}

static void host_print_json(const struct inspect_host *host)
{
	json_t *activations = json_array(), *pending = json_array(), *vms = json_array();
	_cleanup_json_ json_t *object = NULL;
	char since[CLI_TIME_SIZE];

	for (size_t i = 0; i < CONFIG_PHASES; i++) {
		if (host->records[i].machine)
			json_array_append_new(activations, record_json(&host->records[i]));
	}
	for (size_t i = 0; i < host->pending_count; i++) {
		const struct activation_pending *one = host->pending[i].pending;

		json_array_append_new(pending,
				      json_pack("{s:s, s:s, s:s?}", "unit", one->unit, "action",
						activation_action_name(one->action), "since",
						cli_time_text(one->since.realtime, true, since)));
	}
	for (size_t i = 0; i < host->vm_count; i++)
		json_array_append_new(vms, vm_json(&host->vms[i]));
	object = json_pack("{s:o, s:o, s:o}", "activations", activations, "pending", pending, "vms",
			   vms);
	cli_json_print(object);
}

static void records_print(const struct inspect_host *host)
{
	size_t count = 0;
	char activated[CLI_TIME_SIZE];

	for (size_t i = 0; i < CONFIG_PHASES; i++) {
		const struct activation_record *record = &host->records[i];

		if (!record->machine)
			continue;
		printf("%s: %zu secret%s for %s in generation %u, activated %s\n", record->machine,
		       record->secret_count, record->secret_count == 1 ? "" : "s",
		       config_phase_get(record->phase)->name, record->generation,
		       cli_time_text(record->activated.realtime, false, activated));
		for (size_t j = 0; j < record->failure_count; j++)
			printf("failed: %s: %s\n", record->failures[j].name,
			       record->failures[j].reason);
		count++;
	}
	if (count == 0)
		printf("no secrets were activated since the boot\n");
}

/* "2 current, 1 stale; delivered" */
static void counts_print(const struct inspect_host_vm *vm)
{
	size_t counts[INSPECT_LOADED_STATES] = {0};
	const char *separator = "";

	for (size_t i = 0; i < vm->credential_count; i++)
		counts[vm->credentials[i].state]++;
	for (size_t i = 0; i < INSPECT_LOADED_STATES; i++) {
		if (counts[i] == 0)
			continue;
		printf("%s%zu %s", separator, counts[i],
		       inspect_loaded_name((enum inspect_loaded)i));
		separator = ", ";
	}
	printf("%s", *separator ? "" : "-");
	printf("%s%s\n", vm->is_delivering ? "; " : "", vm->is_delivering ? delivery_text(vm) : "");
}

static void table_print(const struct inspect_host *host, bool is_declared)
{
	int width = (int)strlen("VM");
	char since[CLI_TIME_SIZE];

	for (size_t i = 0; i < host->vm_count; i++) {
		const int length = (int)strlen(host->vms[i].vm->name);

		width = length > width ? length : width;
	}
	if (!is_declared)
		printf("no declaration to read: VMs are not shown\n");
	if (host->vm_count > 0)
		printf("\n%-*s  %-12s  %-19s  %s\n", width, "VM", "STATE", "SINCE", "CREDENTIALS");
	for (size_t i = 0; i < host->vm_count; i++) {
		const struct inspect_host_vm *vm = &host->vms[i];

		printf("%-*s  %-12s  %-19s  ", width, vm->vm->name, unit_text(vm->unit),
		       cli_time_text(unit_since(vm->unit), false, since));
		counts_print(vm);
	}
}

static void credential_print(const struct inspect_host_vm *vm,
			     const struct inspect_credential *credential)
{
	const struct config_load *load = credential->load;
	char changed[CLI_TIME_SIZE];

	printf("%s: %s is %s", vm->vm->name, load->credential,
	       inspect_loaded_name(credential->state));
	if (credential->state == INSPECT_LOADED_STALE && credential->secret)
		printf(": %s changed %s", load->source,
		       cli_time_text(credential->secret->changed.realtime, false, changed));
	else if (credential->state == INSPECT_LOADED_MISSING && !credential->is_activated)
		printf(load->generator ? ": %s is not activated" : ": %s does not exist",
		       load->source);
	else if (credential->state == INSPECT_LOADED_MISSING)
		printf(": %s was started without it", vm->vm->unit);
	printf("\n");
}

/* What a guest found wrong. */
static void delivery_print(const struct inspect_host_vm *vm)
{
	_cleanup_free_ char *text = delivery_report_text(&vm->delivery);

	if (vm->delivery.count > 0)
		printf("%s: the guest found %s\n", vm->vm->name, text ? text : "out of memory");
}

/* How many VMs have an error in the declaration. `whole`: NULL if VMs were chosen. */
static size_t problems_count(const struct config *whole)
{
	size_t count = 0;

	for (size_t i = 0; whole && i < whole->vm_count; i++)
		count += whole->vms[i].problem != NULL;
	return count;
}

/* What is not as it should be. */
static void findings_print(const struct inspect_host *host, const struct config *whole)
{
	size_t findings = host->pending_count + problems_count(whole);
	char since[CLI_TIME_SIZE];

	for (size_t i = INSPECT_LOADED_UNKNOWN; i < INSPECT_LOADED_STATES; i++)
		findings += host->counts[i];
	for (size_t i = 0; i < host->vm_count; i++)
		findings += host->vms[i].delivery.count;
	if (findings > 0)
		printf("\n");
	if (host->counts[INSPECT_LOADED_UNKNOWN] > 0)
		printf("unknown: compare with the store: `vmcred inspect VM`\n");
	for (size_t i = 0; i < host->vm_count; i++) {
		const struct inspect_host_vm *vm = &host->vms[i];

		for (size_t j = 0; j < vm->credential_count; j++) {
			if (vm->credentials[j].state >= INSPECT_LOADED_MISSING)
				credential_print(vm, &vm->credentials[j]);
		}
		delivery_print(vm);
	}
	for (size_t i = 0; whole && i < whole->vm_count; i++) {
		if (whole->vms[i].problem)
			printf("%s\n", whole->vms[i].problem);
	}
	for (size_t i = 0; i < host->pending_count; i++) {
		const struct activation_pending *pending = host->pending[i].pending;

		printf("to %s: %s, since %s\n", activation_action_name(pending->action),
		       pending->unit, cli_time_text(pending->since.realtime, false, since));
	}
}

/* Without a declaration that the user can read, there is still the activation to show. */
static int declaration_read(struct cli *cli, bool is_needed, struct config *config,
			    struct error *err)
{
	_cleanup_free_ char *path = NULL;
	/* Others than root read no secret, and need no warning that they cannot lock memory. */
	int r = geteuid() == 0 ? cli_harden(cli, err) : process_harden(CLI_LOCK_BYTES, NULL, err);

	if (r < 0)
		return r;
	r = config_find(cli->config, &path, NULL, err);
	if (!is_needed && !cli->config && r == 0 && access(path, R_OK) < 0)
		return 0;
	if (!is_needed && !cli->config && r < 0 && access("vmcred.yaml", F_OK) < 0) {
		error_clear(err);
		return 0;
	}
	if (r == 0)
		r = config_load_file_as(path, CONFIG_LENIENT, config, err);
	return r < 0 ? r : config_vms_choose(config, NULL, err);
}

static int host_check(struct inspect_host *host, const struct config *whole, struct error *err)
{
	size_t missing = host->counts[INSPECT_LOADED_MISSING];

	for (size_t i = 0; whole && i < CONFIG_PHASES; i++)
		missing += host->records[i].failure_count;
	if (host->units_error.text) {
		error_move(err, &host->units_error);
		/* Also if systemctl is missing: VMCRED_MISSING is for what is declared. */
		err->code = VMCRED_FAILED;
		return error_wrap(err, "the state of the units is unknown");
	}
	if (host->counts[INSPECT_LOADED_STALE] + host->pending_count > 0) {
		error_set(err, VMCRED_INTEGRITY, "old values are in use");
		return error_hint(err, "restart or reload the units");
	}
	if (host->rejected > 0) {
		error_set(err, VMCRED_INTEGRITY, "credentials did not arrive whole in a guest");
		return error_hint(err, "restart the VM, and compare the sizes in `vmcred compose`");
	}
	if (missing > 0)
		return error_set(err, VMCRED_MISSING, "something declared is missing");
	if (problems_count(whole) > 0)
		return error_set(err, VMCRED_USAGE, "the declaration has errors");
	return 0;
}

int command_status(struct cli *cli, int argc, char **argv, struct error *err)
{
	const char *root = NULL;
	const struct cli_option rows[] = {
		{"root", "DIRECTORY", "inspect the files below it", &root},
		{0},
	};
	const struct cli_usage usage = {
		.command = "status",
		.examples = "  vmcred status web-vm\n",
		.arguments = "[VM...]",
		.about = "Show the last activation and, for each VM, its unit and whether it runs "
			 "with the activated secrets. Needs no identity. Root compares the values, "
			 "others the times. Exit code 3 if something declared is missing; 4 if an "
			 "old value is in use, or a guest did not get its credentials whole.",
		.options = rows,
		.has_json = true,
		.arguments_max = -1,
	};
	_cleanup_config_ struct config config = {0};
	__attribute__((cleanup(inspect_host_release))) struct inspect_host host = {0};
	const struct config *whole = &config;
	char **vms = NULL;
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r;
	if (first < argc) {
		vms = argv + first;
		whole = NULL;
	}
	r = declaration_read(cli, vms, &config, err);
	if (r == 0)
		r = inspect_host(&config, vms, root, &cli->report, &host, err);
	if (r < 0)
		return r;
	if (cli->json) {
		host_print_json(&host);
	} else {
		records_print(&host);
		table_print(&host, config.path);
		findings_print(&host, whole);
	}
	return host_check(&host, whole, err);
}

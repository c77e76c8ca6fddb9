/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics for node_exporter's textfile collector. It reads Prometheus' text format; with gauges
 * only and the final "# EOF" the text is OpenMetrics, too. Moments are exported and not ages, so
 * that an old file does not look fresh.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/pool.h"
#include "base/program.h"
#include "base/trusted/output.h"
#include "cli/journal.h"
#include "cli/vmcred/commands.h"
#include "inspect/inspect.h"

/* States of a unit in systemd, and of one that nothing is known of. */
static const char *const unit_states[] = {
	"active", "activating", "reloading", "deactivating", "failed", "inactive", "unknown",
};

#define UNIT_STATES (sizeof(unit_states) / sizeof(unit_states[0]))

/* VMCRED_RESULT of CLI_JOURNAL_REFUSED. */
static const char *const refusals[] = {"refused", "hung-up", "turned-away"};

#define REFUSALS (sizeof(refusals) / sizeof(refusals[0]))

/* The state of a secret that could not be checked. */
#define UNREADABLE "unreadable"

struct store_metrics {
	size_t faults[VARS_FAULT_NO_NAME + 1], unreadable;
	int64_t oldest, first_expiry; /* 0: none */
};

/* `value` with the escapes of both formats. */
static void label_print(FILE *stream, const char *name, const char *value)
{
	fprintf(stream, "%s=\"", name);
	for (; *value; value++) {
		if (*value == '\n') {
			fputs("\\n", stream);
			continue;
		}
		if (*value == '"' || *value == '\\')
			fputc('\\', stream);
		fputc(*value, stream);
	}
	fputc('"', stream);
}

static void family_print(FILE *stream, const char *name, const char *help)
{
	fprintf(stream, "# HELP vmcred_%s %s\n# TYPE vmcred_%s gauge\n", name, help, name);
}

/* `label` may be NULL. */
static void sample_print(FILE *stream, const char *name, const char *label, const char *value,
			 int64_t number)
{
	fprintf(stream, "vmcred_%s", name);
	if (label && value) {
		fputc('{', stream);
		label_print(stream, label, value);
		fputc('}', stream);
	}
	fprintf(stream, " %" PRId64 "\n", number);
}

static size_t unit_state(const struct inspect_unit *unit)
{
	for (size_t i = 0; i < UNIT_STATES; i++) {
		if (strcmp(unit->active, unit_states[i]) == 0)
			return i;
	}
	return UNIT_STATES - 1;
}

static void vms_print(FILE *stream, const struct inspect_host *host)
{
	size_t counts[UNIT_STATES] = {0};

	for (size_t i = 0; i < host->vm_count; i++)
		counts[unit_state(host->vms[i].unit)]++;
	family_print(stream, "vms", "VMs by the state of their units.");
	for (size_t i = 0; i < UNIT_STATES; i++)
		sample_print(stream, "vms", "state", unit_states[i], (int64_t)counts[i]);
	family_print(stream, "credentials", "Credentials of all VMs by state; see vmcred status.");
	for (size_t i = 0; i < INSPECT_LOADED_STATES; i++)
		sample_print(stream, "credentials", "state",
			     inspect_loaded_name((enum inspect_loaded)i), (int64_t)host->counts[i]);
}

static void vm_credentials_print(FILE *stream, const struct inspect_host *host, const char *name,
				 const char *help, enum inspect_loaded state)
{
	family_print(stream, name, help);
	for (size_t i = 0; i < host->vm_count; i++) {
		const struct inspect_host_vm *vm = &host->vms[i];
		int64_t count = 0;

		for (size_t j = 0; j < vm->credential_count; j++)
			count += vm->credentials[j].state == state;
		sample_print(stream, name, "vm", vm->vm->name, count);
	}
}

static int64_t record_activated(const struct activation_record *record)
{
	return record->activated.realtime;
}

static int64_t record_secrets(const struct activation_record *record)
{
	return (int64_t)record->secret_count;
}

static int64_t record_failed(const struct activation_record *record)
{
	return (int64_t)record->failure_count;
}

static void records_print(FILE *stream, const struct inspect_host *host)
{
	static const struct {
		const char *name, *help;
		int64_t (*value)(const struct activation_record *record);
	} families[] = {
		{"activation_timestamp_seconds", "When a phase was last activated since the boot.",
		 record_activated},
		{"activation_secrets", "Secrets of the current generation.", record_secrets},
		{"activation_failed_secrets", "Secrets that the last activation could not decrypt.",
		 record_failed},
	};

	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		family_print(stream, families[i].name, families[i].help);
		for (size_t j = 0; j < CONFIG_PHASES; j++) {
			const struct activation_record *record = &host->records[j];

			if (record->machine)
				sample_print(stream, families[i].name, "needed_for",
					     config_phase_get(record->phase)->name,
					     families[i].value(record));
		}
	}
}

static void host_print(FILE *stream, const struct inspect_host *host)
{
	vms_print(stream, host);
	vm_credentials_print(stream, host, "vm_stale_credentials",
			     "Credentials of which the VM has an old value.", INSPECT_LOADED_STALE);
	vm_credentials_print(stream, host, "vm_missing_credentials",
			     "Credentials that the VM does not have, or would not get.",
			     INSPECT_LOADED_MISSING);
	family_print(stream, "vm_delivery_rejected",
		     "Whether the guest reported that its credentials did not arrive whole.");
	for (size_t i = 0; i < host->vm_count; i++)
		sample_print(stream, "vm_delivery_rejected", "vm", host->vms[i].vm->name,
			     delivery_report_state(&host->vms[i].delivery, NULL) ==
				     DELIVERY_REJECTED);
	family_print(stream, "vm_declaration_invalid",
		     "Whether the VM's entry in the declaration has an error.");
	for (size_t i = 0; i < host->vm_count; i++)
		sample_print(stream, "vm_declaration_invalid", "vm", host->vms[i].vm->name,
			     host->vms[i].vm->problem != NULL);
	family_print(stream, "pending_units",
		     "Units that were not restarted or reloaded since a secret changed.");
	sample_print(stream, "pending_units", NULL, NULL, (int64_t)host->pending_count);
	records_print(stream, host);
}

static void file_checked(const struct vars_location *location, const struct vars_finding *finding,
			 void *data)
{
	struct store_metrics *metrics = data;
	const bool is_secret = !location->generator || location->file->secret;

	if (finding->failure)
		metrics->unreadable++;
	else
		metrics->faults[finding->fault]++;
	if (is_secret && finding->exists && finding->modified > 0 &&
	    (metrics->oldest == 0 || finding->modified < metrics->oldest))
		metrics->oldest = finding->modified;
	if (finding->not_after > 0 &&
	    (metrics->first_expiry == 0 || finding->not_after < metrics->first_expiry))
		metrics->first_expiry = finding->not_after;
}

static void store_print(FILE *stream, const struct store_metrics *metrics)
{
	family_print(stream, "secrets", "Files of the store by the result of vmcred check.");
	for (size_t i = 0; i < sizeof(metrics->faults) / sizeof(metrics->faults[0]); i++)
		sample_print(stream, "secrets", "state", cli_fault_name((enum vars_fault)i),
			     (int64_t)metrics->faults[i]);
	sample_print(stream, "secrets", "state", UNREADABLE, (int64_t)metrics->unreadable);
	if (metrics->oldest > 0) {
		family_print(stream, "secret_oldest_timestamp_seconds",
			     "When the oldest secret got its value.");
		sample_print(stream, "secret_oldest_timestamp_seconds", NULL, NULL,
			     metrics->oldest);
	}
	if (metrics->first_expiry > 0) {
		family_print(stream, "certificate_first_expiry_timestamp_seconds",
			     "When the first public certificate expires.");
		sample_print(stream, "certificate_first_expiry_timestamp_seconds", NULL, NULL,
			     metrics->first_expiry);
	}
}

/* The store may be elsewhere: a host needs only what it activates. */
static int store_measure(struct cli *cli, const struct config *config, int store_dirfd,
			 const char *machine, FILE *stream, struct error *err)
{
	char *const machines[] = {(char *)machine, NULL}; /* only read */
	struct store_metrics metrics = {0};
	const struct vars_check_options options = {
		.machines = machine ? machines : NULL,
		.describes = true,
		.checked = file_checked,
		.data = &metrics,
	};
	int r;

	if (faccessat(store_dirfd, "vars", F_OK, 0) < 0)
		return 0;
	r = vars_check(config, store_dirfd, &options, &cli->report, err);
	if (r == 0)
		store_print(stream, &metrics);
	return r;
}

/* Counts the entries of `serve`, which does not stay: the journal knows them. Only root sees all of
 * them. */
static void refusals_measure(FILE *stream)
{
	_cleanup_free_ char *match =
		text_format("MESSAGE_ID=%s", cli_journal_id(CLI_JOURNAL_REFUSED));
	char *const argv[] = {(char *)"journalctl",
			      (char *)"--boot",
			      (char *)"--quiet",
			      (char *)"--no-pager",
			      (char *)"--output=cat",
			      (char *)"--output-fields=VMCRED_RESULT",
			      match,
			      (char *)"_UID=0", /* any user can write such entries */
			      NULL};
	const struct program journalctl = {.file = argv[0], .argv = argv, .fds = {-1, -1, -1}};
	_cleanup_fclose_ FILE *output = NULL;
	_cleanup_error_ struct error ignored = {0};
	size_t counts[REFUSALS] = {0};
	char line[64];
	pid_t pid = 0;

	if (!match || geteuid() != 0 ||
	    program_start_reading(&journalctl, &output, &pid, &ignored) < 0)
		return;
	while (fgets(line, sizeof(line), output)) {
		line[strcspn(line, "\n")] = '\0';
		for (size_t i = 0; i < REFUSALS; i++)
			counts[i] += strcmp(line, refusals[i]) == 0;
	}
	if (program_end_reading(&output, pid, argv[0], &ignored) < 0)
		return;
	family_print(stream, "refused_requests",
		     "Requests that vmcred serve did not answer, in the journal of this boot.");
	for (size_t i = 0; i < REFUSALS; i++)
		sample_print(stream, "refused_requests", "result", refusals[i], (int64_t)counts[i]);
}

struct call {
	const char *machine, *output, *root;
};

static int metrics_print(struct cli *cli, const struct call *call, FILE *stream, struct error *err)
{
	_cleanup_config_ struct config config = {0};
	__attribute__((cleanup(inspect_host_release))) struct inspect_host host = {0};
	const struct config_machine *machine;
	_cleanup_close_ int store_dirfd = -1;
	int r;

	cli->load = CONFIG_LENIENT;
	cli->threads = pool_threads();
	r = cli_start(cli, &config, &store_dirfd, err);
	if (r < 0)
		return r;
	r = config_machine_of_host(&config, call->machine, &machine, err);
	if (r == 0)
		r = config_vms_keep(&config, machine ? machine->name : "", err);
	if (r == 0)
		r = inspect_host(&config, NULL, call->root, &cli->report, &host, err);
	if (r < 0)
		return r;
	family_print(stream, "build_info", "The version of vmcred.");
	sample_print(stream, "build_info", "version", vmcred_version(), 1);
	host_print(stream, &host);
	r = store_measure(cli, &config, store_dirfd, machine ? machine->name : NULL, stream, err);
	/* Where systemd does not run, there is no journal. */
	if (r == 0 && !call->root && !host.units_error.text)
		refusals_measure(stream);
	fprintf(stream, "# EOF\n");
	return r;
}

int command_metrics(struct cli *cli, int argc, char **argv, struct error *err)
{
	struct call call = {0};
	const struct cli_option options[] = {
		{"machine", "MACHINE", CLI_MACHINE_HELP, &call.machine},
		{"output", "FILE", "write to the file in one step, readable by everybody",
		 &call.output},
		{"root", "DIRECTORY", "inspect the files below it", &call.root},
		{0},
	};
	const struct cli_usage usage = {
		.command = "metrics",
		.arguments = "",
		.about = "Print metrics of this host in the text format of Prometheus and "
			 "OpenMetrics, such as for node_exporter's textfile collector. Decrypts "
			 "nothing.",
		.options = options,
	};
	_cleanup_free_ char *text = NULL;
	_cleanup_fclose_ FILE *stream = NULL;
	size_t size = 0;
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r;
	stream = open_memstream(&text, &size);
	if (!stream)
		return error_no_memory(err);
	r = metrics_print(cli, &call, stream, err);
	if (r < 0)
		return r;
	if (fclose(pointer_release(&stream)) != 0)
		return error_no_memory(err);
	progress_clear(&cli->progress);
	if (!call.output) {
		fputs(text, stdout);
		return 0;
	}
	/* The collector runs as another user. */
	umask(S_IWGRP | S_IWOTH);
	return output_write(call.output, OUTPUT_CIPHERTEXT, span_of(text, size), err);
}

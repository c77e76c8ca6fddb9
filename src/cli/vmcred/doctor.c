/* SPDX-License-Identifier: Apache-2.0 */
#include "inspect/doctor/doctor.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/name.h"
#include "base/pool.h"
#include "base/text.h"
#include "cli/vmcred/commands.h"

struct examination {
	struct doctor doctor; /* owned */
	const struct cli *cli;
	enum vars_fault last_fault;
	char *last_detail; /* owned; of findings with that fault, which --ignore may leave out */
	struct error *err;
	int r;
};

/* What `check` finds, in the words of its own findings: "store-" and the fault. */
static const char *const store_names[] = {
	[VARS_FAULT_MISSING] = "store-missing", [VARS_FAULT_OUTDATED] = "store-outdated",
	[VARS_FAULT_READERS] = "store-readers", [VARS_FAULT_EXPIRED] = "store-expired",
	[VARS_FAULT_OVERDUE] = "store-overdue", [VARS_FAULT_NO_KEY] = "store-no-key",
	[VARS_FAULT_NO_NAME] = "store-no-name",
};

/* The detail of a finding as it is printed: the first one of a kind in full. The caller frees it.
 */
static char *detail_text(struct examination *examination, const struct vars_finding *finding)
{
	if (finding->failure || !finding->detail || examination->cli->json)
		return NULL;
	if (finding->fault != examination->last_fault) {
		free(examination->last_detail);
		examination->last_detail = NULL;
	}
	examination->last_fault = finding->fault;
	return cli_detail_text(finding->detail, &examination->last_detail);
}

static void file_checked(const struct vars_location *location, const struct vars_finding *finding,
			 void *data)
{
	struct examination *examination = data;
	_cleanup_free_ char *line = finding->failure ? error_line(finding->failure) : NULL;
	_cleanup_free_ char *detail = detail_text(examination, finding);

	if (examination->r < 0)
		return;
	if (finding->failure)
		examination->r = doctor_add(&examination->doctor, "store-unreadable", DOCTOR_ERROR,
					    NULL, line ? strdup(line) : NULL,
					    strdup("restore it from the repository's history, or "
						   "replace it with `vmcred set`"),
					    examination->err);
	else if (finding->fault != VARS_FAULT_NONE)
		examination->r = doctor_add(
			&examination->doctor, store_names[finding->fault],
			finding->fault == VARS_FAULT_NO_NAME || finding->fault == VARS_FAULT_OVERDUE
				? DOCTOR_WARNING
				: DOCTOR_ERROR,
			NULL,
			cli_fault_line(location, finding->fault, detail ? detail : finding->detail),
			text_format("%s%s%s", cli_fault_command(finding->fault),
				    finding->fault == VARS_FAULT_NO_KEY ? " " : "",
				    finding->fault == VARS_FAULT_NO_KEY ? location->machine : ""),
			examination->err);
}

static int orphans_check(struct examination *examination, const struct config *config,
			 int store_dirfd, struct error *err)
{
	_cleanup_vars_orphans_ struct vars_orphans orphans = {0};
	int r = vars_orphans_find(config, store_dirfd, &orphans, err);

	if (r == 0)
		r = strings_add_all(&orphans.paths, orphans.members.items, err);
	for (size_t i = 0; r == 0 && i < orphans.paths.count; i++)
		r = doctor_add(&examination->doctor, "store-orphan", DOCTOR_WARNING, NULL,
			       text_format("%s is no longer declared", orphans.paths.items[i]),
			       strdup("vmcred prune"), err);
	return r;
}

static int store_examine(struct cli *cli, struct examination *examination,
			 const struct config *config, int store_dirfd, struct error *err)
{
	const struct vars_check_options options = {.checked = file_checked, .data = examination};
	const char *unsearched = NULL;
	int r;

	if (!vars_store_exists(store_dirfd))
		return 0;
	r = vars_check(config, store_dirfd, &options, &cli->report, err);
	if (r == 0)
		r = examination->r;
	if (r == 0)
		r = orphans_check(examination, config, store_dirfd, err);
	/* A bundle was checked when it was installed, and has no other files. */
	if (r == 0 && !config->part)
		r = doctor_check_work_tree(&examination->doctor, store_dirfd, &cli->report,
					   &unsearched, err);
	if (r == 0 && unsearched)
		report_message(&cli->report, REPORT_WARNING, "%s", unsearched);
	return r;
}

static int host_examine(struct cli *cli, struct examination *examination,
			const struct config *config, const char *root, struct error *err)
{
	static const char *const identities[] = {CLI_IDENTITY_PATH, CLI_IDENTITY_PATH_SOPS_NIX};
	__attribute__((cleanup(inspect_host_release))) struct inspect_host host = {0};
	int r = inspect_host(config, NULL, root, &cli->report, &host, err);

	if (r == 0)
		r = doctor_check_vms(&examination->doctor, &host, root, err);
	if (r == 0)
		r = doctor_check_system(&examination->doctor, &host, config, root, err);
	if (r == 0)
		r = doctor_check_commands(&examination->doctor, config, root, err);
	if (r == 0)
		r = doctor_check_loads(&examination->doctor, config, root, err);
	for (size_t i = 0; r == 0 && i < sizeof(identities) / sizeof(identities[0]); i++)
		r = doctor_check_identity(&examination->doctor, root, identities[i], err);
	return r;
}

/* The user's own identity, if there is one. */
static int person_examine(struct examination *examination, struct error *err)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_free_ char *path = NULL;

	return cli_person_identity_find(&path, &ignored) > 0
		       ? doctor_check_identity(&examination->doctor, NULL, path, err)
		       : 0;
}

static int findings_fix(const struct doctor *doctor, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < doctor->count; i++) {
		if (doctor->findings[i].chmod_path)
			r = doctor_fix(&doctor->findings[i], err);
	}
	return r;
}

static void findings_print_json(const struct doctor *doctor)
{
	_cleanup_json_ json_t *list = json_array();

	for (size_t i = 0; i < doctor->count; i++) {
		const struct doctor_finding *finding = &doctor->findings[i];

		json_array_append_new(
			list, json_pack("{s:s, s:s, s:s, s:s, s:b, s:b}", "name", finding->name,
					"severity", doctor_severity_name(finding->severity),
					"message", finding->message, "fix", finding->fix, "fixable",
					finding->chmod_path != NULL, "fixed", finding->is_fixed));
	}
	cli_json_print(list);
}

static void findings_print(const struct doctor *doctor)
{
	for (size_t i = 0; i < doctor->count; i++) {
		const struct doctor_finding *finding = &doctor->findings[i];
		/* The name of a file in the repository must not look like another finding, with a
		 * command as its fix. */
		_cleanup_free_ char *message = text_visible(span_of_text(finding->message), false);
		_cleanup_free_ char *fix = text_visible(span_of_text(finding->fix), false);

		printf("%s: %s [%s]\n    %s: %s\n", doctor_severity_name(finding->severity),
		       message ? message : "out of memory", finding->name,
		       finding->is_fixed ? "fixed" : "fix", fix ? fix : "out of memory");
	}
	if (doctor->count == 0)
		printf("nothing found\n");
}

static int findings_end(const struct doctor *doctor, struct error *err)
{
	size_t errors = 0, warnings = 0, fixable = 0;

	for (size_t i = 0; i < doctor->count; i++) {
		const struct doctor_finding *finding = &doctor->findings[i];

		if (finding->is_fixed)
			continue;
		errors += finding->severity == DOCTOR_ERROR;
		warnings += finding->severity == DOCTOR_WARNING;
		fixable += finding->chmod_path != NULL;
	}
	if (errors + warnings == 0)
		return 0;
	error_set(err, VMCRED_FAILED, "found %zu error%s and %zu warning%s", errors,
		  errors == 1 ? "" : "s", warnings, warnings == 1 ? "" : "s");
	return fixable > 0 ? error_hint(err, "--fix repairs %zu of them", fixable)
			   : -(int)err->code;
}

static int ignored_check(const struct doctor *doctor, struct error *err)
{
	for (size_t i = 0; i < doctor->ignored_count; i++) {
		const char *const *name = doctor_names;

		while (*name && strcmp(*name, doctor->ignored[i]) != 0)
			name++;
		if (*name)
			continue;
		error_set(err, VMCRED_USAGE, "--ignore: unknown finding \"%s\"",
			  doctor->ignored[i]);
		name_hint(doctor->ignored[i], doctor_names, err);
		return err->hint ? -(int)err->code
				 : error_hint(err, "vmcred-inspect(1) lists the findings");
	}
	return 0;
}

int command_doctor(struct cli *cli, int argc, char **argv, struct error *err)
{
	bool fix = false;
	const char *root = NULL;
	struct cli_texts ignored = {0};
	const struct cli_option options[] = {
		{"fix", NULL, "repair what can be repaired safely: modes of identities", &fix},
		{"ignore", "FINDING...", "leave out findings of that name, such as unit-swap",
		 &ignored},
		{"root", "DIRECTORY", "examine the files below it", &root},
		{0},
	};
	const struct cli_usage usage = {
		.command = "doctor",
		.examples = "  vmcred doctor\n  vmcred doctor --ignore unit-swap\n",
		.arguments = "",
		.about = "Find what endangers secrets in the work tree and on this host, and how "
			 "to fix it. Decrypts nothing. Exit code 1 if something was found.",
		.options = options,
		.words = doctor_names,
		.has_json = true,
	};
	_cleanup_config_ struct config config = {0};
	struct examination examination = {.cli = cli, .err = err};
	struct doctor *doctor = &examination.doctor;
	const struct config_machine *machine;
	_cleanup_close_ int store_dirfd = -1;
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r;
	doctor->ignored = ignored.items;
	doctor->ignored_count = ignored.count;
	cli->load = CONFIG_LENIENT;
	cli->threads = pool_threads();
	r = ignored_check(doctor, err);
	if (r == 0)
		r = cli_start(cli, &config, &store_dirfd, err);
	if (r == 0)
		r = doctor_check_entries(doctor, &config, err);
	if (r == 0)
		r = doctor_check_strings(doctor, &config, err);
	if (r == 0)
		r = doctor_check_credentials(doctor, &config, err);
	/* A laptop is none of the machines. */
	if (r == 0)
		r = config_machine_of_host(&config, NULL, &machine, err);
	if (r == 0)
		r = config_vms_keep(&config, machine ? machine->name : "", err);
	if (r == 0)
		r = store_examine(cli, &examination, &config, store_dirfd, err);
	if (r == 0)
		r = host_examine(cli, &examination, &config, root, err);
	if (r == 0)
		r = person_examine(&examination, err);
	if (r == 0 && fix)
		r = findings_fix(doctor, err);
	progress_clear(&cli->progress);
	if (r == 0) {
		if (cli->json)
			findings_print_json(doctor);
		else
			findings_print(doctor);
		r = findings_end(doctor, err);
	}
	free(examination.last_detail);
	doctor_release(doctor);
	return r;
}

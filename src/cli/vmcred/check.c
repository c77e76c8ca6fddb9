/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/pool.h"
#include "cli/vmcred/commands.h"
#include "inspect/inspect.h"

/* A fault in JSON and in text, and the command that fixes it. */
static const struct {
	const char *name, *text, *command;
} faults[] = {
	[VARS_FAULT_NONE] = {"fine", "fine", ""},
	[VARS_FAULT_MISSING] = {"missing", "is missing", "vmcred generate"},
	[VARS_FAULT_OUTDATED] = {"outdated", "is outdated: its validation changed",
				 "vmcred generate"},
	[VARS_FAULT_READERS] = {"readers", "does not have its declared recipients", "vmcred fix"},
	[VARS_FAULT_EXPIRED] = {"expired", "must be renewed", "vmcred generate"},
	[VARS_FAULT_OVERDUE] = {"overdue", "is overdue", "vmcred generate --overdue"},
	/* The detail says it all. */
	[VARS_FAULT_NO_KEY] = {"no-key", NULL, "vmcred machine add"},
	/* Never fails the check. */
	[VARS_FAULT_NO_NAME] = {"no-name", "is not bound to its name", "vmcred fix"},
};

const char *cli_fault_name(enum vars_fault fault)
{
	return faults[fault].name;
}

char *cli_fault_line(const struct vars_location *location, enum vars_fault fault,
		     const char *detail)
{
	_cleanup_free_ char *name = cli_location_text(location);

	if (!faults[fault].text)
		return strdup(detail);
	return name ? text_format("%s %s%s%s%s", name, faults[fault].text, detail ? " (" : "",
				  detail ? detail : "", detail ? ")" : "")
		    : NULL;
}

const char *cli_fault_command(enum vars_fault fault)
{
	return faults[fault].command;
}

/* Three recipients. */
#define DETAIL_REPEATED_MAX ((size_t)256)

char *cli_detail_text(const char *detail, char **last)
{
	const bool is_same = *last && strcmp(detail, *last) == 0;
	const size_t summary = strcspn(detail, ":");

	free(*last);
	*last = strdup(detail);
	return is_same && strlen(detail) > DETAIL_REPEATED_MAX
		       ? text_format("%.*s: as above", (int)summary, detail)
		       : strdup(detail);
}

struct checking {
	struct cli *cli;
	json_t *list; /* NULL: lines */
	struct cli_identity identity;
	struct inspect_delivery *delivery;              /* owned; NULL: nothing is decrypted */
	size_t checked, wrong, unnamed, opened, closed; /* files */
	size_t keyless;                                 /* machines */
	enum vars_fault first;                          /* the first one found */
	const char *machine;  /* of the first, if it is a missing key; else NULL */
	struct error failure; /* owned; the first, or the first with VMCRED_INTEGRITY */
	char *last_line;      /* owned; of the last failure */
	char *last_detail;    /* owned; that was printed */
};

static void checking_destroy(struct checking *checking)
{
	age_identities_destroy(&checking->identity.identities);
	inspect_delivery_destroy(&checking->delivery);
	error_clear(&checking->failure);
	free(checking->last_line);
	free(checking->last_detail);
}

/* Adds a finding to the JSON list. `location` may be NULL. */
static void finding_add(const struct checking *checking, const char *severity,
			const struct vars_location *location, const char *fault, const char *detail,
			const char *message)
{
	static const struct vars_location nothing = {0};
	const struct vars_location *at = location ? location : &nothing;

	/* A secret in sops/secrets has no generator, and a machine's own key no file either. */
	json_array_append_new(checking->list,
			      json_pack("{s:s, s:s?, s:s?, s:s?, s:s, s:s?, s:s}", "severity",
					severity, "machine", at->machine, "generator",
					at->generator ? at->generator->name : NULL, "file",
					at->file ? at->file->name : NULL, "fault", fault, "detail",
					detail, "message", message));
}

/* The most important failure is returned at the end; the others are warnings, unless they repeat
 * the previous one, as when one bad file affects many. */
static void failure_add(struct checking *checking, const struct vars_location *location,
			const char *fault, const char *detail, const struct error *failure)
{
	_cleanup_free_ char *line = error_line(failure);
	struct error *first = &checking->failure;

	if (!line)
		return;
	if (checking->list)
		finding_add(checking, "error", location, fault, detail, line);
	if (!first->text || (failure->code == VMCRED_INTEGRITY && first->code != failure->code)) {
		_cleanup_free_ char *before = first->text ? error_line(first) : NULL;

		error_set(first, failure->code, "%s", failure->text);
		if (failure->hint)
			error_hint(first, "%s", failure->hint);
		if (before && !checking->list)
			report_message(&checking->cli->report, REPORT_WARNING, "%s", before);
	} else if (!checking->list &&
		   !(checking->last_line && strcmp(line, checking->last_line) == 0)) {
		report_message(&checking->cli->report, REPORT_WARNING, "%s", line);
	}
	free(checking->last_line);
	checking->last_line = pointer_release(&line);
}

static void fault_add(struct checking *checking, const struct vars_location *location,
		      enum vars_fault fault, const char *detail)
{
	const bool is_wrong = fault != VARS_FAULT_NO_NAME;
	_cleanup_free_ char *shorter =
		detail && !checking->list ? cli_detail_text(detail, &checking->last_detail) : NULL;
	_cleanup_free_ char *line = cli_fault_line(location, fault, shorter ? shorter : detail);

	if (!is_wrong) {
		checking->unnamed++;
	} else if (checking->wrong + checking->keyless == 0) {
		checking->first = fault;
		checking->machine = fault == VARS_FAULT_NO_KEY ? location->machine : NULL;
	}
	if (fault == VARS_FAULT_NO_KEY)
		checking->keyless++;
	else if (is_wrong)
		checking->wrong++;
	if (!line)
		return;
	if (checking->list) {
		finding_add(checking, is_wrong ? "error" : "warning", location, faults[fault].name,
			    faults[fault].text ? detail : NULL, line);
	} else if (is_wrong) {
		progress_clear(&checking->cli->progress);
		printf("%s\n", line);
	}
}

static void closed_add(struct checking *checking, const struct vars_location *location)
{
	_cleanup_free_ char *name = cli_location_text(location);
	_cleanup_free_ char *line =
		name ? text_format("%s is not encrypted to this identity", name) : NULL;

	checking->closed++;
	if (checking->list && line)
		finding_add(checking, "info", location, "not-decrypted", NULL, line);
}

static void unread_print(struct checking *checking, const struct vars_location *location,
			 const char *detail)
{
	_cleanup_free_ char *name = cli_location_text(location);
	_cleanup_free_ char *text = cli_detail_text(detail, &checking->last_detail);

	progress_clear(&checking->cli->progress);
	if (name && text)
		printf("%s cannot be read (%s)\n", name, text);
}

static void file_checked(const struct vars_location *location, const struct vars_finding *finding,
			 void *data)
{
	struct checking *checking = data;

	if (finding->failure) {
		failure_add(checking, location,
			    finding->failure->code == VMCRED_INTEGRITY ? "damaged" : "unreadable",
			    finding->detail, finding->failure);
		if (finding->detail && !checking->list)
			unread_print(checking, location, finding->detail);
		return;
	}
	checking->checked += finding->fault != VARS_FAULT_NO_KEY;
	checking->opened += finding->opening == VARS_OPENED;
	if (finding->fault != VARS_FAULT_NONE)
		fault_add(checking, location, finding->fault, finding->detail);
	if (finding->opening == VARS_CLOSED)
		closed_add(checking, location);
}

static void value_opened(const struct vars_location *location, struct span value, void *data)
{
	const struct checking *checking = data;

	inspect_delivery_add(checking->delivery, location, value);
}

static void value_refused(const struct vars_location *location, const struct config_vm *vm,
			  const struct error *reason, void *data)
{
	_cleanup_free_ char *name = location->file ? cli_location_text(location) : NULL;
	_cleanup_error_ struct error failure = {0};

	error_set(&failure, reason->code, "%s%scannot be delivered to the VM %s: %s",
		  name ? name : "", name ? " " : "", vm->name, reason->text);
	if (reason->hint)
		error_hint(&failure, "%s", reason->hint);
	failure_add(data, location, "undeliverable", NULL, &failure);
}

static int identities_get(const struct age_identities **identities, void *data, struct error *err)
{
	struct checking *checking = data;

	return cli_identity_get(identities, &checking->identity, err);
}

/* How many of them the warning names. */
#define ORPHANS_NAMED ((size_t)3)

/* What `prune` would remove: a warning, because it does no harm. */
static int orphans_report(const struct checking *checking, const struct config *config,
			  int store_dirfd, struct error *err)
{
	_cleanup_vars_orphans_ struct vars_orphans orphans = {0};
	_cleanup_strings_ struct strings all = {0};
	int r = vars_orphans_find(config, store_dirfd, &orphans, err);

	if (r == 0)
		r = strings_add_all(&all, orphans.members.items, err);
	if (r == 0)
		r = strings_add_all(&all, orphans.paths.items, err);
	if (r < 0 || all.count == 0)
		return r;
	report_message(&checking->cli->report, REPORT_WARNING,
		       "no longer declared: %zu path%s in the store (%s%s%s%s%s%s): run `vmcred "
		       "prune`",
		       all.count, all.count == 1 ? "" : "s", all.items[0],
		       all.count > 1 ? ", " : "", all.count > 1 ? all.items[1] : "",
		       all.count > 2 ? ", " : "", all.count > 2 ? all.items[2] : "",
		       all.count > ORPHANS_NAMED ? ", ..." : "");
	return 0;
}

static int store_check(struct checking *checking, const struct config *config, int store_dirfd,
		       char *const *machines, struct error *err)
{
	const struct vars_check_options options = {
		.machines = machines,
		.checked = file_checked,
		.identities = checking->delivery ? identities_get : NULL,
		.opened = value_opened,
		.data = checking,
	};
	int r = vars_check(config, store_dirfd, &options, &checking->cli->report, err);

	if (r == 0 && !machines)
		r = orphans_report(checking, config, store_dirfd, err);
	return r < 0 || !checking->delivery ? r
					    : inspect_delivery_check(checking->delivery, config,
								     value_refused, checking, err);
}

/* Prints the totals. Returns the most important result. */
static int checking_end(struct checking *checking, struct error *err)
{
	_cleanup_free_ char *files = NULL, *machines = NULL;

	if (checking->unnamed > 0)
		report_message(&checking->cli->report, REPORT_WARNING,
			       "not bound to their names: %zu of %zu files: run `vmcred fix`",
			       checking->unnamed, checking->checked);
	if (!checking->list && !checking->failure.text && checking->wrong + checking->keyless == 0)
		printf("%s%zu file%s as declared\n", checking->checked == 1 ? "" : "all ",
		       checking->checked, checking->checked == 1 ? " is" : "s are");
	if (!checking->list && checking->closed > 0)
		printf("decrypted %zu of %zu secrets: the others are not encrypted to this "
		       "identity\n",
		       checking->opened, checking->opened + checking->closed);
	else if (!checking->list && checking->opened > 0)
		printf("decrypted %zu secret%s\n", checking->opened,
		       checking->opened == 1 ? "" : "s");
	if (checking->failure.text)
		return error_move(err, &checking->failure);
	if (checking->closed > 0 && checking->opened == 0) {
		error_set(err, VMCRED_MISSING, "no secret is encrypted to this identity");
		return error_hint(err, "pass that of a recipient with --identity FILE");
	}
	if (checking->wrong + checking->keyless == 0)
		return 0;
	files = text_format("%zu of %zu files %s not as declared", checking->wrong,
			    checking->checked, checking->wrong == 1 ? "is" : "are");
	machines = text_format("%zu machine%s no key", checking->keyless,
			       checking->keyless == 1 ? " has" : "s have");
	if (!files || !machines)
		return error_no_memory(err);
	error_set(err, VMCRED_MISSING, "%s%s%s", checking->wrong > 0 ? files : "",
		  checking->wrong > 0 && checking->keyless > 0 ? ", and " : "",
		  checking->keyless > 0 ? machines : "");
	return error_hint(err, "fix the first with `%s%s%s`", faults[checking->first].command,
			  checking->machine ? " " : "", checking->machine ? checking->machine : "");
}

int command_check(struct cli *cli, int argc, char **argv, struct error *err)
{
	bool decrypt = false;
	__attribute__((cleanup(checking_destroy))) struct checking checking = {
		.cli = cli, .identity = {.report = &cli->report}};
	const struct cli_option options[] = {
		{"decrypt", NULL, "also decrypt each secret that the identity opens", &decrypt},
		{"identity", "FILE", CLI_IDENTITY_HELP, &checking.identity.path},
		{0},
	};
	const struct cli_usage usage = {
		.command = "check",
		.examples = "  vmcred check host1 --decrypt\n",
		.arguments = "[MACHINE...]",
		.about = "Check that the store has every declared secret, up to date and encrypted "
			 "to its declared recipients. Exit code 3: a secret is not as declared. "
			 "With --decrypt, also check that the secrets were not changed and can be "
			 "delivered to the VMs. Exit code 4: a secret was changed.",
		.options = options,
		.has_json = true,
		.arguments_max = -1,
	};
	_cleanup_config_ struct config config = {0};
	_cleanup_close_ int store_dirfd = -1;
	_cleanup_json_ json_t *list = NULL;
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r;
	if (checking.identity.path && !decrypt)
		return error_set(err, VMCRED_USAGE, "--identity requires --decrypt");
	checking.delivery = decrypt ? inspect_delivery_create() : NULL;
	checking.list = list = cli->json ? json_array() : NULL;
	if ((decrypt && !checking.delivery) || (cli->json && !list))
		return error_no_memory(err);
	cli->threads = pool_threads();
	r = cli_start(cli, &config, &store_dirfd, err);
	if (r == 0)
		r = store_check(&checking, &config, store_dirfd, first < argc ? argv + first : NULL,
				err);
	if (r < 0 && list) {
		_cleanup_free_ char *line = error_line(err);

		finding_add(&checking, "error", NULL, "failed", NULL, line ? line : err->text);
	}
	if (list)
		cli_json_print(list);
	return r < 0 ? r : checking_end(&checking, err);
}

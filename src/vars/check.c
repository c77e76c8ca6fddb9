/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether what is declared is in the store, and as the declaration has it. Nothing is decrypted:
 * for whom a document is stands in it in the clear. A file that cannot be read does not keep the
 * others from being looked at.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/pool.h"
#include "vars/secret_state.h"
#include "vars/walk.h"

/* What was found out about a file. */
struct finding {
	enum vars_fault fault;
	char *detail;     /* owned, or NULL */
	struct error err; /* owned; set where nothing could be found out */
};

struct checking {
	const struct config *config;
	int store_dirfd;
	struct roster *roster;
	const struct vars_location *locations; /* of this batch */
	struct finding *findings;
	struct error failure; /* owned; the first */
	char *last_line;      /* owned; of the last failure */
};

static int validation_check(const struct checking *checking, const struct vars_location *location,
			    struct finding *finding, struct error *err)
{
	int r = location->generator
			? vars_validation_changed(checking->store_dirfd, location->machine,
						  location->generator, err)
			: 0;

	if (r > 0)
		finding->fault = VARS_FAULT_OUTDATED;
	return r < 0 ? r : 0;
}

static int readers_check(const struct checking *checking, const struct vars_location *location,
			 struct secret_state *state, struct finding *finding, struct error *err)
{
	struct secret_difference difference = {0};
	int r = secret_state_readers_find(checking->config, checking->roster, location, NULL, state,
					  err);

	if (r == 0)
		r = secret_state_compare(state, &difference, err);
	if (r < 0)
		return r;
	if (!secret_difference_is_some(&difference))
		return 0;
	finding->fault = VARS_FAULT_READERS;
	finding->detail = secret_difference_text(&difference);
	return finding->detail ? 0 : error_no_memory(err);
}

static int secret_check(const struct checking *checking, const struct vars_location *location,
			struct finding *finding, struct error *err)
{
	_cleanup_secret_state_ struct secret_state state = SECRET_STATE_NONE;
	int r = secret_state_open(checking->store_dirfd, location, false, &state, err);

	if (r == 0)
		r = secret_state_document_read(&state, err);
	if (r == -(int)VMCRED_MISSING) {
		error_clear(err);
		finding->fault = VARS_FAULT_MISSING;
		return 0;
	}
	if (r == 0)
		r = validation_check(checking, location, finding, err);
	if (r < 0 || finding->fault != VARS_FAULT_NONE)
		return r;
	return readers_check(checking, location, &state, finding, err);
}

static int value_check(const struct checking *checking, const struct vars_location *location,
		       struct finding *finding, struct error *err)
{
	int r = vars_store_has(checking->store_dirfd, location, err);

	if (r == 0)
		finding->fault = VARS_FAULT_MISSING;
	if (r <= 0)
		return r;
	r = vars_value_check(checking->store_dirfd, location, err);
	if (r == 0)
		r = validation_check(checking, location, finding, err);
	if (r < 0 || finding->fault != VARS_FAULT_NONE)
		return r;
	r = vars_certificate_check(checking->config, checking->store_dirfd, location,
				   &finding->detail, err);
	if (r == 1)
		finding->fault = VARS_FAULT_EXPIRED;
	return r < 0 ? r : 0;
}

static void file_check(void *context, size_t index)
{
	const struct checking *checking = context;
	const struct vars_location *location = &checking->locations[index];
	struct finding *finding = &checking->findings[index];

	if (location->generator && !location->file->secret)
		(void)value_check(checking, location, finding, &finding->err);
	else
		(void)secret_check(checking, location, finding, &finding->err);
}

/* The first failure is the run's, in the end; the others are told, unless they say the same: one
 * file may be in the way of many. */
static void failure_tell(struct checking *checking, struct finding *finding,
			 const struct report *report)
{
	_cleanup_free_ char *line = error_line(&finding->err);

	if (!checking->failure.text) {
		checking->failure = finding->err;
		finding->err = (struct error){0};
	} else if (line && !(checking->last_line && strcmp(line, checking->last_line) == 0)) {
		report_message(report, REPORT_WARNING, "%s", line);
	}
	free(checking->last_line);
	checking->last_line = pointer_release(&line);
}

static void findings_tell(struct checking *checking, size_t count, vars_checked_fn checked,
			  void *data, const struct report *report)
{
	for (size_t i = 0; i < count; i++) {
		struct finding *finding = &checking->findings[i];

		if (finding->err.text)
			failure_tell(checking, finding, report);
		else
			checked(&checking->locations[i], finding->fault, finding->detail, data);
		free(finding->detail);
		error_clear(&finding->err);
	}
}

static bool has_deployed_secret(const struct config_generator *generator)
{
	for (size_t i = 0; i < generator->file_count; i++) {
		if (generator->files[i].secret && generator->files[i].deploy)
			return true;
	}
	return false;
}

/* Whether it needs a key. */
static bool has_secrets(const struct config *config, const struct config_machine *machine)
{
	for (size_t i = 0; i < machine->generator_count; i++) {
		if (has_deployed_secret(&config->generators[machine->generators[i]]))
			return true;
	}
	for (size_t i = 0; i < config->generator_count; i++) {
		const struct config_generator *generator = &config->generators[i];

		if (generator->share && config_generator_is_for(generator, machine->name) &&
		    has_deployed_secret(generator))
			return true;
	}
	return false;
}

/* Its secrets are as they should be for all the others who may read them. A folder without a key is
 * an error, and not looked for here. */
static int machine_check(const struct checking *checking, const struct config_machine *machine,
			 vars_checked_fn checked, void *data, struct error *err)
{
	const struct vars_location location = {.machine = machine->name};
	_cleanup_free_ char *detail = NULL;
	int r = roster_has(checking->roster, VARS_MACHINE, machine->name, err);

	if (r != 0 || !has_secrets(checking->config, machine))
		return r < 0 ? r : 0;
	if (asprintf(&detail, "there is no sops/machines/%s/key.json", machine->name) < 0) {
		detail = NULL;
		return error_no_memory(err);
	}
	checked(&location, VARS_FAULT_NO_KEY, detail, data);
	return 0;
}

static int machines_check(const struct checking *checking, char *const *names,
			  vars_checked_fn checked, void *data, struct error *err)
{
	const struct config *config = checking->config;
	int r = 0;

	for (size_t i = 0; r == 0 && !names && i < config->machine_count; i++)
		r = machine_check(checking, &config->machines[i], checked, data, err);
	for (; r == 0 && names && *names; names++) {
		const struct config_machine *machine = config_machine_get(config, *names, err);

		r = machine ? machine_check(checking, machine, checked, data, err)
			    : -(int)err->code;
	}
	return r;
}

int vars_check(const struct config *config, int store_dirfd, char *const *machines,
	       vars_checked_fn checked, void *data, const struct report *report, struct error *err)
{
	_cleanup_roster_ struct roster *roster = NULL;
	_cleanup_walk_ struct walk walk = {0};
	_cleanup_free_ struct finding *findings = calloc(WALK_BATCH, sizeof(*findings));
	struct checking checking = {
		.config = config, .store_dirfd = store_dirfd, .findings = findings};
	int r;

	if (!findings)
		return error_no_memory(err);
	r = roster_create(store_dirfd, NULL, &roster, err);
	checking.roster = roster;
	if (r == 0)
		r = walk_plan(config, store_dirfd, machines, &walk, err);
	if (r == 0)
		r = machines_check(&checking, machines, checked, data, err);
	for (size_t at = 0; r == 0 && at < walk.count; at += WALK_BATCH) {
		size_t left = walk.count - at, count = left < WALK_BATCH ? left : WALK_BATCH;

		report_progress(report, at, walk.count);
		memset(findings, 0, WALK_BATCH * sizeof(*findings));
		checking.locations = &walk.locations[at];
		pool_run(count, file_check, &checking);
		findings_tell(&checking, count, checked, data, report);
	}
	report_progress(report, walk.count, walk.count);
	free(checking.last_line);
	if (r == 0 && checking.failure.text) {
		*err = checking.failure;
		return -(int)err->code;
	}
	error_clear(&checking.failure);
	return r;
}

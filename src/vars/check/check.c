/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/check/check.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/pool.h"
#include "vars/secrets/secrets.h"
#include "vars/store/store.h"

/* The result for one file. */
struct finding {
	enum vars_fault fault;
	char *detail;     /* owned, or NULL */
	struct error err; /* owned; set if the file could not be checked */
};

struct checking {
	const struct config *config;
	int store_dirfd;
	struct member_cache *cache;
	const struct vars_location *locations; /* of this batch */
	struct finding *findings;
	vars_checked_fn checked;
	void *data;
	const struct report *report;
	struct error failure; /* owned; the first */
	char *last_line;      /* owned; of the last failure */
};

static int validation_check(const struct checking *checking, const struct vars_location *location,
			    struct finding *finding, struct error *err)
{
	int r = location->generator ? validation_changed(checking->store_dirfd, location->machine,
							 location->generator, err)
				    : 0;

	if (r > 0)
		finding->fault = VARS_FAULT_OUTDATED;
	return r < 0 ? r : 0;
}

static int secret_check(const struct checking *checking, const struct vars_location *location,
			struct finding *finding, struct error *err)
{
	_cleanup_stored_secret_ struct stored_secret stored = STORED_SECRET_NONE;
	int r = stored_secret_open(checking->store_dirfd, location, false, &stored, err);

	if (r == 0)
		r = stored_secret_read(&stored, err);
	if (r == -(int)VMCRED_MISSING) {
		error_clear(err);
		finding->fault = VARS_FAULT_MISSING;
		return 0;
	}
	if (r == 0)
		r = validation_check(checking, location, finding, err);
	if (r < 0 || finding->fault != VARS_FAULT_NONE)
		return r;
	r = stored_secret_find_readers(checking->config, checking->cache, location, NULL, &stored,
				       err);
	if (r == 0)
		r = stored_secret_compare(&stored, checking->cache, &finding->detail, err);
	if (finding->detail)
		finding->fault = VARS_FAULT_READERS;
	else if (r == 0 && !sops_binary_has_name(stored.document))
		finding->fault = VARS_FAULT_NO_NAME;
	return r;
}

static int value_check(const struct checking *checking, const struct vars_location *location,
		       struct finding *finding, struct error *err)
{
	_cleanup_secret_ struct secret value = {0};
	int r = vars_store_has(checking->store_dirfd, location, err);

	if (r == 0)
		finding->fault = VARS_FAULT_MISSING;
	if (r <= 0)
		return r;
	/* It can be read, and has no conflict markers. */
	r = vars_store_read(checking->store_dirfd, location, NULL, &value, err);
	if (r == 0)
		r = validation_check(checking, location, finding, err);
	if (r < 0 || finding->fault != VARS_FAULT_NONE)
		return r;
	r = certificate_check(checking->config, checking->store_dirfd, location, &finding->detail,
			      err);
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

/* The first failure is returned at the end; the others are reported, unless they repeat the
 * previous one, as when one bad file affects many. */
static void failure_report(struct checking *checking, struct finding *finding)
{
	_cleanup_free_ char *line = error_line(&finding->err);

	if (!checking->failure.text) {
		checking->failure = finding->err;
		finding->err = (struct error){0};
	} else if (line && !(checking->last_line && strcmp(line, checking->last_line) == 0)) {
		report_message(checking->report, REPORT_WARNING, "%s", line);
	}
	free(checking->last_line);
	checking->last_line = pointer_release(&line);
}

static bool has_deployed_secret(const struct config_generator *generator)
{
	for (size_t i = 0; i < generator->file_count; i++) {
		if (generator->files[i].secret && generator->files[i].deploy)
			return true;
	}
	return false;
}

static bool machine_needs_key(const struct config *config, const struct config_machine *machine)
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

/* Without a key, the machine's secrets are still correct for all other readers. A directory without
 * key.json is an error, which is found elsewhere. */
static int machine_check(const struct checking *checking, const struct config_machine *machine,
			 struct error *err)
{
	const struct vars_location location = {.machine = machine->name};
	_cleanup_free_ char *detail = NULL;
	int r = member_cache_has(checking->cache, VARS_MACHINE, machine->name, err);

	if (r != 0 || !machine_needs_key(checking->config, machine))
		return r < 0 ? r : 0;
	detail = text_format("sops/machines/%s/key.json does not exist", machine->name);
	if (!detail)
		return error_no_memory(err);
	checking->checked(&location, VARS_FAULT_NO_KEY, detail, checking->data);
	return 0;
}

static int machines_check(const struct checking *checking, char *const *names, struct error *err)
{
	const struct config *config = checking->config;
	int r = 0;

	for (size_t i = 0; r == 0 && !names && i < config->machine_count; i++)
		r = machine_check(checking, &config->machines[i], err);
	for (; r == 0 && names && *names; names++)
		r = machine_check(checking, config_machine_find(config, *names), err);
	return r;
}

static void batch_check(struct checking *checking, const struct vars_location *locations,
			size_t count)
{
	checking->locations = locations;
	memset(checking->findings, 0, count * sizeof(*checking->findings));
	pool_run(count, file_check, checking);
	for (size_t i = 0; i < count; i++) {
		struct finding *finding = &checking->findings[i];

		if (finding->err.text)
			failure_report(checking, finding);
		else
			checking->checked(&locations[i], finding->fault, finding->detail,
					  checking->data);
		free(finding->detail);
		error_clear(&finding->err);
	}
}

int vars_check(const struct config *config, int store_dirfd, char *const *machines,
	       vars_checked_fn checked, void *data, const struct report *report, struct error *err)
{
	_cleanup_member_cache_ struct member_cache *cache = NULL;
	_cleanup_store_files_ struct store_files files = {0};
	_cleanup_free_ struct finding *findings = calloc(STORE_BATCH, sizeof(*findings));
	struct checking checking = {.config = config,
				    .store_dirfd = store_dirfd,
				    .findings = findings,
				    .checked = checked,
				    .data = data,
				    .report = report};
	int r = findings ? member_cache_create(store_dirfd, NULL, &cache, err)
			 : error_no_memory(err);

	checking.cache = cache;
	if (r == 0)
		r = store_files_list(config, store_dirfd, machines, &files, err);
	if (r == 0)
		r = machines_check(&checking, machines, err);
	for (size_t at = 0; r == 0 && at < files.count; at += STORE_BATCH) {
		const size_t left = files.count - at;

		report_progress(report, at, files.count);
		batch_check(&checking, &files.locations[at],
			    left < STORE_BATCH ? left : STORE_BATCH);
	}
	report_progress(report, files.count, files.count);
	free(checking.last_line);
	if (r == 0 && checking.failure.text) {
		*err = checking.failure;
		return -(int)err->code;
	}
	error_clear(&checking.failure);
	return r;
}

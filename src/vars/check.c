/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether what is declared is in the store, and as the declaration has it. Nothing is decrypted:
 * for whom a document is stands in it in the clear.
 */
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
};

static int validation_check(const struct checking *checking, const struct vars_location *location,
			    struct finding *finding, struct error *err)
{
	int r = location->generator
			? vars_validation_changed(checking->store_dirfd, location->machine,
						  location->generator, err)
			: 0;

	if (r > 0)
		finding->fault = VARS_OUTDATED;
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
	finding->fault = VARS_READERS;
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
		finding->fault = VARS_NOT_THERE;
		return 0;
	}
	if (r == 0)
		r = validation_check(checking, location, finding, err);
	if (r < 0 || finding->fault != VARS_FINE)
		return r;
	return readers_check(checking, location, &state, finding, err);
}

static int value_check(const struct checking *checking, const struct vars_location *location,
		       struct finding *finding, struct error *err)
{
	int r = vars_store_has(checking->store_dirfd, location, err);

	if (r == 0)
		finding->fault = VARS_NOT_THERE;
	if (r <= 0)
		return r;
	r = validation_check(checking, location, finding, err);
	if (r < 0 || finding->fault != VARS_FINE)
		return r;
	r = vars_certificate_check(checking->config, checking->store_dirfd, location,
				   &finding->detail, err);
	if (r == 1)
		finding->fault = VARS_EXPIRED;
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

/* In order, up to the first that could not be looked at. */
static int findings_tell(const struct checking *checking, size_t count, vars_checked_fn checked,
			 void *data, struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < count; i++) {
		struct finding *finding = &checking->findings[i];

		if (r == 0 && finding->err.text) {
			*err = finding->err;
			finding->err = (struct error){0};
			r = -(int)err->code;
		}
		if (r == 0)
			checked(&checking->locations[i], finding->fault, finding->detail, data);
		free(finding->detail);
		error_clear(&finding->err);
	}
	return r;
}

int vars_check(const struct config *config, int store_dirfd, char *const *machines,
	       vars_checked_fn checked, void *data, const struct report *report, struct error *err)
{
	_cleanup_roster_ struct roster *roster = NULL;
	_cleanup_walk_ struct walk walk = {0};
	_cleanup_free_ struct finding *findings = calloc(WALK_BATCH, sizeof(*findings));
	struct checking checking = {config, store_dirfd, NULL, NULL, findings};
	int r;

	if (!findings)
		return error_no_memory(err);
	r = roster_create(store_dirfd, NULL, &roster, err);
	checking.roster = roster;
	if (r == 0)
		r = walk_plan(config, store_dirfd, machines, &walk, err);
	for (size_t at = 0; r == 0 && at < walk.count; at += WALK_BATCH) {
		size_t left = walk.count - at, count = left < WALK_BATCH ? left : WALK_BATCH;

		report_progress(report, at, walk.count);
		memset(findings, 0, WALK_BATCH * sizeof(*findings));
		checking.locations = &walk.locations[at];
		pool_run(count, file_check, &checking);
		r = findings_tell(&checking, count, checked, data, err);
	}
	report_progress(report, walk.count, walk.count);
	return r;
}

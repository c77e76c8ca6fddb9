/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/repair.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "cli/identity.h"
#include "cli/location.h"

struct repairing {
	const struct config *config;
	int store_dirfd;
	const struct vars_departing *departing;
	const struct report *report;
	const char *identity;
	struct age_identities identities;
	bool loaded, hopeless; /* hopeless: none could be loaded */
	size_t changed, failed;
};

static int identities_load(const struct age_identities **identities, void *data, struct error *err)
{
	struct repairing *repairing = data;

	*identities = &repairing->identities;
	if (repairing->loaded)
		return 0;
	repairing->hopeless =
		cli_identities_load(repairing->identity, &repairing->identities, err) < 0;
	repairing->loaded = !repairing->hopeless;
	return repairing->hopeless ? -(int)err->code : 0;
}

static int secret_fix(struct repairing *repairing, const struct vars_location *location,
		      char **detail, struct error *err)
{
	int r = vars_store_has(repairing->store_dirfd, location, err);

	/* What is not there is generate's business. */
	return r <= 0 ? r
		      : vars_fix(repairing->config, repairing->store_dirfd, location,
				 repairing->departing, identities_load, repairing, detail, err);
}

static int file_fix(const struct vars_location *location, void *data, struct error *err)
{
	struct repairing *repairing = data;
	_cleanup_free_ char *detail = NULL, *line = NULL;
	_cleanup_error_ struct error own = {0};
	int r;

	if (location->generator && !location->file->secret)
		return 0;
	r = secret_fix(repairing, location, &detail, &own);
	if (r > 0) {
		repairing->changed++;
		cli_location_print(location);
		printf(": %s\n", detail ? detail : "");
	}
	if (r >= 0)
		return 0;
	/* Without an identity none of the others can be opened either. */
	if (repairing->hopeless) {
		*err = own;
		own = (struct error){0};
		return r;
	}
	repairing->failed++;
	line = error_line(&own);
	report_message(repairing->report, REPORT_WARNING, "%s", line ? line : "out of memory");
	return 0;
}

int cli_repair(struct cli *cli, const struct config *config, int store_dirfd, char *const *machines,
	       const struct vars_departing *departing, const char *identity, size_t *changed,
	       struct error *err)
{
	const struct vars_departing nobody = {0};
	struct repairing repairing = {.config = config,
				      .store_dirfd = store_dirfd,
				      .departing = departing ? departing : &nobody,
				      .report = &cli->report,
				      .identity = identity};
	int r = vars_each(config, machines, file_fix, &repairing, err);

	if (r == 0 && !machines)
		r = vars_machine_keys_each(store_dirfd, file_fix, &repairing, err);
	age_identities_destroy(&repairing.identities);
	*changed = repairing.changed;
	if (r < 0 || repairing.failed == 0)
		return r;
	return error_set(err, VMCRED_FAILED, "%zu secret%s could not be encrypted anew",
			 repairing.failed, repairing.failed == 1 ? "" : "s");
}

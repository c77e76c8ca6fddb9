/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred/repair.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "cli/vmcred/identity.h"
#include "cli/vmcred/location.h"

struct repairing {
	const struct report *report;
	const char *identity;
	struct age_identities identities;
	size_t changed, failed;
};

static int identities_load(const struct age_identities **identities, void *data, struct error *err)
{
	struct repairing *repairing = data;

	*identities = &repairing->identities;
	return cli_identities_load(repairing->identity, &repairing->identities, err);
}

static void fixed_print(const struct vars_location *location, const char *detail, void *data)
{
	struct repairing *repairing = data;

	repairing->changed++;
	cli_location_print(location);
	printf(": %s\n", detail);
}

static void failure_print(const struct vars_location *location, const struct error *reason,
			  void *data)
{
	struct repairing *repairing = data;
	_cleanup_free_ char *line = error_line(reason);

	(void)location;
	repairing->failed++;
	report_message(repairing->report, REPORT_WARNING, "%s", line ? line : "out of memory");
}

int cli_repair(struct cli *cli, const struct config *config, int store_dirfd, char *const *machines,
	       const struct vars_exclusion *exclude, const char *identity, size_t *changed,
	       struct error *err)
{
	struct repairing repairing = {.report = &cli->report, .identity = identity};
	const struct vars_fix_options options = {
		.machines = machines,
		.exclude = exclude ? *exclude : (struct vars_exclusion){0},
		.identities = identities_load,
		.fixed = fixed_print,
		.failed = failure_print,
		.data = &repairing,
	};
	int r = vars_fix(config, store_dirfd, &options, &cli->report, err);

	age_identities_destroy(&repairing.identities);
	*changed = repairing.changed;
	if (r < 0 || repairing.failed == 0)
		return r;
	return error_set(err, VMCRED_FAILED, "%zu secret%s could not be encrypted anew",
			 repairing.failed, repairing.failed == 1 ? "" : "s");
}

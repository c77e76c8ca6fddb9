/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/cleanup.h"
#include "cli/vmcred/commands.h"

struct repair {
	struct cli *cli;
	struct cli_identity identity;
	size_t changed, failed;
};

static int identities_get(const struct age_identities **identities, void *data, struct error *err)
{
	struct repair *repair = data;

	return cli_identity_get(identities, &repair->identity, err);
}

static void change_print(const struct vars_location *location, const char *detail, void *data)
{
	struct repair *repair = data;

	repair->changed++;
	progress_clear(&repair->cli->progress);
	cli_location_print(location);
	printf(": %s\n", detail);
	(void)fflush(stdout);
}

static void failure_print(const struct vars_location *location, const struct error *reason,
			  void *data)
{
	struct repair *repair = data;
	_cleanup_free_ char *line = error_line(reason);

	(void)location;
	repair->failed++;
	report_message(&repair->cli->report, REPORT_WARNING, "%s", line ? line : "out of memory");
}

int cli_repair(struct cli *cli, const struct config *config, int store_dirfd, char *const *machines,
	       const struct vars_exclusion *exclude, bool bind, const char *identity,
	       size_t *changed, struct error *err)
{
	struct repair repair = {.cli = cli, .identity = {.path = identity, .report = &cli->report}};
	const struct vars_fix_options options = {
		.machines = machines,
		.exclude = exclude ? *exclude : (struct vars_exclusion){0},
		.bind = bind,
		.identities = identities_get,
		.fixing = change_print,
		.failed = failure_print,
		.data = &repair,
	};
	int r = vars_fix(config, store_dirfd, &options, &cli->report, err);

	age_identities_destroy(&repair.identity.identities);
	*changed = repair.changed;
	if (r < 0 || repair.failed == 0)
		return r;
	return error_set(err, VMCRED_FAILED, "%zu secret%s could not be re-encrypted",
			 repair.failed, repair.failed == 1 ? "" : "s");
}

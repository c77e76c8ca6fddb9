/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/pool.h"
#include "cli/vmcred/commands.h"

int command_fix(struct cli *cli, int argc, char **argv, struct error *err)
{
	struct cli_change change = {.bind = true};
	const struct cli_option options[] = {
		{"dry-run", NULL, CLI_DRY_RUN_HELP, &change.dry_run},
		{"identity", "FILE", CLI_IDENTITY_HELP, &change.identity},
		{0},
	};
	const struct cli_usage usage = {
		.command = "fix",
		.examples = "  vmcred fix host1 --dry-run\n",
		.arguments = "[MACHINE...]",
		.about = "Re-encrypt secrets whose recipients differ from the declared ones: their "
			 "machines, the default groups (without any: all users), and readers added "
			 "to single secrets. Bind secrets of other tools to their names.",
		.options = options,
		.has_json = true,
		.arguments_max = -1,
	};
	_cleanup_config_ struct config config = {0};
	_cleanup_close_ int store_dirfd = -1;
	_cleanup_lock_ struct lock lock = LOCK_NONE;
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r;
	cli->threads = pool_threads();
	cli->load = CONFIG_WHOLE;
	r = cli_start(cli, &config, &store_dirfd, err);
	if (r == 0 && !change.dry_run)
		r = vars_lock(&lock, store_dirfd, &cli->report, err);
	if (r < 0)
		return r;
	change.machines = first < argc ? argv + first : NULL;
	return cli_change_make(cli, &config, store_dirfd, &change,
			       "nothing to do: all secrets have their declared recipients", err);
}

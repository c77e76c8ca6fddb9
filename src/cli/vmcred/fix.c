/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/cleanup.h"
#include "base/pool.h"
#include "cli/vmcred/commands.h"

int command_fix(struct cli *cli, int argc, char **argv, struct error *err)
{
	const char *identity = NULL;
	const struct cli_option options[] = {
		{"identity", "FILE", CLI_IDENTITY_HELP, &identity},
		{0},
	};
	const struct cli_usage usage = {
		.command = "fix",
		.arguments = "[MACHINE...]",
		.about = "Re-encrypt secrets whose recipients differ from the declared ones: their "
			 "machines, the\n"
			 "default groups (without any: all users), and readers added to single "
			 "secrets.\n"
			 "Bind secrets of other tools to their names.",
		.options = options,
		.arguments_max = -1,
	};
	_cleanup_config_ struct config config = {0};
	_cleanup_close_ int store_dirfd = -1;
	_cleanup_lock_ struct lock lock = LOCK_NONE;
	size_t changed = 0;
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r;
	cli->threads = pool_threads();
	r = cli_start(cli, &config, &store_dirfd, err);
	if (r == 0)
		r = vars_lock(&lock, store_dirfd, &cli->report, err);
	if (r == 0)
		r = cli_repair(cli, &config, store_dirfd, first < argc ? argv + first : NULL, NULL,
			       true, identity, &changed, err);
	if (r == 0 && changed == 0)
		printf("nothing to do: all secrets have their declared recipients\n");
	return r;
}

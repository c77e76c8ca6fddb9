/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/pool.h"
#include "cli/vmcred/commands.h"

/* Orphaned machines leave the store as with `machine remove`. */
static int orphans_remove(struct cli *cli, const struct config *config, int store_dirfd,
			  struct cli_change *change, struct error *err)
{
	_cleanup_vars_orphans_ struct vars_orphans orphans = {0};
	_cleanup_free_ struct vars_member_change *members = NULL;
	int r = vars_orphans_find(config, store_dirfd, &orphans, err);

	if (r < 0)
		return r;
	members = calloc(orphans.machines.count + 1, sizeof(*members));
	if (!members)
		return error_no_memory(err);
	for (size_t i = 0; i < orphans.machines.count; i++)
		members[i] = (struct vars_member_change){
			.type = VARS_MACHINE, .name = orphans.machines.items[i], .removed = true};
	r = strings_add_all(&change->removed, orphans.members.items, err);
	if (r == 0)
		r = strings_add_all(&change->removed_last, orphans.paths.items, err);
	if (r < 0)
		return r;
	change->members = members;
	change->member_count = orphans.machines.count;
	change->paths_only = change->member_count == 0;
	return cli_change_make(
		cli, config, store_dirfd, change,
		"nothing to do: the store has nothing of vmcred that is not declared", err);
}

int command_prune(struct cli *cli, int argc, char **argv, struct error *err)
{
	bool yes = false;
	_cleanup_cli_change_ struct cli_change change = {0};
	const struct cli_option options[] = {
		{"yes", NULL, "do not ask for confirmation", &yes},
		{"dry-run", NULL, CLI_DRY_RUN_HELP, &change.dry_run},
		{"identity", "FILE", CLI_IDENTITY_HELP, &change.identity},
		{0},
	};
	const struct cli_usage usage = {
		.command = "prune",
		.arguments = "",
		.about = "Remove what vmcred stored for machines, generators and files that are no "
			 "longer declared, and links to members that do not exist. Asks at the "
			 "terminal first.",
		.options = options,
		.has_json = true,
	};
	_cleanup_config_ struct config config = {0};
	_cleanup_close_ int store_dirfd = -1;
	_cleanup_lock_ struct lock lock = LOCK_NONE;
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r;
	change.confirm = !yes;
	if (cli->json && !yes && !change.dry_run)
		return error_set(err, VMCRED_USAGE, "--json requires --yes or --dry-run");
	cli->threads = pool_threads();
	cli->load = CONFIG_WHOLE;
	r = cli_start(cli, &config, &store_dirfd, err);
	if (r == 0 && !change.dry_run)
		r = vars_lock(&lock, store_dirfd, &cli->report, err);
	return r < 0 ? r : orphans_remove(cli, &config, store_dirfd, &change, err);
}

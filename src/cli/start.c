/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/harden.h"
#include "cli/cli.h"

int cli_harden(const struct cli *cli, struct error *err)
{
	const size_t threads = cli->threads * CLI_THREAD_LOCK_BYTES;

	return process_harden(threads > CLI_LOCK_BYTES ? threads : CLI_LOCK_BYTES, &cli->report,
			      err);
}

int cli_start(struct cli *cli, struct config *config, int *store_dirfd, struct error *err)
{
	_cleanup_free_ char *path = NULL;
	int r = cli_harden(cli, err);

	if (r == 0)
		r = config_find(cli->config, &path, store_dirfd, err);
	return r < 0 ? r : config_load_file(path, config, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "cli/vmcred/commands.h"

int command_get(struct cli *cli, int argc, char **argv, struct error *err)
{
	struct cli_identity identity = {0};
	const struct cli_option options[] = {
		{"identity", "FILE", CLI_IDENTITY_HELP, &identity.path},
		{0},
	};
	const struct cli_usage usage = {
		.command = "get",
		.arguments = "MACHINE GENERATOR/FILE",
		.about = "Decrypt one secret of the store to standard output, byte for byte.",
		.options = options,
		.arguments_min = 2,
		.arguments_max = 2,
	};
	_cleanup_config_ struct config config = {0};
	_cleanup_secret_ struct secret value = {0};
	_cleanup_close_ int store_dirfd = -1;
	struct vars_location location = {0};
	struct sops_keyring keyring = {0};
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r;
	r = cli_start(cli, &config, &store_dirfd, err);
	if (r == 0)
		r = cli_location_find(&config, argv[first], argv[first + 1], &location, err);
	/* A public file needs no key. */
	if (r == 0 && location.file->secret)
		r = vars_keyring_load(store_dirfd, &location, cli_identity_get, &identity, &keyring,
				      err);
	if (r == 0)
		r = vars_store_read(store_dirfd, &location, &keyring, &value, err);
	age_identities_destroy(&identity.identities);
	/* Straight to the descriptor: stdio would keep a copy in its buffer. */
	if (r == 0)
		r = fd_write(STDOUT_FILENO, secret_span(&value), "standard output", err);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "cli/vmcred/commands.h"
#include "cli/vmcred/identity.h"
#include "cli/vmcred/location.h"
#include "config/config.h"
#include "vars/vars.h"

struct getting {
	const char *identity;
	struct age_identities identities;
};

static int identities_load(const struct age_identities **identities, void *data, struct error *err)
{
	struct getting *getting = data;

	*identities = &getting->identities;
	return cli_identities_load(getting->identity, &getting->identities, err);
}

/* What is public needs no key. */
static int value_read(int store_dirfd, const struct vars_location *location,
		      struct getting *getting, struct secret *value, struct error *err)
{
	struct sops_keyring keyring = {0};
	int r = location->file->secret ? vars_keyring_load(store_dirfd, location, identities_load,
							   getting, &keyring, err)
				       : 0;

	if (r == 0)
		r = vars_store_read(store_dirfd, location, &keyring, value, err);
	age_identities_destroy(&getting->identities);
	return r;
}

int command_get(struct cli *cli, int argc, char **argv, struct error *err)
{
	struct getting getting = {0};
	const struct cli_option rows[] = {
		{"identity", "FILE", CLI_IDENTITY_HELP, &getting.identity},
		{0},
	};
	const struct cli_usage usage = {
		.command = "get",
		.words = "MACHINE GENERATOR/FILE",
		.about = "Decrypt one secret of the store to standard output, byte for byte.",
		.options = rows,
		.words_min = 2,
		.words_max = 2,
	};
	_cleanup_config_ struct config config = {0};
	_cleanup_secret_ struct secret value = {0};
	_cleanup_close_ int store_dirfd = -1;
	struct vars_location location = {0};
	int first, r;

	r = cli_parse(cli, &usage, argc, argv, &first, err);
	if (r != 0)
		return r < 0 ? r : 0;
	r = cli_start(cli, &config, &store_dirfd, err);
	if (r == 0)
		r = cli_location_find(&config, argv[first], argv[first + 1], &location, err);
	if (r == 0)
		r = value_read(store_dirfd, &location, &getting, &value, err);
	/* Straight to the descriptor: stdio would keep a copy in its buffer. */
	if (r == 0)
		r = fd_write(STDOUT_FILENO, secret_span(&value), "standard output", err);
	return r;
}

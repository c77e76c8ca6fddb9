/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cli/vmcred/commands.h"

struct listing {
	int store_dirfd;
	json_t *list; /* NULL: lines */
};

static int file_list(const struct vars_location *location, void *data, struct error *err)
{
	const struct listing *listing = data;
	int exists = vars_store_has(listing->store_dirfd, location, err);

	if (exists < 0)
		return exists;
	if (listing->list) {
		json_array_append_new(
			listing->list,
			json_pack("{s:s?, s:s, s:s, s:b, s:b, s:s, s:b}", "machine",
				  location->machine, "generator", location->generator->name, "file",
				  location->file->name, "secret", location->file->secret, "deploy",
				  location->file->deploy, "neededFor",
				  config_phase_get(location->file->needed_for)->name, "there",
				  exists));
		return 0;
	}
	cli_location_print(location);
	printf("%s%s\n", location->file->secret ? "" : " (public)", exists ? "" : " (missing)");
	return 0;
}

int command_list(struct cli *cli, int argc, char **argv, struct error *err)
{
	const struct cli_option options[] = {{0}};
	const struct cli_usage usage = {
		.command = "list",
		.arguments = "[MACHINE...]",
		.about = "List the declared secrets and whether the store has them. Decrypts "
			 "nothing.",
		.options = options,
		.has_json = true,
		.arguments_max = -1,
	};
	_cleanup_config_ struct config config = {0};
	_cleanup_close_ int store_dirfd = -1;
	_cleanup_json_ json_t *list = NULL;
	struct listing listing;
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r;
	r = cli_start(cli, &config, &store_dirfd, err);
	if (r < 0)
		return r;
	list = cli->json ? json_array() : NULL;
	listing = (struct listing){store_dirfd, list};
	r = vars_each(&config, first < argc ? argv + first : NULL, file_list, &listing, err);
	if (r == 0 && list)
		cli_json_print(list);
	return r;
}

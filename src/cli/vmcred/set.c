/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "cli/terminal.h"
#include "cli/vmcred/commands.h"

/* From a file, stdin, or the person at the terminal that stdin is. */
static int value_read(const char *path, const char *name, struct secret *value, struct error *err)
{
	const struct terminal_question question = {
		.text = "Value (hidden):", .hidden = true, .twice = true};

	if (path && strcmp(path, "-") != 0)
		return file_read_secret(AT_FDCWD, path, VARS_SECRET_SIZE_MAX, value, err);
	if (!path && isatty(STDIN_FILENO)) {
		int r = terminal_ask(&question, value, err);

		return r < 0 ? error_wrap(err, "asking for %s", name) : 0;
	}
	return secret_read(value, STDIN_FILENO, VARS_SECRET_SIZE_MAX, "standard input", err);
}

int cli_value_empty(struct error *err)
{
	return error_set(err, VMCRED_FAILED, "the value is empty: use --allow-empty to store it");
}

/* Warns of each generator whose stored files were made from the old value. */
static int dependants_report(const struct cli *cli, const struct config *config, int store_dirfd,
			     const struct vars_location *location, struct error *err)
{
	for (size_t i = 0; i < config->generator_count; i++) {
		const struct config_generator *generator = &config->generators[i];
		char *const shared[] = {NULL};
		char *const *machines = generator->share ? shared : generator->machines;

		if (!config_generator_depends_on(generator, location->generator->name))
			continue;
		do {
			const struct vars_location derived = {*machines, generator,
							      &generator->files[0]};
			int r = location->machine && *machines &&
						strcmp(location->machine, *machines) != 0
					? 0
					: vars_store_has(store_dirfd, &derived, err);

			if (r < 0)
				return r;
			if (r > 0)
				report_message(&cli->report, REPORT_WARNING,
					       "%s%s%s depends on %s and was made from its old "
					       "value: run `vmcred generate --generator %s "
					       "--regenerate%s%s`",
					       generator->name, *machines ? " for " : "",
					       *machines ? *machines : "",
					       location->generator->name, generator->name,
					       *machines ? " " : "", *machines ? *machines : "");
		} while (*machines && *++machines);
	}
	return 0;
}

int cli_value_store(const struct cli *cli, const struct config *config, int store_dirfd,
		    const struct vars_location *location, struct cli_identity *identity,
		    struct span value, struct error *err)
{
	_cleanup_free_ char *writer = NULL;
	int r = location->file->secret ? vars_writer_find(config, store_dirfd, cli_identity_get,
							  identity, &writer, err)
				       : 0;

	if (r == 0)
		r = vars_set(config, store_dirfd, location, writer, value, err);
	return r < 0 ? r : dependants_report(cli, config, store_dirfd, location, err);
}

int command_set(struct cli *cli, int argc, char **argv, struct error *err)
{
	struct cli_identity identity = {.report = &cli->report};
	const char *path = NULL;
	bool allow_empty = false;
	const struct cli_option options[] = {
		{"file", "FILE", "file with the value (default: stdin)", &path},
		{"identity", "FILE", CLI_IDENTITY_HELP, &identity.path},
		{"allow-empty", NULL, "store an empty value", &allow_empty},
		{0},
	};
	const struct cli_usage usage = {
		.command = "set",
		.examples = "  vmcred set host1 github/token < token.txt\n",
		.arguments = "MACHINE GENERATOR/FILE",
		.about = "Store a value, byte for byte, instead of the one that the generator "
			 "makes.",
		.options = options,
		.arguments_min = 2,
		.arguments_max = 2,
	};
	_cleanup_config_ struct config config = {0};
	_cleanup_secret_ struct secret value = {0};
	_cleanup_close_ int store_dirfd = -1;
	_cleanup_lock_ struct lock lock = LOCK_NONE;
	struct vars_location location = {0};
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r;
	cli->load = CONFIG_WHOLE;
	r = cli_start(cli, &config, &store_dirfd, err);
	if (r == 0)
		r = cli_location_find(&config, argv[first], argv[first + 1], &location, err);
	if (r == 0)
		r = value_read(path, argv[first + 1], &value, err);
	/* As of a command in a pipe that has failed. */
	if (r == 0 && value.size == 0 && !allow_empty)
		r = cli_value_empty(err);
	if (r == 0)
		r = vars_lock(&lock, store_dirfd, &cli->report, err);
	if (r == 0)
		r = cli_value_store(cli, &config, store_dirfd, &location, &identity,
				    secret_span(&value), err);
	age_identities_destroy(&identity.identities);
	return r;
}

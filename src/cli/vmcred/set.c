/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "cli/terminal.h"
#include "cli/vmcred/commands.h"
#include "cli/vmcred/identity.h"
#include "cli/vmcred/location.h"

/* From a file, from stdin, or, where that is a terminal, from the person at it. */
static int value_read(const char *path, const char *word, struct secret *value, struct error *err)
{
	const struct terminal_question question = {
		.text = "The value (not shown):", .hidden = true, .twice = true};

	if (path && strcmp(path, "-") != 0)
		return file_read_secret(AT_FDCWD, path, VARS_SECRET_SIZE_MAX, value, err);
	if (!path && isatty(STDIN_FILENO)) {
		int r = terminal_ask(&question, value, err);

		return r < 0 ? error_wrap(err, "asking for %s", word) : 0;
	}
	return secret_read(value, STDIN_FILENO, VARS_SECRET_SIZE_MAX, "standard input", err);
}

int command_set(struct cli *cli, int argc, char **argv, struct error *err)
{
	const char *path = NULL, *identity = NULL;
	const struct cli_option rows[] = {
		{"file", "FILE", "read the value from there (default: stdin)", &path},
		{"identity", "FILE", CLI_IDENTITY_HELP, &identity},
		{0},
	};
	const struct cli_usage usage = {
		.command = "set",
		.words = "MACHINE GENERATOR/FILE",
		.about = "Put a value into the store, byte for byte, in place of what the "
			 "generator makes.",
		.options = rows,
		.words_min = 2,
		.words_max = 2,
	};
	_cleanup_config_ struct config config = {0};
	_cleanup_secret_ struct secret value = {0};
	_cleanup_close_ int store_dirfd = -1;
	_cleanup_free_ char *writer = NULL;
	struct vars_location location = {0};
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r < 0 ? r : 0;
	r = cli_start(cli, &config, &store_dirfd, err);
	if (r == 0)
		r = cli_location_find(&config, argv[first], argv[first + 1], &location, err);
	if (r == 0)
		r = value_read(path, argv[first + 1], &value, err);
	if (r == 0)
		r = vars_lock(store_dirfd, &cli->report, err);
	if (r == 0 && location.file->secret)
		r = cli_writer_find(&config, store_dirfd, identity, &writer, err);
	return r < 0 ? r
		     : vars_set(&config, store_dirfd, &location, writer, secret_span(&value), err);
}

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

int command_set(struct cli *cli, int argc, char **argv, struct error *err)
{
	const char *path = NULL, *identity = NULL;
	bool allow_empty = false;
	const struct cli_option options[] = {
		{"file", "FILE", "file with the value (default: stdin)", &path},
		{"identity", "FILE", CLI_IDENTITY_HELP, &identity},
		{"allow-empty", NULL, "store an empty value", &allow_empty},
		{0},
	};
	const struct cli_usage usage = {
		.command = "set",
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
	_cleanup_free_ char *writer = NULL;
	struct vars_location location = {0};
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r;
	r = cli_start(cli, &config, &store_dirfd, err);
	if (r == 0)
		r = cli_location_find(&config, argv[first], argv[first + 1], &location, err);
	if (r == 0)
		r = value_read(path, argv[first + 1], &value, err);
	/* As of a command in a pipe that has failed. */
	if (r == 0 && value.size == 0 && !allow_empty)
		r = error_set(err, VMCRED_FAILED,
			      "the value is empty: use --allow-empty to store it");
	if (r == 0)
		r = vars_lock(&lock, store_dirfd, &cli->report, err);
	if (r == 0 && location.file->secret)
		r = cli_writer_find(&config, store_dirfd, identity, &cli->report, &writer, err);
	return r < 0 ? r
		     : vars_set(&config, store_dirfd, &location, writer, secret_span(&value), err);
}

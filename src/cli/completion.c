/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/completion.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/name.h"
#include "base/path.h"
#include "base/text.h"

/* A declaration, as large as a hundred machines have, has fewer arguments than that. */
#define ARGUMENTS_MAX 64

struct completion {
	struct cli *cli;
	const struct cli_usage *usage;
	const struct cli_option *rows;
	size_t row_count;
	const char *current;
	const char *prefix; /* of each candidate: "--machine=", */
	int prefix_size;
	bool only_files;                      /* after "--" */
	const struct cli_option *pending;     /* the option whose argument comes next */
	const char *arguments[ARGUMENTS_MAX]; /* positional ones before `current` */
	size_t argument_count;
	bool used[CLI_OPTIONS_MAX];
};

static void candidate_print(const struct completion *completion, const char *name)
{
	printf("%.*s%s\n", completion->prefix_size, completion->prefix, name);
}

/* Not what is on the command line already: machines are named once. */
static void name_print(const struct completion *completion, const char *name)
{
	for (size_t i = 0; i < completion->argument_count; i++) {
		if (strcmp(completion->arguments[i], name) == 0)
			return;
	}
	candidate_print(completion, name);
}

/* Reads the declaration, which is refused if it is another user's (config_find()). */
static bool config_read(const struct completion *completion, struct config *config,
			int *store_dirfd)
{
	const char *given = completion->cli->config, *home = getenv("HOME");
	_cleanup_error_ struct error ignored = {0};
	_cleanup_free_ char *path = NULL, *expanded = NULL;

	/* A shell passes on what was typed. */
	if (given && strncmp(given, "~/", 2) == 0 && home) {
		expanded = path_join(home, given + 2);
		given = expanded;
	}
	return config_find(given, &path, store_dirfd, &ignored) == 0 &&
	       (!config || config_load_file(path, config, &ignored) == 0);
}

static void machines_print(const struct completion *completion, const struct config *config)
{
	for (size_t i = 0; i < config->machine_count; i++)
		name_print(completion, config->machines[i].name);
}

static void vms_print(const struct completion *completion, const struct config *config)
{
	for (size_t i = 0; i < config->vm_count; i++)
		name_print(completion, config->vms[i].name);
}

static void generators_print(const struct completion *completion, const struct config *config)
{
	/* Several may have the same name: each machine can have its own. */
	for (size_t i = 0; i < config->generator_count; i++) {
		const char *name = config->generators_by_name[i].name;

		if (i == 0 || strcmp(name, config->generators_by_name[i - 1].name) != 0)
			name_print(completion, name);
	}
}

/* Of the machine that comes before. */
static void files_of_generators_print(const struct completion *completion,
				      const struct config *config)
{
	const char *machine = completion->argument_count > 0
				      ? completion->arguments[completion->argument_count - 1]
				      : NULL;

	for (size_t i = 0; i < config->generator_count; i++) {
		const struct config_generator *generator = &config->generators[i];

		if (machine && config_machine_find(config, machine) &&
		    !config_generator_is_for(generator, machine))
			continue;
		for (size_t j = 0; j < generator->file_count; j++) {
			_cleanup_free_ char *name =
				text_format("%s/%s", generator->name, generator->files[j].name);

			if (name)
				name_print(completion, name);
		}
	}
}

/* What the argument's name in --help stands for. */
static const struct {
	const char *argument;
	const char *directive; /* of a shell that completes paths, or */
	void (*print)(const struct completion *completion, const struct config *config);
	const char *directory; /* of the store, whose entries are the names, or */
	bool has_words;        /* those of the command's usage */
} kinds[] = {
	{"FILE", .directive = ":files"},
	{"INPUT", .directive = ":files"},
	{"MANIFEST", .directive = ":files"},
	{"PATH", .directive = ":files"},
	{"DIRECTORY", .directive = ":directories"},
	{"MACHINE", .print = machines_print},
	{"VM", .print = vms_print},
	{"GENERATOR", .print = generators_print},
	{"GENERATOR/FILE", .print = files_of_generators_print},
	{"USER", .directory = "sops/users"},
	{"GROUP", .directory = "sops/groups"},
	{"FINDING", .has_words = true},
	{"PHASE", .has_words = true},
};

static void members_print(const struct completion *completion, const char *directory)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_close_ int store_dirfd = -1, dirfd = -1;
	_cleanup_close_dir_ DIR *dir = NULL;
	const char *name;

	if (!config_read(completion, NULL, &store_dirfd))
		return;
	dirfd = dir_open(store_dirfd, directory, &ignored);
	dir = dirfd < 0 ? NULL : dir_stream_open(dirfd, ".");
	while (dir && (name = dir_stream_next(dir))) {
		_cleanup_error_ struct error invalid = {0};

		if (store_name_check("member", name, &invalid) == 0)
			name_print(completion, name);
	}
}

/* One of the alternatives of an argument's name: a word, or the name of a kind. */
static void value_print(const struct completion *completion, const char *name)
{
	_cleanup_free_ char *directory = NULL;

	if (*name >= 'a' && *name <= 'z')
		candidate_print(completion, name);
	/* What `machine remove NAME` means. */
	if (strcmp(name, "NAME") == 0 && !completion->pending) {
		directory = text_format("sops/%ss", completion->usage->command);
		if (directory)
			members_print(completion, directory);
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		_cleanup_config_ struct config config = {0};

		if (strcmp(kinds[i].argument, name) != 0)
			continue;
		if (kinds[i].directive)
			printf("%s\n", kinds[i].directive);
		if (kinds[i].print && config_read(completion, &config, NULL))
			kinds[i].print(completion, &config);
		if (kinds[i].directory)
			members_print(completion, kinds[i].directory);
		for (const char *const *word = completion->usage->words;
		     kinds[i].has_words && word && *word; word++)
			candidate_print(completion, *word);
	}
}

/* For an argument such as "MACHINE...]", "KEY|FILE..." or "smbios|fw_cfg". */
static void values_print(const struct completion *completion, const char *argument)
{
	_cleanup_free_ char *names = strndup(argument, strcspn(argument, ".]"));
	char *rest = NULL;

	for (char *name = names ? strtok_r(names, "|", &rest) : NULL; name;
	     name = strtok_r(NULL, "|", &rest))
		value_print(completion, name);
}

static void options_print(const struct completion *completion)
{
	for (size_t i = 0; i < completion->row_count; i++) {
		const struct cli_option *row = &completion->rows[i];
		const char *name = cli_option_long_name(row);

		if (!completion->used[i] || cli_option_is_list(row))
			printf("%s%s\t%s\n", strlen(name) > 1 ? "--" : "-", name, row->help);
	}
}

/* The option of a word, "--name", "--name=value", "-n" or "-nvalue"; NULL: unknown. `*value`: what
 * comes after its name, or NULL. */
static const struct cli_option *option_find(struct completion *completion, const char *word,
					    const char **value)
{
	const bool is_long = word[1] == '-';
	const char *name = word + (is_long ? 2 : 1);
	const size_t size = is_long ? strcspn(name, "=") : 1;

	*value = name[size] == '=' ? name + size + 1 : name[size] != '\0' ? name + size : NULL;
	for (size_t i = 0; i < completion->row_count; i++) {
		const struct cli_option *row = &completion->rows[i];
		const char *own = is_long ? cli_option_long_name(row) : row->name;

		if (strncmp(own, name, size) != 0 || (own[size] != '\0' && own[size] != ','))
			continue;
		completion->used[i] = true;
		return row;
	}
	return NULL;
}

/* A word before the current one. */
static void word_take(struct completion *completion, const char *word)
{
	const struct cli_option *row, *pending = completion->pending;
	const char *value;

	/* bash makes three words of --name=value. */
	if (pending && strcmp(word, "=") == 0)
		return;
	completion->pending = NULL;
	if (pending) {
		if (pending->target == &completion->cli->config)
			completion->cli->config = word;
	} else if (completion->only_files || word[0] != '-' || word[1] == '\0') {
		if (completion->argument_count < ARGUMENTS_MAX)
			completion->arguments[completion->argument_count++] = word;
	} else if (strcmp(word, "--") == 0) {
		completion->only_files = true;
	} else {
		row = option_find(completion, word, &value);
		if (row && row->argument && !value)
			completion->pending = row;
		else if (row && row->target == &completion->cli->config)
			completion->cli->config = value;
	}
}

static bool word_is(const char *token, const char *word)
{
	for (const size_t size = strlen(word); *token; token += *token == '|') {
		const size_t length = strcspn(token, "|");

		if (length == size && strncmp(token, word, size) == 0)
			return true;
		token += length;
	}
	return false;
}

/* Completes the argument after those that were given, by one of the alternatives in the usage, such
 * as "add MACHINE..." or "VM [-- PROGRAM ARGUMENT...]". */
static void alternative_complete(const struct completion *completion, char *text)
{
	size_t given = 0;
	char *rest = NULL;

	for (char *token = strtok_r(text, " ", &rest); token; token = strtok_r(NULL, " ", &rest)) {
		const size_t size = strlen(token);
		const bool is_list = size > 3 && strstr(token, "...");

		token += *token == '[';
		if (strcmp(token, "--") == 0)
			return;
		if (is_list || given == completion->argument_count) {
			values_print(completion, token);
			return;
		}
		if (*token >= 'a' && *token <= 'z' && !word_is(token, completion->arguments[given]))
			return;
		given++;
	}
}

static void argument_complete(const struct completion *completion)
{
	_cleanup_free_ char *copy = strdup(completion->usage->arguments);

	for (char *next = copy, *text; (text = next);) {
		next = strstr(text, " | ");
		if (next) {
			*next = '\0';
			next += strlen(" | ");
		}
		alternative_complete(completion, text);
	}
}

void completion_print(struct cli *cli, const struct cli_usage *usage, const struct cli_option *rows,
		      size_t row_count, int argc, char **argv)
{
	struct completion completion = {
		.cli = cli,
		.usage = usage,
		.rows = rows,
		.row_count = row_count,
		.current = argv[argc - 1],
		.prefix = "",
	};
	const char *value = NULL;

	for (int i = 1; i < argc - 1; i++)
		word_take(&completion, argv[i]);
	if (!completion.pending && !completion.only_files &&
	    strncmp(completion.current, "--", 2) == 0 && strchr(completion.current, '=')) {
		completion.pending = option_find(&completion, completion.current, &value);
		if (!completion.pending)
			return;
		completion.prefix = completion.current;
		completion.prefix_size = (int)(value - completion.current);
	}
	if (completion.pending && completion.pending->argument)
		values_print(&completion, completion.pending->argument);
	else if (completion.only_files)
		printf(":files\n");
	else if (completion.current[0] == '-')
		options_print(&completion);
	else
		argument_complete(&completion);
}

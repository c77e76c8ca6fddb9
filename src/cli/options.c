/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/name.h"
#include "cli/cli.h"
#include "cli/completion.h"

/* The options of a command with those of all commands, and their form for getopt_long(3), which
 * returns FIRST_VALUE for the first row. */
#define FIRST_VALUE 256

#define TEXT_COLUMNS 80

struct table {
	const struct cli_usage *usage;
	struct cli_option rows[CLI_OPTIONS_MAX];
	size_t count;
	struct option options[2 * CLI_OPTIONS_MAX + 1];
	size_t options_count;
	char letters[CLI_OPTIONS_MAX][2];
	bool has_letters;
};

static bool has_letter(const struct cli_option *row)
{
	return row->name[1] == ',';
}

const char *cli_option_long_name(const struct cli_option *option)
{
	return has_letter(option) ? option->name + strlen("o, ") : option->name;
}

bool cli_option_is_list(const struct cli_option *option)
{
	const size_t length = option->argument ? strlen(option->argument) : 0;

	return length > 3 && strcmp(option->argument + length - 3, "...") == 0;
}

static void name_add(struct table *table, const struct cli_option *row, const char *name)
{
	table->options[table->options_count++] = (struct option){
		.name = name,
		.has_arg = row->argument ? required_argument : no_argument,
		.val = FIRST_VALUE + (int)table->count,
	};
}

static void row_add(struct table *table, const struct cli_option *row)
{
	name_add(table, row, cli_option_long_name(row));
	if (has_letter(row)) {
		table->letters[table->count][0] = row->name[0];
		name_add(table, row, table->letters[table->count]);
		table->has_letters = true;
	}
	table->rows[table->count++] = *row;
}

static void table_fill(struct table *table, struct cli *cli)
{
	const struct cli_option shared[] = {
		{"config", "FILE",
		 "declaration (default: ./vmcred.yaml, then " VMCRED_CONFIG_PATH ")", &cli->config},
		{"json", NULL, "print JSON", &cli->json},
		{"verbose", NULL, "report each step; twice for details (-v, -vv)", NULL},
		{"help", NULL, "print this help (-h)", NULL},
	};

	for (const struct cli_option *row = table->usage->options; row->name; row++)
		row_add(table, row);
	for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++) {
		if (shared[i].target != &cli->json || table->usage->has_json)
			row_add(table, &shared[i]);
	}
	/* The two rows without a target have a letter instead. */
	table->options[table->options_count - 2].val = 'v';
	table->options[table->options_count - 1].val = 'h';
}

void cli_text_print(const char *text, int column)
{
	int at = column;

	while (*text) {
		const int length = (int)strcspn(text, " ");

		if (at > column && at + 1 + length > TEXT_COLUMNS) {
			printf("\n%*s", column, "");
			at = column;
		} else if (at > column) {
			putchar(' ');
			at++;
		}
		printf("%.*s", length, text);
		at += length;
		text += length;
		text += strspn(text, " ");
	}
	putchar('\n');
}

static void help_print(const struct table *table)
{
	const struct cli_usage *usage = table->usage;
	const int width = table->has_letters ? 32 : 22;

	printf("Usage: %s%s [OPTION...]%s%s\n\n", usage->is_link ? "" : "vmcred ", usage->command,
	       *usage->arguments ? " " : "", usage->arguments);
	cli_text_print(usage->about, 0);
	if (usage->examples)
		printf("\nExamples:\n%s", usage->examples);
	printf("\nOptions:\n");
	for (size_t i = 0; i < table->count; i++) {
		const struct cli_option *row = &table->rows[i];
		char left[64];

		snprintf(left, sizeof(left), "%s%.*s%s%s%s%s", has_letter(row) ? "-" : "",
			 has_letter(row) ? 3 : 0, row->name,
			 strlen(cli_option_long_name(row)) > 1 ? "--" : "-",
			 cli_option_long_name(row), row->argument ? " " : "",
			 row->argument ? row->argument : "");
		/* A long name has a line of its own. */
		if (strlen(left) > (size_t)width)
			printf("  %s\n  %*s ", left, width, "");
		else
			printf("  %-*s ", width, left);
		cli_text_print(row->help, width + 3);
	}
}

static int hint_help(const struct cli_usage *usage, struct error *err)
{
	return error_hint(err, "see `%s%s --help`", usage->is_link ? "" : "vmcred ",
			  usage->command);
}

/* The reason why getopt_long(3) returned `result`, '?' or ':'. */
static int option_reject(const struct table *table, char **argv, int result, struct error *err)
{
	const char *names[CLI_OPTIONS_MAX + 1] = {NULL};
	const char *argument = argv[optind - 1], *nearest = NULL;
	const size_t dashes = strspn(argument, "-");
	char name[64] = "";

	/* What follows '=' may be a secret and is not shown. After one dash, getopt_long_only(3)
	 * reports a name without a letter. */
	if (strncmp(argument, "--", 2) == 0 || optopt == 0 || optopt >= FIRST_VALUE)
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(argument + dashes, "="),
			 argument + dashes);
	for (size_t i = 0; i < table->count; i++)
		names[i] = cli_option_long_name(&table->rows[i]);
	if (result == ':') {
		error_set(err, VMCRED_USAGE, "option %s requires an argument", argument);
	} else if (*name && optopt != 0) {
		error_set(err, VMCRED_USAGE, "option --%s takes no argument", name);
	} else if (*name) {
		error_set(err, VMCRED_USAGE, "unknown option --%s", name);
		nearest = name_nearest(name, names);
	} else {
		error_set(err, VMCRED_USAGE, "unknown option -%c", optopt);
	}
	return nearest ? error_hint(err, "did you mean --%s?", nearest)
		       : hint_help(table->usage, err);
}

static int option_take(const struct cli_option *option, const char *argument, struct error *err)
{
	struct cli_texts *texts = option->target;

	if (!option->argument) {
		*(bool *)option->target = true;
	} else if (!cli_option_is_list(option)) {
		*(const char **)option->target = argument;
	} else {
		if (texts->count == CLI_TEXTS_MAX)
			return error_set(err, VMCRED_USAGE,
					 "option --%s is given more than %d times",
					 cli_option_long_name(option), CLI_TEXTS_MAX);
		texts->names[texts->count] = option->name;
		texts->items[texts->count++] = argument;
	}
	return 0;
}

int cli_parse(struct cli *cli, const struct cli_usage *usage, int argc, char **argv, int *first,
	      struct error *err)
{
	struct table table = {.usage = usage};
	int (*next)(int, char *const *, const char *, const struct option *, int *);
	int result;

	table_fill(&table, cli);
	if (cli->completes) {
		completion_print(cli, usage, table.rows, table.count, argc, argv);
		return CLI_HELPED;
	}
	next = table.has_letters ? getopt_long_only : getopt_long;
	opterr = 0;
	optind = 0;
	while ((result = next(argc, argv, ":hv", table.options, NULL)) != -1) {
		switch (result) {
		case 'v':
			if (cli->report.level < REPORT_DEBUG)
				cli->report.level++;
			break;
		case 'h':
			help_print(&table);
			return CLI_HELPED;
		case '?':
		case ':':
			return option_reject(&table, argv, result, err);
		default:
			if (option_take(&table.rows[result - FIRST_VALUE], optarg, err) < 0)
				return -(int)err->code;
		}
	}
	*first = optind;
	if (argc - optind < usage->arguments_min)
		error_set(err, VMCRED_USAGE, "missing argument: expected %s", usage->arguments);
	else if (usage->arguments_max >= 0 && argc - optind > usage->arguments_max)
		error_set(err, VMCRED_USAGE, "too many arguments%s%s",
			  *usage->arguments ? ": expected " : "", usage->arguments);
	else
		return 0;
	return hint_help(usage, err);
}

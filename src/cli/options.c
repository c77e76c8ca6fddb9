/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/name.h"
#include "cli/cli.h"

#define OPTIONS_MAX 24

enum {
	SHARED_CONFIG = 256,
	SHARED_JSON,
	SHARED_VERBOSE,
	SHARED_HELP,
	OWN_FIRST
};

static const struct {
	const char *name;
	const char *argument;
	int value;
	const char *help;
} shared[] = {
	{"config", "FILE", SHARED_CONFIG,
	 "declaration (default: ./vmcred.yaml, then " VMCRED_CONFIG_PATH ")"},
	{"json", NULL, SHARED_JSON, "print JSON"},
	{"verbose", NULL, SHARED_VERBOSE, "report each step; twice for details (-v, -vv)"},
	{"help", NULL, SHARED_HELP, "print this help (-h)"},
};

#define SHARED_COUNT (sizeof(shared) / sizeof(shared[0]))

static bool shared_applies(const struct cli_usage *usage, size_t i)
{
	return shared[i].value != SHARED_JSON || usage->has_json;
}

static void option_print(const char *name, const char *argument, const char *help)
{
	char left[64];

	snprintf(left, sizeof(left), "--%s%s%s", name, argument ? " " : "",
		 argument ? argument : "");
	printf("  %-22s %s\n", left, help);
}

static void usage_print(const struct cli_usage *usage)
{
	printf("Usage: vmcred %s [OPTION...]%s%s\n\n%s\n\nOptions:\n", usage->command,
	       *usage->arguments ? " " : "", usage->arguments, usage->about);
	for (const struct cli_option *option = usage->options; option->name; option++)
		option_print(option->name, option->argument, option->help);
	for (size_t i = 0; i < SHARED_COUNT; i++) {
		if (shared_applies(usage, i))
			option_print(shared[i].name, shared[i].argument, shared[i].help);
	}
}

static int hint_help(const struct cli_usage *usage, struct error *err)
{
	return error_hint(err, "see `vmcred %s --help`", usage->command);
}

/* The reason why getopt_long(3) returned `result`, '?' or ':'. */
static int option_reject(const struct cli_usage *usage, const struct option *options, char **argv,
			 int result, struct error *err)
{
	const char *names[OPTIONS_MAX + 1] = {NULL};
	const char *argument = argv[optind - 1], *nearest;
	char name[64] = "";

	if (result == ':') {
		error_set(err, VMCRED_USAGE, "option %s requires an argument", argument);
		return hint_help(usage, err);
	}
	if (strncmp(argument, "--", 2) != 0) {
		error_set(err, VMCRED_USAGE, "unknown option -%c", optopt);
		return hint_help(usage, err);
	}
	/* What follows '=' may be a secret and is not shown. */
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(argument + 2, "="), argument + 2);
	if (optopt != 0) {
		error_set(err, VMCRED_USAGE, "option --%s takes no argument", name);
		return hint_help(usage, err);
	}
	for (size_t i = 0; options[i].name; i++)
		names[i] = options[i].name;
	nearest = name_nearest(name, names);
	error_set(err, VMCRED_USAGE, "unknown option --%s", name);
	return nearest ? error_hint(err, "did you mean --%s?", nearest) : hint_help(usage, err);
}

static void options_collect(const struct cli_usage *usage, struct option *options)
{
	size_t count = 0;

	for (; usage->options[count].name; count++)
		options[count] = (struct option){
			.name = usage->options[count].name,
			.has_arg = usage->options[count].argument ? required_argument : no_argument,
			.val = OWN_FIRST + (int)count,
		};
	for (size_t i = 0; i < SHARED_COUNT; i++) {
		if (!shared_applies(usage, i))
			continue;
		options[count++] = (struct option){
			.name = shared[i].name,
			.has_arg = shared[i].argument ? required_argument : no_argument,
			.val = shared[i].value,
		};
	}
}

static bool option_repeats(const struct cli_option *option)
{
	size_t length = strlen(option->argument);

	return length > 3 && strcmp(option->argument + length - 3, "...") == 0;
}

static int option_take(const struct cli_option *option, const char *argument, struct error *err)
{
	struct cli_texts *texts = option->target;

	if (!option->argument) {
		*(bool *)option->target = true;
	} else if (!option_repeats(option)) {
		*(const char **)option->target = argument;
	} else {
		if (texts->count == CLI_TEXTS_MAX)
			return error_set(err, VMCRED_USAGE,
					 "option --%s is given more than %d times", option->name,
					 CLI_TEXTS_MAX);
		texts->items[texts->count++] = argument;
	}
	return 0;
}

int cli_parse(struct cli *cli, const struct cli_usage *usage, int argc, char **argv, int *first,
	      struct error *err)
{
	struct option options[OPTIONS_MAX + 1] = {0};
	int result;

	options_collect(usage, options);
	opterr = 0;
	optind = 0;
	while ((result = getopt_long(argc, argv, ":hv", options, NULL)) != -1) {
		switch (result) {
		case SHARED_CONFIG:
			cli->config = optarg;
			break;
		case SHARED_JSON:
			cli->json = true;
			break;
		case SHARED_VERBOSE:
		case 'v':
			if (cli->report.level < REPORT_DEBUG)
				cli->report.level++;
			break;
		case SHARED_HELP:
		case 'h':
			usage_print(usage);
			return CLI_HELPED;
		case '?':
		case ':':
			return option_reject(usage, options, argv, result, err);
		default:
			if (option_take(&usage->options[result - OWN_FIRST], optarg, err) < 0)
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

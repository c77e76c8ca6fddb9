/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cli/cli.h"
#include "config/config.h"
#include "vars/vars.h"

/* Prints a line for each generator as it is done, or collects them for --json. */
struct output {
	json_t *list; /* NULL: lines */
	bool dry_run;
	size_t count;
};

static void generated(const char *machine, const struct config_generator *generator, void *data)
{
	struct output *output = data;
	json_t *files = output->list ? json_array() : NULL;

	output->count++;
	if (!output->list)
		printf("%s%s%s: %s", generator->name, machine ? " for " : " (shared)",
		       machine ? machine : "", output->dry_run ? "would make" : "made");
	for (size_t i = 0; i < generator->file_count; i++) {
		if (output->list)
			json_array_append_new(files, json_string(generator->files[i].name));
		else
			printf("%s %s", i > 0 ? "," : "", generator->files[i].name);
	}
	if (output->list)
		json_array_append_new(output->list,
				      json_pack("{s:s, s:s?, s:o}", "generator", generator->name,
						"machine", machine, "files", files));
	else
		printf("\n");
}

static void output_finish(const struct output *output)
{
	if (output->list) {
		json_dumpf(output->list, stdout, JSON_INDENT(2));
		printf("\n");
	} else if (output->count == 0) {
		printf("nothing to make: all declared secrets are there\n");
	}
}

int command_generate(struct cli *cli, int argc, char **argv, struct error *err)
{
	struct vars_generate_options options = {0};
	const struct cli_option rows[] = {
		{"generator", "NAME", "only this generator", &options.generator},
		{"regenerate", NULL, "make anew what is there", &options.regenerate},
		{"dry-run", NULL, "say what would be made, and make nothing", &options.dry_run},
		{0},
	};
	const struct cli_usage usage = {
		.command = "generate",
		.words = "[MACHINE...]",
		.about = "Make the declared secrets that are not in the store, each encrypted to "
			 "the machines\n"
			 "that may read it. A generator's files appear together or not at all.",
		.options = rows,
		.has_json = true,
		.words_max = -1,
	};
	_cleanup_config_ struct config config = {0};
	_cleanup_close_ int store_dirfd = -1;
	_cleanup_json_ json_t *list = NULL;
	struct output output;
	int first, r;

	r = cli_parse(cli, &usage, argc, argv, &first, err);
	if (r != 0)
		return r < 0 ? r : 0;
	if (first < argc)
		options.machines = argv + first;
	r = cli_start(cli, &config, &store_dirfd, err);
	if (r < 0)
		return r;
	list = cli->json ? json_array() : NULL;
	output = (struct output){.list = list, .dry_run = options.dry_run};
	r = vars_generate(&config, store_dirfd, &options, &cli->report, generated, &output, err);
	if (r == 0)
		output_finish(&output);
	return r;
}

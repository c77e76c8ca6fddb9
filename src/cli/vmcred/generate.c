/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/pool.h"
#include "cli/vmcred/commands.h"

#define SCRIPT_SECONDS_MAX 86400 /* a day */

struct generation {
	json_t *list; /* NULL: lines */
	struct progress *progress;
	bool dry_run;
	size_t count;
	struct cli_answers answers;
	struct cli_identity identity;
};

static void generated(const struct vars_job *job, void *data)
{
	static const char *const reasons[] = {
		[VARS_REASON_MISSING] = "missing",       [VARS_REASON_REQUESTED] = "regenerate",
		[VARS_REASON_VALIDATION] = "validation", [VARS_REASON_DEPENDENCY] = "dependency",
		[VARS_REASON_EXPIRY] = "expiry",         [VARS_REASON_OVERDUE] = "overdue",
	};
	const struct config_generator *generator = job->generator;
	struct generation *generation = data;
	json_t *files;

	generation->count++;
	if (generation->list) {
		files = json_array();
		for (size_t i = 0; i < generator->file_count; i++)
			json_array_append_new(files, json_string(generator->files[i].name));
		json_array_append_new(generation->list,
				      json_pack("{s:s, s:s?, s:s, s:o}", "generator",
						generator->name, "machine", job->machine, "reason",
						reasons[job->reason], "files", files));
		return;
	}
	progress_clear(generation->progress);
	printf("%s%s%s: %s", generator->name, job->machine ? " for " : " (shared)",
	       job->machine ? job->machine : "",
	       generation->dry_run ? "would generate" : "generated");
	for (size_t i = 0; i < generator->file_count; i++)
		printf("%s %s", i > 0 ? "," : "", generator->files[i].name);
	printf("\n");
}

static bool answered(const struct config_generator *generator, const struct config_prompt *prompt,
		     void *data)
{
	const struct generation *generation = data;

	return cli_is_answered(&generation->answers, generator, prompt);
}

static int ask(const struct config_generator *generator, const struct config_prompt *prompt,
	       struct secret *answer, void *data, struct error *err)
{
	struct generation *generation = data;

	return cli_answer(&generation->answers, generator, prompt, answer, err);
}

static int identities_get(const struct age_identities **identities, void *data, struct error *err)
{
	struct generation *generation = data;

	return cli_identity_get(identities, &generation->identity, err);
}

static int seconds_read(const char *text, unsigned int *seconds, struct error *err)
{
	unsigned long number;
	char *end;

	if (!text)
		return 0;
	errno = 0;
	number = strtoul(text, &end, 10);
	if (errno != 0 || *end != '\0' || *text < '0' || *text > '9' || number == 0 ||
	    number > SCRIPT_SECONDS_MAX)
		return error_set(err, VMCRED_USAGE,
				 "--script-timeout must be from 1 to %d seconds, not \"%s\"",
				 SCRIPT_SECONDS_MAX, text);
	*seconds = (unsigned int)number;
	return 0;
}

static void nothing_print(const struct config *config, const struct vars_generate_options *options)
{
	bool is_for_any = !options->generator || !options->machines;

	for (size_t i = 0; !is_for_any && i < config->generator_count; i++) {
		const struct config_generator *generator = &config->generators[i];

		for (char *const *machine = options->machines; *machine; machine++)
			is_for_any |= strcmp(generator->name, options->generator) == 0 &&
				      config_generator_is_for(generator, *machine);
	}
	if (config->generator_count == 0)
		printf("nothing to do: %s declares no generators\n", config->path);
	else if (!is_for_any)
		printf("nothing to do: generator %s is not for %s\n", options->generator,
		       options->machines[1] ? "these machines" : options->machines[0]);
	else
		printf("nothing to do: all declared secrets exist%s\n",
		       options->overdue ? ", and none is overdue" : "");
}

static int generate(struct cli *cli, struct vars_generate_options *options,
		    struct generation *generation, struct error *err)
{
	_cleanup_config_ struct config config = {0};
	_cleanup_close_ int store_dirfd = -1;
	_cleanup_json_ json_t *list = cli->json ? json_array() : NULL;
	int r;

	generation->list = list;
	generation->dry_run = options->dry_run;
	cli->threads = pool_threads();
	cli->load = CONFIG_WHOLE;
	r = cli_start(cli, &config, &store_dirfd, err);
	if (r == 0)
		r = cli_answers_check(&generation->answers, &config, err);
	if (r == 0)
		r = vars_generate(&config, store_dirfd, options, &cli->report, err);
	/* After a failure, too: what was stored before it is new. */
	if (list && (r == 0 || generation->count > 0))
		cli_json_print(list);
	else if (r == 0 && generation->count == 0)
		nothing_print(&config, options);
	return r;
}

int command_generate(struct cli *cli, int argc, char **argv, struct error *err)
{
	struct generation generation = {.progress = &cli->progress,
					.identity.report = &cli->report};
	struct vars_generate_options options = {.generated = generated,
						.answered = answered,
						.ask = ask,
						.identities = identities_get,
						.data = &generation};
	const char *seconds = NULL;
	bool all = false;
	const struct cli_option rows[] = {
		{"generator", "GENERATOR", "only this generator and its dependencies",
		 &options.generator},
		{"regenerate", NULL, "regenerate existing secrets", &options.regenerate},
		{"all", NULL, "confirm --regenerate for all secrets", &all},
		{"overdue", NULL, "also regenerate secrets that are older than rotateAfter",
		 &options.overdue},
		{"dry-run", NULL, "only print what would be generated", &options.dry_run},
		{"prompt", "NAME=@FILE...", CLI_PROMPT_HELP, &generation.answers.given},
		{"identity", "FILE", CLI_IDENTITY_HELP, &generation.identity.path},
		{"no-sandbox", NULL, "run scripts without a sandbox", &options.no_sandbox},
		{"script-timeout", "SECONDS", "time limit of a script (default: 600)", &seconds},
		{0},
	};
	const struct cli_usage usage = {
		.command = "generate",
		.examples = "  vmcred generate host1\n"
			    "  vmcred generate --generator db-password --regenerate\n"
			    "  vmcred generate --prompt db-password=@password.txt\n",
		.arguments = "[MACHINE...]",
		.about = "Generate the declared secrets that the store does not have, encrypted to "
			 "their recipients. The files of a generator are stored all at once or not "
			 "at all.",
		.options = rows,
		.has_json = true,
		.arguments_max = -1,
	};
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r;
	if (first < argc)
		options.machines = argv + first;
	if (options.regenerate && !options.generator && !options.machines && !options.dry_run &&
	    !all)
		return error_set(
			err, VMCRED_USAGE,
			"--regenerate replaces all secrets: name machines or --generator, or "
			"confirm with --all");
	r = seconds_read(seconds, &options.script_seconds, err);
	if (r == 0)
		r = generate(cli, &options, &generation, err);
	age_identities_destroy(&generation.identity.identities);
	cli_answers_destroy(&generation.answers);
	return r;
}

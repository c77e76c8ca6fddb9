/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/pool.h"
#include "cli/vmcred/commands.h"
#include "cli/vmcred/identity.h"
#include "cli/vmcred/json_print.h"
#include "cli/vmcred/prompts.h"
#include "config/config.h"
#include "vars/vars.h"

#define SCRIPT_SECONDS_MAX 86400 /* a day */

/* What the run is given, and the lines or the list that it makes. */
struct session {
	json_t *list; /* NULL: lines */
	struct progress *progress;
	bool dry_run;
	size_t count;
	struct cli_answers *answers;
	const char *identity;
	struct age_identities identities; /* loaded when the first is needed */
};

static const char *const reasons[] = {
	[VARS_REASON_MISSING] = "missing",       [VARS_REASON_REQUESTED] = "regenerate",
	[VARS_REASON_VALIDATION] = "validation", [VARS_REASON_DEPENDENCY] = "dependency",
	[VARS_REASON_EXPIRY] = "expiry",
};

static void json_add(const struct session *session, const struct vars_job *job)
{
	json_t *files = json_array();

	for (size_t i = 0; i < job->generator->file_count; i++)
		json_array_append_new(files, json_string(job->generator->files[i].name));
	json_array_append_new(session->list,
			      json_pack("{s:s, s:s?, s:s, s:o}", "generator", job->generator->name,
					"machine", job->machine, "reason", reasons[job->reason],
					"files", files));
}

static void generated(const struct vars_job *job, void *data)
{
	struct session *session = data;

	session->count++;
	if (session->list) {
		json_add(session, job);
		return;
	}
	progress_clear(session->progress);
	printf("%s%s%s: %s", job->generator->name, job->machine ? " for " : " (shared)",
	       job->machine ? job->machine : "", session->dry_run ? "would make" : "made");
	for (size_t i = 0; i < job->generator->file_count; i++)
		printf("%s %s", i > 0 ? "," : "", job->generator->files[i].name);
	printf("\n");
}

static bool answered(const struct config_generator *generator, const struct config_prompt *prompt,
		     void *data)
{
	const struct session *session = data;

	return cli_is_answered(session->answers, generator, prompt);
}

static int ask(const struct config_generator *generator, const struct config_prompt *prompt,
	       struct secret *answer, void *data, struct error *err)
{
	struct session *session = data;

	return cli_answer(session->answers, generator, prompt, answer, err);
}

static int identities(const struct age_identities **result, void *data, struct error *err)
{
	struct session *session = data;

	*result = &session->identities;
	return session->identities.count > 0
		       ? 0
		       : cli_identities_load(session->identity, &session->identities, err);
}

static void output_finish(const struct session *session)
{
	if (session->list)
		cli_json_print(session->list);
	else if (session->count == 0)
		printf("nothing to make: all declared secrets are there\n");
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
				 "--script-timeout must be seconds, from 1 to %d, not \"%s\"",
				 SCRIPT_SECONDS_MAX, text);
	*seconds = (unsigned int)number;
	return 0;
}

int command_generate(struct cli *cli, int argc, char **argv, struct error *err)
{
	struct vars_generate_options options = {
		.generated = generated, .answered = answered, .ask = ask, .identities = identities};
	_cleanup_answers_ struct cli_answers answers = {0};
	struct session session = {.answers = &answers, .progress = &cli->progress};
	const char *seconds = NULL;
	const struct cli_option rows[] = {
		{"generator", "NAME", "only this generator, and what it depends on",
		 &options.generator},
		{"regenerate", NULL, "make anew what is there", &options.regenerate},
		{"dry-run", NULL, "say what would be made, and make nothing", &options.dry_run},
		{"prompt", "NAME=@FILE...", CLI_PROMPT_HELP, &answers.given},
		{"identity", "FILE", CLI_IDENTITY_HELP, &session.identity},
		{"no-sandbox", NULL, "run scripts without a sandbox", &options.no_sandbox},
		{"script-timeout", "SECONDS", "how long a script may take (default: 600)",
		 &seconds},
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
	int first, r;

	r = cli_parse(cli, &usage, argc, argv, &first, err);
	if (r != 0)
		return r < 0 ? r : 0;
	if (first < argc)
		options.machines = argv + first;
	r = seconds_read(seconds, &options.script_seconds, err);
	cli->threads = pool_threads();
	if (r == 0)
		r = cli_start(cli, &config, &store_dirfd, err);
	if (r == 0)
		r = cli_answers_check(&answers, &config, err);
	if (r < 0)
		return r;
	list = cli->json ? json_array() : NULL;
	session.list = list;
	session.dry_run = options.dry_run;
	options.data = &session;
	r = vars_generate(&config, store_dirfd, &options, &cli->report, err);
	age_identities_destroy(&session.identities);
	if (r == 0)
		output_finish(&session);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/vmcred-sops/many.h"
#include "cli/vmcred-sops/rules.h"

#define COLOUR_ADDED   "\033[32m"
#define COLOUR_REMOVED "\033[31m"
#define COLOUR_NONE    "\033[0m"

static void line_print(FILE *stream, bool coloured, const char *mark, const char *text)
{
	const char *colour = *mark == '+' ? COLOUR_ADDED : *mark == '-' ? COLOUR_REMOVED : "";

	if (!coloured)
		colour = "";
	fprintf(stream, "%s%s %s%s\n", colour, mark, text, *colour ? COLOUR_NONE : "");
}

static void threshold_print(FILE *stream, bool coloured, const struct sops_difference *difference)
{
	char text[64];

	if (difference->threshold_before == difference->threshold_after) {
		if (difference->threshold_after > 0)
			fprintf(stream, "shamir_threshold: %u\n", difference->threshold_after);
		return;
	}
	snprintf(text, sizeof(text), "shamir_threshold: %u", difference->threshold_after);
	if (difference->threshold_after > 0)
		line_print(stream, coloured, "+++", text);
	snprintf(text, sizeof(text), "shamir_threshold: %u", difference->threshold_before);
	if (difference->threshold_before > 0)
		line_print(stream, coloured, "---", text);
}

/* The difference in the form that people know from sops. */
static void difference_print(FILE *stream, bool coloured, const char *name,
			     const struct sops_difference *difference)
{
	static const char *const marks[] = {
		[SOPS_KEY_KEPT] = "   ", [SOPS_KEY_ADDED] = "+++", [SOPS_KEY_REMOVED] = "---"};

	fprintf(stream, "%s: its keys change:\n", name);
	threshold_print(stream, coloured, difference);
	for (size_t i = 0; i < difference->group_count; i++) {
		const struct sops_group_difference *group = &difference->groups[i];

		fprintf(stream, "Group %zu\n", i + 1);
		for (size_t j = 0; j < group->count; j++)
			line_print(stream, coloured, marks[group->keys[j].change],
				   group->keys[j].text);
	}
}

/* Asks on the terminal, or whatever standard input is, as sops does. Returns 1 for yes, 0 for no.
 */
static int ask(struct error *err)
{
	for (;;) {
		char answer[16];

		fputs("Change them? (y/n): ", stdout);
		fflush(stdout);
		if (!fgets(answer, sizeof(answer), stdin))
			return error_set(err, VMCRED_FAILED,
					 "nobody answers: --yes makes the changes unasked");
		answer[strcspn(answer, "\r\n")] = '\0';
		if (strcmp(answer, "y") == 0 || strcmp(answer, "n") == 0)
			return *answer == 'y';
	}
}

static int job_prepare(struct sops_call *call, struct many_job *job, struct error *err)
{
	const struct sops_policy *policy = NULL;
	struct stat status;
	int r;

	call->exit_code = SOPS_EXIT_GENERIC;
	if (stat(job->path, &status) < 0)
		return error_set_errno(err, errno, "%s", job->path);
	if (S_ISDIR(status.st_mode))
		return error_set(err, VMCRED_USAGE, "%s is a folder", job->path);
	r = sops_file_describe(call, job->path, &job->file, err);
	/* It is written as it was read. */
	job->file.output = job->file.input;
	if (r == 0)
		r = sops_creation_rules_match(call->rules, job->file.rule_path, &policy, err);
	if (r == 0)
		return error_set(err, VMCRED_USAGE, "%s has no creation_rules",
				 sops_creation_rules_path(call->rules));
	return r < 0 ? r : sops_policy_copy(&job->policy, policy, err);
}

/* Shows the difference and asks, or keeps it for later. Returns 1 to go on, 0 to leave the file. */
static int difference_show(const struct sops_call *call, struct many_job *job,
			   const struct sops_difference *difference, struct error *err)
{
	_cleanup_fclose_ FILE *stream = NULL;
	size_t size = 0;
	int r;

	if (!sops_flag_is_on(&call->arguments, SOPS_FLAG_YES)) {
		difference_print(stdout, isatty(STDOUT_FILENO) == 1, job->path, difference);
		r = ask(err);
		job->unchanged = r == 0;
		return r;
	}
	stream = open_memstream(&job->output, &size);
	if (!stream)
		return error_no_memory(err);
	difference_print(stream, isatty(STDOUT_FILENO) == 1, job->path, difference);
	return 1;
}

static int keys_update(struct sops_call *call, struct many_job *job, struct sops_document *document,
		       struct error *err)
{
	bool is_alone = call->word_count == 1 || sops_keys_ask_commands();
	/* For many files at once, all keys were loaded before. */
	int r = is_alone ? sops_call_keys_load(call, document, err) : 0;

	if (r == 0)
		r = sops_document_keys_update(document, &job->policy, 0, &call->keys->keyring, err);
	if (r < 0) {
		if (sops_document_failure(document) == SOPS_FAILED_KEY && r == -(int)VMCRED_MISSING)
			call->exit_code = SOPS_EXIT_NO_KEY;
		/* Once is enough for many files. */
		if (call->exit_code == SOPS_EXIT_NO_KEY && call->word_count == 1)
			sops_keys_explain(call->keys, err);
		return r;
	}
	return sops_file_write(call, &job->file, document, true, false, err);
}

static int job_work(struct sops_call *call, struct many_job *job, struct error *err)
{
	__attribute__((cleanup(sops_difference_destroy))) struct sops_difference difference = {0};
	_cleanup_sops_document_ struct sops_document *document = NULL;
	_cleanup_secret_ struct secret text = {0};
	int r = sops_file_parse(call, &job->file, &text, &document, err);

	if (r == 0)
		r = sops_document_keys_compare(document, &job->policy, 0, &difference, err);
	if (r < 0)
		return r;
	job->unchanged = !difference.changed;
	if (!difference.changed)
		return 0;
	r = difference_show(call, job, &difference, err);
	return r <= 0 ? r : keys_update(call, job, document, err);
}

static void job_free(struct many_job *job)
{
	sops_file_destroy(&job->file);
	sops_policy_destroy(&job->policy);
	free(job->output);
}

/* One file has its own exit codes. */
static int update_one(struct sops_call *call, struct error *err)
{
	__attribute__((cleanup(job_free))) struct many_job job = {.path = call->words[0]};
	int r = job_prepare(call, &job, err);

	if (r == 0)
		r = job_work(call, &job, err);
	if (r == 0 && job.output)
		fputs(job.output, stdout);
	if (r == 0 && job.unchanged)
		report_message(&call->cli->report, REPORT_INFO, "%s was left as it is", job.path);
	return r;
}

int verb_updatekeys(struct sops_call *call, struct error *err)
{
	static const struct many_verb updated = {
		.done = "updated", .prepare = job_prepare, .work = job_work};
	bool yes = sops_flag_is_on(&call->arguments, SOPS_FLAG_YES);
	int r = sops_rules_load(call, err);

	if (r == 0) {
		error_set(err, VMCRED_MISSING, "there is no .sops.yaml here or in a folder above");
		return error_hint(err, "name it with --config FILE");
	}
	if (r > 0 && call->word_count < 1)
		return sops_fail(call, SOPS_EXIT_NO_FILE, err, "no file given");
	if (r > 0 && call->word_count == 1)
		return update_one(call, err);
	if (r > 0)
		r = sops_call_keys_load(call, NULL, err);
	if (r < 0)
		return r;
	/* Commands are told whose key is wanted, which adds keys on the way. */
	r = many_run(call, &updated, yes && !sops_keys_ask_commands(), err);
	if (r < 0 && call->keys->identities.count == 0)
		sops_keys_explain(call->keys, err);
	return r;
}

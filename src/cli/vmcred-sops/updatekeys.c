/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/vmcred-sops/commands.h"

/* In green or red. */
static void line_print(FILE *stream, bool coloured, const char *mark, const char *text)
{
	const char *colour = *mark == '+' ? "\033[32m" : *mark == '-' ? "\033[31m" : "";

	/* One line, whatever the document says. */
	_cleanup_free_ char *visible = text_visible(span_of_text(text), false);

	if (!coloured)
		colour = "";
	fprintf(stream, "%s%s %s%s\n", colour, mark, visible ? visible : "out of memory",
		*colour ? "\033[0m" : "");
}

/* As sops decides it. */
static bool is_coloured(void)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) == 1 && (!no_color || !*no_color) &&
	       (!term || strcmp(term, "dumb") != 0);
}

/* In the format of sops. */
static void difference_print(FILE *stream, const char *name,
			     const struct sops_difference *difference)
{
	const bool coloured = is_coloured();
	static const char *const marks[] = {
		[SOPS_KEY_KEPT] = "   ", [SOPS_KEY_ADDED] = "+++", [SOPS_KEY_REMOVED] = "---"};
	const unsigned int before = difference->threshold_before;
	const unsigned int after = difference->threshold_after;
	_cleanup_free_ char *visible = text_visible(span_of_text(name), false);
	char threshold[64];

	fprintf(stream, "%s: changed keys:\n", visible ? visible : "out of memory");
	snprintf(threshold, sizeof(threshold), "shamir_threshold: %u", after);
	if (after > 0 && before == after)
		fprintf(stream, "%s\n", threshold);
	else if (after > 0)
		line_print(stream, coloured, "+++", threshold);
	snprintf(threshold, sizeof(threshold), "shamir_threshold: %u", before);
	if (before > 0 && before != after)
		line_print(stream, coloured, "---", threshold);
	for (size_t i = 0; i < difference->group_count; i++) {
		const struct sops_group_difference *group = &difference->groups[i];

		fprintf(stream, "Group %zu\n", i + 1);
		for (size_t j = 0; j < group->count; j++)
			line_print(stream, coloured, marks[group->keys[j].change],
				   group->keys[j].text);
	}
}

/* Asks on standard input, as sops does. Returns 1 for yes, 0 for no. */
static int ask(struct error *err)
{
	for (;;) {
		char answer[16];

		fputs("Change the keys? (y/n): ", stdout);
		fflush(stdout);
		if (!fgets(answer, sizeof(answer), stdin))
			return error_set(err, VMCRED_FAILED,
					 "no answer: pass --yes to skip the question");
		answer[strcspn(answer, "\r\n")] = '\0';
		if (strcmp(answer, "y") == 0 || strcmp(answer, "n") == 0)
			return *answer == 'y';
	}
}

static int job_prepare(struct invocation *invocation, struct batch_job *job, struct error *err)
{
	const struct sops_policy *policy = NULL;
	struct stat status;
	int r;

	invocation->exit_code = SOPS_EXIT_GENERIC;
	if (stat(job->path, &status) < 0)
		return error_set_errno(err, errno, "%s", job->path);
	if (S_ISDIR(status.st_mode))
		return error_set(err, VMCRED_USAGE, "%s is a directory", job->path);
	r = sops_file_describe(invocation, job->path, &job->file, err);
	/* The format is kept. */
	job->file.output = job->file.input;
	if (r == 0)
		r = sops_creation_rules_match(invocation->rules, job->file.rule_path, &policy, err);
	if (r == 0)
		return error_set(err, VMCRED_USAGE, "%s has no creation_rules",
				 sops_creation_rules_path(invocation->rules));
	return r < 0 ? r : sops_policy_copy(&job->policy, policy, err);
}

/* Prints the difference and asks; with --yes, stores it in `job->output`. Returns 1 to continue, 0
 * to leave the file unchanged. */
static int difference_show(const struct invocation *invocation, struct batch_job *job,
			   const struct sops_difference *difference, struct error *err)
{
	_cleanup_fclose_ FILE *stream = NULL;
	size_t size = 0;
	int r;

	if (!flag_is_on(&invocation->flags, FLAG_YES)) {
		difference_print(stdout, job->path, difference);
		r = ask(err);
		job->unchanged = r == 0;
		return r;
	}
	stream = open_memstream(&job->output, &size);
	if (!stream)
		return error_no_memory(err);
	difference_print(stream, job->path, difference);
	return 1;
}

static int keys_update(struct invocation *invocation, struct batch_job *job,
		       struct sops_document *document, struct error *err)
{
	bool is_alone = invocation->argument_count == 1 || sops_keys_ask_commands();
	/* For several files, all keys were loaded before. */
	int r = is_alone ? keys_load(invocation, document, err) : 0;

	if (r == 0)
		r = sops_document_keys_update(document, &job->policy, 0, &invocation->keys->keyring,
					      err);
	if (r < 0) {
		if (sops_document_failure(document) == SOPS_FAILED_KEY)
			invocation->exit_code = SOPS_EXIT_NO_KEY;
		/* For several files, command_updatekeys() adds it once. */
		if (invocation->exit_code == SOPS_EXIT_NO_KEY && invocation->argument_count == 1)
			sops_keys_explain(invocation->keys, err);
		return r;
	}
	return sops_file_write(invocation, &job->file, document, true, OUTPUT_CIPHERTEXT, err);
}

static int job_work(struct invocation *invocation, struct batch_job *job, struct error *err)
{
	__attribute__((cleanup(sops_difference_destroy))) struct sops_difference difference = {0};
	_cleanup_sops_document_ struct sops_document *document = NULL;
	_cleanup_secret_ struct secret text = {0};
	int r = sops_file_parse(invocation, &job->file, &text, &document, err);

	if (r == 0)
		r = sops_document_keys_compare(document, &job->policy, 0, &difference, err);
	if (r < 0)
		return r;
	job->unchanged = !difference.changed;
	if (!difference.changed)
		return 0;
	r = difference_show(invocation, job, &difference, err);
	return r <= 0 ? r : keys_update(invocation, job, document, err);
}

int command_updatekeys(struct invocation *invocation, struct error *err)
{
	static const struct batch batch = {
		.done = "updated", .prepare = job_prepare, .work = job_work};
	const bool yes = flag_is_on(&invocation->flags, FLAG_YES);
	int r = rules_load(invocation, false, err);

	if (r == 0) {
		error_set(err, VMCRED_MISSING, "no .sops.yaml in this directory or its parents");
		return error_hint(err, "pass --config FILE");
	}
	if (r > 0 && invocation->argument_count < 1)
		return fail(invocation, SOPS_EXIT_NO_FILE, err, "no file given");
	if (r > 0 && invocation->argument_count == 1)
		return batch_one(invocation, &batch, invocation->arguments[0], err);
	if (r > 0)
		r = keys_load(invocation, NULL, err);
	if (r < 0)
		return r;
	/* Commands are run for one recipient at a time, which adds keys in between. */
	r = batch_run(invocation, &batch, yes && !sops_keys_ask_commands(), err);
	if (r < 0 && invocation->keys->identities.count == 0)
		sops_keys_explain(invocation->keys, err);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred-sops/many.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"

struct many {
	struct sops_call *call;
	const struct many_verb *verb;
	struct many_job *jobs; /* owned */
	size_t count;
};

static void jobs_free(struct many *many)
{
	for (size_t i = 0; many->jobs && i < many->count; i++) {
		sops_file_destroy(&many->jobs[i].file);
		sops_policy_destroy(&many->jobs[i].policy);
		free(many->jobs[i].output);
		free(many->jobs[i].failure);
	}
	free(many->jobs);
}

static void failure_keep(struct many_job *job, struct error *err)
{
	job->failure = error_line(err);
	if (!job->failure)
		job->failure = strdup("out of memory");
	error_clear(err);
}

static void job_work(void *context, size_t index)
{
	struct many *many = context;
	struct many_job *job = &many->jobs[index];
	/* What a verb notes about its failure is this job's. */
	struct sops_call call = *many->call;
	_cleanup_error_ struct error err = {0};

	if (!job->failure && many->verb->work(&call, job, &err) < 0)
		failure_keep(job, &err);
}

static void jobs_watch(void *context, size_t done)
{
	const struct many *many = context;

	report_progress(&many->call->cli->report, done, many->count);
}

static void jobs_prepare(struct many *many)
{
	for (size_t i = 0; i < many->count; i++) {
		_cleanup_error_ struct error err = {0};
		struct many_job *job = &many->jobs[i];

		job->path = many->call->words[i];
		if (many->verb->prepare(many->call, job, &err) < 0)
			failure_keep(job, &err);
	}
}

/* Prints what there is to tell, and counts. */
static int jobs_tell(const struct many *many, struct error *err)
{
	size_t failed = 0, unchanged = 0;

	for (size_t i = 0; i < many->count; i++) {
		const struct many_job *job = &many->jobs[i];

		if (job->output)
			fputs(job->output, stdout);
		if (job->failure)
			fprintf(stderr, "vmcred: %s\n", job->failure);
		failed += job->failure != NULL;
		unchanged += job->unchanged;
	}
	fprintf(stderr, "vmcred: %zu files: %zu %s", many->count, many->count - failed - unchanged,
		many->verb->done);
	if (unchanged > 0)
		fprintf(stderr, ", %zu were so already", unchanged);
	fputc('\n', stderr);
	many->call->exit_code = SOPS_EXIT_GENERIC;
	if (failed > 0)
		return error_set(err, VMCRED_FAILED, "%zu of %zu files could not be %s", failed,
				 many->count, many->verb->done);
	return 0;
}

int many_run(struct sops_call *call, const struct many_verb *verb, bool parallel, struct error *err)
{
	__attribute__((cleanup(jobs_free))) struct many many = {
		.call = call,
		.verb = verb,
		.count = (size_t)call->word_count,
	};

	many.jobs = calloc(many.count, sizeof(*many.jobs));
	if (!many.jobs)
		return error_no_memory(err);
	jobs_prepare(&many);
	if (parallel)
		pool_run_watched(many.count, job_work, jobs_watch, &many);
	for (size_t i = 0; !parallel && i < many.count; i++)
		job_work(&many, i);
	return jobs_tell(&many, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/pool.h"
#include "base/text.h"
#include "cli/vmcred-sops/commands.h"

struct run {
	struct invocation *invocation;
	const struct batch *batch;
	struct batch_job *jobs; /* owned */
	size_t count;
};

static void job_destroy(struct batch_job *job)
{
	sops_file_destroy(&job->file);
	sops_policy_destroy(&job->policy);
	free(job->output);
	free(job->failure);
}

static void run_destroy(struct run *run)
{
	for (size_t i = 0; run->jobs && i < run->count; i++)
		job_destroy(&run->jobs[i]);
	free(run->jobs);
}

static void failure_keep(struct batch_job *job, struct error *err)
{
	job->failure = error_line(err);
	if (!job->failure)
		job->failure = strdup("out of memory");
	error_clear(err);
}

static void job_work(void *context, size_t index)
{
	struct run *run = context;
	/* Each job has its own exit code. */
	struct invocation invocation = *run->invocation;
	_cleanup_error_ struct error err = {0};

	if (!run->jobs[index].failure && run->batch->work(&invocation, &run->jobs[index], &err) < 0)
		failure_keep(&run->jobs[index], &err);
}

static void progress_report(void *context, size_t done)
{
	const struct run *run = context;

	report_progress(&run->invocation->cli->report, done, run->count);
}

int batch_one(struct invocation *invocation, const struct batch *batch, const char *path,
	      struct error *err)
{
	__attribute__((cleanup(job_destroy))) struct batch_job job = {.path = path};
	int r = batch->prepare(invocation, &job, err);

	if (r == 0)
		r = batch->work(invocation, &job, err);
	if (r == 0 && job.output)
		fputs(job.output, stdout);
	if (r == 0 && job.unchanged) {
		_cleanup_free_ char *visible = text_visible(span_of_text(path), false);

		fprintf(stderr, "vmcred: %s: unchanged\n", visible ? visible : "out of memory");
	}
	return r;
}

int batch_run(struct invocation *invocation, const struct batch *batch, bool parallel,
	      struct error *err)
{
	__attribute__((cleanup(run_destroy))) struct run run = {
		.invocation = invocation,
		.batch = batch,
		.count = (size_t)invocation->argument_count,
	};
	size_t failed = 0, unchanged = 0;

	run.jobs = calloc(run.count, sizeof(*run.jobs));
	if (!run.jobs)
		return error_no_memory(err);
	for (size_t i = 0; i < run.count; i++) {
		_cleanup_error_ struct error failure = {0};

		run.jobs[i].path = invocation->arguments[i];
		if (batch->prepare(invocation, &run.jobs[i], &failure) < 0)
			failure_keep(&run.jobs[i], &failure);
	}
	if (parallel)
		pool_run_watched(run.count, job_work, progress_report, &run);
	for (size_t i = 0; !parallel && i < run.count; i++)
		job_work(&run, i);
	for (size_t i = 0; i < run.count; i++) {
		const struct batch_job *job = &run.jobs[i];

		if (job->output)
			fputs(job->output, stdout);
		if (job->failure)
			fprintf(stderr, "vmcred: %s\n", job->failure);
		failed += job->failure != NULL;
		unchanged += job->unchanged;
	}
	fprintf(stderr, "vmcred: %zu files: %zu %s", run.count, run.count - failed - unchanged,
		batch->done);
	if (unchanged > 0)
		fprintf(stderr, ", %zu unchanged", unchanged);
	fputc('\n', stderr);
	invocation->exit_code = SOPS_EXIT_GENERIC;
	if (failed > 0)
		return error_set(err, VMCRED_FAILED, "%zu of %zu files could not be %s", failed,
				 run.count, batch->done);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run of `vmcred generate`. Threads run the jobs and stage their files; the calling thread
 * publishes them, many at a time, and reports them in the plan's order. Values stay in memory while
 * other jobs depend on them, so that a store that nobody here can decrypt can be filled from
 * scratch.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/pool.h"
#include "base/trusted/memory_directory.h"
#include "vars/generate/jobs.h"

static void run_destroy(struct run *run)
{
	schedule_destroy(&run->schedule);
	plan_destroy(&run->plan);
	staging_end(&run->staging);
	for (size_t i = 0; i < run->answer_count; i++)
		secret_destroy(&run->answers[i].text);
	free(run->answers);
	for (size_t i = 0; i < run->stored_count; i++)
		values_free(run->stored[i].values, run->stored[i].generator->file_count);
	free(run->stored);
	free(run->writer);
	free(run->batch);
}

/* In any thread: runs one job. */
static void job_run(void *context, size_t piece)
{
	_cleanup_error_ struct error err = {0};
	struct run *run = context;
	size_t index;

	(void)piece;
	if (schedule_take(&run->schedule, &index) && run_job(run, index, &err) < 0)
		schedule_fail(&run->schedule, index, &err);
}

/* Removes staged files that are not published. */
static void batch_drop(struct run *run, size_t from, size_t count)
{
	for (size_t i = from; i < count; i++) {
		_cleanup_error_ struct error ignored = {0};

		(void)staging_remove(&run->staging, &run->batch[i], &ignored);
		schedule_drop(&run->schedule, run->batch[i].number);
	}
}

/* Syncs the new names of the first `count` jobs, and only then removes the old files. */
static int batch_settle(struct run *run, size_t count, struct error *err)
{
	int r = count > 0 ? staging_sync_published(&run->staging, run->batch, count, err) : 0;

	for (size_t i = 0; r == 0 && i < count; i++) {
		if (run->batch[i].replaced)
			r = staging_remove(&run->staging, &run->batch[i], err);
		if (r == 0) {
			schedule_publish(&run->schedule, run->batch[i].number);
			run->published++;
		}
	}
	return r;
}

/* Publishes what is staged now. After a failure nothing more is published: it may depend on
 * something that was not. */
static void batch_publish(struct run *run)
{
	size_t indices[SCHEDULE_STAGED_MAX];
	const size_t count = schedule_staged_take(&run->schedule, indices);
	_cleanup_error_ struct error err = {0}, unsettled = {0};
	size_t published = 0;
	int r = 0;

	for (size_t i = 0; i < count; i++)
		run->batch[i] = (struct staged){indices[i], &run->plan.jobs[indices[i]], false};
	if (count == 0)
		return;
	if (run->is_broken) {
		batch_drop(run, 0, count);
		return;
	}
	r = staging_sync(&run->staging, run->batch, count, &err);
	for (; r == 0 && published < count; published += r == 0)
		r = staging_publish(&run->staging, &run->batch[published], &err);
	run->is_broken = r < 0;
	if (r < 0) {
		/* First the error: the dropped jobs have none. */
		schedule_fail(&run->schedule, run->batch[published].number, &err);
		batch_drop(run, published, count);
	}
	if (batch_settle(run, published, &unsettled) < 0) {
		run->is_broken = true;
		schedule_fail(&run->schedule, run->batch[0].number, &unsettled);
	}
}

/* Reports the jobs that are done, in the plan's order; at the end also those after a failed one. */
static void jobs_report(struct run *run, bool is_end)
{
	for (; run->reported < run->plan.count; run->reported++) {
		if (run->options->dry_run || schedule_is_published(&run->schedule, run->reported))
			run->options->generated(&run->plan.jobs[run->reported], run->options->data);
		else if (!is_end)
			return;
	}
}

static void run_watch(void *context, size_t done)
{
	struct run *run = context;

	batch_publish(run);
	jobs_report(run, done == run->plan.count);
	report_progress(run->report, run->published, run->plan.count);
}

static int plan_run(struct run *run, struct error *err)
{
	int r;

	if (run->options->dry_run || run->plan.count == 0) {
		jobs_report(run, true);
		return 0;
	}
	r = vars_writer_find(run->config, run->store_dirfd, run->options->identities,
			     run->options->data, &run->writer, err);
	run->staging.writer = run->writer;
	if (r == 0)
		r = run_gather(run, err);
	if (r < 0)
		return r;
	run->batch = calloc(SCHEDULE_STAGED_MAX, sizeof(*run->batch));
	if (!run->batch)
		return error_no_memory(err);
	r = schedule_begin(&run->schedule, &run->plan, err);
	if (r == 0)
		r = staging_begin(&run->staging, err);
	if (r < 0)
		return r;
	pool_run_watched(run->plan.count, job_run, run_watch, run);
	return schedule_failure(&run->schedule, err);
}

/* The lock is held until all that was not published is removed. */
static int locked_generate(const struct config *config, int store_dirfd,
			   const struct vars_generate_options *options, const struct report *report,
			   struct error *err)
{
	__attribute__((cleanup(run_destroy))) struct run run = {
		.config = config,
		.store_dirfd = store_dirfd,
		.options = options,
		.report = report,
		.staging = {.config = config, .store_dirfd = store_dirfd, .dirfd = -1},
	};
	int r;

	/* Plaintext of a killed run, even if no script runs now. */
	if (!options->dry_run)
		memory_directory_clean(report);
	r = plan_make(config, store_dirfd, options, report, &run.plan, err);
	return r < 0 ? r : plan_run(&run, err);
}

int vars_generate(const struct config *config, int store_dirfd,
		  const struct vars_generate_options *options, const struct report *report,
		  struct error *err)
{
	_cleanup_lock_ struct lock lock = LOCK_NONE;
	/* A dry run writes nothing, not even the lock. */
	int r = options->dry_run ? 0 : vars_lock(&lock, store_dirfd, report, err);

	return r < 0 ? r : locked_generate(config, store_dirfd, options, report, err);
}

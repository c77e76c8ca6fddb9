/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run: the plan's jobs on all processors, each as soon as what it depends on is made. Threads
 * make and stage; the one that called shows what they staged, many jobs at a time, and tells about
 * it in the plan's order. What a job made is kept in memory while others may depend on it, so that
 * a store which nobody here can decrypt can be filled from nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "base/cleanup.h"
#include "base/memory_directory.h"
#include "base/pool.h"
#include "vars/run.h"

static void run_destroy(struct run *run)
{
	schedule_destroy(&run->schedule);
	plan_destroy(&run->plan);
	stage_end(&run->stage);
	for (size_t i = 0; i < run->answer_count; i++)
		secret_destroy(&run->answers[i].text);
	free(run->answers);
	for (size_t i = 0; i < run->stored_count; i++)
		vars_values_free(run->stored[i].values, run->stored[i].generator->file_count);
	free(run->stored);
	free(run->writer);
	free(run->batch);
}

static int run_prepare(struct run *run, struct error *err)
{
	int r;

	run->batch = calloc(SCHEDULE_STAGED_MAX, sizeof(*run->batch));
	if (!run->batch)
		return error_no_memory(err);
	r = schedule_begin(&run->schedule, &run->plan, err);
	return r < 0 ? r : stage_begin(&run->stage, err);
}

/* Of any thread: makes one job's files. */
static void job_do(void *context, size_t piece)
{
	_cleanup_error_ struct error err = {0};
	struct run *run = context;
	size_t index;

	(void)piece;
	if (schedule_take(&run->schedule, &index) && run_job(run, index, &err) < 0)
		schedule_fail(&run->schedule, index, &err);
}

/* They are not shown: what they made is removed. */
static void batch_drop(struct run *run, size_t from, size_t count)
{
	for (size_t i = from; i < count; i++) {
		_cleanup_error_ struct error ignored = {0};

		(void)stage_remove(&run->stage, &run->batch[i], &ignored);
		schedule_drop(&run->schedule, run->batch[i].number);
	}
}

/* The first `count` of the batch have their names; says so when the disk has them, too. */
static int batch_settle(struct run *run, size_t count, struct error *err)
{
	int r = count > 0 ? stage_sync_shown(&run->stage, run->batch, count, err) : 0;

	for (size_t i = 0; r == 0 && i < count; i++) {
		/* The old files are of no use any more. */
		if (run->batch[i].replaced)
			r = stage_remove(&run->stage, &run->batch[i], err);
		if (r == 0) {
			schedule_show(&run->schedule, run->batch[i].number);
			run->shown++;
		}
	}
	return r;
}

static size_t batch_take(struct run *run)
{
	size_t indices[SCHEDULE_STAGED_MAX];
	const size_t count = schedule_staged_take(&run->schedule, indices);

	for (size_t i = 0; i < count; i++) {
		const struct vars_job *job = &run->plan.jobs[indices[i]];

		run->batch[i] = (struct staged){indices[i], job->machine, job->generator, false};
	}
	return count;
}

/* Shows what is staged by now. After a failure nothing more is shown: it may depend on what was
 * not. */
static void batch_show(struct run *run)
{
	const size_t count = batch_take(run);
	_cleanup_error_ struct error err = {0}, unsettled = {0};
	size_t shown = 0;
	int r = 0;

	if (count == 0)
		return;
	if (run->is_broken) {
		batch_drop(run, 0, count);
		return;
	}
	r = stage_sync(&run->stage, run->batch, count, &err);
	for (; r == 0 && shown < count; shown += r == 0)
		r = stage_show(&run->stage, &run->batch[shown], &err);
	run->is_broken = r < 0;
	if (r < 0) {
		/* The error first: those that are dropped have none. */
		schedule_fail(&run->schedule, run->batch[shown].number, &err);
		batch_drop(run, shown, count);
	}
	if (batch_settle(run, shown, &unsettled) < 0) {
		run->is_broken = true;
		schedule_fail(&run->schedule, run->batch[0].number, &unsettled);
	}
}

/* In the plan's order. At the end also what was made behind a job that failed. */
static void jobs_tell(struct run *run, bool is_end)
{
	for (; run->told < run->plan.count; run->told++) {
		const bool is_shown =
			run->options->dry_run || schedule_is_shown(&run->schedule, run->told);

		if (is_shown)
			run->options->generated(&run->plan.jobs[run->told], run->options->data);
		else if (!is_end)
			return;
	}
}

static void run_watch(void *context, size_t done)
{
	struct run *run = context;

	batch_show(run);
	jobs_tell(run, done == run->plan.count);
	report_progress(run->report, run->shown, run->plan.count);
}

static int run_plan(struct run *run, struct error *err)
{
	int r;

	if (run->options->dry_run || run->plan.count == 0) {
		jobs_tell(run, true);
		return 0;
	}
	r = vars_writer_find(run->config, run->store_dirfd, run->options->identities,
			     run->options->data, &run->writer, err);
	run->stage.writer = run->writer;
	if (r == 0)
		r = run_gather(run, err);
	if (r == 0)
		r = run_prepare(run, err);
	if (r < 0)
		return r;
	pool_run_watched(run->plan.count, job_do, run_watch, run);
	return schedule_failure(&run->schedule, err);
}

/* With the store's lock held: until what was not shown is removed. */
static int locked_generate(const struct config *config, int store_dirfd,
			   const struct vars_generate_options *options, const struct report *report,
			   struct error *err)
{
	__attribute__((cleanup(run_destroy))) struct run run = {
		.config = config,
		.store_dirfd = store_dirfd,
		.options = options,
		.report = report,
		.stage = {.config = config, .store_dirfd = store_dirfd, .dirfd = -1},
	};
	int r;

	/* Scripts' files that a run which was killed left, even where no script is run now. */
	if (!options->dry_run)
		memory_directory_clean();
	r = plan_make(config, store_dirfd, options, report, &run.plan, err);
	return r < 0 ? r : run_plan(&run, err);
}

int vars_generate(const struct config *config, int store_dirfd,
		  const struct vars_generate_options *options, const struct report *report,
		  struct error *err)
{
	int r = vars_lock(store_dirfd, report, err);

	if (r < 0)
		return r;
	r = locked_generate(config, store_dirfd, options, report, err);
	(void)flock(store_dirfd, LOCK_UN);
	return r;
}

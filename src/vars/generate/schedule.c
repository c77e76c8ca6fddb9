/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/generate/schedule.h"

#include <stdlib.h>
#include <string.h>

/* How far ahead a thread looks for a job. Jobs depend only on those of their machine and on shared
 * ones, so one that can run is near, or all wait for the same one. */
#define LOOK_AHEAD 1024

static void job_values_free(const struct schedule *schedule, size_t index, struct value *values)
{
	values_free(values, schedule->plan->jobs[index].generator->file_count);
}

int schedule_begin(struct schedule *schedule, const struct plan *plan, struct error *err)
{
	*schedule = (struct schedule){.plan = plan,
				      .lock = PTHREAD_MUTEX_INITIALIZER,
				      .changed = PTHREAD_COND_INITIALIZER,
				      .end = plan->count};
	schedule->jobs = calloc(plan->count + 1, sizeof(*schedule->jobs));
	schedule->staged = calloc(SCHEDULE_STAGED_MAX, sizeof(*schedule->staged));
	if (!schedule->jobs || !schedule->staged)
		return error_no_memory(err);
	for (size_t i = 0; i < plan->count; i++) {
		char **name = plan->jobs[i].generator->dependencies;

		for (; name && *name; name++) {
			size_t dependency = plan_dependency(plan, i, *name);

			if (dependency != PLAN_NONE)
				schedule->jobs[dependency].dependents++;
		}
	}
	return 0;
}

void schedule_destroy(struct schedule *schedule)
{
	for (size_t i = 0; schedule->jobs && i < schedule->plan->count; i++)
		job_values_free(schedule, i, schedule->jobs[i].values);
	free(schedule->jobs);
	free(schedule->staged);
	error_clear(&schedule->failure);
}

static bool is_ready(const struct schedule *schedule, size_t index)
{
	char **name = schedule->plan->jobs[index].generator->dependencies;

	if (schedule->jobs[index].state != JOB_WAITING)
		return false;
	for (; name && *name; name++) {
		size_t dependency = plan_dependency(schedule->plan, index, *name);

		if (dependency != PLAN_NONE && schedule->jobs[dependency].state != JOB_STAGED &&
		    schedule->jobs[dependency].state != JOB_PUBLISHED)
			return false;
	}
	return true;
}

/* With the lock held: the first job that can run, or PLAN_NONE. */
static size_t job_find(struct schedule *schedule)
{
	while (schedule->first < schedule->end &&
	       schedule->jobs[schedule->first].state != JOB_WAITING)
		schedule->first++;
	for (size_t i = 0; i < LOOK_AHEAD && schedule->first + i < schedule->end; i++) {
		if (is_ready(schedule, schedule->first + i))
			return schedule->first + i;
	}
	return PLAN_NONE;
}

bool schedule_take(struct schedule *schedule, size_t *index)
{
	bool found = false;

	pthread_mutex_lock(&schedule->lock);
	for (;;) {
		*index = job_find(schedule);
		if (schedule->first >= schedule->end)
			break;
		found = *index != PLAN_NONE &&
			schedule->staged_count + schedule->running < SCHEDULE_STAGED_MAX;
		if (found)
			break;
		/* Until a running job ends, or staged ones are published. */
		pthread_cond_wait(&schedule->changed, &schedule->lock);
	}
	if (found) {
		schedule->jobs[*index].state = JOB_RUNNING;
		schedule->running++;
	}
	pthread_mutex_unlock(&schedule->lock);
	return found;
}

const struct value *schedule_values(const struct schedule *schedule, size_t index)
{
	return schedule->jobs[index].values;
}

/* The job no longer needs its dependencies; frees the values of those that no job needs. */
static void dependencies_release(struct schedule *schedule, size_t index)
{
	char **name = schedule->plan->jobs[index].generator->dependencies;

	for (; name && *name; name++) {
		size_t dependency = plan_dependency(schedule->plan, index, *name);
		struct value *values = NULL;
		struct schedule_job *job;

		if (dependency == PLAN_NONE)
			continue;
		job = &schedule->jobs[dependency];
		pthread_mutex_lock(&schedule->lock);
		if (--job->dependents == 0) {
			values = job->values;
			job->values = NULL;
		}
		pthread_mutex_unlock(&schedule->lock);
		job_values_free(schedule, dependency, values);
	}
}

void schedule_stage(struct schedule *schedule, size_t index, struct value *values)
{
	struct schedule_job *job = &schedule->jobs[index];

	pthread_mutex_lock(&schedule->lock);
	schedule->running--;
	job->state = JOB_STAGED;
	if (job->dependents > 0) {
		job->values = values;
		values = NULL;
	}
	schedule->staged[schedule->staged_count++] = index;
	pthread_cond_broadcast(&schedule->changed);
	pthread_mutex_unlock(&schedule->lock);
	job_values_free(schedule, index, values);
	dependencies_release(schedule, index);
}

void schedule_fail(struct schedule *schedule, size_t index, struct error *err)
{
	pthread_mutex_lock(&schedule->lock);
	if (schedule->jobs[index].state == JOB_RUNNING)
		schedule->running--;
	schedule->jobs[index].state = JOB_FAILED;
	if (index < schedule->end) {
		schedule->end = index;
		error_clear(&schedule->failure);
		schedule->failure = *err;
		*err = (struct error){0};
	}
	pthread_cond_broadcast(&schedule->changed);
	pthread_mutex_unlock(&schedule->lock);
	error_clear(err);
}

void schedule_drop(struct schedule *schedule, size_t index)
{
	pthread_mutex_lock(&schedule->lock);
	schedule->jobs[index].state = JOB_FAILED;
	/* Otherwise its dependents would wait forever. */
	if (index < schedule->end)
		schedule->end = index;
	pthread_cond_broadcast(&schedule->changed);
	pthread_mutex_unlock(&schedule->lock);
}

static int indices_compare(const void *a, const void *b)
{
	const size_t *first = a, *second = b;

	return *first < *second ? -1 : *first > *second;
}

size_t schedule_staged_take(struct schedule *schedule, size_t *indices)
{
	size_t count;

	pthread_mutex_lock(&schedule->lock);
	count = schedule->staged_count;
	memcpy(indices, schedule->staged, count * sizeof(*indices));
	schedule->staged_count = 0;
	pthread_cond_broadcast(&schedule->changed);
	pthread_mutex_unlock(&schedule->lock);
	qsort(indices, count, sizeof(*indices), indices_compare);
	return count;
}

void schedule_publish(struct schedule *schedule, size_t index)
{
	pthread_mutex_lock(&schedule->lock);
	schedule->jobs[index].state = JOB_PUBLISHED;
	pthread_mutex_unlock(&schedule->lock);
}

bool schedule_is_published(struct schedule *schedule, size_t index)
{
	bool published;

	pthread_mutex_lock(&schedule->lock);
	published = schedule->jobs[index].state == JOB_PUBLISHED;
	pthread_mutex_unlock(&schedule->lock);
	return published;
}

int schedule_failure(struct schedule *schedule, struct error *err)
{
	if (schedule->end == schedule->plan->count)
		return 0;
	*err = schedule->failure;
	schedule->failure = (struct error){0};
	return -(int)err->code;
}

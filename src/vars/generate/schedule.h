/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order in which threads run a plan's jobs: each takes the first job whose dependencies are
 * done. The outcome is that of one thread: after a failure, the jobs before the failed one still
 * run and no later one is started. A job's values are kept until the last dependent has used them.
 *
 * A job is running, then staged (its files are written, but not in place) or failed, then published
 * (they are in place). Threads run and stage jobs; the thread that owns the plan publishes them.
 */
#ifndef VMCRED_VARS_GENERATE_SCHEDULE_H
#define VMCRED_VARS_GENERATE_SCHEDULE_H

#include <pthread.h>

#include "vars/generate/plan.h"
#include "vars/generator.h"

enum job_state {
	JOB_WAITING,
	JOB_RUNNING,
	JOB_STAGED,
	JOB_PUBLISHED,
	JOB_FAILED,
};

struct schedule_job {
	enum job_state state;
	size_t dependents;    /* not staged yet */
	struct value *values; /* owned; while there are any */
};

/* Starts as {0}. */
struct schedule {
	const struct plan *plan;
	pthread_mutex_t lock; /* protects what follows */
	pthread_cond_t changed;
	struct schedule_job *jobs; /* owned */
	size_t first;              /* no job before it is waiting */
	size_t end;                /* the failed job: none from here on is started */
	size_t running;
	struct error failure; /* owned; of that job */
	size_t *staged;       /* owned; jobs to publish */
	size_t staged_count;
};

/* With this many staged jobs, no more are started. */
#define SCHEDULE_STAGED_MAX 1024

int schedule_begin(struct schedule *schedule, const struct plan *plan, struct error *err);
void schedule_destroy(struct schedule *schedule);

/* Waits for a job that can run. False: there are no more. */
bool schedule_take(struct schedule *schedule, size_t *index);

/* The values of a dependency of a running job; they do not change. */
const struct value *schedule_values(const struct schedule *schedule, size_t index);

/* Takes over the job's values. */
void schedule_stage(struct schedule *schedule, size_t index, struct value *values);

/* Takes over the error, if no earlier job has failed. */
void schedule_fail(struct schedule *schedule, size_t index, struct error *err);

/* Gives up a staged job because another one failed: none from here on is started. */
void schedule_drop(struct schedule *schedule, size_t index);

/* Returns the staged jobs, at most SCHEDULE_STAGED_MAX, in the plan's order. */
size_t schedule_staged_take(struct schedule *schedule, size_t *indices);

void schedule_publish(struct schedule *schedule, size_t index);
bool schedule_is_published(struct schedule *schedule, size_t index);

/* Returns the error of the first failed job, if any. */
int schedule_failure(struct schedule *schedule, struct error *err);

#endif

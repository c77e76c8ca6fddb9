/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of a plan's jobs is to be run next, and by whom: any number of threads take jobs, each when
 * all that it depends on is made, the first in the plan's order first. So a run ends as if there
 * were one thread: after a failure the jobs before the failed one are still run, and none behind it
 * is begun. What a job made is kept for those that depend on it, and no longer. Inside vars/ only.
 *
 * A job is taken, then staged (its files are there, but not in their place) or failed, then shown
 * (they are). Threads take and stage; the one that runs the plan shows.
 */
#ifndef VMCRED_VARS_SCHEDULE_H
#define VMCRED_VARS_SCHEDULE_H

#include <pthread.h>

#include "vars/plan.h"

enum job_state {
	JOB_WAITING,
	JOB_TAKEN,
	JOB_STAGED,
	JOB_SHOWN,
	JOB_FAILED,
};

struct schedule_job {
	enum job_state state;
	size_t dependents;         /* that are not staged yet */
	struct vars_value *values; /* owned; while there are any */
};

/* Starts as {0}. */
struct schedule {
	const struct plan *plan;
	pthread_mutex_t lock; /* for all below */
	pthread_cond_t changed;
	struct schedule_job *jobs; /* owned */
	size_t first;              /* all jobs before it are taken */
	size_t end;                /* none from here on is begun: one failed */
	size_t running;            /* taken, and neither staged nor failed yet */
	struct error failure;      /* owned; that one's */
	size_t *staged;            /* owned; jobs */
	size_t staged_count;
};

/* More jobs than these are not staged: they wait until some are shown. */
#define SCHEDULE_STAGED_MAX 1024

int schedule_begin(struct schedule *schedule, const struct plan *plan, struct error *err);
void schedule_destroy(struct schedule *schedule);

/* Waits for a job that can be run. False: there is none any more. */
bool schedule_take(struct schedule *schedule, size_t *index);

/* What the job that makes a dependency of a taken job made; nobody changes it. */
const struct vars_value *schedule_values(const struct schedule *schedule, size_t index);

/* Takes over what the job made. */
void schedule_stage(struct schedule *schedule, size_t index, struct vars_value *values);

/* Takes the error over, if the job is the first in the plan's order that fails. */
void schedule_fail(struct schedule *schedule, size_t index, struct error *err);

/* The job that was staged shall not be shown, after another one has failed: none from here on is
 * begun. */
void schedule_drop(struct schedule *schedule, size_t index);

/* Gives the jobs that are staged by now, SCHEDULE_STAGED_MAX at most, in the plan's order. */
size_t schedule_staged_take(struct schedule *schedule, size_t *indices);

void schedule_show(struct schedule *schedule, size_t index);
bool schedule_is_shown(struct schedule *schedule, size_t index);

/* Moves the error of the failed job that is the first in the plan's order. 0: none failed. */
int schedule_failure(struct schedule *schedule, struct error *err);

#endif

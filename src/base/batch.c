/* SPDX-License-Identifier: Apache-2.0 */
#include "base/batch.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/cleanup.h"

/* More do not make anything faster whose limit is memory or the disk. */
#define THREADS_MAX 64

struct result {
	bool ready;
	struct error err; /* without text if it was done */
};

/* All but `batch`, `count` and `results` themselves is under the lock. */
struct run {
	const struct batch *batch;
	size_t count;
	struct result *results;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t next;
	bool stopped;
};

unsigned int batch_threads(void)
{
	cpu_set_t set;
	int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

	return count > 0 ? (unsigned int)count : 1;
}

static int result_take(const struct batch *batch, size_t item, struct error *failure,
		       struct error *err)
{
	int r;

	if (batch->done) {
		r = batch->done(batch->context, item, failure->code ? failure : NULL, err);
		error_clear(failure);
		return r;
	}
	r = -(int)failure->code;
	*err = *failure;
	*failure = (struct error){0};
	return r;
}

static int run_alone(const struct batch *batch, size_t count, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++) {
		struct error failure = {0};

		(void)batch->work(batch->context, i, &failure);
		r = result_take(batch, i, &failure, err);
	}
	return r;
}

static void *worker(void *argument)
{
	struct run *run = argument;

	pthread_mutex_lock(&run->lock);
	while (!run->stopped && run->next < run->count) {
		size_t item = run->next++;
		struct error failure = {0};

		pthread_mutex_unlock(&run->lock);
		(void)run->batch->work(run->batch->context, item, &failure);
		pthread_mutex_lock(&run->lock);
		run->results[item] = (struct result){.ready = true, .err = failure};
		pthread_cond_signal(&run->changed);
	}
	pthread_mutex_unlock(&run->lock);
	return NULL;
}

static int results_take(struct run *run, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < run->count; i++) {
		struct error failure;

		pthread_mutex_lock(&run->lock);
		while (!run->results[i].ready)
			pthread_cond_wait(&run->changed, &run->lock);
		failure = run->results[i].err;
		run->results[i].err = (struct error){0};
		pthread_mutex_unlock(&run->lock);
		r = result_take(run->batch, i, &failure, err);
	}
	return r;
}

static void stop(struct run *run)
{
	pthread_mutex_lock(&run->lock);
	run->stopped = true;
	pthread_mutex_unlock(&run->lock);
}

/* As many as can be had; returns their number. */
static unsigned int workers_start(struct run *run, pthread_t *threads, unsigned int wanted)
{
	unsigned int started = 0;

	while (started < wanted && pthread_create(&threads[started], NULL, worker, run) == 0)
		started++;
	return started;
}

static int run_together(struct run *run, unsigned int wanted, struct error *err)
{
	pthread_t threads[THREADS_MAX];
	unsigned int started = workers_start(run, threads, wanted);
	int r = started > 0 ? results_take(run, err) : run_alone(run->batch, run->count, err);

	stop(run);
	for (unsigned int i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i < run->count; i++)
		error_clear(&run->results[i].err);
	return r;
}

int batch_run(const struct batch *batch, size_t count, unsigned int threads, struct error *err)
{
	struct run run = {.batch = batch, .count = count};
	int r;

	if (threads > count)
		threads = (unsigned int)count;
	if (threads > THREADS_MAX)
		threads = THREADS_MAX;
	if (threads < 2)
		return run_alone(batch, count, err);
	run.results = calloc(count, sizeof(*run.results));
	if (!run.results)
		return error_no_memory(err);
	pthread_mutex_init(&run.lock, NULL);
	pthread_cond_init(&run.changed, NULL);
	r = run_together(&run, threads, err);
	pthread_cond_destroy(&run.changed);
	pthread_mutex_destroy(&run.lock);
	free(run.results);
	return r;
}

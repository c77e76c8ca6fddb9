/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/secret.h"

/* More threads than this would wait for the disk. */
#define THREADS_MAX 16

#define WATCH_MS 100

struct pool {
	size_t count;
	atomic_size_t next, done;
	void (*work)(void *context, size_t index);
	void *context;
	pthread_mutex_t lock;
	pthread_cond_t all_done;
	pthread_t threads[THREADS_MAX];
	size_t started;
};

static void *pool_work(void *argument)
{
	struct pool *pool = argument;
	struct secret_pages pages = {0};
	size_t index;

	secret_pages_keep(&pages);
	while ((index = atomic_fetch_add(&pool->next, 1)) < pool->count) {
		pool->work(pool->context, index);
		if (atomic_fetch_add(&pool->done, 1) + 1 < pool->count)
			continue;
		/* With the lock, a waiting thread cannot miss the signal. */
		pthread_mutex_lock(&pool->lock);
		pthread_cond_signal(&pool->all_done);
		pthread_mutex_unlock(&pool->lock);
	}
	secret_pages_release(&pages);
	return NULL;
}

size_t pool_threads(void)
{
	cpu_set_t processors;
	size_t usable = 1;

	if (sched_getaffinity(0, sizeof(processors), &processors) == 0)
		usable = (size_t)CPU_COUNT(&processors);
	return usable > THREADS_MAX ? THREADS_MAX : usable;
}

/* Starts one thread a processor, less those that the caller has; never more than there are jobs. */
static void pool_start(struct pool *pool, size_t less)
{
	size_t usable = pool_threads(), wanted = usable > pool->count ? pool->count : usable;
	sigset_t all, before;

	/* Signals go to the caller's threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (pool->started + less < wanted &&
	       pthread_create(&pool->threads[pool->started], NULL, pool_work, pool) == 0)
		pool->started++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void pool_join(struct pool *pool)
{
	while (pool->started > 0)
		pthread_join(pool->threads[--pool->started], NULL);
}

static struct pool pool_of(size_t count, void (*work)(void *context, size_t index), void *context)
{
	return (struct pool){.count = count,
			     .work = work,
			     .context = context,
			     .lock = PTHREAD_MUTEX_INITIALIZER,
			     .all_done = PTHREAD_COND_INITIALIZER};
}

void pool_run(size_t count, void (*work)(void *context, size_t index), void *context)
{
	struct pool pool = pool_of(count, work, context);

	pool_start(&pool, 1);
	pool_work(&pool);
	pool_join(&pool);
}

/* Until all jobs are done or WATCH_MS have passed. */
static void pool_wait(struct pool *pool)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += WATCH_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	pthread_mutex_lock(&pool->lock);
	while (atomic_load(&pool->done) < pool->count &&
	       pthread_cond_clockwait(&pool->all_done, &pool->lock, CLOCK_MONOTONIC, &until) == 0)
		continue;
	pthread_mutex_unlock(&pool->lock);
}

void pool_run_watched(size_t count, void (*work)(void *context, size_t index),
		      void (*watch)(void *context, size_t done), void *context)
{
	struct pool pool = pool_of(count, work, context);
	size_t done;

	pool_start(&pool, 0);
	for (size_t i = 0; pool.started == 0 && i < count; i++) {
		watch(context, i);
		work(context, i);
	}
	while (pool.started > 0 && (done = atomic_load(&pool.done)) < count) {
		watch(context, done);
		pool_wait(&pool);
	}
	pool_join(&pool);
	watch(context, count);
}

struct attempts {
	int (*work)(void *context, size_t index, struct error *err);
	void *context;
	struct error *errors; /* one for each job */
};

static void job_try(void *context, size_t index)
{
	const struct attempts *attempts = context;

	(void)attempts->work(attempts->context, index, &attempts->errors[index]);
}

int pool_try(size_t count, size_t together_min,
	     int (*work)(void *context, size_t index, struct error *err), void *context,
	     size_t *failed, struct error *err)
{
	struct attempts attempts = {
		.work = work,
		.context = context,
		.errors = calloc(count + 1, sizeof(struct error)),
	};
	int r = 0;

	*failed = count;
	if (!attempts.errors)
		return error_no_memory(err);
	if (count >= together_min)
		pool_run(count, job_try, &attempts);
	for (size_t i = 0; count < together_min && i < count; i++)
		job_try(&attempts, i);
	for (size_t i = 0; i < count; i++) {
		if (r == 0 && attempts.errors[i].code != 0) {
			*failed = i;
			r = error_move(err, &attempts.errors[i]);
		}
		error_clear(&attempts.errors[i]);
	}
	free(attempts.errors);
	return r;
}

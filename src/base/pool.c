/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/secret.h"

/* A thread costs memory and is of no use without a processor; more would wait for the disk. */
#define THREADS_MAX 16

#define WATCH_MS 100

struct pool {
	size_t count;
	atomic_size_t next, done;
	void (*work)(void *context, size_t index);
	void *context;
	pthread_mutex_t lock;
	pthread_cond_t all_done;
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
		/* Who waits has the lock, or has not looked yet. */
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

static size_t threads_wanted(size_t count)
{
	size_t usable = pool_threads();

	return usable > count ? count : usable;
}

static size_t threads_start(struct pool *pool, pthread_t *threads, size_t wanted)
{
	sigset_t all, before;
	size_t started = 0;

	/* Signals are the caller's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (started < wanted && pthread_create(&threads[started], NULL, pool_work, pool) == 0)
		started++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return started;
}

static void threads_join(const pthread_t *threads, size_t started)
{
	while (started > 0)
		pthread_join(threads[--started], NULL);
}

void pool_run(size_t count, void (*work)(void *context, size_t index), void *context)
{
	struct pool pool = {.count = count,
			    .work = work,
			    .context = context,
			    .lock = PTHREAD_MUTEX_INITIALIZER,
			    .all_done = PTHREAD_COND_INITIALIZER};
	size_t wanted = threads_wanted(count);
	pthread_t threads[THREADS_MAX];
	/* The caller's thread is one of them. */
	size_t started = threads_start(&pool, threads, wanted > 0 ? wanted - 1 : 0);

	pool_work(&pool);
	threads_join(threads, started);
}

/* Until all is done, or it is time to look. */
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
	struct pool pool = {.count = count,
			    .work = work,
			    .context = context,
			    .lock = PTHREAD_MUTEX_INITIALIZER,
			    .all_done = PTHREAD_COND_INITIALIZER};
	pthread_t threads[THREADS_MAX];
	size_t started = threads_start(&pool, threads, threads_wanted(count));
	size_t done;

	for (size_t i = 0; started == 0 && i < count; i++) {
		watch(context, i);
		work(context, i);
	}
	while (started > 0 && (done = atomic_load(&pool.done)) < count) {
		watch(context, done);
		pool_wait(&pool);
	}
	threads_join(threads, started);
	watch(context, count);
}

struct attempts {
	int (*work)(void *context, size_t index, struct error *err);
	void *context;
	struct error *failures; /* owned; one a piece */
	size_t count;
};

static void attempts_release(struct attempts *attempts)
{
	for (size_t i = 0; attempts->failures && i < attempts->count; i++)
		error_clear(&attempts->failures[i]);
	free(attempts->failures);
}

static void piece_try(void *context, size_t index)
{
	const struct attempts *attempts = context;

	(void)attempts->work(attempts->context, index, &attempts->failures[index]);
}

int pool_try(size_t count, size_t together_min,
	     int (*work)(void *context, size_t index, struct error *err), void *context,
	     size_t *failed, struct error *err)
{
	__attribute__((cleanup(attempts_release))) struct attempts attempts = {
		.work = work,
		.context = context,
		.failures = calloc(count + 1, sizeof(*attempts.failures)),
		.count = count,
	};

	*failed = count;
	if (!attempts.failures)
		return error_no_memory(err);
	if (count >= together_min)
		pool_run(count, piece_try, &attempts);
	for (size_t i = 0; count < together_min && i < count; i++)
		piece_try(&attempts, i);
	for (*failed = 0; *failed < count; ++*failed) {
		if (attempts.failures[*failed].code == 0)
			continue;
		*err = attempts.failures[*failed];
		attempts.failures[*failed] = (struct error){0};
		return -(int)err->code;
	}
	return 0;
}

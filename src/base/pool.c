/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

/* A thread costs memory and is of no use without a processor; more would wait for the disk. */
#define THREADS_MAX 16

struct pool {
	size_t count;
	atomic_size_t next;
	void (*work)(void *context, size_t index);
	void *context;
};

static void *pool_work(void *argument)
{
	struct pool *pool = argument;
	size_t index;

	while ((index = atomic_fetch_add(&pool->next, 1)) < pool->count)
		pool->work(pool->context, index);
	return NULL;
}

/* Threads beside the caller's. */
static size_t helpers_wanted(size_t count)
{
	cpu_set_t processors;
	size_t usable = 1;

	if (sched_getaffinity(0, sizeof(processors), &processors) == 0)
		usable = (size_t)CPU_COUNT(&processors);
	if (usable > THREADS_MAX)
		usable = THREADS_MAX;
	if (usable > count)
		usable = count;
	return usable > 0 ? usable - 1 : 0;
}

void pool_run(size_t count, void (*work)(void *context, size_t index), void *context)
{
	struct pool pool = {.count = count, .work = work, .context = context};
	size_t wanted = helpers_wanted(count), started = 0;
	pthread_t helpers[THREADS_MAX];
	sigset_t all, before;

	/* Signals are the caller's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (started < wanted && pthread_create(&helpers[started], NULL, pool_work, &pool) == 0)
		started++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pool_work(&pool);
	while (started > 0)
		pthread_join(helpers[--started], NULL);
}

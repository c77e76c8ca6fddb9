/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs many jobs of one kind on all processors that the process may use; each free thread takes the
 * next job. Jobs must share only what does not change.
 */
#ifndef VMCRED_BASE_POOL_H
#define VMCRED_BASE_POOL_H

#include <stddef.h>

#include "base/error.h"

/* The maximum number of threads. */
size_t pool_threads(void);

/*
 * Calls `work` once for each index below `count`, from several threads, and returns when all are
 * done. If no thread can be started, the caller's thread does everything.
 */
void pool_run(size_t count, void (*work)(void *context, size_t index), void *context);

/*
 * The same, but the caller's thread only calls `watch` with the number of jobs done: at the start,
 * about ten times a second, and at the end.
 */
void pool_run_watched(size_t count, void (*work)(void *context, size_t index),
		      void (*watch)(void *context, size_t done), void *context);

/*
 * The same for work that can fail. All jobs run. If several fail, the one with the lowest index is
 * reported; its index goes to `*failed`, or `count` if the error belongs to no job. Fewer jobs than
 * `together_min` run in the caller's thread: threads would cost more than they save.
 */
int pool_try(size_t count, size_t together_min,
	     int (*work)(void *context, size_t index, struct error *err), void *context,
	     size_t *failed, struct error *err);

#endif

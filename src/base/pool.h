/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many pieces of work of one kind on all processors that the process may use: piece after piece is
 * taken by whichever thread is free. For work that shares nothing but what does not change.
 */
#ifndef VMCRED_BASE_POOL_H
#define VMCRED_BASE_POOL_H

#include <stddef.h>

#include "base/error.h"

/* The most threads that there will be. */
size_t pool_threads(void);

/*
 * Calls `work` once for each index below `count`, from several threads, and returns when all are
 * done. Where no thread can be started, the caller's does it all.
 */
void pool_run(size_t count, void (*work)(void *context, size_t index), void *context);

/*
 * The same, while the caller's thread does nothing but call `watch` with the number of pieces that
 * are done: at the beginning, about ten times a second, and at the end.
 */
void pool_run_watched(size_t count, void (*work)(void *context, size_t index),
		      void (*watch)(void *context, size_t done), void *context);

/*
 * The same for work that can fail; all pieces are tried. Of several that fail the first's error is
 * told, whatever the threads did, and its index goes to `*failed` (`count`: it is of none). Of
 * fewer pieces than `together_min`, for which threads would cost more than they spare, the caller's
 * does all.
 */
int pool_try(size_t count, size_t together_min,
	     int (*work)(void *context, size_t index, struct error *err), void *context,
	     size_t *failed, struct error *err);

#endif

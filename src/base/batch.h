/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many independent pieces of work, such as a thousand files to decrypt, on all processors. What
 * comes out is the same whatever the threads did: results are handed over one by one in the order
 * of the items, on the caller's thread.
 */
#ifndef VMCRED_BASE_BATCH_H
#define VMCRED_BASE_BATCH_H

#include <stddef.h>

#include "base/error.h"

struct batch {
	void *context; /* handed to both */

	/* Does an item; called by any thread, for several items at a time. */
	int (*work)(void *context, size_t item, struct error *err);

	/*
	 * Takes the result of an item, on the caller's thread, in the order of the items. `failure`
	 * is the error of its work, or NULL. A negative code stops the batch: what was begun is
	 * ended, no other item is begun. NULL: the first failure stops it, and is its error.
	 */
	int (*done)(void *context, size_t item, const struct error *failure, struct error *err);
};

/* How many threads are worth it here: the processors that this process may run on. */
unsigned int batch_threads(void);

/*
 * Does the items 0 … count - 1 on at most `threads` threads, on the caller's own alone if that is
 * 1. Returns 0, or the negative code that stopped it.
 */
int batch_run(const struct batch *batch, size_t count, unsigned int threads, struct error *err);

#endif

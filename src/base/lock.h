/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lock of a directory that one process at a time may change. flock(2) on the directory itself
 * would let everyone who can read it block the others for ever. So the lock is on a file in it,
 * with the directory's write permissions. The file exists while it is locked; one that a killed
 * process leaves is used again.
 */
#ifndef VMCRED_BASE_LOCK_H
#define VMCRED_BASE_LOCK_H

#include <stdbool.h>

#include "base/error.h"

#define LOCK_NAME ".vmcred.lock"

struct lock {
	int dirfd; /* borrowed; must stay open */
	int fd;    /* owned; -1: not locked */
};

#define LOCK_NONE                     \
	{                             \
		.dirfd = -1, .fd = -1 \
	}
#define _cleanup_lock_ __attribute__((cleanup(lock_release)))

/*
 * Locks a directory. Returns 0, or 1 if another process has locked it and `waits` is false. In a
 * directory that this process cannot write to, nothing is locked. `what` names the directory in
 * errors. `*lock` is LOCK_NONE.
 */
int lock_take(struct lock *lock, int dirfd, bool waits, const char *what, struct error *err);
void lock_release(struct lock *lock);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A private folder on a memory file system, for plaintext that another program must see as a file
 * (a script's $out, the document in an editor). It is locked (flock(2)) while its process lives and
 * wiped at its end. What a process that was killed left is wiped by the next one.
 */
#ifndef VMCRED_BASE_MEMORY_DIRECTORY_H
#define VMCRED_BASE_MEMORY_DIRECTORY_H

#include "base/error.h"

struct memory_directory {
	char *name;       /* owned */
	char *path;       /* owned; absolute */
	int parent_dirfd; /* owned */
	int dirfd;        /* owned; holds the lock */
};

#define MEMORY_DIRECTORY_NONE                   \
	{                                       \
		.parent_dirfd = -1, .dirfd = -1 \
	}

#define _cleanup_memory_directory_ __attribute__((cleanup(memory_directory_remove)))

/*
 * Makes it below $XDG_RUNTIME_DIR, /run or /dev/shm, whichever is the first that will do. `what` it
 * is for stands in the error.
 */
int memory_directory_make(struct memory_directory *folder, const char *what, struct error *err);

/* Wipes what processes that were killed left, as memory_directory_make() does where it makes one.
 */
void memory_directory_clean(void);

/* Wipes and removes it. */
void memory_directory_remove(struct memory_directory *folder);

#endif

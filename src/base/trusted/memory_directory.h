/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A private directory on a memory file system, for plaintext that another program must read as a
 * file (a script's $out, the document in an editor). It is locked (flock(2)) while its process
 * runs, and wiped afterwards. If the process is killed, the next one wipes it.
 */
#ifndef VMCRED_BASE_TRUSTED_MEMORY_DIRECTORY_H
#define VMCRED_BASE_TRUSTED_MEMORY_DIRECTORY_H

#include "base/error.h"
#include "base/report.h"

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

/*
 * Creates it in the first of $XDG_RUNTIME_DIR, /run and /dev/shm that is a writable memory file
 * system where other users cannot rename it. `what` names its purpose in the error.
 */
int memory_directory_make(struct memory_directory *directory, const char *what,
			  const struct report *report, struct error *err);

/* Wipes the directories of processes that were killed, as memory_directory_make() does too. What
 * cannot be wiped is reported; `report` may be NULL. */
void memory_directory_clean(const struct report *report);

/*
 * Wipes and removes it; nothing if it was not created. Fails also if another process moved or
 * removed it meanwhile. A failure is added to an error that is already set: see error_add().
 */
int memory_directory_remove(struct memory_directory *directory, struct error *err);

/* Leaves it to the user under another name: no process wipes it. The caller frees `*path`. */
int memory_directory_keep(struct memory_directory *directory, char **path, struct error *err);

#endif

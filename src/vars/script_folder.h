/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A script's $out: a private folder on a memory file system, locked (flock(2)) while its run lives
 * and wiped at its end. What a run that was killed left is wiped by the next one. Inside vars/
 * only.
 */
#ifndef VMCRED_VARS_SCRIPT_FOLDER_H
#define VMCRED_VARS_SCRIPT_FOLDER_H

#include "base/error.h"

struct script_folder {
	char *name;       /* owned */
	char *path;       /* owned; what $out is */
	int parent_dirfd; /* owned */
	int dirfd;        /* owned; holds the lock */
};

#define SCRIPT_FOLDER_NONE                      \
	{                                       \
		.parent_dirfd = -1, .dirfd = -1 \
	}

#define _cleanup_script_folder_ __attribute__((cleanup(script_folder_remove)))

/* Makes it below $XDG_RUNTIME_DIR, /run or /dev/shm, whichever is the first that will do. */
int script_folder_make(struct script_folder *folder, struct error *err);

/* Wipes and removes it. */
void script_folder_remove(struct script_folder *folder);

#endif

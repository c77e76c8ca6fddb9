/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory that a script works in: a memory file system that is never swapped and is mounted
 * only in the script's sandbox or, where that is not allowed, a directory as for other programs
 * (base/memory_directory.h).
 */
#ifndef VMCRED_VARS_SCRIPT_DIRECTORY_H
#define VMCRED_VARS_SCRIPT_DIRECTORY_H

#include <stdbool.h>

#include "base/memory_directory.h"

struct script_directory {
	struct memory_directory memory; /* owned; its path is NULL if there is a mount */
	int mount;                      /* owned, or -1 */
	int dirfd;                      /* of either */
};

#define SCRIPT_DIRECTORY_NONE                                             \
	{                                                                 \
		.memory = MEMORY_DIRECTORY_NONE, .mount = -1, .dirfd = -1 \
	}

#define _cleanup_script_directory_ __attribute__((cleanup(script_directory_remove)))

/* `mountable`: the script has a mount namespace. */
int script_directory_make(struct script_directory *directory, bool mountable, struct error *err);

/* Wipes and removes it. */
void script_directory_remove(struct script_directory *directory);

#endif

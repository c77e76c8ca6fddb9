/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folder that a script works in: a memory file system of its own that is never swapped and is
 * mounted nowhere but in the script's sandbox, or where that is not allowed a folder as other
 * programs have them (base/memory_directory.h). Inside vars/ only.
 */
#ifndef VMCRED_VARS_SCRIPT_DIRECTORY_H
#define VMCRED_VARS_SCRIPT_DIRECTORY_H

#include <stdbool.h>

#include "base/memory_directory.h"

struct script_directory {
	struct memory_directory memory; /* owned; its path is NULL where there is a mount */
	int mount;                      /* owned, or -1 */
	int dirfd;                      /* of whichever it is */
};

#define SCRIPT_DIRECTORY_NONE                                             \
	{                                                                 \
		.memory = MEMORY_DIRECTORY_NONE, .mount = -1, .dirfd = -1 \
	}

#define _cleanup_script_directory_ __attribute__((cleanup(script_directory_remove)))

/* With `mountable` it may be a mount: who uses it has a mount namespace to put it into. */
int script_directory_make(struct script_directory *folder, bool mountable, struct error *err);

/* Wipes and removes it. */
void script_directory_remove(struct script_directory *folder);

#endif

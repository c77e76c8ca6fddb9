/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a command finds the plaintext of exec-file: a FIFO that one reader can read once, fed from
 * secret memory, or a file. Either is alone in a private folder on a memory file system, which is
 * wiped at the end.
 */
#ifndef VMCRED_CLI_VMCRED_SOPS_EXEC_PLACE_H
#define VMCRED_CLI_VMCRED_SOPS_EXEC_PLACE_H

#include <pthread.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/memory_directory.h"
#include "base/secret.h"

struct exec_place {
	struct memory_directory folder;
	char *path; /* owned */
	const struct secret *text;
	pthread_t writer; /* of the FIFO */
	bool writing;
};

#define EXEC_PLACE_NONE                         \
	{                                       \
		.folder = MEMORY_DIRECTORY_NONE \
	}

#define _cleanup_exec_place_ __attribute__((cleanup(exec_place_remove)))

/* `name` may be NULL. `text` and the place itself must stay where they are until it is removed. */
int exec_place_make(struct exec_place *place, const char *name, const struct secret *text,
		    bool fifo, struct error *err);
void exec_place_remove(struct exec_place *place);

#endif

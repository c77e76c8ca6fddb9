/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that is replaced in one step by what is written to a descriptor, for content that does not
 * fit into memory: a temporary file in the same folder, fsync, rename, fsync of the folder. Until
 * then the old file stays as it is, and whatever goes wrong leaves nothing behind.
 */
#ifndef VMCRED_BASE_REPLACE_H
#define VMCRED_BASE_REPLACE_H

#include <sys/types.h>

#include "base/error.h"

struct replacement {
	int fd;          /* write here */
	int dirfd;       /* owned */
	char *path;      /* owned; as given */
	char *temporary; /* owned; its name in the folder; NULL once it is in place */
};

#define REPLACEMENT_NONE              \
	{                             \
		.fd = -1, .dirfd = -1 \
	}
#define _cleanup_replacement_ __attribute__((cleanup(replacement_abandon)))

/* `*replacement` is REPLACEMENT_NONE. The new file has `mode`. */
int replacement_begin(struct replacement *replacement, const char *path, mode_t mode,
		      struct error *err);

/* Puts the new file in place. */
int replacement_finish(struct replacement *replacement, struct error *err);

/* Removes the temporary file if it is not in place, and releases all. */
void replacement_abandon(struct replacement *replacement);

#endif

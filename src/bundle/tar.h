/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of the ustar format (POSIX.1-2017, pax, "ustar Interchange Format") that a bundle uses:
 * regular files with fixed metadata, then two empty blocks. The reader accepts what the writer
 * writes, byte for byte, and nothing else. Inside bundle/ only.
 */
#ifndef VMCRED_BUNDLE_TAR_H
#define VMCRED_BUNDLE_TAR_H

#include <stdio.h>

#include "base/error.h"
#include "base/span.h"

#define TAR_BLOCK_SIZE ((size_t)512)

/* The fields "name" and "prefix", with the slash between them. */
#define TAR_NAME_SIZE_MAX   ((size_t)100)
#define TAR_PREFIX_SIZE_MAX ((size_t)155)
#define TAR_PATH_SIZE_MAX   (TAR_PREFIX_SIZE_MAX + 1 + TAR_NAME_SIZE_MAX)

/* Eleven octal digits. */
#define TAR_FILE_SIZE_MAX ((size_t)077777777777)

/* VMCRED_FAILED: the path is too long. Errors of the stream are left to tar_finish(). */
int tar_add(FILE *stream, const char *path, struct span content, struct error *err);

/* Ends the archive, and closes the stream. VMCRED_FAILED: no import would read it, since it is
 * larger than BUNDLE_SIZE_MAX. */
int tar_finish(FILE *stream, struct error *err);

struct tar_file {
	char path[TAR_PATH_SIZE_MAX + 1];
	struct span content; /* part of the archive */
};

/* Removes the first file from the archive. Returns 1, or 0 at its end; VMCRED_INTEGRITY: it is
 * something else, or ends early. */
int tar_take(struct span *archive, struct tar_file *file, struct error *err);

#endif

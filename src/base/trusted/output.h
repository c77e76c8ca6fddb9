/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file that a user names for a result: --output FILE, or a document that is changed in place.
 * Another user may have created something there. Links are followed as in base/trusted/trusted.h,
 * and what another user created in a directory with the sticky bit is refused, as the kernel does
 * with fs.protected_regular=2, fs.protected_fifos=2 and fs.protected_symlinks=1.
 *
 * A regular file is replaced: temporary file in the same directory, which has no name before it is
 * complete where the file system supports that, fsync, rename, fsync of the directory. /dev/stdout,
 * /dev/fd/N, devices of root and special files of this user are written to.
 */
#ifndef VMCRED_BASE_TRUSTED_OUTPUT_H
#define VMCRED_BASE_TRUSTED_OUTPUT_H

#include "base/error.h"
#include "base/span.h"
#include "base/trusted/trusted.h"

enum output_content {
	/* Always a new file of this user with mode 0600, so that nobody has it open and no owner of
	 * the old file can read it. */
	OUTPUT_PLAINTEXT,
	/* Keeps the old file's mode, and its owner and group as far as this user may set them. A
	 * new file has mode 0666 less the umask. */
	OUTPUT_CIPHERTEXT,
};

/* For content that does not fit into memory. The old file stays until output_finish(). */
struct output {
	int fd; /* owned; write here */
	enum output_content content;
	const char *path; /* as given; the caller's */
	struct trusted_target target;
	bool is_unnamed;       /* the new file has no name yet, and ends with the process */
	char *temporary;       /* owned; its name in target.dirfd; NULL: none, or no new file */
	bool is_unreplaceable; /* its directory does not allow that; set on failure */
};

#define OUTPUT_NONE                                     \
	{                                               \
		.fd = -1, .target = TRUSTED_TARGET_NONE \
	}
#define _cleanup_output_ __attribute__((cleanup(output_abandon)))

/* `*output` is OUTPUT_NONE; `path` must stay valid. */
int output_begin(struct output *output, const char *path, enum output_content content,
		 struct error *err);

/* Replaces the old file by the new one. */
int output_finish(struct output *output, struct error *err);

/* Removes the temporary file unless it was renamed, and releases everything. */
void output_abandon(struct output *output);

/*
 * Writes the whole content. If the directory does not allow a replacement, because it is not
 * writable or the file is a mount point, ciphertext is written to the old file. That is not atomic:
 * the old content stays in memory, and is restored if writing fails.
 */
int output_write(const char *path, enum output_content content, struct span bytes,
		 struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and memory files, in the few forms that the program needs. Every descriptor is
 * O_CLOEXEC. Paths are given as a folder descriptor (or AT_FDCWD) and a name, and named in errors
 * as given. In a descriptor's folder nothing is opened that leads out of it (base/beneath.h). A
 * file is replaced, never changed: temporary file in the same folder, fsync, rename, fsync of the
 * folder, so that a crash or a full disk leaves the old one or the new one, whole.
 */
#ifndef VMCRED_BASE_FILE_H
#define VMCRED_BASE_FILE_H

#include <fcntl.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"

/* Opens a file for reading; returns its descriptor or a negative code (VMCRED_MISSING: not there).
 */
int file_open(int dirfd, const char *path, struct error *err);

/* Writes the whole span. `what` names the target in the error. */
int fd_write(int fd, struct span bytes, const char *what, struct error *err);

/* Makes a new file with `mode`, which must not exist, writes and syncs it. For files in a new
 * folder. */
int file_write_new(int dirfd, const char *name, struct span content, mode_t mode,
		   struct error *err);

/* The same without bringing it to the disk, for one of many files that are synced together. */
int file_write_unsynced(int dirfd, const char *name, struct span content, mode_t mode,
			struct error *err);

/*
 * Makes a file with a fresh random name `.<prefix>.XXXXXXXX` in `dirfd`, writes and syncs it; the
 * name goes to `*name` (the caller frees it). `what` it is to become stands in the error.
 */
int file_write_temporary(int dirfd, const char *prefix, struct span content, mode_t mode,
			 const char *what, char **name, struct error *err);

/* Replaces `name` in `dirfd` (or makes it) in one step, as the head of this file says. */
int file_replace(int dirfd, const char *name, struct span content, mode_t mode, struct error *err);

/*
 * Replaces the file at `path`, which is followed where it is a link, and keeps its mode; owner and
 * group as far as this user may set them. VMCRED_USAGE: it is not a regular file.
 */
int file_replace_keeping(const char *path, struct span content, struct error *err);

/*
 * The same for content that does not fit into memory: it is written to a descriptor. Until
 * replacement_finish() the old file stays as it is, and a failure leaves nothing behind.
 */
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

/* Reads a file to its end into secret memory; over `size_max` bytes is an error. */
int file_read_secret(int dirfd, const char *path, size_t size_max, struct secret *content,
		     struct error *err);

/*
 * Reads a public file as text with a NUL behind it; the caller frees `*text`. `size` may be NULL. A
 * NUL byte in the file and more than `size_max` bytes are errors.
 */
int file_read_text(int dirfd, const char *path, size_t size_max, char **text, size_t *size,
		   struct error *err);

/* Whether the descriptor is on a file system whose files live in memory alone (tmpfs, ramfs). */
bool fd_is_on_memory(int fd);

/*
 * A memory file with `content` that can no longer be changed (sealed), at offset 0. It is
 * O_CLOEXEC; whoever hands it to another program clears that. `name` shows in /proc and holds no
 * secret. Returns the descriptor or a negative code.
 */
int memory_file_create(const char *name, struct span content, struct error *err);

#endif

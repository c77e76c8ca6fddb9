/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and memory files. Every descriptor is O_CLOEXEC. A path is a directory descriptor (or
 * AT_FDCWD) and a name; errors name it as given. A path below a descriptor cannot lead outside it
 * (base/beneath.h). A file is replaced, never changed in place: temporary file in the same
 * directory, fsync, rename, fsync of the directory. A crash or a full disk leaves either the old
 * file or the new one.
 */
#ifndef VMCRED_BASE_FILE_H
#define VMCRED_BASE_FILE_H

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"

/* Opens a file for reading; returns its descriptor or a negative code (VMCRED_MISSING: it does not
 * exist). */
int file_open(int dirfd, const char *path, struct error *err);

/* Writes the whole span. `what` names the target in the error. */
int fd_write(int fd, struct span bytes, const char *what, struct error *err);

/* Descriptors in one message: SCM_MAX_FD of the kernel, unix(7). */
#define FD_SEND_MAX 253

/* As sendmsg(2), with descriptors and without SIGPIPE. */
ssize_t fd_send(int socket, struct msghdr message, const int *fds, size_t count);

/* Creates a file with `mode`, writes and syncs it. VMCRED_FAILED if it exists. */
int file_write_new(int dirfd, const char *name, struct span content, mode_t mode,
		   struct error *err);

/* The same without syncing, for callers that sync many files at once. */
int file_write_unsynced(int dirfd, const char *name, struct span content, mode_t mode,
			struct error *err);

/*
 * Creates a file with a random name `.<prefix>.XXXXXXXX` in `dirfd`, with `mode` less the umask;
 * the name goes to `*name` (the caller frees it). `what` is its final name, for the error. Returns
 * its descriptor or a negative code.
 */
int file_open_temporary(int dirfd, const char *prefix, mode_t mode, const char *what, char **name,
			struct error *err);

/* Replaces or creates `name` in `dirfd` atomically. For a path that a user names, see
 * base/trusted/output.h. */
int file_replace(int dirfd, const char *name, struct span content, mode_t mode, struct error *err);

/* The same with a temporary file in another directory of the file system. `path` is for errors. */
int file_replace_from(int temporary_dirfd, const char *prefix, int dirfd, const char *name,
		      const char *path, struct span content, mode_t mode, struct error *err);

/* Reads a file to its end into secret memory; over `size_max` bytes is an error. */
int file_read_secret(int dirfd, const char *path, size_t size_max, struct secret *content,
		     struct error *err);

/* Reads a descriptor to its end; a NUL follows the bytes, which are public. The caller frees
 * `*bytes`. `what` names it in the error; over `size_max` bytes is one. */
int fd_read_bytes(int fd, size_t size_max, const char *what, char **bytes, size_t *size,
		  struct error *err);

/*
 * Reads a public file as NUL-terminated text; the caller frees `*text`. `size` may be NULL. A NUL
 * byte in the file and more than `size_max` bytes are errors.
 */
int file_read_text(int dirfd, const char *path, size_t size_max, char **text, size_t *size,
		   struct error *err);

/* Whether the descriptor is on a memory file system (tmpfs, ramfs). */
bool fd_is_on_memory(int fd);

/*
 * A sealed memory file with `content`, at offset 0: nobody can change it. Clear O_CLOEXEC to pass
 * it to another program. `name` is visible in /proc. Returns the descriptor or a negative code.
 */
int memory_file_create(const char *name, struct span content, struct error *err);

#endif

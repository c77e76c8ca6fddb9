/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories: open, create, list, remove. As in base/file.h, every descriptor is O_CLOEXEC, a path
 * is a directory descriptor (or AT_FDCWD) and a name, errors name paths as given, and a path below
 * a descriptor cannot lead outside it (base/beneath.h).
 */
#ifndef VMCRED_BASE_DIRECTORY_H
#define VMCRED_BASE_DIRECTORY_H

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/* Opens a directory; returns its descriptor or a negative code. The caller closes it. */
int dir_open(int dirfd, const char *path, struct error *err);

/* The same, but creates missing directories of the path with `mode` and syncs their parents. */
int dir_make(int dirfd, const char *path, mode_t mode, struct error *err);

/*
 * `.<prefix>.XXXXXXXX` with random hexadecimal digits, for a temporary file or directory. The
 * caller retries DIR_NAME_ATTEMPTS times if the name exists, and frees it. NULL without memory.
 */
#define DIR_NAME_ATTEMPTS 16

char *dir_temporary_name(const char *prefix);

/*
 * Creates a directory with a random name `.<prefix>.XXXXXXXX` in `dirfd` with `mode`; the name goes
 * to `*name` (the caller frees it). Returns its descriptor or a negative code.
 */
int dir_make_temporary(int dirfd, const char *prefix, mode_t mode, char **name, struct error *err);

/*
 * Removes the directories that dir_make_temporary() created for `prefix` in a process that was
 * killed. The caller holds a lock that excludes running ones.
 */
int dir_remove_temporaries(int dirfd, const char *prefix, bool wipe, struct error *err);

/*
 * A stream over the entries of the directory `name` in `dirfd`; a symbolic link is an error. NULL
 * with errno set. The caller closes it.
 */
DIR *dir_stream_open(int dirfd, const char *name);

/*
 * The next entry's name, except "." and ".."; NULL at the end, with errno 0, or on failure. Valid
 * until the next call.
 */
const char *dir_stream_next(DIR *dir);

/*
 * Calls `each` for each entry of the directory `name` in `dirfd`, except "." and "..", until it
 * returns a negative code; a symbolic link is an error. For large numbers of small directories: a
 * stream needs twice the system calls. VMCRED_MISSING: the directory does not exist.
 */
int dir_each(int dirfd, const char *name,
	     int (*each)(void *context, const char *entry, struct error *err), void *context,
	     struct error *err);

/* Syncs a directory's entries to the disk. `what` names it in the error. */
int dir_sync(int dirfd, const char *what, struct error *err);

/*
 * Removes everything in a directory; symbolic links are never followed. With `wipe`, regular files
 * are overwritten first, which is effective only on a memory file system. After a failure it goes
 * on with the rest; the error is the first one.
 */
int dir_empty(int dirfd, bool wipe, struct error *err);

/* The same for `name` in `dirfd`, a file or directory, and everything below it. A missing entry is
 * not an error. */
int dir_remove_tree(int dirfd, const char *name, bool wipe, struct error *err);

#endif

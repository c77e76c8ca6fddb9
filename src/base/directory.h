/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders: opened, made, listed, removed. As base/file.h has it for files, every descriptor is
 * O_CLOEXEC, a path is a folder descriptor (or AT_FDCWD) and a name, named in errors as given, and
 * in a descriptor's folder nothing is opened that leads out of it (base/beneath.h).
 */
#ifndef VMCRED_BASE_DIRECTORY_H
#define VMCRED_BASE_DIRECTORY_H

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/* Opens a folder; returns its descriptor or a negative code. The caller closes it. */
int dir_open(int dirfd, const char *path, struct error *err);

/* The same, making the missing folders of the path with `mode` and syncing their names. */
int dir_make(int dirfd, const char *path, mode_t mode, struct error *err);

/*
 * `.<prefix>.XXXXXXXX` with random hexadecimal digits, for what has no name of its own yet. Whoever
 * finds it taken asks again, so many times. NULL without memory; the caller frees it.
 */
#define DIR_NAME_ATTEMPTS 16

char *dir_temporary_name(const char *prefix);

/*
 * Makes a folder with a fresh random name `.<prefix>.XXXXXXXX` in `dirfd` with `mode`; the name
 * goes to `*name` (the caller frees it). Returns its descriptor or a negative code.
 */
int dir_make_temporary(int dirfd, const char *prefix, mode_t mode, char **name, struct error *err);

/*
 * Removes what dir_make_temporary() left for `prefix` in a run that was killed. The caller holds a
 * lock that keeps such runs apart.
 */
int dir_remove_temporaries(int dirfd, const char *prefix, bool wipe, struct error *err);

/*
 * A stream over the entries of the folder `name` in `dirfd`, which is no link; NULL with errno set.
 * The caller closes it.
 */
DIR *dir_stream_open(int dirfd, const char *name);

/*
 * The next entry's name, "." and ".." left out; NULL at the end, with errno 0, or after a failure.
 * Valid until the next call.
 */
const char *dir_stream_next(DIR *dir);

/*
 * Calls `each` for each entry of the folder `name` in `dirfd`, which is no link, with "." and ".."
 * left out; a negative code ends it. For small folders that are read in great numbers: a stream
 * takes twice the system calls. VMCRED_MISSING: there is no such folder.
 */
int dir_each(int dirfd, const char *name,
	     int (*each)(void *context, const char *entry, struct error *err), void *context,
	     struct error *err);

/* Flushes a folder's entries to the disk. `what` names it in the error. */
int dir_sync(int dirfd, const char *what, struct error *err);

/*
 * Removes `name` in `dirfd` with all below it, never following a link. With `wipe`, regular files
 * are overwritten before they are unlinked, which means something on a memory file system only.
 * What is not there is no error.
 */
int dir_remove_tree(int dirfd, const char *name, bool wipe, struct error *err);

/* Locks the folder for this process alone, until the descriptor is closed: waits for who has it. */
int dir_lock(int dirfd, const char *what, struct error *err);

#endif

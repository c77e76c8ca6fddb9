/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How something new comes into the store: it is made whole under a temporary name in the store's
 * own folder and put in its place by one rename. What a run that was killed leaves is there and
 * nowhere else, so that whoever takes the store's lock next finds and removes it. For holders of
 * that lock. Inside vars/ only.
 */
#ifndef VMCRED_VARS_PLACING_H
#define VMCRED_VARS_PLACING_H

#include <stdbool.h>

#include "base/error.h"
#include "base/span.h"

/* Removes what a run that was killed left. */
int placing_clean(int store_dirfd, struct error *err);

/* Puts a file in the place of `name` in `dirfd`, which errors call `path`. */
int placing_file(int store_dirfd, int dirfd, const char *name, const char *path,
		 struct span content, struct error *err);

/* Makes a folder that nobody sees yet, for `what`. Returns its descriptor; the name goes to
 * `*temporary`, which the caller frees after placing_finish() or placing_abandon(). */
int placing_begin(int store_dirfd, const char *what, char **temporary, struct error *err);

/* Renames to `name` in `dirfd`, in one step: `*replaced` says that what was there has the old name
 * now. Nothing is synced. */
int placing_rename(int old_dirfd, const char *old_name, int dirfd, const char *name, bool *replaced,
		   struct error *err);

/* Puts that folder in the place of `name` in `dirfd`; what was there is removed afterwards. */
int placing_finish(int store_dirfd, const char *temporary, int dirfd, const char *name,
		   struct error *err);

/* Removes that folder again. */
void placing_abandon(int store_dirfd, const char *temporary);

/* Takes the folder `name` out of `dirfd` in one step. */
int placing_remove(int store_dirfd, int dirfd, const char *name, struct error *err);

#endif

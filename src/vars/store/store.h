/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store on disk: its paths, and replacing what is in it in one step. New content is written
 * completely under a temporary name in the store's directory and then renamed, so that only that
 * directory ever contains the remains of a killed run. Everything that writes holds the store's
 * lock. The format is clan's.
 */
#ifndef VMCRED_VARS_STORE_STORE_H
#define VMCRED_VARS_STORE_STORE_H

#include "vars/vars.h"

#define STORE_HASH_NAME          ".validation-hash"
#define STORE_MACHINE_KEY_SUFFIX "-age.key"

/* A hint for ENOTDIR. */
#define STORE_NOT_A_DIRECTORY_HINT "move away the file that has a directory's name"

/* The directory of a machine's generators, or of the shared ones (NULL): "vars/per-machine/M",
 * "vars/shared". The caller frees it; NULL without memory. */
char *store_generators_path(const char *machine);

/* The relative path from the directory of a secret's links to sops/. */
const char *store_links_up(const struct vars_location *location);

/* Adds the names in a directory, sorted, except those that start with '.'. None if it does not
 * exist. VMCRED_USAGE: an invalid name. */
int store_names_list(int dirfd, const char *directory, struct strings *names, struct error *err);

/* Removes the remains of a killed run. */
int store_clean(int store_dirfd, struct error *err);

/* Replaces the file `name` in `dirfd`. `path` names it in errors. */
int store_file_replace(int store_dirfd, int dirfd, const char *name, const char *path,
		       struct span content, struct error *err);

/* Whether so many changes are better synced by one store_sync() than one by one: few are not, nor
 * are files on a file system where it is less reliable. */
bool store_syncs_together(int dirfd, size_t count);

/* Syncs the file system of `dirfd`. */
int store_sync(int dirfd, struct error *err);

/* Creates a temporary directory, in which `what` is prepared. Returns its descriptor; the caller
 * frees `*temporary` after store_directory_commit() or store_directory_discard(). */
int store_directory_begin(int store_dirfd, const char *what, char **temporary, struct error *err);

/* Moves it to `name` in `dirfd` and removes what it replaces. */
int store_directory_commit(int store_dirfd, const char *temporary, int dirfd, const char *name,
			   struct error *err);
void store_directory_discard(int store_dirfd, const char *temporary);

/* Renames to `name` in `dirfd`, in one step. `*replaced`: the names were exchanged, because `name`
 * existed. Does not sync. */
int store_rename(int old_dirfd, const char *old_name, int dirfd, const char *name, bool *replaced,
		 struct error *err);

/* How many files are processed in parallel before the results are reported. */
#define STORE_BATCH ((size_t)512)

/* The files that a command checks or changes. Starts as {0}. */
struct store_files {
	struct vars_location *locations; /* owned; the names are the declaration's or `names` */
	size_t count, capacity;
	struct strings names;      /* in sops/secrets */
	struct config_file *files; /* owned; one for each of these names */
};

#define _cleanup_store_files_ __attribute__((cleanup(store_files_destroy)))

/* Lists the files of vars_each(), then those of sops/secrets: the machines' keys, and the secrets
 * linked to the machines, or all if no machines are given. */
int store_files_list(const struct config *config, int store_dirfd, char *const *machines,
		     struct store_files *files, struct error *err);
void store_files_destroy(struct store_files *files);

#endif

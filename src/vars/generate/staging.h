/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files on their way into the store: a job's files are written completely to the staging directory,
 * synced, published by one rename, and the rename is synced. Syncing many jobs together costs
 * little more than syncing one.
 */
#ifndef VMCRED_VARS_GENERATE_STAGING_H
#define VMCRED_VARS_GENERATE_STAGING_H

#include "vars/generator.h"
#include "vars/members/members.h"

/* Starts as {.config = …, .store_dirfd = …, .dirfd = -1}; those and the writer are borrowed. */
struct staging {
	const struct config *config;
	int store_dirfd;
	const char *writer;         /* vars_writer_find() */
	char *name;                 /* owned; of the directory, which the next run removes if
				       this one cannot */
	int dirfd;                  /* owned */
	struct member_cache *cache; /* owned */
};

int staging_begin(struct staging *staging, struct error *err);

/* Removes the directory with all that was not published. */
void staging_end(struct staging *staging);

/* A job's files in it, in a directory whose name is a number. */
struct staged {
	size_t number;
	const struct vars_job *job;
	bool replaced; /* it was published, and the number now names the old files */
};

/*
 * Encrypts a job's values and writes them, without syncing. A secret's readers are the job's
 * machines, if it is deployed, the default groups or else all users, the writer, and the users and
 * groups that the old file is linked to. Several threads may write at once.
 */
int staging_write(struct staging *staging, const struct staged *staged, const struct value *values,
		  struct error *err);

/* Syncs all that was written. */
int staging_sync(const struct staging *staging, const struct staged *staged, size_t count,
		 struct error *err);

/* Moves the files of one job into place, in one step. */
int staging_publish(const struct staging *staging, struct staged *staged, struct error *err);

/* Syncs the renames. */
int staging_sync_published(const struct staging *staging, const struct staged *staged, size_t count,
			   struct error *err);

/* Removes the job's directory: what was replaced, or what is not published. */
int staging_remove(const struct staging *staging, const struct staged *staged, struct error *err);

#define STAGED_NAME_SIZE 24
void staged_name(const struct staged *staged, char name[STAGED_NAME_SIZE]);

/* Adds which files were being written to an error. */
int staged_error_wrap(const struct staged *staged, struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A generator's files on their way into the store: written whole under a name of their own (they
 * are staged), brought to the disk, and then shown by one rename, which is brought to the disk too.
 * Staging many and syncing them together costs the disk little more than one. Inside vars/ only.
 */
#ifndef VMCRED_VARS_STAGE_H
#define VMCRED_VARS_STAGE_H

#include "vars/store.h"

/*
 * Where a run's files are staged: a folder that whoever takes the store's lock next removes, if the
 * run cannot.
 */
struct stage {
	const struct config *config;
	int store_dirfd;
	const char *writer;    /* vars_writer_find() */
	char *name;            /* owned; the folder's */
	int dirfd;             /* owned */
	struct roster *roster; /* owned; those who may read what is written */
};

/* `*stage` starts as {.config = …, .store_dirfd = …, .dirfd = -1}; those and the writer are
 * borrowed. */
int stage_begin(struct stage *stage, struct error *err);

/* Removes the folder with all that was not shown. */
void stage_end(struct stage *stage);

/* A generator's folder in it, whose name is a number. */
struct staged {
	size_t number;
	const char *machine; /* NULL: shared */
	const struct config_generator *generator;
	bool replaced; /* after it was shown: what was there before has its place in the stage */
};

/*
 * Encrypts a generator's values and stages them. Nothing of it is on the disk yet. A value is for
 * the machines (NULL-terminated names), if it is deployed, for the declaration's default groups, or
 * all users where it says nothing of groups, for the writer, and for those that the file was given
 * to before by links. The caller holds the store's lock; several threads may stage at once.
 */
int stage_write(struct stage *stage, const struct staged *staged, const struct vars_value *values,
		char *const *machines, struct error *err);

/* Brings all that was staged to the disk. */
int stage_sync(const struct stage *stage, const struct staged *staged, size_t count,
	       struct error *err);

/* Puts one in its place, in one step. */
int stage_show(const struct stage *stage, struct staged *staged, struct error *err);

/* Brings the new names to the disk. */
int stage_sync_shown(const struct stage *stage, const struct staged *staged, size_t count,
		     struct error *err);

/* Removes what is in the stage: what was replaced, or what is not to be shown. */
int stage_remove(const struct stage *stage, const struct staged *staged, struct error *err);

/* The name in the stage. */
#define STAGED_NAME_SIZE 24
void staged_name(const struct staged *staged, char name[STAGED_NAME_SIZE]);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run of vars_fix(): fix_plan.c finds out what to change in each secret, and fix.c changes it.
 */
#ifndef VMCRED_VARS_CHECK_FIXING_H
#define VMCRED_VARS_CHECK_FIXING_H

#include "vars/check/check.h"
#include "vars/secrets/secrets.h"
#include "vars/store/store.h"

/* What to change in a secret, and the result. */
struct change {
	enum {
		CHANGE_NOTHING,
		CHANGE_LINKS,
		CHANGE_DOCUMENT,
	} what;
	bool bind;                   /* the document gets its name, */
	bool only_bind;              /* and nothing else changes */
	bool has_pgp;                /* the document has PGP recipients */
	bool is_linked;              /* to a member that is removed, or its group */
	bool is_lost;                /* no user, or nobody, could read it */
	bool is_staged;              /* the new document is in the staging directory */
	struct stored_secret stored; /* owned; closed between the steps */
	char *detail;                /* owned, or NULL */
	void *document;              /* owned, or NULL; prepared, and public: it is sealed */
	size_t document_size;
	struct error err; /* owned */
};

void change_destroy(struct change *change);

struct fixing {
	const struct config *config;
	int store_dirfd;
	const struct vars_fix_options *options;
	const struct report *report;
	struct member_cache *cache;
	struct store_files files;
	struct change *all;                    /* owned; of the files */
	const struct vars_location *locations; /* of this batch */
	struct change *changes;

	/* A member or a key is removed: everything is prepared before anything is changed. */
	bool removes;
	struct sops_key_group lost_keys; /* owned; those that are removed, */
	bool has_unknown;                /* and others, of a member that is gone already */
	struct strings lost_groups;      /* owned; those that a removed member is in */

	struct opener opener;
	bool prepares, writes; /* the parts of the changes that are made now */
	bool is_together;      /* the batch is synced as a whole */
	char *staging_name;    /* owned; of the directory for its new documents */
	int staging_dirfd;     /* owned */
	size_t done, total;    /* steps of the run: before the batch, and all */
};

/* Finds out whether members or keys are removed, and which. */
int removal_find(struct fixing *fixing, struct error *err);

/* Plans the change of a file of the batch. */
void file_plan(void *context, size_t index);

/* After all files are planned: whether a removal leaves everything readable. */
int removal_check(const struct fixing *fixing, struct error *err);

/* The error of a removal if a change cannot be made: all their names and the first one's reason. */
int removal_failure(struct fixing *fixing, struct error *err);

/* Opens the secret and reads its document. */
int secret_load(const struct fixing *fixing, const struct vars_location *location,
		struct stored_secret *stored, struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A secret of the store as it is, and as it should be: who may read it is said by the declaration
 * (its machines, the default groups or all users) and by the users and groups that it was given to
 * besides, which are links in its folder. Inside vars/ only.
 */
#ifndef VMCRED_VARS_SECRET_STATE_H
#define VMCRED_VARS_SECRET_STATE_H

#include "vars/roster.h"

/* Starts as SECRET_STATE_NONE. */
struct secret_state {
	int dirfd;                      /* owned; the secret's folder */
	char *path;                     /* owned; of the document, for errors */
	struct sops_document *document; /* owned; NULL while it was not read */
	struct access is, wanted;       /* owned */
	char *astray;                   /* owned; a link that leads elsewhere, or NULL */
	struct sops_key_group keys;     /* that `wanted` leads to; access_keys() */
};

#define SECRET_STATE_NONE   \
	{                   \
		.dirfd = -1 \
	}
#define _cleanup_secret_state_ __attribute__((cleanup(secret_state_destroy)))

/* The folder and what it should be. `make`: a folder that is missing is made. VMCRED_MISSING: there
 * is none. */
int secret_state_open(int store_dirfd, const struct vars_location *location, bool make,
		      struct secret_state *state, struct error *err);

/* Reads the document. VMCRED_MISSING: there is none. */
int secret_state_document_read(struct secret_state *state, struct error *err);

/* Who may read it, and who should. `writer` is the user for whom it is because they make it, or
 * NULL. */
int secret_state_readers_find(const struct config *config, struct roster *roster,
			      const struct vars_location *location, const char *writer,
			      struct secret_state *state, struct error *err);

/* What a document with other keys, or a folder with other links, should become. */
struct secret_difference {
	size_t lacking, excess; /* keys of age or PGP in the document */
	bool links;
	const char *astray; /* the state's */
};

int secret_state_compare(const struct secret_state *state, struct secret_difference *difference,
			 struct error *err);

/* Whether there is something to do. */
bool secret_difference_is_some(const struct secret_difference *difference);

/* In words, for a person; the caller frees it. NULL without memory. */
char *secret_difference_text(const struct secret_difference *difference);

void secret_state_destroy(struct secret_state *state);

#endif

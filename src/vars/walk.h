/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files a run over the store looks at, in their order. Inside vars/ only.
 */
#ifndef VMCRED_VARS_WALK_H
#define VMCRED_VARS_WALK_H

#include "vars/store.h"

/* So many files are worked on in parallel before what came of them is told: few enough to hold what
 * is said of each, many enough for the last one to make nobody wait long. */
#define WALK_BATCH ((size_t)512)

/* Starts as {0}. */
struct walk {
	struct vars_location
		*locations; /* owned; the names in them are the declaration's and ours */
	size_t count, room;
	char **kept_names;        /* owned; in sops/secrets */
	struct config_file *kept; /* owned; for each of these names */
};

#define _cleanup_walk_ __attribute__((cleanup(walk_destroy)))

/* The files of vars_each(), and behind them what is kept in sops/secrets: the machines' own keys,
 * and what the machines were given by links, or all of it where no machines are named. */
int walk_plan(const struct config *config, int store_dirfd, char *const *machines,
	      struct walk *walk, struct error *err);
void walk_destroy(struct walk *walk);

#endif

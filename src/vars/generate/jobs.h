/* SPDX-License-Identifier: Apache-2.0 */
/* What the jobs of a run share. It is complete before the first job starts and then only read,
 * except for what has a lock of its own. */
#ifndef VMCRED_VARS_GENERATE_JOBS_H
#define VMCRED_VARS_GENERATE_JOBS_H

#include "vars/generate/schedule.h"
#include "vars/generate/staging.h"

struct answer {
	const struct config_generator *generator;
	const struct config_prompt *prompt;
	struct secret text; /* owned */
};

/* Stored files of a shared generator that jobs depend on. */
struct stored {
	const struct config_generator *generator;
	struct value *values; /* owned, generator->file_count */
};

struct run {
	const struct config *config;
	int store_dirfd;
	const struct vars_generate_options *options;
	const struct report *report;
	struct plan plan;
	struct schedule schedule;
	struct staging staging;
	char *writer;           /* owned; vars_writer_find() */
	struct answer *answers; /* owned */
	size_t answer_count;
	struct stored *stored; /* owned */
	size_t stored_count;
	struct sops_keyring keyring; /* loaded for the first stored secret */
	bool has_keyring;

	/* Of the thread that publishes. */
	struct staged *batch;       /* owned */
	size_t reported, published; /* jobs */
	bool is_broken;             /* publishing has failed */
};

/* Collects all answers, and the stored shared files that jobs depend on. */
int run_gather(struct run *run, struct error *err);

/* Runs a job and stages its files. Called by any thread. */
int run_job(struct run *run, size_t index, struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the jobs of one run of `vmcred generate` share. It is filled before the first job begins and
 * then only read, but for what has a lock of its own. Inside vars/ only.
 */
#ifndef VMCRED_VARS_RUN_H
#define VMCRED_VARS_RUN_H

#include "vars/schedule.h"
#include "vars/stage.h"

struct answer {
	const struct config_prompt *prompt;
	struct secret text; /* owned */
};

/* The files of a shared generator that are in the store and that jobs depend on. */
struct stored {
	const struct config_generator *generator;
	struct vars_value *values; /* owned, generator->file_count */
};

struct run {
	const struct config *config;
	int store_dirfd;
	const struct vars_generate_options *options;
	const struct report *report;
	struct plan plan;
	struct schedule schedule;
	struct stage stage;
	char *writer;           /* owned; vars_writer_find() */
	struct answer *answers; /* owned */
	size_t answer_count;
	struct stored *stored; /* owned */
	size_t stored_count;
	struct sops_keyring keyring; /* loaded for the first job that needs it */
	bool has_keyring;

	/* Of the thread that shows what the others staged. */
	struct staged *batch; /* owned */
	size_t told, shown;   /* jobs */
	bool is_broken;       /* something could not be shown */
};

/* What the jobs need of others: all answers, and the shared files that they depend on. Called once,
 * before the first job. */
int run_gather(struct run *run, struct error *err);

/* Makes a job's files and stages them. Called by any number of threads. */
int run_job(struct run *run, size_t index, struct error *err);

#endif

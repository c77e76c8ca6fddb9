/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jobs of one `vmcred generate`: which generators run, for which machine, and why. The whole
 * plan is made before the first job, so that a dry run, the progress display and the run agree.
 */
#ifndef VMCRED_VARS_GENERATE_PLAN_H
#define VMCRED_VARS_GENERATE_PLAN_H

#include "vars/vars.h"

/* Starts as {0}. Jobs come after their dependencies: shared ones first, then machine by machine. */
struct plan {
	const struct config *config;
	struct vars_job *jobs; /* owned */
	size_t count, capacity;
	size_t *shared; /* owned; for each generator its shared job, or PLAN_NONE */
};

#define PLAN_NONE SIZE_MAX

int plan_make(const struct config *config, int store_dirfd,
	      const struct vars_generate_options *options, const struct report *report,
	      struct plan *plan, struct error *err);
void plan_destroy(struct plan *plan);

/* The job of the dependency `name` of the job at `index`. PLAN_NONE: its files are in the store. */
size_t plan_dependency(const struct plan *plan, size_t index, const char *name);

#endif

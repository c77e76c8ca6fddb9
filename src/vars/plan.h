/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run of `vmcred generate` has to make: found out whole before anything is made, so that a
 * dry run, the count for a progress display, and the run itself are about the same. Inside vars/
 * only.
 */
#ifndef VMCRED_VARS_PLAN_H
#define VMCRED_VARS_PLAN_H

#include "vars/vars.h"

/* Starts as {0}. Jobs stand behind those that they depend on: shared ones first, then one machine
 * after the other. */
struct plan {
	const struct config *config;
	struct vars_job *jobs; /* owned */
	size_t count, capacity;
	size_t *shared; /* owned; for each generator: its job as a shared one, or PLAN_NONE */
};

#define PLAN_NONE SIZE_MAX

int plan_make(const struct config *config, int store_dirfd,
	      const struct vars_generate_options *options, const struct report *report,
	      struct plan *plan, struct error *err);
void plan_destroy(struct plan *plan);

/*
 * The job that makes a generator's files for a machine (or for all, where it is shared), among
 * those before `end`, where the machine's jobs end. PLAN_NONE: none does, they are in the store.
 */
size_t plan_find(const struct plan *plan, size_t end, const char *machine,
		 const struct config_generator *generator);

#endif

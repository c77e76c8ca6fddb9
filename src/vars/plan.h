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
	struct vars_job *jobs; /* owned */
	size_t count, capacity;
};

int plan_make(const struct config *config, int store_dirfd,
	      const struct vars_generate_options *options, const struct report *report,
	      struct plan *plan, struct error *err);
void plan_destroy(struct plan *plan);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* One activation of a machine's phase. Inside activate/ only. */
#ifndef VMCRED_ACTIVATE_ACTIVATION_H
#define VMCRED_ACTIVATE_ACTIVATION_H

#include "activate/activate.h"
#include "activate/generation.h"
#include "activate/record/record.h"

/* What a file of a generation is made from. */
struct activation_origin {
	const struct config_generator *generator;
	const struct config_file *file;
	struct error problem; /* owned; why the secret has no new value */
};

/* A secret that could not be activated. */
struct activation_failed {
	char *name; /* owned; GENERATOR/FILE */
	struct error problem;
	bool is_kept; /* the file of the previous generation is in the new one */
};

struct activation {
	const struct config *config;
	const struct activate_options *options;
	int store_dirfd;
	const struct age_identities *identities;
	struct generation_files files;     /* owned: the secrets, then links */
	struct activation_origin *origins; /* owned; of the secrets */
	size_t secret_count;
	struct activation_failed *failed; /* owned */
	size_t failed_count;
	unsigned generation_before;        /* 0: none */
	struct activation_record previous; /* owned; without a machine: there is none */
};

/* Reads the previous record. One that cannot be used is a warning: it must not keep secrets from
 * being activated. */
int activation_previous_read(struct activation *activation, const struct report *report,
			     struct error *err);

/*
 * Completes the files of secrets with a problem from the generation at `place` (its link_dirfd may
 * be -1). The others are removed from the lists. What failed is in `failed` then.
 */
int activation_failures_settle(struct activation *activation, const struct generation_place *place,
			       struct error *err);

/* Reports what failed; the worst is `result->failure`, or if nothing was activated, the first is
 * the error. */
int activation_failures_report(struct activation *activation, const struct report *report,
			       struct activate_result *result, struct error *err);

void activation_failures_release(struct activation *activation);

/*
 * Makes the record of an activation that has compared its files with the previous generation.
 * `generation` is the current one now. Units that use a changed secret are added to those that are
 * pending already. The first activation since the boot adds none: services start after it.
 */
int activation_record_make(const struct activation *activation, unsigned generation,
			   struct activation_record *record, struct error *err);

/* Instead of installing the generation, reports what that would change. `path` is that of the link,
 * `directory` the name of the directory of the generations beside it. */
int activation_preview(struct activation *activation, const char *path, const char *directory,
		       const struct report *report, struct activate_result *result,
		       struct error *err);

#endif

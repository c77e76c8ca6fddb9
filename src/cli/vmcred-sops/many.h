/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One verb for many files: on all processors, with progress, each file for itself. A
 * file that fails is told and changes nothing for the others; at the end all is counted.
 */
#ifndef VMCRED_CLI_VMCRED_SOPS_MANY_H
#define VMCRED_CLI_VMCRED_SOPS_MANY_H

#include "cli/vmcred-sops/files.h"

struct many_job {
	const char *path;
	struct sops_file file;     /* owned */
	struct sops_policy policy; /* owned */
	char *output;              /* owned; for standard output, in the order of the files */
	bool unchanged;            /* there was nothing to do */
	char *failure;             /* owned; NULL: it went well */
};

struct many_verb {
	const char *done; /* what happened to a file, such as "encrypted" */
	/* Finds out about the file, one after the other. */
	int (*prepare)(struct sops_call *call, struct many_job *job, struct error *err);
	/* Does it, from several threads; `call` is a copy for this job alone. */
	int (*work)(struct sops_call *call, struct many_job *job, struct error *err);
};

/*
 * For all words. VMCRED_FAILED: at least one failed. `parallel`: else one after the other and
 * without progress, which would be in the way of the questions on the terminal.
 */
int many_run(struct sops_call *call, const struct many_verb *verb, bool parallel,
	     struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of verbs, and what is told of them: help, completion.
 */
#ifndef VMCRED_CLI_VMCRED_SOPS_VERBS_H
#define VMCRED_CLI_VMCRED_SOPS_VERBS_H

#include "cli/vmcred-sops/call.h"

struct sops_verb {
	const char *name, *second; /* "groups", "add"; the second is NULL for most */
	enum sops_verb_id id;
	int (*run)(struct sops_call *call, struct error *err); /* NULL: not supported */
	const char *words, *about;
};

extern const struct sops_verb sops_verbs[]; /* ends with a row without a name */

/* The verb of these one or two words (`second` may be NULL), or NULL. */
const struct sops_verb *verb_find(const char *name, const char *second);

/* Whether there are verbs of two words that begin with this one. */
bool verb_is_family(const char *name);

/* Prints how a verb is used; what verbs there are, or those of a family. */
void verb_help(const struct sops_verb *verb);
void verbs_help(const char *family);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMCRED_CLI_VMCRED_SOPS_CREATION_RULES_FILE_H
#define VMCRED_CLI_VMCRED_SOPS_CREATION_RULES_FILE_H

#include "cli/vmcred-sops/creation_rules.h"

struct regex;

struct sops_creation_rule {
	char *path_regex;            /* owned; NULL or empty: for every file */
	struct regex *compiled; /* owned; NULL until it is needed */
	struct sops_policy policy;   /* owned */
	bool is_contradictory;       /* it says twice what is to be encrypted */
	int line;
};

/* Stores with a layout, and what `stores` calls them. */
#define SOPS_STORES_LAID_OUT 3

extern const struct {
	const char *name;
	const char *store;
} sops_stores_laid_out[SOPS_STORES_LAID_OUT];

struct sops_creation_rules {
	char *path;                       /* owned */
	char *folder;                     /* owned; where the file is, absolute, with '/' */
	struct sops_creation_rule *items; /* owned */
	size_t count;
	bool has_rules;                     /* there is the key creation_rules */
	long indents[SOPS_STORES_LAID_OUT]; /* -1: nothing said */
};

#endif

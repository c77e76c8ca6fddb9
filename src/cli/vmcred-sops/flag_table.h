/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMCRED_CLI_VMCRED_SOPS_FLAG_TABLE_H
#define VMCRED_CLI_VMCRED_SOPS_FLAG_TABLE_H

#include "cli/vmcred-sops/flags.h"

enum sops_flag_kind {
	SOPS_FLAG_TRUTH,
	SOPS_FLAG_TEXT,
	SOPS_FLAG_LIST, /* for groups add, given again, it adds to what it was; else it replaces it
			 */
	SOPS_FLAG_WHOLE_NUMBER,
};

struct sops_flag_row {
	const char *names[2]; /* the second one is its letter, or NULL */
	enum sops_flag_kind kind;
	unsigned int verbs;   /* a bit for each verb that takes it */
	const char *variable; /* of the environment, or NULL */
	const char *argument; /* what its value is called; NULL: it has none */
	const char *help;
};

extern const struct sops_flag_row sops_flag_table[SOPS_FLAG_COUNT];

#endif

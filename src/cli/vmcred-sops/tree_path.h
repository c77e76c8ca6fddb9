/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMCRED_CLI_VMCRED_SOPS_TREE_PATH_H
#define VMCRED_CLI_VMCRED_SOPS_TREE_PATH_H

#include "cli/vmcred-sops/call.h"

/*
 * Whether a path is spelt as sops wants it, ["key"]['other'][0]; else `code` is the exit code.
 * Checked before a file is opened, as by sops. `what` names it in the error.
 */
int tree_path_check(struct sops_call *call, const char *path, enum sops_exit code, const char *what,
		    struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMCRED_CLI_VMCRED_SOPS_SET_H
#define VMCRED_CLI_VMCRED_SOPS_SET_H

#include "cli/vmcred-sops/call.h"

/* Sets a value, JSON, at a path in the file `name`, in place (exit code 7: no path, no JSON). */
int set_value(struct sops_call *call, const char *name, const char *path, struct secret *value,
	      struct error *err);

#endif

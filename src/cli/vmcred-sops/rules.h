/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For whom a new document is and what of it is encrypted: flags first, then .sops.yaml.
 */
#ifndef VMCRED_CLI_VMCRED_SOPS_RULES_H
#define VMCRED_CLI_VMCRED_SOPS_RULES_H

#include "cli/vmcred-sops/files.h"

/* Loads --config or the nearest .sops.yaml into `call->rules`, once. Returns 1, or 0 if there is
 * none. */
int sops_rules_load(struct sops_call *call, struct error *err);

/* The policy for a new document (exit code 8: contradictory rules). */
int sops_policy_choose(struct sops_call *call, const struct sops_file *file,
		       struct sops_policy *policy, struct error *err);

/* Adds the keys that a family of flags names: SOPS_FLAG_AGE … for --age, --pgp, …,
 * SOPS_FLAG_ADD_AGE … and SOPS_FLAG_RM_AGE … for rotate. Returns how many there are. */
int sops_flag_keys(const struct sops_call *call, enum sops_flag family,
		   struct sops_key_group *group, struct error *err);

#endif

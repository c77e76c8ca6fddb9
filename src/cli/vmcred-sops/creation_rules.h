/* SPDX-License-Identifier: Apache-2.0 */
/*
 * .sops.yaml: for whom new documents are, and what of them is encrypted, by their paths. Part of
 * the door: include sops/sops.h.
 *
 * The file is public and is read with libfyaml, as generously as sops reads it: keys that it does
 * not know are skipped, anchors and merge keys are followed. What does not have the type that it
 * should have is an error that tells the line, in rules that do not match too.
 */
#ifndef VMCRED_CLI_VMCRED_SOPS_CREATION_RULES_H
#define VMCRED_CLI_VMCRED_SOPS_CREATION_RULES_H

#include "base/error.h"
#include "sops/sops.h"

struct sops_creation_rules;

#define _cleanup_sops_creation_rules_ __attribute__((cleanup(sops_creation_rules_destroy)))

/*
 * Looks for .sops.yaml in the current folder and those above it. Returns 1 with the path, relative
 * to the current folder, or 0. `*ignored` is a .sops.yml on the way, which sops takes for a
 * mistake, or NULL. The caller frees both.
 */
int sops_creation_rules_find(char **path, char **ignored, struct error *err);

/* Reads it. VMCRED_USAGE: it is not what it should be. The caller destroys it. */
int sops_creation_rules_load(const char *path, struct sops_creation_rules **rules,
			     struct error *err);

/* Accepts a pointer to NULL; sets it to NULL. */
void sops_creation_rules_destroy(struct sops_creation_rules **rules);

/* The path that it was loaded from. */
const char *sops_creation_rules_path(const struct sops_creation_rules *rules);

/*
 * The policy of the first rule for the file `path`, which is absolute and tidy; rules see it
 * relative to the folder of .sops.yaml where it is below that. Returns 1, or 0 where the file has
 * no creation_rules at all. The policy lives as long as the rules. VMCRED_MISSING: no rule matches.
 * VMCRED_USAGE: an expression or the rule is wrong.
 */
int sops_creation_rules_match(struct sops_creation_rules *rules, const char *path,
			      const struct sops_policy **policy, struct error *err);

/* How `stores` has a store's documents laid out. */
struct sops_format sops_creation_rules_format(const struct sops_creation_rules *rules,
					      const struct sops_store *store);

#endif

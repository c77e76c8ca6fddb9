/* SPDX-License-Identifier: Apache-2.0 */
/*
 * .sops.yaml: the recipients of new documents and the values to encrypt, by path.
 *
 * The file is public. It is read as generously as sops reads it: unknown keys are skipped, anchors
 * and merge keys are followed. A value of the wrong type is an error with its line, also in rules
 * that do not match.
 */
#ifndef VMCRED_CLI_VMCRED_SOPS_CREATION_RULES_H
#define VMCRED_CLI_VMCRED_SOPS_CREATION_RULES_H

#include "base/error.h"
#include "sops/sops.h"

struct sops_creation_rules;

#define _cleanup_sops_creation_rules_ __attribute__((cleanup(sops_creation_rules_destroy)))

/*
 * Searches .sops.yaml in the current directory and its parents. Returns 1 with the path, relative
 * to the current directory, or 0. `*ignored` is a .sops.yml found before it, which sops reports as
 * a mistake, or NULL. The caller frees both.
 */
int sops_creation_rules_find(char **path, char **ignored, struct error *err);

/* VMCRED_USAGE: it is invalid. The caller destroys it. */
int sops_creation_rules_load(const char *path, struct sops_creation_rules **rules,
			     struct error *err);

/* Accepts a pointer to NULL; sets it to NULL. */
void sops_creation_rules_destroy(struct sops_creation_rules **rules);

/* The path of the file. */
const char *sops_creation_rules_path(const struct sops_creation_rules *rules);

/*
 * The policy of the first rule that matches `path`, which is absolute and normalized; below the
 * directory of .sops.yaml, rules match the relative path. Returns 1, or 0 if the file has no
 * creation_rules. The policy lives as long as the rules. VMCRED_MISSING: no rule matches.
 * VMCRED_USAGE: an expression or the rule is invalid.
 */
int sops_creation_rules_match(struct sops_creation_rules *rules, const char *path,
			      const struct sops_policy **policy, struct error *err);

/* The layout of a store's documents, from `stores`. */
struct sops_format sops_creation_rules_format(const struct sops_creation_rules *rules,
					      const struct sops_store *store);

#endif

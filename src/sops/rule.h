/* SPDX-License-Identifier: Apache-2.0 */
/* Applies the document's rule to the nodes of a tree, from the first to the last. Nodes inherit the
 * decision for their container, so that it costs the same at every depth. */
#ifndef VMCRED_SOPS_RULE_H
#define VMCRED_SOPS_RULE_H

#include "regex/regex.h"
#include "sops/sops.h"
#include "sops/tree/tree.h"

/* Starts as {0}. */
struct sops_rule_state {
	enum sops_rule rule;
	struct span suffix;
	struct regex *regex; /* owned; NULL: an invalid expression, which never matches */
	/* For comment rules: whether a comment before the next item of this container matches. */
	size_t container;
	bool comment_matched;
};

#define _cleanup_sops_rule_ __attribute__((cleanup(sops_rule_destroy)))

/* Prepares the rule of a policy, which must outlive it. In sops an invalid expression never
 * matches; with `strict` it is an error. */
int sops_rule_prepare(struct sops_rule_state *rule, const struct sops_policy *policy, bool strict,
		      struct error *err);
void sops_rule_destroy(struct sops_rule_state *rule);

/* Sets `encrypted` of a node. Must be called for each node in order. */
int sops_rule_decide(struct sops_rule_state *rule, struct sops_tree *tree, size_t index,
		     struct error *err);

/* Whether unencrypted_comment_regex matches the ciphertext of a comment, which would change what
 * the rule selects. */
int sops_rule_is_ambiguous(const struct sops_rule_state *rule, struct span comment,
			   struct error *err);

#endif

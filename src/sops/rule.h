/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which nodes of a tree are encrypted: the document's rule, applied on the walk from the first node
 * to the last. A decision is handed down from containers to what is in them, so that it costs the
 * same at every depth.
 */
#ifndef VMCRED_SOPS_RULE_H
#define VMCRED_SOPS_RULE_H

#include "regex/regex.h"
#include "sops/sops.h"
#include "sops/tree/tree.h"

/* Starts as {0}. */
struct sops_rule_state {
	enum sops_rule rule;
	struct span suffix;
	struct regex *regex; /* owned; NULL where the expression is none: it never matches */
	/* For rules on comments: whether one that matches stands before the next item of this
	 * container. */
	size_t container;
	bool comment_matched;
};

#define _cleanup_sops_rule_ __attribute__((cleanup(sops_rule_destroy)))

/*
 * Prepares the rule of a policy, which must outlive it. sops takes an expression that is none for
 * one that never matches; with `strict`, it is an error.
 */
int sops_rule_prepare(struct sops_rule_state *rule, const struct sops_policy *policy, bool strict,
		      struct error *err);
void sops_rule_destroy(struct sops_rule_state *rule);

/* Sets `encrypted` of the next node; must be called for all from 0 on. */
int sops_rule_decide(struct sops_rule_state *rule, struct sops_tree *tree, size_t index,
		     struct error *err);

/* Whether a comment's text, as it is now, matches the expression for comments that turn encryption
 * off: such a text may not come out of encryption, since the rule would change with it. */
int sops_rule_is_ambiguous(const struct sops_rule_state *rule, struct span comment,
			   struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/walk.h"

bool sops_rule_is_by_comment(enum sops_rule rule)
{
	return rule == SOPS_UNENCRYPTED_COMMENT_REGEX || rule == SOPS_ENCRYPTED_COMMENT_REGEX;
}

int sops_rule_prepare(struct sops_rule_state *rule, const struct sops_policy *policy, bool strict,
		      struct error *err)
{
	struct span text = span_of_text(policy->rule_text ? policy->rule_text : "");
	int r;

	*rule = (struct sops_rule_state){.rule = policy->rule, .suffix = text};
	switch (policy->rule) {
	case SOPS_EVERYTHING:
	case SOPS_UNENCRYPTED_SUFFIX:
	case SOPS_ENCRYPTED_SUFFIX:
		return 0;
	case SOPS_UNENCRYPTED_REGEX:
	case SOPS_ENCRYPTED_REGEX:
	case SOPS_UNENCRYPTED_COMMENT_REGEX:
	case SOPS_ENCRYPTED_COMMENT_REGEX:
		break;
	}
	r = regex_compile(text, &rule->regex, err);
	if (r == -VMCRED_USAGE && !strict) {
		error_clear(err);
		return 0;
	}
	return r < 0 ? error_wrap(err, "%s", sops_rule_name(policy->rule)) : 0;
}

void sops_rule_destroy(struct sops_rule_state *rule)
{
	regex_destroy(&rule->regex);
}

static bool ends_with(struct span text, struct span suffix)
{
	return text.size >= suffix.size &&
	       memcmp(text.data + text.size - suffix.size, suffix.data, suffix.size) == 0;
}

static int text_match(const struct sops_rule_state *rule, struct span text, struct error *err)
{
	return rule->regex ? regex_match(rule->regex, text, err) : 0;
}

/* Whether the node's own key matches. List items have none. */
static int key_match(const struct sops_rule_state *rule, struct span key, struct error *err)
{
	if (!key.data)
		return 0;
	if (rule->rule == SOPS_UNENCRYPTED_SUFFIX || rule->rule == SOPS_ENCRYPTED_SUFFIX)
		return ends_with(key, rule->suffix);
	return text_match(rule, key, err);
}

/* A comment that matches applies to the next item of its container, with everything in it, and to
 * the comments before that item. The comment itself is never encrypted. */
static int comments_decide(struct sops_rule_state *rule, struct sops_tree *tree, size_t index,
			   struct error *err)
{
	struct sops_node *node = &tree->nodes[index];
	bool turns_on = rule->rule == SOPS_ENCRYPTED_COMMENT_REGEX;
	bool container = tree->nodes[node->parent].encrypted;
	bool matched;
	int r = 0;

	if (rule->container != node->parent) {
		rule->container = node->parent;
		rule->comment_matched = false;
	}
	matched = rule->comment_matched;
	if (node->kind == SOPS_COMMENT) {
		r = matched ? 1 : text_match(rule, node->text, err);
		if (r < 0)
			return r;
		rule->comment_matched = r > 0;
		if (!turns_on)
			matched = rule->comment_matched;
	} else {
		rule->comment_matched = false;
	}
	node->encrypted = turns_on ? container || matched : container && !matched;
	return 0;
}

int sops_rule_decide(struct sops_rule_state *rule, struct sops_tree *tree, size_t index,
		     struct error *err)
{
	struct sops_node *node = &tree->nodes[index];
	bool container = tree->nodes[node->parent].encrypted;
	int r;

	switch (rule->rule) {
	case SOPS_UNENCRYPTED_COMMENT_REGEX:
	case SOPS_ENCRYPTED_COMMENT_REGEX:
		if (index > 0)
			return comments_decide(rule, tree, index, err);
		node->encrypted = rule->rule == SOPS_UNENCRYPTED_COMMENT_REGEX;
		return 0;
	case SOPS_UNENCRYPTED_SUFFIX:
	case SOPS_UNENCRYPTED_REGEX:
		r = index == 0 || !container ? 0 : key_match(rule, node->key, err);
		node->encrypted = (index == 0 || container) && r == 0;
		return r < 0 ? r : 0;
	case SOPS_ENCRYPTED_SUFFIX:
	case SOPS_ENCRYPTED_REGEX:
		r = index == 0 || container ? 0 : key_match(rule, node->key, err);
		node->encrypted = index > 0 && (container || r > 0);
		return r < 0 ? r : 0;
	case SOPS_EVERYTHING:
		break;
	}
	node->encrypted = true;
	return 0;
}

int sops_rule_is_ambiguous(const struct sops_rule_state *rule, struct span comment,
			   struct error *err)
{
	if (rule->rule != SOPS_UNENCRYPTED_COMMENT_REGEX)
		return 0;
	return text_match(rule, comment, err);
}

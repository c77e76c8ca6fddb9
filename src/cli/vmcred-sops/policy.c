/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/trusted/trusted.h"
#include "cli/vmcred-sops/commands.h"

int rules_load(struct invocation *invocation, bool for_layout, struct error *err)
{
	const char *path = flag_text(&invocation->flags, FLAG_CONFIG);
	_cleanup_free_ char *found = NULL, *ignored = NULL;
	int r = 1;

	if (invocation->rules_searched)
		return invocation->rules ? 1 : 0;
	if (!path) {
		r = sops_creation_rules_find(&found, &ignored, err);
		path = found;
	}
	if (ignored)
		report_message(&invocation->cli->report, REPORT_WARNING,
			       "ignoring %s: the file must be called .sops.yaml", ignored);
	if (found && trusted_found_check(found, err) < 0) {
		if (!for_layout)
			return -(int)err->code;
		error_clear(err);
		return 0;
	}
	if (r > 0 && sops_creation_rules_load(path, &invocation->rules, err) < 0)
		r = -(int)err->code;
	invocation->rules_searched = r >= 0;
	return r;
}

static const struct {
	enum flag flag;
	enum sops_rule rule;
} rule_flags[] = {
	{FLAG_UNENCRYPTED_SUFFIX, SOPS_UNENCRYPTED_SUFFIX},
	{FLAG_ENCRYPTED_SUFFIX, SOPS_ENCRYPTED_SUFFIX},
	{FLAG_UNENCRYPTED_REGEX, SOPS_UNENCRYPTED_REGEX},
	{FLAG_ENCRYPTED_REGEX, SOPS_ENCRYPTED_REGEX},
	{FLAG_UNENCRYPTED_COMMENT_REGEX, SOPS_UNENCRYPTED_COMMENT_REGEX},
	{FLAG_ENCRYPTED_COMMENT_REGEX, SOPS_ENCRYPTED_COMMENT_REGEX},
};

#define RULE_FLAGS (sizeof(rule_flags) / sizeof(rule_flags[0]))

static void single_value_warn(const struct invocation *invocation, const struct sops_file *file,
			      const struct sops_policy *configured)
{
	enum sops_rule rule = configured ? configured->rule : SOPS_EVERYTHING;

	for (size_t i = 0; i < RULE_FLAGS; i++) {
		if (flag_text(&invocation->flags, rule_flags[i].flag))
			rule = rule_flags[i].rule;
	}
	if (rule != SOPS_EVERYTHING)
		report_message(&invocation->cli->report, REPORT_WARNING,
			       "ignoring %s: %s is a single value, which is encrypted",
			       sops_rule_name(rule), file->name);
}

/* The values to encrypt: a flag overrides the same rule of .sops.yaml and conflicts with others. */
static int rule_choose(struct invocation *invocation, const struct sops_file *file,
		       const struct sops_policy *configured, struct sops_policy *policy,
		       struct error *err)
{
	enum sops_rule rule = configured ? configured->rule : SOPS_EVERYTHING;
	const char *text = configured ? configured->rule_text : NULL;

	for (size_t i = 0; i < RULE_FLAGS; i++) {
		const char *given = flag_text(&invocation->flags, rule_flags[i].flag);

		if (!given)
			continue;
		if (rule != SOPS_EVERYTHING && rule != rule_flags[i].rule) {
			fail(invocation, SOPS_EXIT_CONFLICT, err, "%s conflicts with %s for %s",
			     sops_rule_name(rule), sops_rule_name(rule_flags[i].rule), file->name);
			return error_hint(err, "a document has one rule: check --%s and %s",
					  flag_name(rule_flags[i].flag),
					  invocation->rules
						  ? sops_creation_rules_path(invocation->rules)
						  : "the other flags");
		}
		rule = rule_flags[i].rule;
		text = given;
	}
	policy->mac_only_encrypted = flag_is_on(&invocation->flags, FLAG_MAC_ONLY_ENCRYPTED) ||
				     (configured && configured->mac_only_encrypted);
	if (rule == SOPS_EVERYTHING)
		return sops_policy_rule_set(policy, SOPS_UNENCRYPTED_SUFFIX,
					    span_of_text(SOPS_DEFAULT_SUFFIX), err);
	return sops_policy_rule_set(policy, rule, span_of_text(text), err);
}

/* The keys of the flags, else of the creation rule. */
static int keys_choose(const struct invocation *invocation, const struct sops_file *file,
		       const struct sops_policy *configured, struct sops_policy *policy,
		       struct error *err)
{
	struct sops_key_group *group = sops_policy_group_add(policy, err);
	long threshold = flag_number(&invocation->flags, FLAG_SHAMIR_THRESHOLD, 0);
	int r = group ? flag_keys_read(invocation, KEYS_GIVEN, group, err) : -(int)err->code;

	if (r == 0) {
		sops_policy_destroy(policy);
		if (!configured) {
			error_set(err, VMCRED_USAGE, "no recipients for %s", file->name);
			return error_hint(err, "pass --age RECIPIENT, or add a creation rule to "
					       ".sops.yaml");
		}
		r = sops_policy_copy(policy, configured, err);
	}
	if (r < 0)
		return r;
	if (threshold == 0 && configured)
		threshold = configured->shamir_threshold;
	policy->shamir_threshold = (unsigned int)threshold;
	return 0;
}

int policy_choose(struct invocation *invocation, const struct sops_file *file,
		  struct sops_policy *policy, struct error *err)
{
	const struct sops_policy *configured = NULL;
	int r;

	invocation->exit_code = SOPS_EXIT_GENERIC;
	r = rules_load(invocation, false, err);
	if (r > 0)
		r = sops_creation_rules_match(invocation->rules, file->rule_path, &configured, err);
	if (r >= 0)
		r = keys_choose(invocation, file, configured, policy, err);
	if (r < 0)
		return r;
	free(pointer_release(&policy->rule_text));
	policy->rule = SOPS_EVERYTHING;
	policy->mac_only_encrypted = false;
	if (!file->input->single_value)
		return rule_choose(invocation, file, configured, policy, err);
	single_value_warn(invocation, file, configured);
	return 0;
}

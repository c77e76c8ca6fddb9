/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "sops/keys/key.h"

static const char *const rule_names[] = {
	[SOPS_EVERYTHING] = "",
	[SOPS_UNENCRYPTED_SUFFIX] = "unencrypted_suffix",
	[SOPS_ENCRYPTED_SUFFIX] = "encrypted_suffix",
	[SOPS_UNENCRYPTED_REGEX] = "unencrypted_regex",
	[SOPS_ENCRYPTED_REGEX] = "encrypted_regex",
	[SOPS_UNENCRYPTED_COMMENT_REGEX] = "unencrypted_comment_regex",
	[SOPS_ENCRYPTED_COMMENT_REGEX] = "encrypted_comment_regex",
};

const char *sops_rule_name(enum sops_rule rule)
{
	return rule_names[rule];
}

struct sops_key_group *sops_policy_group_add(struct sops_policy *policy, struct error *err)
{
	if (array_extend(&policy->groups, policy->group_count, sizeof(*policy->groups), err) < 0)
		return NULL;
	policy->groups[policy->group_count] = (struct sops_key_group){0};
	return &policy->groups[policy->group_count++];
}

int sops_policy_rule_set(struct sops_policy *policy, enum sops_rule rule, struct span text,
			 struct error *err)
{
	char *copy = strndup((const char *)text.data, text.size);

	if (!copy)
		return error_no_memory(err);
	free(policy->rule_text);
	policy->rule_text = copy;
	policy->rule = rule;
	return 0;
}

int sops_policy_copy(struct sops_policy *to, const struct sops_policy *from, struct error *err)
{
	_cleanup_sops_policy_ struct sops_policy copy = {
		.shamir_threshold = from->shamir_threshold,
		.mac_only_encrypted = from->mac_only_encrypted,
	};
	int r = 0;

	if (from->rule_text)
		r = sops_policy_rule_set(&copy, from->rule, span_of_text(from->rule_text), err);
	for (size_t i = 0; r == 0 && i < from->group_count; i++) {
		struct sops_key_group *group = sops_policy_group_add(&copy, err);

		if (!group)
			return -(int)err->code;
		for (size_t j = 0; r == 0 && j < from->groups[i].count; j++) {
			struct sops_key key;

			r = sops_key_copy(&key, &from->groups[i].keys[j], err);
			if (r == 0)
				r = sops_key_group_take(group, &key, err);
		}
	}
	if (r < 0)
		return r;
	*to = copy;
	copy = (struct sops_policy){0};
	return 0;
}

void sops_policy_destroy(struct sops_policy *policy)
{
	for (size_t i = 0; i < policy->group_count; i++)
		sops_key_group_destroy(&policy->groups[i]);
	free(policy->groups);
	free(policy->rule_text);
	*policy = (struct sops_policy){0};
}

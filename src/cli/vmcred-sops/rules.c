/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred-sops/rules.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

int sops_rules_load(struct sops_call *call, struct error *err)
{
	const char *given = sops_flag_text(&call->arguments, SOPS_FLAG_CONFIG);
	_cleanup_free_ char *found = NULL, *ignored = NULL;
	int r = 1;

	if (call->rules_sought)
		return call->rules ? 1 : 0;
	if (!given) {
		r = sops_creation_rules_find(&found, &ignored, err);
		given = found;
	}
	if (ignored)
		report_message(&call->cli->report, REPORT_WARNING,
			       "%s is not read: the file must be called .sops.yaml", ignored);
	if (r > 0) {
		int loaded = sops_creation_rules_load(given, &call->rules, err);

		r = loaded < 0 ? loaded : r;
	}
	call->rules_sought = r >= 0;
	return r;
}

/* Which keys a family's flags name, by their distance from its first. */
static const struct {
	enum sops_flag flags[3]; /* with nothing, add- and rm- */
	enum sops_key_type type;
} key_flags[] = {
	{{SOPS_FLAG_KMS, SOPS_FLAG_ADD_KMS, SOPS_FLAG_RM_KMS}, SOPS_KEY_KMS},
	{{SOPS_FLAG_GCP_KMS, SOPS_FLAG_ADD_GCP_KMS, SOPS_FLAG_RM_GCP_KMS}, SOPS_KEY_GCP_KMS},
	{{SOPS_FLAG_HCKMS, SOPS_FLAG_ADD_HCKMS, SOPS_FLAG_RM_HCKMS}, SOPS_KEY_HCKMS},
	{{SOPS_FLAG_AZURE_KV, SOPS_FLAG_ADD_AZURE_KV, SOPS_FLAG_RM_AZURE_KV}, SOPS_KEY_AZURE_KV},
	{{SOPS_FLAG_PGP, SOPS_FLAG_ADD_PGP, SOPS_FLAG_RM_PGP}, SOPS_KEY_PGP},
	{{SOPS_FLAG_HC_VAULT_TRANSIT, SOPS_FLAG_ADD_HC_VAULT_TRANSIT,
	  SOPS_FLAG_RM_HC_VAULT_TRANSIT},
	 SOPS_KEY_HC_VAULT},
	{{SOPS_FLAG_AGE, SOPS_FLAG_ADD_AGE, SOPS_FLAG_RM_AGE}, SOPS_KEY_AGE},
};

#define KEY_FLAGS (sizeof(key_flags) / sizeof(key_flags[0]))

/* An age recipient is looked at right away, as by sops; a PGP key is gpg's to judge. */
static int key_check(enum sops_key_type type, struct span text, struct error *err)
{
	_cleanup_age_recipients_ struct age_recipients recipients = {0};

	return type == SOPS_KEY_AGE ? age_recipients_add(&recipients, text, err) : 0;
}

static int list_add(const char *list, enum sops_key_type type, struct sops_key_group *group,
		    struct error *err)
{
	int r = 0;

	while (r == 0) {
		size_t size = strcspn(list, ",");
		const char *start = list + strspn(list, " \t\n"), *end = list + size;

		while (end > start && strchr(" \t\n", end[-1]))
			end--;
		if (start >= end)
			return error_set(err, VMCRED_USAGE, "an empty %s key in the list",
					 sops_key_type_name(type));
		r = key_check(type, span_of(start, (size_t)(end - start)), err);
		if (r == 0)
			r = sops_key_group_add(group, type, span_of(start, (size_t)(end - start)),
					       err);
		if (list[size] == '\0')
			break;
		list += size + 1;
	}
	return r;
}

int sops_flag_keys(const struct sops_call *call, enum sops_flag family,
		   struct sops_key_group *group, struct error *err)
{
	size_t column = family == SOPS_FLAG_AGE ? 0 : family == SOPS_FLAG_ADD_AGE ? 1 : 2;

	for (size_t i = 0; i < KEY_FLAGS; i++) {
		enum sops_flag flag = key_flags[i].flags[column];
		const char *list = sops_flag_text(&call->arguments, flag);
		int r = list ? list_add(list, key_flags[i].type, group, err) : 0;

		if (r < 0)
			return error_wrap(err, "--%s", sops_flag_name(flag));
	}
	return (int)group->count;
}

static const struct {
	enum sops_flag flag;
	enum sops_rule rule;
} rule_flags[] = {
	{SOPS_FLAG_UNENCRYPTED_SUFFIX, SOPS_UNENCRYPTED_SUFFIX},
	{SOPS_FLAG_ENCRYPTED_SUFFIX, SOPS_ENCRYPTED_SUFFIX},
	{SOPS_FLAG_UNENCRYPTED_REGEX, SOPS_UNENCRYPTED_REGEX},
	{SOPS_FLAG_ENCRYPTED_REGEX, SOPS_ENCRYPTED_REGEX},
	{SOPS_FLAG_UNENCRYPTED_COMMENT_REGEX, SOPS_UNENCRYPTED_COMMENT_REGEX},
	{SOPS_FLAG_ENCRYPTED_COMMENT_REGEX, SOPS_ENCRYPTED_COMMENT_REGEX},
};

#define RULE_FLAGS (sizeof(rule_flags) / sizeof(rule_flags[0]))

/* Says that no rule is used, where there is one. */
static void single_value_warn(const struct sops_call *call, const struct sops_file *file,
			      const struct sops_policy *configured)
{
	enum sops_rule rule = configured ? configured->rule : SOPS_EVERYTHING;

	for (size_t i = 0; i < RULE_FLAGS; i++) {
		if (sops_flag_text(&call->arguments, rule_flags[i].flag))
			rule = rule_flags[i].rule;
	}
	if (rule != SOPS_EVERYTHING)
		report_message(&call->cli->report, REPORT_WARNING,
			       "%s is one value, which is encrypted: %s is not used", file->name,
			       sops_rule_name(rule));
}

/* What is encrypted: a flag wins over the same rule in .sops.yaml, another rule contradicts it. */
static int encryption_choose(struct sops_call *call, const struct sops_file *file,
			     const struct sops_policy *configured, struct sops_policy *policy,
			     struct error *err)
{
	enum sops_rule rule = configured ? configured->rule : SOPS_EVERYTHING;
	const char *text = configured ? configured->rule_text : NULL;

	for (size_t i = 0; i < RULE_FLAGS; i++) {
		const char *given = sops_flag_text(&call->arguments, rule_flags[i].flag);

		if (!given)
			continue;
		if (rule != SOPS_EVERYTHING && rule != rule_flags[i].rule) {
			sops_fail(call, SOPS_EXIT_CONFLICT, err,
				  "%s and %s contradict each other for %s", sops_rule_name(rule),
				  sops_rule_name(rule_flags[i].rule), file->name);
			return error_hint(err, "a document has one rule: see --%s and %s",
					  sops_flag_name(rule_flags[i].flag),
					  call->rules ? sops_creation_rules_path(call->rules)
						      : "the other flags");
		}
		rule = rule_flags[i].rule;
		text = given;
	}
	policy->mac_only_encrypted =
		sops_flag_is_on(&call->arguments, SOPS_FLAG_MAC_ONLY_ENCRYPTED) ||
		(configured && configured->mac_only_encrypted);
	if (rule == SOPS_EVERYTHING)
		return sops_policy_rule_set(policy, SOPS_UNENCRYPTED_SUFFIX,
					    span_of_text(SOPS_DEFAULT_SUFFIX), err);
	return sops_policy_rule_set(policy, rule, span_of_text(text), err);
}

/* For whom: the keys of the flags, else those of the creation rule. */
static int keys_choose(const struct sops_call *call, const struct sops_file *file,
		       const struct sops_policy *configured, struct sops_policy *policy,
		       struct error *err)
{
	struct sops_key_group *group = sops_policy_group_add(policy, err);
	long threshold;
	int r = group ? sops_flag_keys(call, SOPS_FLAG_AGE, group, err) : -(int)err->code;

	if (r < 0)
		return r;
	if (r == 0) {
		sops_policy_destroy(policy);
		if (!configured) {
			error_set(err, VMCRED_USAGE, "there is no key to encrypt %s to",
				  file->name);
			return error_hint(err, "give --age RECIPIENT, or a .sops.yaml with a "
					       "creation rule for it");
		}
		r = sops_policy_copy(policy, configured, err);
	}
	threshold = sops_flag_number(&call->arguments, SOPS_FLAG_SHAMIR_THRESHOLD, 0);
	if (r >= 0 && threshold < 0)
		return error_set(err, VMCRED_USAGE, "--%s must not be negative",
				 sops_flag_name(SOPS_FLAG_SHAMIR_THRESHOLD));
	if (r >= 0 && threshold == 0 && configured)
		threshold = configured->shamir_threshold;
	if (r >= 0)
		policy->shamir_threshold = (unsigned int)threshold;
	return r < 0 ? r : 0;
}

int sops_policy_choose(struct sops_call *call, const struct sops_file *file,
		       struct sops_policy *policy, struct error *err)
{
	const struct sops_policy *configured = NULL;
	int r;

	call->exit_code = SOPS_EXIT_GENERIC;
	r = sops_rules_load(call, err);
	if (r > 0)
		r = sops_creation_rules_match(call->rules, file->rule_path, &configured, err);
	if (r >= 0)
		r = keys_choose(call, file, configured, policy, err);
	if (r < 0)
		return r;
	free(pointer_release(&policy->rule_text));
	policy->rule = SOPS_EVERYTHING;
	policy->mac_only_encrypted = false;
	if (sops_store_is_single_value(file->input))
		single_value_warn(call, file, configured);
	else
		r = encryption_choose(call, file, configured, policy, err);
	return r;
}

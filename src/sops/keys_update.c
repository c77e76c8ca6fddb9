/* SPDX-License-Identifier: Apache-2.0 */
/* updatekeys: replaces a document's key groups by those of a policy. Only the data key is wrapped
 * again; the values are not read. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "sops/document.h"

static const struct sops_key_group no_keys = {0};

static const struct sops_key_group *group_at(const struct sops_policy *policy, size_t index)
{
	return index < policy->group_count ? &policy->groups[index] : &no_keys;
}

static const struct sops_key *key_find(const struct sops_key_group *group,
				       const struct sops_key *key)
{
	for (size_t i = 0; i < group->count; i++) {
		if (strcmp(group->keys[i].text, key->text) == 0)
			return &group->keys[i];
	}
	return NULL;
}

/* First the kept keys, then the added ones, in the policy's order, then the removed ones. */
static int group_compare(const struct sops_key_group *ours, const struct sops_key_group *theirs,
			 struct sops_group_difference *difference, struct error *err)
{
	difference->keys = calloc(ours->count + theirs->count + 1, sizeof(*difference->keys));
	if (!difference->keys)
		return error_no_memory(err);
	for (int change = SOPS_KEY_KEPT; change <= SOPS_KEY_REMOVED; change++) {
		const struct sops_key_group *from = change == SOPS_KEY_REMOVED ? ours : theirs;
		const struct sops_key_group *in = change == SOPS_KEY_REMOVED ? theirs : ours;

		for (size_t i = 0; i < from->count; i++) {
			const struct sops_key *key = &from->keys[i];

			if ((key_find(in, key) != NULL) != (change == SOPS_KEY_KEPT))
				continue;
			difference->keys[difference->count++] = (struct sops_key_difference){
				.change = change,
				.type = key->type,
				.text = key->text,
			};
		}
	}
	return 0;
}

static unsigned int threshold_after(const struct sops_policy *before,
				    const struct sops_policy *after, unsigned int threshold)
{
	if (threshold == 0)
		threshold = before->shamir_threshold;
	return threshold < after->group_count ? threshold : (unsigned int)after->group_count;
}

int sops_document_keys_compare(const struct sops_document *document,
			       const struct sops_policy *policy, unsigned int threshold,
			       struct sops_difference *difference, struct error *err)
{
	const struct sops_policy *before = &document->metadata.policy;
	size_t count = before->group_count > policy->group_count ? before->group_count
								 : policy->group_count;
	int r = 0;

	difference->groups = calloc(count + 1, sizeof(*difference->groups));
	if (!difference->groups)
		return error_no_memory(err);
	difference->threshold_before = before->shamir_threshold;
	difference->threshold_after = threshold_after(before, policy, threshold);
	difference->changed = difference->threshold_before != difference->threshold_after;
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct sops_group_difference *group = &difference->groups[i];

		difference->group_count++;
		r = group_compare(group_at(before, i), group_at(policy, i), group, err);
		for (size_t j = 0; j < group->count; j++) {
			if (group->keys[j].change != SOPS_KEY_KEPT)
				difference->changed = true;
		}
	}
	return r;
}

void sops_difference_destroy(struct sops_difference *difference)
{
	for (size_t i = 0; i < difference->group_count; i++)
		free(difference->groups[i].keys);
	free(difference->groups);
	*difference = (struct sops_difference){0};
}

/* Keys of unsupported types keep their wrapped key: with one group it is always the whole data key.
 */
static int unsupported_keep(const struct sops_policy *before, struct sops_policy *after,
			    struct error *err)
{
	if (before->group_count != 1 || after->group_count != 1)
		return 0;
	for (size_t i = 0; i < after->groups[0].count; i++) {
		struct sops_key *key = &after->groups[0].keys[i];
		const struct sops_key *old = key_find(&before->groups[0], key);
		struct sops_key copy;
		int r;

		if (!old || old->type != key->type || sops_key_type_is_supported(key->type))
			continue;
		r = sops_key_copy(&copy, old, err);
		if (r < 0)
			return r;
		sops_key_destroy(key);
		*key = copy;
	}
	return 0;
}

/* Unwraps the data key of a sealed document, which stays sealed. */
static int data_key_open(struct sops_document *document, const struct sops_keyring *keyring,
			 struct error *err)
{
	document->failure = SOPS_FAILED_KEY;
	if (document->state != SOPS_SEALED)
		return error_set(err, VMCRED_FAILED, "%s: it is not encrypted", document->name);
	return document->data_key.size > 0
		       ? 0
		       : sops_data_key_unwrap(&document->metadata.policy, keyring, document->name,
					      &document->data_key, err);
}

int sops_document_keys_update(struct sops_document *document, const struct sops_policy *policy,
			      unsigned int threshold, const struct sops_keyring *keyring,
			      struct error *err)
{
	struct sops_policy *before = &document->metadata.policy;
	_cleanup_sops_policy_ struct sops_policy after = {0};
	struct sops_policy old;
	int r = data_key_open(document, keyring, err);

	if (r < 0)
		return r;
	document->failure = SOPS_FAILED_OTHERWISE;
	r = sops_policy_copy(&after, policy, err);
	if (r == 0 && before->rule_text)
		r = sops_policy_rule_set(&after, before->rule, span_of_text(before->rule_text),
					 err);
	if (r == 0)
		r = unsupported_keep(before, &after, err);
	if (r < 0)
		return r;
	after.shamir_threshold = threshold_after(before, &after, threshold);
	after.mac_only_encrypted = before->mac_only_encrypted;
	/* `after` is destroyed: the old policy, or the new one after a failure. */
	old = *before;
	*before = after;
	after = old;
	r = sops_data_key_wrap(before, keyring, document->name, secret_span(&document->data_key),
			       true, err);
	if (r < 0) {
		old = *before;
		*before = after;
		after = old;
	}
	return r;
}

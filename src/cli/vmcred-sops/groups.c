/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "cli/vmcred-sops/files.h"
#include "cli/vmcred-sops/rules.h"

/* Reads the document that --file names, sealed, and the policy that it has. */
static int groups_open(struct sops_call *call, struct sops_file *file,
		       struct sops_document **document, struct sops_policy *policy,
		       struct error *err)
{
	const char *path = sops_flag_text(&call->arguments, SOPS_FLAG_FILE);
	_cleanup_secret_ struct secret text = {0};
	int r;

	if (!path)
		return sops_fail(call, SOPS_EXIT_INPUT_UNREADABLE, err, "needs --file FILE");
	r = sops_file_describe(call, path, file, err);
	if (r == 0)
		r = sops_file_parse(call, file, &text, document, err);
	if (r == 0)
		r = sops_call_keys_load(call, *document, err);
	return r < 0 ? r : sops_policy_copy(policy, sops_document_policy(*document), err);
}

/* Wraps the data key anew and writes the document. */
static int groups_write(struct sops_call *call, const struct sops_file *file,
			struct sops_document *document, const struct sops_policy *policy,
			struct error *err)
{
	bool in_place = sops_flag_is_on(&call->arguments, SOPS_FLAG_IN_PLACE);
	int r;

	call->exit_code = SOPS_EXIT_GENERIC;
	r = sops_document_keys_update(document, policy, policy->shamir_threshold,
				      &call->keys->keyring, err);
	if (r == -(int)VMCRED_MISSING && call->keys->identities.count == 0)
		sops_keys_explain(call->keys, err);
	return r < 0 ? r : sops_file_write(call, file, document, in_place, false, err);
}

/* The threshold that is given, or the one there is. */
static void threshold_choose(const struct sops_call *call, struct sops_policy *policy)
{
	long given = sops_flag_number(&call->arguments, SOPS_FLAG_SHAMIR_THRESHOLD, 0);

	if (given > 0)
		policy->shamir_threshold = (unsigned int)given;
}

int verb_groups_add(struct sops_call *call, struct error *err)
{
	_cleanup_sops_document_ struct sops_document *document = NULL;
	_cleanup_sops_policy_ struct sops_policy policy = {0};
	_cleanup_sops_file_ struct sops_file file = {0};
	struct sops_key_group *group;
	int r;

	if (call->word_count != 0)
		return sops_fail(call, SOPS_EXIT_GENERIC, err,
				 "takes flags only: the file is given with --file");
	r = groups_open(call, &file, &document, &policy, err);
	if (r < 0)
		return r;
	group = sops_policy_group_add(&policy, err);
	r = group ? sops_flag_keys(call, SOPS_FLAG_AGE, group, err) : -(int)err->code;
	if (r < 0)
		return r;
	threshold_choose(call, &policy);
	return groups_write(call, &file, document, &policy, err);
}

int verb_groups_delete(struct sops_call *call, struct error *err)
{
	_cleanup_sops_document_ struct sops_document *document = NULL;
	_cleanup_sops_policy_ struct sops_policy policy = {0};
	_cleanup_sops_file_ struct sops_file file = {0};
	unsigned long index;
	char *end;
	int r;

	if (call->word_count != 1)
		return sops_fail(call, SOPS_EXIT_GENERIC, err, "needs the number of one group");
	errno = 0;
	index = strtoul(call->words[0], &end, 10);
	if (errno != 0 || *end != '\0' || *call->words[0] < '0' || *call->words[0] > '9')
		return sops_fail(call, SOPS_EXIT_GENERIC, err,
				 "the number of a group must be a whole number from 0");
	r = groups_open(call, &file, &document, &policy, err);
	if (r < 0)
		return r;
	if (index >= policy.group_count)
		return sops_fail(call, SOPS_EXIT_INPUT_UNREADABLE, err,
				 "%s has no key group %lu: the last one is %zu", file.name, index,
				 policy.group_count - 1);
	if (policy.group_count == 1)
		return sops_fail(call, SOPS_EXIT_GENERIC, err,
				 "%s has one key group: without it, nobody could open it",
				 file.name);
	sops_key_group_destroy(&policy.groups[index]);
	for (size_t i = index; i + 1 < policy.group_count; i++)
		policy.groups[i] = policy.groups[i + 1];
	policy.groups[--policy.group_count] = (struct sops_key_group){0};
	threshold_choose(call, &policy);
	if (policy.group_count < policy.shamir_threshold)
		return sops_fail(call, SOPS_EXIT_GENERIC, err,
				 "%zu key groups would be left, and it takes %u to open %s",
				 policy.group_count, policy.shamir_threshold, file.name);
	return groups_write(call, &file, document, &policy, err);
}

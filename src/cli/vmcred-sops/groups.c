/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "cli/vmcred-sops/commands.h"

/* Reads the document of --file, without decrypting it, and copies its policy. */
static int groups_open(struct invocation *invocation, struct sops_file *file,
		       struct sops_document **document, struct sops_policy *policy,
		       struct error *err)
{
	const char *path = flag_text(&invocation->flags, FLAG_FILE);
	_cleanup_secret_ struct secret text = {0};
	int r;

	if (!path)
		return fail(invocation, SOPS_EXIT_INPUT_UNREADABLE, err, "missing --file FILE");
	r = sops_file_describe(invocation, path, file, err);
	if (r == 0)
		r = sops_file_parse(invocation, file, &text, document, err);
	if (r == 0)
		r = keys_load(invocation, *document, err);
	return r < 0 ? r : sops_policy_copy(policy, sops_document_policy(*document), err);
}

/* Encrypts the data key to the groups of the policy and writes the document. */
static int groups_write(struct invocation *invocation, const struct sops_file *file,
			struct sops_document *document, const struct sops_policy *policy,
			struct error *err)
{
	const bool in_place = flag_is_on(&invocation->flags, FLAG_IN_PLACE);
	int r;

	invocation->exit_code = SOPS_EXIT_GENERIC;
	r = sops_document_keys_update(document, policy, policy->shamir_threshold,
				      &invocation->keys->keyring, err);
	if (r == -(int)VMCRED_MISSING && invocation->keys->identities.count == 0)
		sops_keys_explain(invocation->keys, err);
	return r < 0 ? r
		     : sops_file_write(invocation, file, document, in_place, OUTPUT_CIPHERTEXT,
				       err);
}

/* The given threshold replaces that of the document. */
static int threshold_choose(struct invocation *invocation, const struct sops_file *file,
			    struct sops_policy *policy, struct error *err)
{
	long given = flag_number(&invocation->flags, FLAG_SHAMIR_THRESHOLD, 0);

	if (given > 0)
		policy->shamir_threshold = (unsigned int)given;
	if (policy->group_count >= policy->shamir_threshold)
		return 0;
	fail(invocation, SOPS_EXIT_GENERIC, err,
	     "%s would have %zu key group%s, but decrypting would require %u", file->name,
	     policy->group_count, policy->group_count == 1 ? "" : "s", policy->shamir_threshold);
	return error_hint(err, "set a lower --%s", flag_name(FLAG_SHAMIR_THRESHOLD));
}

int command_groups_add(struct invocation *invocation, struct error *err)
{
	_cleanup_sops_document_ struct sops_document *document = NULL;
	_cleanup_sops_policy_ struct sops_policy policy = {0};
	_cleanup_sops_file_ struct sops_file file = {0};
	struct sops_key_group *group;
	int r;

	if (invocation->argument_count != 0)
		return fail(invocation, SOPS_EXIT_GENERIC, err,
			    "too many arguments: the file is an argument of --file");
	r = groups_open(invocation, &file, &document, &policy, err);
	if (r < 0)
		return r;
	group = sops_policy_group_add(&policy, err);
	r = group ? flag_keys_read(invocation, KEYS_GIVEN, group, err) : -(int)err->code;
	if (r >= 0)
		r = threshold_choose(invocation, &file, &policy, err);
	return r < 0 ? r : groups_write(invocation, &file, document, &policy, err);
}

int command_groups_delete(struct invocation *invocation, struct error *err)
{
	_cleanup_sops_document_ struct sops_document *document = NULL;
	_cleanup_sops_policy_ struct sops_policy policy = {0};
	_cleanup_sops_file_ struct sops_file file = {0};
	unsigned long index;
	char *end;
	int r;

	if (invocation->argument_count != 1)
		return fail(invocation, SOPS_EXIT_GENERIC, err,
			    "expected the number of a key group");
	errno = 0;
	index = strtoul(invocation->arguments[0], &end, 10);
	if (errno != 0 || *end != '\0' || *invocation->arguments[0] < '0' ||
	    *invocation->arguments[0] > '9')
		return fail(invocation, SOPS_EXIT_GENERIC, err,
			    "the number of a key group must be a non-negative integer");
	r = groups_open(invocation, &file, &document, &policy, err);
	if (r < 0)
		return r;
	if (index >= policy.group_count)
		return fail(invocation, SOPS_EXIT_INPUT_UNREADABLE, err,
			    "%s has no key group %lu: the last one is %zu", file.name, index,
			    policy.group_count - 1);
	if (policy.group_count == 1)
		return fail(invocation, SOPS_EXIT_GENERIC, err,
			    "%s has only one key group: without it the file could not be decrypted",
			    file.name);
	sops_key_group_destroy(&policy.groups[index]);
	for (size_t i = index; i + 1 < policy.group_count; i++)
		policy.groups[i] = policy.groups[i + 1];
	policy.groups[--policy.group_count] = (struct sops_key_group){0};
	r = threshold_choose(invocation, &file, &policy, err);
	return r < 0 ? r : groups_write(invocation, &file, document, &policy, err);
}

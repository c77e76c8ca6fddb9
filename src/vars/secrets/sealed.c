/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the store as they are. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/merge_conflict.h"
#include "vars/secrets/secrets.h"

static bool document_has_key(const struct sops_document *document, const struct sops_key *key)
{
	const struct sops_policy *policy = sops_document_policy(document);

	for (size_t i = 0; i < policy->group_count; i++) {
		for (size_t j = 0; j < policy->groups[i].count; j++) {
			if (sops_key_compare(&policy->groups[i].keys[j], key) == 0)
				return true;
		}
	}
	return false;
}

/* A machine without a registered key may have one that only the document names. */
static int machine_check(int store_dirfd, const struct sops_document *document, const char *path,
			 const char *machine, struct error *err)
{
	_cleanup_sops_key_group_ struct sops_key_group keys = {0};
	int r = member_keys_read(store_dirfd, VARS_MACHINE, machine, &keys, err);

	if (r == -(int)VMCRED_MISSING) {
		error_clear(err);
		return 0;
	}
	if (r < 0)
		return r;
	for (size_t i = 0; i < keys.count; i++) {
		if (document_has_key(document, &keys.keys[i]))
			return 0;
	}
	error_set(err, VMCRED_MISSING, "%s is not encrypted to the key of %s", path, machine);
	return error_hint(err, "run `vmcred fix %s`", machine);
}

int vars_store_read_sealed(int store_dirfd, const struct vars_location *location,
			   const char *machine, struct secret *text, struct error *err)
{
	_cleanup_free_ char *path = vars_location_path(location);
	_cleanup_sops_document_ struct sops_document *document = NULL;
	_cleanup_secret_ struct secret copy = {0};
	int r = path ? file_read_secret(store_dirfd, path, VARS_DOCUMENT_SIZE_MAX, text, err)
		     : error_no_memory(err);

	if (r == -(int)VMCRED_MISSING)
		error_hint(err, "run `vmcred generate`");
	if (r < 0)
		return r;
	if (!location->file->secret)
		return merge_conflict_check(secret_span(text), path, err);
	r = secret_copy(&copy, secret_span(text), err);
	if (r == 0)
		r = sops_document_read(sops_store_named("binary"), &copy, path, &document, err);
	return r < 0 ? r : machine_check(store_dirfd, document, path, machine, err);
}

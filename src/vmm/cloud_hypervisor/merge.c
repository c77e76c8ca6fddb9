/* SPDX-License-Identifier: Apache-2.0 */
/* Members that the options' tables do not know: a merge patch (RFC 7396) for the VmConfig. */
#include "base/json.h"
#include "vmm/cloud_hypervisor/cloud_hypervisor.h"

static int patch_apply(json_t *target, const json_t *patch, struct error *err)
{
	const char *name;
	const json_t *value;
	int r = 0;

	json_object_foreach((json_t *)patch, name, value)
	{
		json_t *member = json_object_get(target, name);

		if (json_is_null(value)) {
			json_object_del(target, name);
			continue;
		}
		if (!json_is_object(value)) {
			if (json_object_set_new(target, name, json_deep_copy(value)) < 0)
				return error_no_memory(err);
			continue;
		}
		if (!json_is_object(member)) {
			member = json_object();
			if (json_object_set_new(target, name, member) < 0)
				return error_no_memory(err);
		}
		r = patch_apply(member, value, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* OEM strings are checked and ordered elsewhere, and are not public. */
static int patch_check(const json_t *patch, struct error *err)
{
	const json_t *platform = json_object_get(patch, "platform");

	if (!json_is_object(patch))
		return error_set(err, VMCRED_USAGE, "must be a JSON object");
	if (platform && !json_is_null(platform) && !json_is_object(platform))
		return error_set(err, VMCRED_USAGE, "platform must be a JSON object");
	if (!json_object_get(platform, "oem_strings"))
		return 0;
	error_set(err, VMCRED_USAGE, "platform.oem_strings cannot be merged");
	return error_hint(err, "declare platformOEMStrings or credentialFiles");
}

int cloud_hypervisor_merge(struct cloud_hypervisor_config *config, const char *text,
			   const char *what, struct error *err)
{
	_cleanup_json_ json_t *patch = NULL;
	int r;

	if (!text)
		return 0;
	if (!config->merged)
		config->merged = json_object();
	r = config->merged ? json_parse(span_of_text(text), "the patch", &patch, err)
			   : error_no_memory(err);
	if (r == 0)
		r = patch_check(patch, err);
	if (r == 0)
		r = patch_apply(config->vm, patch, err);
	if (r == 0)
		r = patch_apply(config->merged, patch, err);
	if (r < 0)
		err->code = VMCRED_USAGE;
	return r < 0 ? error_wrap(err, "%s", what) : 0;
}

/* Whether all members are in the VMM's configuration, too. */
static int members_check(const json_t *merged, const json_t *actual, struct error *err)
{
	const char *name;
	const json_t *value;

	json_object_foreach((json_t *)merged, name, value)
	{
		const json_t *member = json_object_get(actual, name);
		size_t count = json_array_size(value);
		int r = 0;

		if (!member) {
			error_set(err, VMCRED_USAGE, "%s", name);
			return error_hint(err, "Cloud Hypervisor ignores it: check its name, and "
					       "whether this program supports it");
		}
		if (json_is_object(value))
			r = members_check(value, member, err);
		/* Interfaces with descriptors are added later. */
		for (size_t i = 0; i < count && count == json_array_size(member) && r == 0; i++)
			r = members_check(json_array_get(value, i), json_array_get(member, i), err);
		if (r < 0)
			return error_wrap(err, "%s", name);
	}
	return 0;
}

int cloud_hypervisor_merge_check(const struct cloud_hypervisor_config *config, struct span answer,
				 struct error *err)
{
	_cleanup_json_ json_t *info = NULL;
	int r = json_parse(answer, "the answer", &info, err);

	return r < 0 ? r : members_check(config->merged, json_object_get(info, "config"), err);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cloud_hypervisor/version.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

struct cloud_hypervisor_need {
	const struct option_row *row;
	const struct option_key *key;
};

int cloud_hypervisor_need_add(struct cloud_hypervisor_config *config, const struct option_row *row,
			      const struct option_key *key, struct error *err)
{
	const struct option_scope *scope = key ? &key->scope : &row->scope;
	struct cloud_hypervisor_need *larger;

	if (scope->since == 0 && scope->until == 0 && !scope->feature)
		return 0;
	larger = reallocarray(config->needs, config->need_count + 1, sizeof(*larger));
	if (!larger)
		return error_no_memory(err);
	config->needs = larger;
	larger[config->need_count++] = (struct cloud_hypervisor_need){row, key};
	return 0;
}

/* "53.0.0" as CLOUD_HYPERVISOR_VERSION(); 0 where it is nothing of the kind. */
static int version_parse(const char *text)
{
	long major, minor = 0;
	char *end;

	if (!text)
		return 0;
	major = strtol(text, &end, 10);
	if (*end == '.')
		minor = strtol(end + 1, NULL, 10);
	if (major < 1 || major > 9999 || minor < 0 || minor > 99)
		return 0;
	return CLOUD_HYPERVISOR_VERSION((int)major, (int)minor);
}

static bool features_have(const json_t *features, const char *name)
{
	for (size_t i = 0; i < json_array_size(features); i++) {
		const char *feature = json_string_value(json_array_get(features, i));

		if (feature && strcmp(feature, name) == 0)
			return true;
	}
	return false;
}

static int need_reject(const struct cloud_hypervisor_need *need, const char *why, int version,
		       struct error *err)
{
	if (need->key)
		error_set(err, VMCRED_USAGE,
			  "--%s: Cloud Hypervisor v%d.%d does not know its key \"%s\": %s",
			  need->row->name, version / 100, version % 100, need->key->name, why);
	else
		error_set(err, VMCRED_USAGE, "--%s: Cloud Hypervisor v%d.%d does not know it: %s",
			  need->row->name, version / 100, version % 100, why);
	return error_hint(err, "leave it out, or take a Cloud Hypervisor that has it");
}

static int need_check(const struct cloud_hypervisor_need *need, int version, const json_t *features,
		      struct error *err)
{
	const struct option_scope *scope = need->key ? &need->key->scope : &need->row->scope;
	char why[64];

	if (scope->since > version)
		snprintf(why, sizeof(why), "it came with v%d.%d", scope->since / 100,
			 scope->since % 100);
	else if (scope->until > 0 && scope->until < version)
		snprintf(why, sizeof(why), "it went with v%d.0", scope->until / 100 + 1);
	else if (scope->feature && !features_have(features, scope->feature))
		snprintf(why, sizeof(why), "it was built without %s", scope->feature);
	else
		return 0;
	return need_reject(need, why, version, err);
}

int cloud_hypervisor_needs_check(const struct cloud_hypervisor_config *config, struct span answer,
				 struct error *err)
{
	_cleanup_json_ json_t *ping = NULL;
	int version, r = json_parse(answer, "the answer", &ping, err);

	if (r < 0)
		return r;
	version = version_parse(json_string_value(json_object_get(ping, "version")));
	for (size_t i = 0; i < config->need_count && r == 0 && version > 0; i++)
		r = need_check(&config->needs[i], version, json_object_get(ping, "features"), err);
	return r;
}

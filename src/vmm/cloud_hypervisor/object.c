/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "vmm/cloud_hypervisor/cloud_hypervisor.h"
#include "vmm/cloud_hypervisor/values.h"

/* It passes on what the tables do not know. */
#define HINT "remove it, and declare it in vmConfig"

static int key_reject(const struct option_key *keys, const char *name, struct error *err)
{
	const char *nearest = cloud_hypervisor_key_nearest(keys, name);

	error_set(err, VMCRED_USAGE, "unknown key \"%s\"", name);
	return nearest ? error_hint(err, "did you mean \"%s\"? If not, " HINT, nearest)
		       : error_hint(err, HINT);
}

/* Splits "key=value,…" into a value for each row of the table; the last one of a key wins. */
static int pairs_read(const struct option_key *keys, const struct strings *pieces,
		      const char *values[OPTION_KEYS_MAX], struct error *err)
{
	for (size_t i = 0; i < pieces->count; i++) {
		char *piece = pieces->items[i], *equals = strchr(piece, '=');
		size_t row = 0;

		if (equals)
			*equals = '\0';
		while (keys[row].name && strcmp(keys[row].name, piece) != 0)
			row++;
		if (!keys[row].name)
			return key_reject(keys, piece, err);
		if (!equals && keys[row].type != KEY_MODE)
			return error_set(err, VMCRED_USAGE, "key \"%s\" needs a value", piece);
		values[row] = equals ? option_text_trim(equals + 1) : "";
	}
	return 0;
}

/* The default of a key that the API requires and the command line does not. */
static const char *value_absent(const struct option_key *keys, const struct option_key *key,
				const char *const values[OPTION_KEYS_MAX])
{
	if (!key->absent || key->absent[0] != '=')
		return key->absent;
	for (size_t i = 0; keys[i].name; i++) {
		if (strcmp(keys[i].name, key->absent + 1) == 0)
			return values[i] && *values[i] ? values[i] : keys[i].absent;
	}
	return NULL;
}

static int keys_read(struct cloud_hypervisor_config *config, const struct option_row *row,
		     const struct option_key *keys, const char *text, json_t **object,
		     struct error *err);

/* "[key=value,…:key=value,…]" */
static int items_put(struct cloud_hypervisor_config *config, const struct option_row *row,
		     const struct option_key *key, const char *value, json_t *object,
		     struct error *err)
{
	_cleanup_free_ char *copy = strdup(value);
	json_t *array = json_array();
	char *rest = copy;
	size_t size = strlen(value);
	int r = copy && array ? option_member_put(object, key->json, array, err)
			      : error_no_memory(err);

	if (r < 0 || !copy)
		return r;
	if (size < 2 || copy[0] != '[' || copy[size - 1] != ']')
		return error_set(err, VMCRED_USAGE, "\"%s\" is not a list in brackets", value);
	copy[size - 1] = '\0';
	rest++;
	while (rest && r == 0) {
		const char *piece = strsep(&rest, ":");
		json_t *item = NULL;

		r = keys_read(config, row, key->keys, piece, &item, err);
		if (r == 0 && json_array_append_new(array, item) < 0)
			r = error_no_memory(err);
	}
	return r;
}

/* One key of an option; without `given` the value is its default. */
static int key_read(struct cloud_hypervisor_config *config, const struct option_row *row,
		    const struct option_key *key, const char *value, bool given, json_t *object,
		    struct error *err)
{
	int r = given ? cloud_hypervisor_need_add(config, row, key, err) : 0;

	if (r < 0 || key->type == KEY_IGNORED)
		return r;
	if (key->type == KEY_OEM_STRINGS)
		return option_strings_split(value, &config->oem_strings, err);
	if (key->type == KEY_ITEMS)
		r = items_put(config, row, key, value, object, err);
	else
		r = option_value_put(object, key, value, err);
	return r < 0 ? error_wrap(err, "%s", key->name) : 0;
}

static int keys_read(struct cloud_hypervisor_config *config, const struct option_row *row,
		     const struct option_key *keys, const char *text, json_t **object,
		     struct error *err)
{
	_cleanup_strings_ struct strings pieces = {0};
	_cleanup_json_ json_t *made = json_object();
	const char *values[OPTION_KEYS_MAX] = {NULL};
	int r = made ? 0 : error_no_memory(err);

	if (r == 0 && text[strspn(text, " \t\n\v\f\r")])
		r = option_pieces_split(text, &pieces, err);
	if (r == 0)
		r = pairs_read(keys, &pieces, values, err);
	for (size_t i = 0; keys[i].name && r == 0; i++) {
		const char *value = values[i];
		bool bare = keys[i].type == KEY_MODE || keys[i].type == KEY_MODE_PATH;
		bool given = value && (*value || bare);

		if (!given)
			value = value_absent(keys, &keys[i], values);
		if (value)
			r = key_read(config, row, &keys[i], value, given, made, err);
		else if (keys[i].required)
			r = error_set(err, VMCRED_USAGE, "missing key \"%s\"", keys[i].name);
	}
	if (r == 0)
		*object = pointer_release(&made);
	return r;
}

int option_object_read(struct cloud_hypervisor_config *config, const struct option_row *row,
		       const char *text, json_t **object, struct error *err)
{
	_cleanup_json_ json_t *made = NULL;
	int r = keys_read(config, row, row->keys, text, &made, err);

	if (r == 0 && row->finish)
		r = row->finish(made, err);
	if (r == 0)
		*object = pointer_release(&made);
	return r;
}

int option_console_finish(json_t *object, struct error *err)
{
	if (json_object_get(object, "mode"))
		return 0;
	return error_set(err, VMCRED_USAGE, "missing mode, such as off, tty or file=PATH");
}

/* Without a size or a refill time there is no limit. */
static int bucket_finish(json_t *limits, const char *name, struct error *err)
{
	json_t *bucket = json_object_get(limits, name);

	if (!bucket)
		return 0;
	if (json_integer_value(json_object_get(bucket, "size")) == 0 ||
	    json_integer_value(json_object_get(bucket, "refill_time")) == 0) {
		json_object_del(limits, name);
		return 0;
	}
	if (json_object_get(bucket, "one_time_burst"))
		return 0;
	return json_object_set_new(bucket, "one_time_burst", json_integer(0)) < 0
		       ? error_no_memory(err)
		       : 0;
}

int option_rate_limit_finish(json_t *object, struct error *err)
{
	json_t *limits = json_object_get(object, "rate_limiter_config");
	int r = limits ? bucket_finish(limits, "bandwidth", err) : 0;

	if (r == 0 && limits)
		r = bucket_finish(limits, "ops", err);
	if (r == 0 && limits && json_object_size(limits) == 0)
		json_object_del(object, "rate_limiter_config");
	return r;
}

int option_rate_limit_group_finish(json_t *object, struct error *err)
{
	int r = option_rate_limit_finish(object, err);

	if (r < 0 || json_object_get(object, "rate_limiter_config"))
		return r;
	return option_member_put(object, "rate_limiter_config", json_object(), err);
}

int option_disk_finish(json_t *object, struct error *err)
{
	/* A disk of another process has no format here. */
	if (json_object_get(object, "vhost_socket"))
		json_object_del(object, "image_type");
	return option_rate_limit_finish(object, err);
}

int option_platform_finish(json_t *object, struct error *err)
{
	(void)err;
	/* The new names win; in JSON both are the same member. */
	if (json_object_get(object, "system_serial_number"))
		json_object_del(object, "serial_number");
	if (json_object_get(object, "system_uuid"))
		json_object_del(object, "uuid");
	return 0;
}

int option_vhost_user_finish(json_t *object, struct error *err)
{
	static const int unsupported[] = {23 /* iommu */, 35 /* watchdog */};
	const json_t *type = json_object_get(object, "device_type");

	if (!type)
		return error_set(err, VMCRED_USAGE, "missing key \"device_type\"");
	for (size_t i = 0; i < sizeof(unsupported) / sizeof(unsupported[0]); i++) {
		if (json_integer_value(type) == unsupported[i])
			return error_set(err, VMCRED_USAGE,
					 "device type %d does not support vhost-user",
					 unsupported[i]);
	}
	return 0;
}

int cloud_hypervisor_need_add(struct cloud_hypervisor_config *config, const struct option_row *row,
			      const struct option_key *key, struct error *err)
{
	const struct option_scope *scope = key ? &key->scope : &row->scope;

	if (scope->since == 0 && scope->until == 0 && !scope->feature)
		return 0;
	if (array_extend(&config->needs, config->need_count, sizeof(*config->needs), err) < 0)
		return -(int)err->code;
	config->needs[config->need_count++] = (struct cloud_hypervisor_need){row, key};
	return 0;
}

/* "53.0.0" as CLOUD_HYPERVISOR_VERSION(); 0 if it has another form. */
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

static int need_check(const struct cloud_hypervisor_need *need, int version, const json_t *features,
		      struct error *err)
{
	const struct option_scope *scope = need->key ? &need->key->scope : &need->row->scope;
	char why[64];

	if (scope->since > version)
		snprintf(why, sizeof(why), "new in v%d.%d", scope->since / 100, scope->since % 100);
	else if (scope->until > 0 && scope->until < version)
		snprintf(why, sizeof(why), "removed in v%d.0", scope->until / 100 + 1);
	else if (scope->feature && !features_have(features, scope->feature))
		snprintf(why, sizeof(why), "built without %s", scope->feature);
	else
		return 0;
	error_set(err, VMCRED_USAGE, "Cloud Hypervisor v%d.%d does not support %s%s%s (%s)",
		  version / 100, version % 100, need->key ? "key \"" : "it",
		  need->key ? need->key->name : "", need->key ? "\"" : "", why);
	error_hint(err, "remove it, or use a Cloud Hypervisor that supports it");
	return error_wrap(err, "--%s", need->row->name);
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

/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/metadata.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "sops/keys/key.h"

struct reader {
	const struct sops_tree *tree;
	const char *what;
	struct sops_metadata *metadata;
};

static int field_invalid(const struct reader *reader, const char *name, const char *reason,
			 struct error *err)
{
	return error_set(err, VMCRED_FAILED, "%s: sops.%s %s", reader->what, name, reason);
}

/* The index of a list that is not empty, or 0. */
static int list_find(const struct reader *reader, size_t map, const char *name, size_t *list,
		     struct error *err)
{
	size_t index = sops_tree_last_child(reader->tree, map, span_of_text(name));
	const struct sops_node *node = &reader->tree->nodes[index];

	*list = 0;
	if (index == 0 || node->kind == SOPS_NULL)
		return 0;
	if (node->kind != SOPS_LIST)
		return field_invalid(reader, name, "is not a list", err);
	if (node->end > index + 1)
		*list = index;
	return 0;
}

/* Reads the keys in a map: the metadata or a key group. */
static int keys_read(const struct reader *reader, size_t map, struct sops_key_group *group,
		     struct error *err)
{
	const struct sops_tree *tree = reader->tree;
	int r = 0;

	for (unsigned int type = 0; r == 0 && type < SOPS_KEY_TYPES; type++) {
		size_t list;

		r = list_find(reader, map, sops_key_type_name(type), &list, err);
		for (size_t i = list + 1; r == 0 && list && i < tree->nodes[list].end;
		     i = tree->nodes[i].end) {
			struct sops_key key;

			if (tree->nodes[i].kind == SOPS_COMMENT)
				continue;
			if (tree->nodes[i].kind != SOPS_MAP)
				return field_invalid(reader, sops_key_type_name(type),
						     "contains an item that is not a map", err);
			r = sops_key_read(tree, i, type, reader->what, &key, err);
			if (r == 0)
				r = sops_key_group_take(group, &key, err);
		}
	}
	return r;
}

/* The keys are in the metadata itself, or in groups that hold shares of the data key. */
static int key_groups_read(const struct reader *reader, struct error *err)
{
	struct sops_policy *policy = &reader->metadata->policy;
	struct sops_key_group *group = sops_policy_group_add(policy, err);
	size_t list;
	int r;

	if (!group)
		return -(int)err->code;
	r = keys_read(reader, 0, group, err);
	if (r < 0 || group->count > 0)
		return r;
	policy->group_count = 0;
	r = list_find(reader, 0, "key_groups", &list, err);
	for (size_t i = list + 1; r == 0 && list && i < reader->tree->nodes[list].end;
	     i = reader->tree->nodes[i].end) {
		if (reader->tree->nodes[i].kind == SOPS_COMMENT)
			continue;
		if (reader->tree->nodes[i].kind != SOPS_MAP)
			return field_invalid(reader, "key_groups",
					     "contains an item that is not a map", err);
		group = sops_policy_group_add(policy, err);
		r = group ? keys_read(reader, i, group, err) : -(int)err->code;
	}
	if (r == 0 && policy->group_count == 0)
		return error_set(err, VMCRED_FAILED, "%s: sops contains no keys", reader->what);
	return r;
}

static int rule_read(const struct reader *reader, struct error *err)
{
	struct sops_policy *policy = &reader->metadata->policy;

	for (unsigned int rule = SOPS_UNENCRYPTED_SUFFIX; rule <= SOPS_ENCRYPTED_COMMENT_REGEX;
	     rule++) {
		_cleanup_free_ char *text = NULL;
		const char *name = sops_rule_name(rule);
		int r = sops_field_read(reader->tree, 0, name, reader->what, &text, err);

		if (r < 0)
			return r;
		if (!*text)
			continue;
		if (policy->rule_text)
			return field_invalid(reader, name,
					     "is a second encryption rule; only one is allowed",
					     err);
		policy->rule = rule;
		policy->rule_text = pointer_release(&text);
	}
	if (policy->rule_text)
		return 0;
	return sops_policy_rule_set(policy, SOPS_UNENCRYPTED_SUFFIX,
				    span_of_text(SOPS_DEFAULT_SUFFIX), err);
}

/* Flat stores write booleans as text (strconv.ParseBool in Go). */
static int boolean_read(const struct reader *reader, const char *name, bool *value,
			struct error *err)
{
	static const char *const texts[] = {"True",  "true",  "TRUE", "t", "T", "1", "False",
					    "false", "FALSE", "f",    "F", "0", ""};
	_cleanup_free_ char *text = NULL;
	int r = sops_field_read(reader->tree, 0, name, reader->what, &text, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		*value = i < 6;
		if (strcmp(text, texts[i]) == 0)
			return 0;
	}
	return field_invalid(reader, name, "is not a boolean", err);
}

static int threshold_read(const struct reader *reader, struct error *err)
{
	static const char name[] = "shamir_threshold";
	_cleanup_free_ char *text = NULL;
	unsigned long value = 0;
	char *end;
	int r = sops_field_read(reader->tree, 0, name, reader->what, &text, err);

	if (r < 0)
		return r;
	if (*text) {
		value = strtoul(text, &end, 10);
		if (*end || *text < '0' || *text > '9' || value > UINT8_MAX)
			return field_invalid(reader, name, "is not a number up to 255", err);
	}
	reader->metadata->policy.shamir_threshold = (unsigned int)value;
	return 0;
}

static int mac_read(const struct reader *reader, struct error *err)
{
	struct sops_metadata *metadata = reader->metadata;
	size_t mac = sops_tree_last_child(reader->tree, 0, span_of_text("mac"));
	_cleanup_free_ char *time = NULL;
	int r = sops_field_read(reader->tree, 0, "lastmodified", reader->what, &time, err);

	if (r < 0)
		return r;
	if (sops_timestamp_normalize(span_of_text(time), metadata->last_modified) < 0)
		return field_invalid(reader, "lastmodified", "is not a time (RFC 3339)", err);
	if (mac == 0 || reader->tree->nodes[mac].kind == SOPS_NULL)
		return 0;
	if (reader->tree->nodes[mac].kind != SOPS_STRING)
		return field_invalid(reader, "mac", "is not a string", err);
	metadata->mac = reader->tree->nodes[mac].text;
	return 0;
}

int sops_metadata_read(const struct sops_tree *tree, const char *what,
		       struct sops_metadata *metadata, struct error *err)
{
	const struct reader reader = {.tree = tree, .what = what, .metadata = metadata};
	int r = key_groups_read(&reader, err);

	if (r == 0)
		r = rule_read(&reader, err);
	if (r == 0)
		r = mac_read(&reader, err);
	if (r == 0)
		r = threshold_read(&reader, err);
	if (r == 0)
		r = boolean_read(&reader, "mac_only_encrypted",
				 &metadata->policy.mac_only_encrypted, err);
	if (r == 0)
		r = sops_field_read(tree, 0, "version", what, &metadata->version, err);
	return r;
}

int sops_metadata_version_set(struct sops_metadata *metadata, const char *version,
			      struct error *err)
{
	char *copy = strdup(version);

	if (!copy)
		return error_no_memory(err);
	free(metadata->version);
	metadata->version = copy;
	return 0;
}

void sops_metadata_destroy(struct sops_metadata *metadata)
{
	sops_policy_destroy(&metadata->policy);
	free(metadata->version);
	*metadata = (struct sops_metadata){0};
}

bool sops_version_is_newer(const char *a, const char *b)
{
	a += *a == 'v';
	b += *b == 'v';
	for (int part = 0; part < 3; part++) {
		char *a_end, *b_end;
		unsigned long a_number = strtoul(a, &a_end, 10), b_number = strtoul(b, &b_end, 10);

		if (a_number != b_number)
			return a_number > b_number;
		a = *a_end == '.' ? a_end + 1 : a_end;
		b = *b_end == '.' ? b_end + 1 : b_end;
	}
	return false;
}

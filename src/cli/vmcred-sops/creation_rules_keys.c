/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of a creation rule: directly in it, or in groups that may be merged of others.
 */
#include <libfyaml.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/vmcred-sops/creation_rules_file.h"
#include "cli/vmcred-sops/creation_rules_yaml.h"

/* Groups merged into groups, and in all; an anchor that refers to itself has no end. */
#define MERGE_DEPTH_MAX 32
#define GROUPS_MAX      10000

/* Adds the keys in a text with commas between them. */
static int keys_split(struct sops_key_group *group, enum sops_key_type type, const char *text,
		      struct error *err)
{
	int r = 0;

	while (r == 0) {
		size_t size = strcspn(text, ",");
		const char *end = text + size, *start = text + strspn(text, " \t\r\n");

		while (end > start && strchr(" \t\r\n", end[-1]))
			end--;
		/* A comma at the end, or two in a row. */
		if (end > start)
			r = sops_key_group_add(group, type, span_of(start, (size_t)(end - start)),
					       err);
		if (text[size] == '\0')
			break;
		text += size + 1;
	}
	return r;
}

/* The keys of one type directly in a rule: a text with commas, or a list of such texts. */
static int keys_simple(struct rules_yaml_reader *reader, struct fy_node *node,
		       enum sops_key_type type, struct sops_key_group *group)
{
	struct fy_node *item;
	void *iterator = NULL;
	int r = 0;

	if (fy_node_is_scalar(node)) {
		_cleanup_free_ char *text = rules_yaml_text(reader, node);

		return text ? keys_split(group, type, text, reader->err) : -(int)reader->err->code;
	}
	if (!fy_node_is_sequence(node))
		return rules_yaml_reject(reader, node, "must be a text or a list of texts");
	while (r == 0 && (item = fy_node_sequence_iterate(node, &iterator))) {
		_cleanup_free_ char *text = rules_yaml_text(reader, item);

		r = text ? keys_split(group, type, text, reader->err) : -(int)reader->err->code;
	}
	return r;
}

/* In a key group some types are maps: which member sops shows, or the members that make it up. */
struct group_row {
	const char *name;
	enum sops_key_type type;
	const char *members[3]; /* none: the key is a text */
};

static const struct group_row group_rows[] = {
	{"age", SOPS_KEY_AGE, {0}},
	{"pgp", SOPS_KEY_PGP, {0}},
	{"kms", SOPS_KEY_KMS, {"arn"}},
	{"gcp_kms", SOPS_KEY_GCP_KMS, {"resource_id"}},
	{"hckms", SOPS_KEY_HCKMS, {"key_id"}},
	{"azure_keyvault", SOPS_KEY_AZURE_KV, {"vaultUrl", "key", "version"}},
	{"hc_vault", SOPS_KEY_HC_VAULT, {0}},
};

/* https://VAULT/keys/KEY/VERSION, as sops shows a key of Azure. */
static int azure_join(char *const *members, char **text, struct error *err)
{
	size_t size = strlen(members[0]);

	while (size > 0 && members[0][size - 1] == '/')
		size--;
	if (asprintf(text, "%.*s/keys/%s/%s", (int)size, members[0], members[1], members[2]) < 0) {
		*text = NULL;
		return error_no_memory(err);
	}
	return 0;
}

static int key_map(struct rules_yaml_reader *reader, struct fy_node *node,
		   const struct group_row *row, struct sops_key_group *group)
{
	_cleanup_free_ char *first = NULL, *second = NULL, *third = NULL, *joined = NULL;
	char **texts[3] = {&first, &second, &third};
	int r = 0;

	if (!fy_node_is_mapping(node))
		return rules_yaml_reject(reader, node, "must be a mapping");
	for (size_t i = 0; i < 3; i++) {
		struct fy_node *member =
			row->members[i] ? rules_yaml_member(node, row->members[i]) : NULL;

		*texts[i] = member ? rules_yaml_text(reader, member) : strdup("");
		if (!*texts[i])
			return member ? -(int)reader->err->code : error_no_memory(reader->err);
	}
	if (row->members[1])
		r = azure_join((char *const[]){first, second, third}, &joined, reader->err);
	if (r < 0)
		return r;
	return sops_key_group_add(group, row->type, span_of_text(joined ? joined : first),
				  reader->err);
}

static int keys_in_group(struct rules_yaml_reader *reader, struct fy_node *node,
			 const struct group_row *row, struct sops_key_group *group)
{
	struct fy_node *item;
	void *iterator = NULL;
	int r = 0;

	if (!fy_node_is_sequence(node))
		return rules_yaml_reject(reader, node, "must be a list");
	while (r == 0 && (item = fy_node_sequence_iterate(node, &iterator))) {
		item = rules_yaml_resolve(item);
		if (row->members[0]) {
			r = key_map(reader, item, row, group);
		} else {
			_cleanup_free_ char *text = rules_yaml_text(reader, item);

			r = text ? keys_split(group, row->type, text, reader->err)
				 : -(int)reader->err->code;
		}
	}
	return r;
}

static int group_read(struct rules_yaml_reader *reader, struct fy_node *node, int depth,
		      struct sops_key_group *group)
{
	struct fy_node *merge, *item;
	void *iterator = NULL;
	int r = 0;

	node = rules_yaml_resolve(node);
	if (rules_yaml_is_null(node))
		return 0;
	if (!fy_node_is_mapping(node))
		return rules_yaml_reject(reader, node, "must be a mapping of keys");
	if (depth > MERGE_DEPTH_MAX)
		return rules_yaml_reject(reader, node, "is merged through more than %d groups",
					 MERGE_DEPTH_MAX);
	if (reader->groups++ == GROUPS_MAX)
		return rules_yaml_reject(reader, node, "there are more than %d groups in all",
					 GROUPS_MAX);
	merge = rules_yaml_member(node, "merge");
	if (merge && !fy_node_is_sequence(merge))
		return rules_yaml_reject(reader, merge, "merge must be a list of groups");
	while (r == 0 && merge && (item = fy_node_sequence_iterate(merge, &iterator)))
		r = group_read(reader, item, depth + 1, group);
	for (size_t i = 0; r == 0 && i < sizeof(group_rows) / sizeof(group_rows[0]); i++) {
		struct fy_node *keys = rules_yaml_member(node, group_rows[i].name);

		if (keys)
			r = keys_in_group(reader, keys, &group_rows[i], group);
		if (r < 0)
			return r;
	}
	return r;
}

/* A key that is there twice, by itself and by a merge, counts once. */
static int group_add_unique(const struct sops_key_group *from, struct sops_key_group *group,
			    struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < from->count; i++) {
		const struct sops_key *key = &from->keys[i];
		size_t j = 0;

		while (j < group->count && (group->keys[j].type != key->type ||
					    strcmp(group->keys[j].text, key->text) != 0))
			j++;
		if (j == group->count)
			r = sops_key_group_add(group, key->type, span_of_text(key->text), err);
	}
	return r;
}

static int groups_read(struct rules_yaml_reader *reader, struct fy_node *node,
		       struct sops_policy *policy)
{
	struct fy_node *item;
	void *iterator = NULL;
	int r = 0;

	if (!fy_node_is_sequence(node))
		return rules_yaml_reject(reader, node, "must be a list");
	while (r == 0 && (item = fy_node_sequence_iterate(node, &iterator))) {
		__attribute__((cleanup(sops_key_group_destroy))) struct sops_key_group merged = {0};
		struct sops_key_group *group = sops_policy_group_add(policy, reader->err);

		r = group ? group_read(reader, item, 0, &merged) : -(int)reader->err->code;
		if (r == 0)
			r = group_add_unique(&merged, group, reader->err);
	}
	return r;
}

/* The keys of a rule without key groups. */
static const struct {
	const char *name;
	enum sops_key_type type;
} simple_rows[] = {
	{"age", SOPS_KEY_AGE},
	{"pgp", SOPS_KEY_PGP},
	{"kms", SOPS_KEY_KMS},
	{"gcp_kms", SOPS_KEY_GCP_KMS},
	{"hckms", SOPS_KEY_HCKMS},
	{"azure_keyvault", SOPS_KEY_AZURE_KV},
	{"hc_vault_transit_uri", SOPS_KEY_HC_VAULT},
};

int rules_keys_read(struct rules_yaml_reader *reader, struct fy_node *node,
		    struct sops_policy *policy)
{
	struct fy_node *groups = rules_yaml_member(node, "key_groups");
	struct sops_key_group *group;
	int r = 0;

	if (groups)
		r = groups_read(reader, groups, policy);
	if (r < 0 || policy->group_count > 0)
		return r;
	group = sops_policy_group_add(policy, reader->err);
	if (!group)
		return -(int)reader->err->code;
	for (size_t i = 0; r == 0 && i < sizeof(simple_rows) / sizeof(simple_rows[0]); i++) {
		struct fy_node *keys = rules_yaml_member(node, simple_rows[i].name);

		if (keys)
			r = keys_simple(reader, keys, simple_rows[i].type, group);
	}
	return r;
}

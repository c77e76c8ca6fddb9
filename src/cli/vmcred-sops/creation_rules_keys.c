/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of a creation rule: directly in the rule, or in groups, which may merge others.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/vmcred-sops/creation_rules_file.h"

/* Limits for merged groups: an anchor that refers to itself never ends. */
#define MERGE_DEPTH_MAX 32
#define GROUPS_MAX      10000

/* Adds the keys of a comma-separated text. */
static int keys_split(struct sops_key_group *group, enum sops_key_type type, const char *text,
		      struct error *err)
{
	int r = 0;

	while (r == 0) {
		size_t size = strcspn(text, ",");
		const char *end = text + size, *start = text + strspn(text, " \t\r\n");

		while (end > start && strchr(" \t\r\n", end[-1]))
			end--;
		/* Empty between two commas, or after the last one. */
		if (end > start)
			r = sops_key_group_add(group, type, span_of(start, (size_t)(end - start)),
					       err);
		if (text[size] == '\0')
			break;
		text += size + 1;
	}
	return r;
}

static int text_keys_add(struct rules_reader *reader, const struct yaml_node *node,
			 enum sops_key_type type, struct sops_key_group *group)
{
	_cleanup_free_ char *text = rules_text(reader, node);

	return text ? keys_split(group, type, text, reader->err) : -(int)reader->err->code;
}

/* The keys of one type directly in a rule: a comma-separated text, or a list of such texts. */
static int keys_simple(struct rules_reader *reader, const struct yaml_node *node,
		       enum sops_key_type type, struct sops_key_group *group)
{
	int r = 0;

	if (node->kind == YAML_SCALAR)
		return text_keys_add(reader, node, type, group);
	if (node->kind != YAML_SEQUENCE)
		return rules_reject(reader, node, "must be a string or a list of strings");
	for (const struct yaml_node *item = node + 1; r == 0 && item < yaml_end(node);
	     item = yaml_end(item))
		r = text_keys_add(reader, item, type, group);
	return r;
}

/* A type of keys, in a rule without key groups and in a key group. There some types are maps: the
 * members that make up the key as sops shows it. */
struct key_row {
	const char *name, *name_in_group;
	enum sops_key_type type;
	const char *members[3]; /* none: the key is a string */
};

static const struct key_row rows[] = {
	{"age", "age", SOPS_KEY_AGE, {0}},
	{"pgp", "pgp", SOPS_KEY_PGP, {0}},
	{"kms", "kms", SOPS_KEY_KMS, {"arn"}},
	{"gcp_kms", "gcp_kms", SOPS_KEY_GCP_KMS, {"resource_id"}},
	{"hckms", "hckms", SOPS_KEY_HCKMS, {"key_id"}},
	{"azure_keyvault", "azure_keyvault", SOPS_KEY_AZURE_KV, {"vaultUrl", "key", "version"}},
	{"hc_vault_transit_uri", "hc_vault", SOPS_KEY_HC_VAULT, {0}},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static int key_map_add(struct rules_reader *reader, const struct yaml_node *node,
		       const struct key_row *row, struct sops_key_group *group)
{
	_cleanup_strings_ struct strings texts = {0};
	_cleanup_free_ char *joined = NULL;
	size_t size;
	int r = rules_mapping_check(reader, node, "the key");

	for (size_t i = 0; r == 0 && i < 3; i++) {
		const struct yaml_node *member =
			row->members[i] ? rules_member(node, row->members[i]) : NULL;
		char *text = member ? rules_text(reader, member) : strdup("");

		r = member && !text ? -(int)reader->err->code
				    : strings_take(&texts, text, reader->err);
	}
	if (r < 0)
		return r;
	if (!row->members[1])
		return sops_key_group_add(group, row->type, span_of_text(texts.items[0]),
					  reader->err);
	/* https://VAULT/keys/KEY/VERSION, as sops shows a key of Azure. */
	size = strlen(texts.items[0]);
	while (size > 0 && texts.items[0][size - 1] == '/')
		size--;
	joined = text_format("%.*s/keys/%s/%s", (int)size, texts.items[0], texts.items[1],
			     texts.items[2]);
	return joined ? sops_key_group_add(group, row->type, span_of_text(joined), reader->err)
		      : error_no_memory(reader->err);
}

static int keys_in_group(struct rules_reader *reader, const struct yaml_node *node,
			 const struct key_row *row, struct sops_key_group *group)
{
	int r = 0;

	if (node->kind != YAML_SEQUENCE)
		return rules_reject(reader, node, "must be a list");
	for (const struct yaml_node *item = rules_item(node, node + 1); r == 0 && item;
	     item = rules_item(node, yaml_end(item)))
		r = row->members[0] ? key_map_add(reader, yaml_target(item), row, group)
				    : text_keys_add(reader, item, row->type, group);
	return r;
}

static int group_read(struct rules_reader *reader, const struct yaml_node *node, int depth,
		      struct sops_key_group *group)
{
	const struct yaml_node *merge;
	int r;

	node = yaml_target(node);
	if (depth > MERGE_DEPTH_MAX)
		return rules_reject(reader, node, "groups are merged more than %d levels deep",
				    MERGE_DEPTH_MAX);
	if (reader->groups++ == GROUPS_MAX)
		return rules_reject(reader, node, "more than %d groups", GROUPS_MAX);
	r = rules_mapping_check(reader, node, "a key group");
	if (r < 0)
		return r;
	merge = rules_member(node, "merge");
	if (merge && merge->kind != YAML_SEQUENCE)
		return rules_reject(reader, merge, "merge must be a list of groups");
	for (const struct yaml_node *item = merge ? rules_item(merge, merge + 1) : NULL;
	     r == 0 && item; item = rules_item(merge, yaml_end(item)))
		r = group_read(reader, item, depth + 1, group);
	for (size_t i = 0; r == 0 && i < ROWS; i++) {
		const struct yaml_node *keys = rules_member(node, rows[i].name_in_group);

		if (keys)
			r = keys_in_group(reader, keys, &rows[i], group);
	}
	return r;
}

/* Adds the keys without duplicates, which merges cause. */
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

static int groups_read(struct rules_reader *reader, const struct yaml_node *node,
		       struct sops_policy *policy)
{
	int r = 0;

	if (node->kind != YAML_SEQUENCE)
		return rules_reject(reader, node, "must be a list");
	for (const struct yaml_node *item = rules_item(node, node + 1); r == 0 && item;
	     item = rules_item(node, yaml_end(item))) {
		__attribute__((cleanup(sops_key_group_destroy))) struct sops_key_group merged = {0};
		struct sops_key_group *group = sops_policy_group_add(policy, reader->err);

		r = group ? group_read(reader, item, 0, &merged) : -(int)reader->err->code;
		if (r == 0)
			r = group_add_unique(&merged, group, reader->err);
	}
	return r;
}

int rules_keys_read(struct rules_reader *reader, const struct yaml_node *node,
		    struct sops_policy *policy)
{
	const struct yaml_node *groups = rules_member(node, "key_groups");
	struct sops_key_group *group;
	int r = 0;

	if (groups)
		r = groups_read(reader, groups, policy);
	if (r < 0 || policy->group_count > 0)
		return r;
	group = sops_policy_group_add(policy, reader->err);
	if (!group)
		return -(int)reader->err->code;
	for (size_t i = 0; r == 0 && i < ROWS; i++) {
		const struct yaml_node *keys = rules_member(node, rows[i].name);

		if (keys)
			r = keys_simple(reader, keys, rows[i].type, group);
	}
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata as sops writes it: fields in alphabetical order, most of them omitted if empty
 * (stores/stores.go in its sources). */
#include <stdio.h>

#include "sops/keys/key.h"
#include "sops/metadata.h"

struct builder {
	const struct sops_metadata *metadata;
	struct sops_tree *tree;
	int r; /* the first failure: nothing is added after it */
	struct error *err;
};

static size_t node_add(struct builder *builder, size_t parent, enum sops_kind kind, const char *key,
		       struct span text)
{
	struct sops_node node = {
		.kind = kind,
		.key = key ? span_of_text(key) : (struct span){0},
		.text = text,
		.parent = parent,
	};
	size_t index = 0;

	if (builder->r == 0)
		builder->r = sops_tree_add(builder->tree, node, &index, builder->err);
	return index;
}

static size_t container_add(struct builder *builder, size_t parent, enum sops_kind kind,
			    const char *key)
{
	return node_add(builder, parent, kind, key, (struct span){0});
}

static void container_end(struct builder *builder, size_t container)
{
	if (builder->r == 0)
		builder->tree->nodes[container].end = builder->tree->count;
}

static void string_add(struct builder *builder, size_t parent, const char *key, const char *text)
{
	node_add(builder, parent, SOPS_STRING, key, span_of_text(text ? text : ""));
}

static void context_add(struct builder *builder, size_t parent, const struct sops_key *key)
{
	size_t map = container_add(builder, parent, SOPS_MAP, "context");

	for (size_t i = 0; i < key->context_count; i++) {
		const struct sops_context *entry = &key->context[i];

		if (entry->value)
			string_add(builder, map, entry->name, entry->value);
		else
			container_add(builder, map, SOPS_NULL, entry->name);
	}
	container_end(builder, map);
}

static void key_add(struct builder *builder, size_t list, const struct sops_key *key)
{
	const struct sops_field *fields = sops_key_type_row(key->type)->fields;
	size_t map = container_add(builder, list, SOPS_MAP, NULL);

	for (size_t i = 0; fields[i].name; i++) {
		bool empty = !key->fields[i] || !*key->fields[i];

		/* Only KMS keys have one, before their created_at. */
		if (key->context_count > 0 && fields[i].use == SOPS_FIELD_TIME)
			context_add(builder, map, key);
		if (fields[i].use != SOPS_FIELD_OPTIONAL || !empty)
			string_add(builder, map, fields[i].name, key->fields[i]);
	}
	container_end(builder, map);
}

/* The keys of one type in a group. */
static void keys_add(struct builder *builder, size_t parent, const struct sops_key_group *group,
		     enum sops_key_type type, bool even_if_empty)
{
	size_t count = 0, list;

	for (size_t i = 0; i < group->count; i++)
		count += group->keys[i].type == type;
	if (count == 0 && !even_if_empty)
		return;
	list = container_add(builder, parent, SOPS_LIST, sops_key_type_name(type));
	for (size_t i = 0; i < group->count; i++) {
		if (group->keys[i].type == type)
			key_add(builder, list, &group->keys[i]);
	}
	container_end(builder, list);
}

static void groups_add(struct builder *builder, const struct sops_policy *policy)
{
	static const enum sops_key_type types[SOPS_KEY_TYPES] = {
		SOPS_KEY_AGE,   SOPS_KEY_AZURE_KV, SOPS_KEY_GCP_KMS, SOPS_KEY_HC_VAULT,
		SOPS_KEY_HCKMS, SOPS_KEY_KMS,      SOPS_KEY_PGP,
	};
	size_t list = container_add(builder, 0, SOPS_LIST, "key_groups");

	for (size_t i = 0; i < policy->group_count; i++) {
		size_t map = container_add(builder, list, SOPS_MAP, NULL);

		for (size_t j = 0; j < SOPS_KEY_TYPES; j++)
			keys_add(builder, map, &policy->groups[i], types[j],
				 sops_key_type_row(types[j])->always_in_group);
		container_end(builder, map);
	}
	container_end(builder, list);
}

static void threshold_add(struct builder *builder, unsigned int threshold)
{
	char text[16];
	struct span kept = {0};
	int size = snprintf(text, sizeof(text), "%u", threshold);

	if (builder->r == 0)
		builder->r = sops_tree_text(builder->tree, span_of(text, (size_t)size), &kept,
					    builder->err);
	node_add(builder, 0, SOPS_INT, "shamir_threshold", kept);
}

enum field {
	KEYS, /* of the type */
	KEY_GROUPS,
	RULE,
	LAST_MODIFIED,
	MAC,
	MAC_ONLY_ENCRYPTED,
	THRESHOLD,
	VERSION,
};

static const struct {
	enum field field;
	unsigned int which; /* type of key, or rule */
} order[] = {
	{KEYS, SOPS_KEY_AGE},
	{KEYS, SOPS_KEY_AZURE_KV},
	{RULE, SOPS_ENCRYPTED_COMMENT_REGEX},
	{RULE, SOPS_ENCRYPTED_REGEX},
	{RULE, SOPS_ENCRYPTED_SUFFIX},
	{KEYS, SOPS_KEY_GCP_KMS},
	{KEYS, SOPS_KEY_HC_VAULT},
	{KEYS, SOPS_KEY_HCKMS},
	{KEY_GROUPS, 0},
	{KEYS, SOPS_KEY_KMS},
	{LAST_MODIFIED, 0},
	{MAC, 0},
	{MAC_ONLY_ENCRYPTED, 0},
	{KEYS, SOPS_KEY_PGP},
	{THRESHOLD, 0},
	{RULE, SOPS_UNENCRYPTED_COMMENT_REGEX},
	{RULE, SOPS_UNENCRYPTED_REGEX},
	{RULE, SOPS_UNENCRYPTED_SUFFIX},
	{VERSION, 0},
};

static void field_add(struct builder *builder, enum field field, unsigned int which)
{
	const struct sops_metadata *metadata = builder->metadata;
	const struct sops_policy *policy = &metadata->policy;

	switch (field) {
	case KEYS:
		if (policy->group_count == 1)
			keys_add(builder, 0, &policy->groups[0], which, false);
		break;
	case KEY_GROUPS:
		if (policy->group_count > 1)
			groups_add(builder, policy);
		break;
	case RULE:
		if (policy->rule == which && policy->rule_text)
			string_add(builder, 0, sops_rule_name(which), policy->rule_text);
		break;
	case LAST_MODIFIED:
		string_add(builder, 0, "lastmodified", metadata->last_modified);
		break;
	case MAC:
		node_add(builder, 0, SOPS_STRING, "mac", metadata->mac);
		break;
	case MAC_ONLY_ENCRYPTED:
		if (policy->mac_only_encrypted)
			node_add(builder, 0, SOPS_BOOL, "mac_only_encrypted", span_of_text("True"));
		break;
	case THRESHOLD:
		if (policy->shamir_threshold)
			threshold_add(builder, policy->shamir_threshold);
		break;
	case VERSION:
		string_add(builder, 0, "version", metadata->version);
		break;
	}
}

int sops_metadata_tree(const struct sops_metadata *metadata, struct sops_tree *tree,
		       struct error *err)
{
	struct builder builder = {.metadata = metadata, .tree = tree, .err = err};
	size_t root = container_add(&builder, 0, SOPS_MAP, NULL);

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		field_add(&builder, order[i].field, order[i].which);
	container_end(&builder, root);
	return builder.r;
}

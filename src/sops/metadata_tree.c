/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata as sops writes it: fields in alphabetical order, most of them omitted if empty
 * (stores/stores.go in its sources). */
#include <stdio.h>

#include "sops/keys/key.h"
#include "sops/metadata.h"

struct builder {
	const struct sops_metadata *metadata;
	struct sops_tree *tree;
};

static int node_add(const struct builder *builder, size_t parent, enum sops_kind kind,
		    const char *key, struct span text, size_t *index, struct error *err)
{
	struct sops_node node = {
		.kind = kind,
		.key = key ? span_of_text(key) : (struct span){0},
		.text = text,
		.parent = parent,
	};

	return sops_tree_add(builder->tree, node, index, err);
}

static int string_add(const struct builder *builder, size_t parent, const char *key,
		      const char *text, struct error *err)
{
	size_t index;

	return node_add(builder, parent, SOPS_STRING, key, span_of_text(text ? text : ""), &index,
			err);
}

static void container_end(const struct builder *builder, size_t container)
{
	builder->tree->nodes[container].end = builder->tree->count;
}

static int context_add(const struct builder *builder, size_t parent, const struct sops_key *key,
		       struct error *err)
{
	size_t map, index;
	int r = node_add(builder, parent, SOPS_MAP, "context", (struct span){0}, &map, err);

	for (size_t i = 0; r == 0 && i < key->context_count; i++) {
		const struct sops_context *entry = &key->context[i];

		if (entry->value)
			r = string_add(builder, map, entry->name, entry->value, err);
		else
			r = node_add(builder, map, SOPS_NULL, entry->name, (struct span){0}, &index,
				     err);
	}
	if (r == 0)
		container_end(builder, map);
	return r;
}

static int key_add(const struct builder *builder, size_t list, const struct sops_key *key,
		   struct error *err)
{
	const struct sops_field *fields = sops_key_type_row(key->type)->fields;
	size_t map;
	int r = node_add(builder, list, SOPS_MAP, NULL, (struct span){0}, &map, err);

	for (size_t i = 0; r == 0 && fields[i].name; i++) {
		bool empty = !key->fields[i] || !*key->fields[i];

		/* Only KMS keys have one, before their created_at. */
		if (key->context_count > 0 && fields[i].use == SOPS_FIELD_TIME)
			r = context_add(builder, map, key, err);
		if (r == 0 && (fields[i].use != SOPS_FIELD_OPTIONAL || !empty))
			r = string_add(builder, map, fields[i].name, key->fields[i], err);
	}
	if (r == 0)
		container_end(builder, map);
	return r;
}

/* The keys of one type in a group. */
static int keys_add(const struct builder *builder, size_t parent,
		    const struct sops_key_group *group, enum sops_key_type type, bool even_if_empty,
		    struct error *err)
{
	size_t count = 0, list;
	int r;

	for (size_t i = 0; i < group->count; i++)
		count += group->keys[i].type == type;
	if (count == 0 && !even_if_empty)
		return 0;
	r = node_add(builder, parent, SOPS_LIST, sops_key_type_name(type), (struct span){0}, &list,
		     err);
	for (size_t i = 0; r == 0 && i < group->count; i++) {
		if (group->keys[i].type == type)
			r = key_add(builder, list, &group->keys[i], err);
	}
	if (r == 0)
		container_end(builder, list);
	return r;
}

static int group_add(const struct builder *builder, size_t list, const struct sops_key_group *group,
		     struct error *err)
{
	static const enum sops_key_type order[SOPS_KEY_TYPES] = {
		SOPS_KEY_AGE,   SOPS_KEY_AZURE_KV, SOPS_KEY_GCP_KMS, SOPS_KEY_HC_VAULT,
		SOPS_KEY_HCKMS, SOPS_KEY_KMS,      SOPS_KEY_PGP,
	};
	size_t map;
	int r = node_add(builder, list, SOPS_MAP, NULL, (struct span){0}, &map, err);

	for (size_t i = 0; r == 0 && i < SOPS_KEY_TYPES; i++)
		r = keys_add(builder, map, group, order[i],
			     sops_key_type_row(order[i])->always_in_group, err);
	if (r == 0)
		container_end(builder, map);
	return r;
}

static int groups_add(const struct builder *builder, struct error *err)
{
	const struct sops_policy *policy = &builder->metadata->policy;
	size_t list;
	int r = node_add(builder, 0, SOPS_LIST, "key_groups", (struct span){0}, &list, err);

	for (size_t i = 0; r == 0 && i < policy->group_count; i++)
		r = group_add(builder, list, &policy->groups[i], err);
	if (r == 0)
		container_end(builder, list);
	return r;
}

static int threshold_add(const struct builder *builder, struct error *err)
{
	char text[16];
	struct span kept;
	size_t index;
	int size = snprintf(text, sizeof(text), "%u", builder->metadata->policy.shamir_threshold);
	int r = sops_tree_text(builder->tree, span_of(text, (size_t)size), &kept, err);

	if (r == 0)
		r = node_add(builder, 0, SOPS_INT, "shamir_threshold", kept, &index, err);
	return r;
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

static int field_add(const struct builder *builder, enum field field, unsigned int which,
		     struct error *err)
{
	const struct sops_metadata *metadata = builder->metadata;
	const struct sops_policy *policy = &metadata->policy;
	size_t index;

	switch (field) {
	case KEYS:
		return policy->group_count == 1
			       ? keys_add(builder, 0, &policy->groups[0], which, false, err)
			       : 0;
	case KEY_GROUPS:
		return policy->group_count > 1 ? groups_add(builder, err) : 0;
	case RULE:
		return policy->rule == which && policy->rule_text
			       ? string_add(builder, 0, sops_rule_name(which), policy->rule_text,
					    err)
			       : 0;
	case LAST_MODIFIED:
		return string_add(builder, 0, "lastmodified", metadata->last_modified, err);
	case MAC:
		return node_add(builder, 0, SOPS_STRING, "mac", metadata->mac, &index, err);
	case MAC_ONLY_ENCRYPTED:
		return policy->mac_only_encrypted
			       ? node_add(builder, 0, SOPS_BOOL, "mac_only_encrypted",
					  span_of_text("True"), &index, err)
			       : 0;
	case THRESHOLD:
		return policy->shamir_threshold ? threshold_add(builder, err) : 0;
	case VERSION:
		break;
	}
	return string_add(builder, 0, "version", metadata->version, err);
}

int sops_metadata_tree(const struct sops_metadata *metadata, struct sops_tree *tree,
		       struct error *err)
{
	const struct builder builder = {.metadata = metadata, .tree = tree};
	size_t root;
	int r = node_add(&builder, 0, SOPS_MAP, NULL, (struct span){0}, &root, err);

	for (size_t i = 0; r == 0 && i < sizeof(order) / sizeof(order[0]); i++)
		r = field_add(&builder, order[i].field, order[i].which, err);
	if (r == 0)
		container_end(&builder, root);
	return r;
}

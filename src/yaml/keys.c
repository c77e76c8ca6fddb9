/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What go-yaml checks of a map's keys: that none stands twice, and that << merges maps.
 */
#include "yaml/yaml.h"

/* Keys of a map are compared with each other up to this number of them. */
#define FEW_KEYS 8

static bool is_merge(const struct yaml_node *key)
{
	return key->kind == YAML_SCALAR && span_equal(key->value, span_of_text("<<")) &&
	       (key->tag == YAML_TAG_MERGE || (key->tag == YAML_TAG_NONE && !key->quoted));
}

/* What is merged must be a map or a list of maps, although sops does not merge it. */
static int merge_check(const struct yaml_scanner *scanner, const struct yaml_nodes *nodes,
		       uint32_t value, struct error *err)
{
	const struct yaml_node *items = nodes->items;
	bool good = items[yaml_target_of(nodes, value)].kind == YAML_MAPPING;

	if (items[value].kind == YAML_SEQUENCE) {
		good = true;
		for (uint32_t i = value + 1; i < items[value].end; i = items[i].end)
			good = good && items[yaml_target_of(nodes, i)].kind == YAML_MAPPING;
	}
	return good ? 0 : yaml_node_fail(scanner, &items[value], "what << merges is no map", err);
}

static int key_twice(const struct yaml_scanner *scanner, const struct yaml_node *key,
		     struct error *err)
{
	return yaml_node_fail(scanner, key, "a key stands twice in one map", err);
}

static int keys_differ(const struct yaml_scanner *scanner, const struct yaml_nodes *nodes,
		       uint32_t map, struct error *err)
{
	const struct yaml_node *items = nodes->items;
	__attribute__((cleanup(yaml_names_destroy))) struct yaml_names names = {0};
	__attribute__((cleanup(yaml_names_destroy))) struct yaml_names aliases = {0};

	for (uint32_t key = map + 1; key < items[map].end; key = items[items[key].end].end) {
		bool alias = items[key].kind == YAML_ALIAS;
		size_t *number;

		if (yaml_names_add(alias ? &aliases : &names, items[key].value, key, &number, err) <
		    0)
			return -(int)err->code;
		if (*number != (size_t)key + 1)
			return key_twice(scanner, &items[key], err);
	}
	return 0;
}

static int few_keys_differ(const struct yaml_scanner *scanner, const struct yaml_nodes *nodes,
			   uint32_t map, struct error *err)
{
	const struct yaml_node *items = nodes->items;

	for (uint32_t a = map + 1; a < items[map].end; a = items[items[a].end].end) {
		for (uint32_t b = map + 1; b < a; b = items[items[b].end].end) {
			if (items[a].kind == items[b].kind &&
			    span_equal(items[a].value, items[b].value))
				return key_twice(scanner, &items[a], err);
		}
	}
	return 0;
}

struct yaml_keys yaml_keys_of(const struct yaml_nodes *nodes, uint32_t map)
{
	const struct yaml_node *items = nodes->items;
	struct yaml_keys keys = {0};

	for (uint32_t key = map + 1; key < items[map].end; key = items[items[key].end].end) {
		keys.count++;
		if (is_merge(&items[key]))
			keys.merged = items[key].end;
	}
	return keys;
}

int yaml_keys_check(const struct yaml_scanner *scanner, const struct yaml_nodes *nodes,
		    uint32_t map, struct yaml_keys keys, struct error *err)
{
	int r = keys.merged ? merge_check(scanner, nodes, keys.merged, err) : 0;

	if (r < 0)
		return r;
	return keys.count > FEW_KEYS ? keys_differ(scanner, nodes, map, err)
				     : few_keys_differ(scanner, nodes, map, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Walking nodes, and go-yaml's checks of mappings. */
#include <stdlib.h>
#include <sys/mman.h>

#include "yaml/parse.h"

/* Up to this number, the keys of a mapping are compared with each other. */
#define FEW_KEYS 8

/* Bounds the mappings that are searched for a merged key: aliases of aliases grow exponentially. */
#define MERGED_MAX 100

int yaml_fail(const struct yaml *yaml, int64_t line, const char *problem, struct error *err)
{
	return error_set(err, yaml->invalid ? yaml->invalid : VMCRED_FAILED,
			 "%s:%lld: not valid YAML: %s", yaml->name, (long long)line, problem);
}

void yaml_destroy(struct yaml *yaml)
{
	if (yaml->nodes)
		munmap(yaml->nodes, yaml->capacity * sizeof(*yaml->nodes));
	free(yaml->comments);
	arena_destroy(&yaml->texts);
	*yaml = (struct yaml){0};
}

const struct yaml_node *yaml_root(const struct yaml *yaml)
{
	return yaml->count > 0 ? &yaml->nodes[1] : NULL;
}

size_t yaml_count(const struct yaml_node *node)
{
	const struct yaml_node *end = yaml_end(node);
	size_t count = 0;

	for (const struct yaml_node *child = node + 1; child < end; child = yaml_end(child))
		count++;
	return node->kind == YAML_MAPPING ? count / 2 : count;
}

bool yaml_is_null(const struct yaml_node *node)
{
	static const char *const words[] = {"", "~", "null", "Null", "NULL"};

	node = yaml_target(node);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (node->kind == YAML_SCALAR && !node->quoted &&
		    span_equal(node->value, span_of_text(words[i])))
			return true;
	}
	return false;
}

static bool is_merge(const struct yaml_node *key)
{
	return key->kind == YAML_SCALAR && span_equal(key->value, span_of_text("<<")) &&
	       (key->tag == YAML_TAG_MERGE || (key->tag == YAML_TAG_NONE && !key->quoted));
}

const struct yaml_node *yaml_merged(const struct yaml_node *mapping)
{
	const struct yaml_node *end = yaml_end(mapping), *merged = NULL;

	for (const struct yaml_node *key = mapping + 1; key < end; key = yaml_end(yaml_end(key))) {
		if (is_merge(key))
			merged = yaml_end(key);
	}
	return merged;
}

static const struct yaml_node *member_find(const struct yaml_node *mapping, struct span name,
					   int *budget)
{
	const struct yaml_node *end, *merged, *found = NULL;

	mapping = yaml_target(mapping);
	if (mapping->kind != YAML_MAPPING || --*budget < 0)
		return NULL;
	end = yaml_end(mapping);
	for (const struct yaml_node *key = mapping + 1; key < end; key = yaml_end(yaml_end(key))) {
		const struct yaml_node *target = yaml_target(key);

		if (target->kind == YAML_SCALAR && span_equal(target->value, name))
			return yaml_target(yaml_end(key));
	}
	merged = yaml_merged(mapping);
	if (!merged || merged->kind != YAML_SEQUENCE)
		return merged ? member_find(merged, name, budget) : NULL;
	end = yaml_end(merged);
	for (const struct yaml_node *item = merged + 1; item < end && !found; item = yaml_end(item))
		found = member_find(item, name, budget);
	return found;
}

const struct yaml_node *yaml_member(const struct yaml_node *mapping, const char *key)
{
	int budget = MERGED_MAX;

	return member_find(mapping, span_of_text(key), &budget);
}

/* Each key is compared with all before it. */
static const struct yaml_node *repeated_of_few(const struct yaml_node *mapping)
{
	const struct yaml_node *end = yaml_end(mapping), *other;

	for (const struct yaml_node *key = mapping + 1; key < end; key = yaml_end(yaml_end(key))) {
		for (other = mapping + 1; other < key; other = yaml_end(yaml_end(other))) {
			if (other->kind == key->kind && span_equal(other->value, key->value))
				return key;
		}
	}
	return NULL;
}

static int repeated_of_many(const struct yaml_node *mapping, size_t count,
			    const struct yaml_node **repeated, struct error *err)
{
	__attribute__((cleanup(yaml_names_destroy))) struct yaml_names names = {0};
	__attribute__((cleanup(yaml_names_destroy))) struct yaml_names aliases = {0};
	const struct yaml_node *end = yaml_end(mapping);
	int r = yaml_names_reserve(&names, count, err);

	for (const struct yaml_node *key = mapping + 1; r == 0 && key < end && !*repeated;
	     key = yaml_end(yaml_end(key))) {
		size_t *stored, number = (size_t)(key - mapping);

		r = yaml_names_add(key->kind == YAML_ALIAS ? &aliases : &names, key->value, number,
				   &stored, err);
		if (r == 0 && *stored != number + 1)
			*repeated = key;
	}
	return r;
}

int yaml_key_repeated(const struct yaml_node *mapping, const struct yaml_node **key,
		      struct error *err)
{
	const size_t count = yaml_count(mapping);

	*key = count <= FEW_KEYS ? repeated_of_few(mapping) : NULL;
	return count <= FEW_KEYS ? 0 : repeated_of_many(mapping, count, key, err);
}

int yaml_mapping_check(const struct yaml *yaml, const struct yaml_node *mapping, struct error *err)
{
	const struct yaml_node *merged = yaml_merged(mapping), *key;
	bool good = !merged || yaml_target(merged)->kind == YAML_MAPPING;

	if (merged && merged->kind == YAML_SEQUENCE) {
		good = true;
		for (key = merged + 1; key < yaml_end(merged); key = yaml_end(key))
			good = good && yaml_target(key)->kind == YAML_MAPPING;
	}
	if (!good)
		return yaml_fail(yaml, merged->line, "<< must merge maps", err);
	if (yaml_key_repeated(mapping, &key, err) < 0)
		return -(int)err->code;
	return key ? yaml_fail(yaml, key->line, "duplicate key", err) : 0;
}

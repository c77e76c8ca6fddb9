/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/metadata.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"

/* Types of keys that sops has and vmcred does not. */
static const char *const unsupported_types[] = {"pgp",      "kms",      "gcp_kms",
						"azure_kv", "hc_vault", "hckms"};

#define UNSUPPORTED_TYPES (sizeof(unsupported_types) / sizeof(unsupported_types[0]))

static const struct {
	const char *name;
	enum sops_rule rule;
	bool supported;
} rules[] = {
	{"unencrypted_suffix", SOPS_UNENCRYPTED_SUFFIX, true},
	{"encrypted_suffix", SOPS_ENCRYPTED_SUFFIX, true},
	{"unencrypted_comment_regex", SOPS_UNENCRYPTED_COMMENT_REGEX, true},
	{"encrypted_comment_regex", SOPS_ENCRYPTED_COMMENT_REGEX, true},
	{"unencrypted_regex", SOPS_EVERYTHING, false},
	{"encrypted_regex", SOPS_EVERYTHING, false},
};

#define RULES (sizeof(rules) / sizeof(rules[0]))

/* The rule of a document that names none (DefaultUnencryptedSuffix in sops's sources). */
#define DEFAULT_SUFFIX "_unencrypted"

struct reader {
	const struct sops_tree *tree;
	const char *what;
	struct sops_metadata *metadata;
};

static int field_invalid(const struct reader *reader, const char *name, const char *reason,
			 struct error *err)
{
	return error_set(err, VMCRED_FAILED, "%s: the field sops.%s %s", reader->what, name,
			 reason);
}

/* The string in a map's field; empty if it is missing or null. */
static int string_read(const struct reader *reader, size_t map, const char *name,
		       struct span *string, struct error *err)
{
	size_t index = sops_tree_child(reader->tree, map, span_of_text(name));
	const struct sops_node *node = &reader->tree->nodes[index];

	*string = span_of(NULL, 0);
	if (index == 0 || node->kind == SOPS_NULL)
		return 0;
	if (node->kind != SOPS_STRING)
		return field_invalid(reader, name, "is not a string", err);
	*string = node->text;
	return 0;
}

/* The index of a list that is there and not empty, or 0. */
static int list_find(const struct reader *reader, size_t map, const char *name, size_t *list,
		     struct error *err)
{
	size_t index = sops_tree_child(reader->tree, map, span_of_text(name));
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

static int age_key_add(const struct reader *reader, size_t map, struct error *err)
{
	struct sops_metadata *metadata = reader->metadata;
	struct sops_age_key key, *grown;
	int r;

	if (reader->tree->nodes[map].kind != SOPS_MAP)
		return field_invalid(reader, "age", "holds something else than maps", err);
	r = string_read(reader, map, "recipient", &key.recipient, err);
	if (r == 0)
		r = string_read(reader, map, "enc", &key.enc, err);
	if (r < 0)
		return r;
	grown = reallocarray(metadata->age, metadata->age_count + 1, sizeof(key));
	if (!grown)
		return error_no_memory(err);
	metadata->age = grown;
	grown[metadata->age_count++] = key;
	return 0;
}

/* The keys in a map, which is the metadata itself or a key group. */
static int keys_read(const struct reader *reader, size_t map, struct error *err)
{
	size_t list;
	int r = list_find(reader, map, "age", &list, err);

	if (r == 0 && list)
		for (size_t i = list + 1; r == 0 && i < reader->tree->nodes[list].end;
		     i = reader->tree->nodes[i].end)
			r = age_key_add(reader, i, err);
	for (size_t i = 0; r == 0 && i < UNSUPPORTED_TYPES; i++) {
		r = list_find(reader, map, unsupported_types[i], &list, err);
		if (list)
			reader->metadata->unsupported |= 1U << i;
	}
	return r;
}

static bool has_keys(const struct sops_metadata *metadata)
{
	return metadata->age_count > 0 || metadata->unsupported;
}

/* Keys stand in the metadata itself; else in groups, each of which holds a share of the data key.
 */
static int key_groups_read(const struct reader *reader, size_t map, struct error *err)
{
	size_t groups;
	int r = keys_read(reader, map, err);

	if (r < 0 || has_keys(reader->metadata))
		return r;
	r = list_find(reader, map, "key_groups", &groups, err);
	if (r < 0)
		return r;
	if (groups && reader->tree->nodes[groups + 1].end < reader->tree->nodes[groups].end)
		return field_invalid(
			reader, "key_groups",
			"splits the data key among several groups of keys, which is not supported",
			err);
	if (groups && reader->tree->nodes[groups + 1].kind == SOPS_MAP)
		r = keys_read(reader, groups + 1, err);
	if (r == 0 && !has_keys(reader->metadata))
		return error_set(err, VMCRED_FAILED, "%s: there is no key in its field sops",
				 reader->what);
	return r;
}

static int rule_read(const struct reader *reader, size_t map, struct error *err)
{
	struct sops_metadata *metadata = reader->metadata;
	size_t count = 0;

	metadata->rule = SOPS_UNENCRYPTED_SUFFIX;
	metadata->suffix = span_of_text(DEFAULT_SUFFIX);
	for (size_t i = 0; i < RULES; i++) {
		struct span value;
		int r = string_read(reader, map, rules[i].name, &value, err);

		if (r < 0)
			return r;
		if (value.size == 0)
			continue;
		if (count++ > 0)
			return field_invalid(
				reader, rules[i].name,
				"is a second rule on what is encrypted; there can be one", err);
		if (!rules[i].supported)
			return field_invalid(reader, rules[i].name, "is not supported", err);
		metadata->rule = rules[i].rule;
		metadata->suffix = value;
	}
	return 0;
}

static int mac_read(const struct reader *reader, size_t map, struct error *err)
{
	static const char only_encrypted[] = "mac_only_encrypted";
	size_t index = sops_tree_child(reader->tree, map, span_of_text(only_encrypted));
	const struct sops_node *node = &reader->tree->nodes[index];
	struct span time = {0};
	int r = string_read(reader, map, "mac", &reader->metadata->mac, err);

	if (r == 0)
		r = string_read(reader, map, "lastmodified", &time, err);
	if (r < 0)
		return r;
	if (sops_timestamp_normalize(time, reader->metadata->last_modified) < 0)
		return field_invalid(reader, "lastmodified", "is not a time (RFC 3339)", err);
	if (index == 0 || node->kind == SOPS_NULL)
		return 0;
	if (node->kind != SOPS_BOOL)
		return field_invalid(reader, only_encrypted, "is neither true nor false", err);
	reader->metadata->mac_only_encrypted = span_equal(node->text, span_of_text("True"));
	return 0;
}

int sops_metadata_parse(const struct sops_tree *tree, size_t map, const char *what,
			struct sops_metadata *metadata, struct error *err)
{
	const struct reader reader = {.tree = tree, .what = what, .metadata = metadata};
	int r = key_groups_read(&reader, map, err);

	if (r == 0)
		r = rule_read(&reader, map, err);
	if (r == 0)
		r = mac_read(&reader, map, err);
	return r;
}

void sops_metadata_destroy(struct sops_metadata *metadata)
{
	free(metadata->age);
	*metadata = (struct sops_metadata){0};
}

static bool ends_with(struct span text, struct span suffix)
{
	return text.size >= suffix.size &&
	       memcmp(text.data + text.size - suffix.size, suffix.data, suffix.size) == 0;
}

bool sops_metadata_encrypts(const struct sops_metadata *metadata, bool container, struct span key)
{
	/* A position in a list is not looked at. */
	if (!key.data)
		return container;
	if (metadata->rule == SOPS_UNENCRYPTED_SUFFIX)
		return container && !ends_with(key, metadata->suffix);
	if (metadata->rule == SOPS_ENCRYPTED_SUFFIX)
		return container || ends_with(key, metadata->suffix);
	return container;
}

bool sops_metadata_encrypts_root(const struct sops_metadata *metadata)
{
	return metadata->rule == SOPS_UNENCRYPTED_SUFFIX ||
	       metadata->rule == SOPS_UNENCRYPTED_COMMENT_REGEX;
}

void sops_metadata_unsupported(const struct sops_metadata *metadata, char *names, size_t size)
{
	size_t used = 0;

	names[0] = '\0';
	for (size_t i = 0; i < UNSUPPORTED_TYPES && used < size; i++) {
		if (metadata->unsupported & 1U << i)
			used += (size_t)snprintf(names + used, size - used, "%s%s",
						 used ? ", " : "", unsupported_types[i]);
	}
}

static int string_add(struct sops_tree *tree, size_t parent, const char *key, struct span text,
		      struct error *err)
{
	struct sops_node node = {
		.kind = SOPS_STRING,
		.key = span_of_text(key),
		.text = text,
		.parent = parent,
	};
	size_t index;

	return sops_tree_add(tree, node, &index, err);
}

/* Fields in alphabetical order, as sops writes them. */
static int age_keys_add(const struct sops_metadata *metadata, struct sops_tree *tree,
			struct error *err)
{
	struct sops_node list = {.kind = SOPS_LIST, .key = span_of_text("age")};
	size_t keys, key;
	int r = sops_tree_add(tree, list, &keys, err);

	for (size_t i = 0; r == 0 && i < metadata->age_count; i++) {
		r = sops_tree_add(tree, (struct sops_node){.kind = SOPS_MAP, .parent = keys}, &key,
				  err);
		if (r == 0)
			r = string_add(tree, key, "enc", metadata->age[i].enc, err);
		if (r == 0)
			r = string_add(tree, key, "recipient", metadata->age[i].recipient, err);
		if (r == 0)
			tree->nodes[key].end = tree->count;
	}
	if (r == 0)
		tree->nodes[keys].end = tree->count;
	return r;
}

int sops_metadata_tree(const struct sops_metadata *metadata, struct sops_tree *tree,
		       struct error *err)
{
	size_t root;
	int r = sops_tree_add(tree, (struct sops_node){.kind = SOPS_MAP}, &root, err);

	if (r == 0)
		r = age_keys_add(metadata, tree, err);
	if (r == 0)
		r = string_add(tree, root, "lastmodified", span_of_text(metadata->last_modified),
			       err);
	if (r == 0)
		r = string_add(tree, root, "mac", metadata->mac, err);
	if (r == 0)
		r = string_add(tree, root, "version", span_of_text(SOPS_VERSION_WRITTEN), err);
	if (r == 0)
		tree->nodes[root].end = tree->count;
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From YAML to structures, by tables: a row is a key, who reads it and where it goes. Types are
 * those that sops declares (config/config.go).
 */
#include <libfyaml.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/path.h"
#include "sops/creation_rules_file.h"
#include "sops/creation_rules_yaml.h"

const typeof(sops_stores_laid_out[0]) sops_stores_laid_out[SOPS_STORES_LAID_OUT] = {
	{"json", "json"},
	{"json_binary", "binary"},
	{"yaml", "yaml"},
};

/* A rule of ten thousand keys takes less than 1 MiB. */
#define FILE_SIZE_MAX ((size_t)16 * 1024 * 1024)

/* More columns than anybody's screen has. */
#define INDENT_MAX 1000

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

static int rule_keys(struct rules_yaml_reader *reader, struct fy_node *node,
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

static int rule_encryption(struct rules_yaml_reader *reader, struct fy_node *node,
			   struct sops_creation_rule *rule)
{
	struct fy_node *only = rules_yaml_member(node, "mac_only_encrypted");

	for (int i = SOPS_EVERYTHING + 1; i <= SOPS_ENCRYPTED_COMMENT_REGEX; i++) {
		struct fy_node *member = rules_yaml_member(node, sops_rule_name((enum sops_rule)i));
		_cleanup_free_ char *text = member ? rules_yaml_text(reader, member) : NULL;
		int r;

		if (member && !text)
			return -(int)reader->err->code;
		if (!text || !*text)
			continue;
		rule->is_contradictory = rule->policy.rule != SOPS_EVERYTHING;
		r = sops_policy_rule_set(&rule->policy, (enum sops_rule)i, span_of_text(text),
					 reader->err);
		if (r < 0 || rule->is_contradictory)
			return r;
	}
	return only ? rules_yaml_bool(reader, only, &rule->policy.mac_only_encrypted) : 0;
}

static int rule_read(struct rules_yaml_reader *reader, struct fy_node *node,
		     struct sops_creation_rule *rule)
{
	struct fy_node *regex, *threshold;
	long number = 0;
	int r = 0;

	node = rules_yaml_resolve(node);
	rule->line = rules_yaml_line(node);
	if (!fy_node_is_mapping(node))
		return rules_yaml_is_null(node)
			       ? 0
			       : rules_yaml_reject(reader, node, "a rule must be a mapping");
	regex = rules_yaml_member(node, "path_regex");
	if (regex) {
		rule->path_regex = rules_yaml_text(reader, regex);
		if (!rule->path_regex)
			return -(int)reader->err->code;
	}
	threshold = rules_yaml_member(node, "shamir_threshold");
	if (threshold)
		r = rules_yaml_number(reader, threshold, 0, UCHAR_MAX, &number);
	rule->policy.shamir_threshold = (unsigned int)number;
	if (r == 0)
		r = rule_encryption(reader, node, rule);
	return r < 0 ? r : rule_keys(reader, node, &rule->policy);
}

static int rules_read(struct rules_yaml_reader *reader, struct fy_node *node,
		      struct sops_creation_rules *rules)
{
	struct fy_node *item;
	void *iterator = NULL;
	int count, r = 0;

	if (!fy_node_is_sequence(node))
		return rules_yaml_reject(reader, node, "creation_rules must be a list");
	rules->has_rules = true;
	count = fy_node_sequence_item_count(node);
	rules->items = calloc((size_t)count + 1, sizeof(*rules->items));
	if (!rules->items)
		return error_no_memory(reader->err);
	while (r == 0 && (item = fy_node_sequence_iterate(node, &iterator)))
		r = rule_read(reader, item, &rules->items[rules->count++]);
	return r;
}

static int stores_read(struct rules_yaml_reader *reader, struct fy_node *node,
		       struct sops_creation_rules *rules)
{
	if (!fy_node_is_mapping(node))
		return rules_yaml_reject(reader, node, "stores must be a mapping");
	for (size_t i = 0; i < SOPS_STORES_LAID_OUT; i++) {
		struct fy_node *store = rules_yaml_member(node, sops_stores_laid_out[i].name),
			       *indent;
		int r;

		if (!store)
			continue;
		if (!fy_node_is_mapping(store))
			return rules_yaml_reject(reader, store, "%s must be a mapping",
						 sops_stores_laid_out[i].name);
		indent = rules_yaml_member(store, "indent");
		if (!indent)
			continue;
		r = rules_yaml_number(reader, indent, -1, INDENT_MAX, &rules->indents[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int document_read(struct rules_yaml_reader *reader, struct fy_node *root,
			 struct sops_creation_rules *rules)
{
	struct fy_node *creation, *stores;
	int r = 0;

	root = rules_yaml_resolve(root);
	if (rules_yaml_is_null(root))
		return 0;
	if (!fy_node_is_mapping(root))
		return rules_yaml_reject(reader, root, "must be a mapping with creation_rules");
	creation = rules_yaml_member(root, "creation_rules");
	stores = rules_yaml_member(root, "stores");
	if (creation)
		r = rules_read(reader, creation, rules);
	if (r == 0 && stores)
		r = stores_read(reader, stores, rules);
	return r;
}

/* The absolute folder of a path, with '/' at its end. The caller frees it; NULL without memory. */
static char *folder_of(const char *path)
{
	char *folder = path_absolute(path);

	if (folder)
		strrchr(folder, '/')[1] = '\0';
	return folder;
}

int sops_creation_rules_load(const char *path, struct sops_creation_rules **rules,
			     struct error *err)
{
	__attribute__((cleanup(sops_creation_rules_destroy))) struct sops_creation_rules *made =
		calloc(1, sizeof(*made));
	struct rules_yaml_reader reader = {.path = path, .err = err};
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	int r;

	if (!made)
		return error_no_memory(err);
	for (size_t i = 0; i < SOPS_STORES_LAID_OUT; i++)
		made->indents[i] = -1;
	made->path = strdup(path);
	made->folder = folder_of(path);
	if (!made->path || !made->folder)
		return error_no_memory(err);
	r = file_read_text(AT_FDCWD, path, FILE_SIZE_MAX, &text, &size, err);
	if (r == 0)
		r = rules_yaml_open(&reader, text, size);
	if (r == 0)
		r = document_read(&reader, rules_yaml_root(&reader), made);
	rules_yaml_close(&reader);
	if (r < 0)
		return r;
	*rules = made;
	made = NULL;
	return 0;
}

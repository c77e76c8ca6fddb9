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
#include "base/file.h"
#include "base/path.h"
#include "cli/vmcred-sops/creation_rules_file.h"
#include "cli/vmcred-sops/creation_rules_yaml.h"

const typeof(sops_stores_laid_out[0]) sops_stores_laid_out[SOPS_STORES_LAID_OUT] = {
	{"json", "json"},
	{"json_binary", "binary"},
	{"yaml", "yaml"},
};

/* A rule of ten thousand keys takes less than 1 MiB. */
#define FILE_SIZE_MAX ((size_t)16 * 1024 * 1024)

/* More columns than anybody's screen has. */
#define INDENT_MAX 1000

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
	return r < 0 ? r : rules_keys_read(reader, node, &rule->policy);
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

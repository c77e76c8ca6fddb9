/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "cli/vmcred-sops/creation_rules_file.h"

const struct sops_store_layout sops_stores_laid_out[SOPS_STORES_LAID_OUT] = {
	{"json", "json"},
	{"json_binary", "binary"},
	{"yaml", "yaml"},
};

/* A rule of ten thousand keys takes less than 1 MiB. */
#define FILE_SIZE_MAX ((size_t)16 * 1024 * 1024)

/* Wider than any screen. */
#define INDENT_MAX 1000

int rules_reject_text(const struct rules_reader *reader, const struct yaml_node *node, char *text)
{
	int r = text ? error_set(reader->err, VMCRED_USAGE, "%s:%u: %s", reader->yaml.name,
				 node->line, text)
		     : error_no_memory(reader->err);

	free(text);
	return r;
}

int rules_mapping_check(const struct rules_reader *reader, const struct yaml_node *node,
			const char *what)
{
	if (node->kind != YAML_MAPPING)
		return rules_reject(reader, node, "%s must be a mapping", what);
	return yaml_mapping_check(&reader->yaml, node, reader->err);
}

const struct yaml_node *rules_member(const struct yaml_node *mapping, const char *key)
{
	const struct yaml_node *found = yaml_member(mapping, key);

	return found && !yaml_is_null(found) ? found : NULL;
}

const struct yaml_node *rules_item(const struct yaml_node *list, const struct yaml_node *at)
{
	while (at < yaml_end(list) && yaml_is_null(yaml_target(at)))
		at = yaml_end(at);
	return at < yaml_end(list) ? at : NULL;
}

char *rules_text(const struct rules_reader *reader, const struct yaml_node *node)
{
	struct span text = yaml_target(node)->value;
	char *copy = NULL;

	if (yaml_target(node)->kind != YAML_SCALAR)
		rules_reject(reader, node, "must be a string");
	else if (!(copy = strndup((const char *)text.data, text.size)))
		error_no_memory(reader->err);
	return copy;
}

static int bool_read(const struct rules_reader *reader, const struct yaml_node *node, bool *value)
{
	/* go-yaml accepts the booleans of YAML 1.1 where a boolean is expected, also in quotes.
	 * Those of YAML 1.2, which come first, are strings there. */
	static const char *const words[][2] = {
		{"false", "true"}, {"False", "True"}, {"FALSE", "TRUE"}, {"no", "yes"},
		{"No", "Yes"},     {"NO", "YES"},     {"off", "on"},     {"Off", "On"},
		{"OFF", "ON"},     {"n", "y"},        {"N", "Y"},
	};
	static const size_t plain_only = 3;
	_cleanup_free_ char *text = rules_text(reader, node);

	if (!text)
		return -(int)reader->err->code;
	for (size_t i = yaml_target(node)->quoted ? plain_only : 0;
	     i < sizeof(words) / sizeof(words[0]); i++) {
		*value = strcmp(text, words[i][1]) == 0;
		if (*value || strcmp(text, words[i][0]) == 0)
			return 0;
	}
	return rules_reject(reader, node, "must be true or false, not \"%s\"", text);
}

static int number_read(const struct rules_reader *reader, const struct yaml_node *node, long least,
		       long most, long *value)
{
	const struct yaml_node *scalar = yaml_target(node);
	struct yaml_scalar number = {0};
	int r = scalar->kind == YAML_SCALAR && !scalar->quoted
			? yaml_resolve(scalar->tag, scalar->value, &number, reader->err)
			: 0;

	if (r < 0)
		return r;
	*value = number.negative ? -(long)number.integer : (long)number.integer;
	if (number.type != YAML_INT || number.integer > INT_MAX || *value < least || *value > most)
		return rules_reject(reader, node, "must be an integer from %ld to %ld", least,
				    most);
	return 0;
}

/* What is encrypted; a rule with two such keys is contradictory. */
static int selection_read(struct rules_reader *reader, const struct yaml_node *node,
			  struct sops_creation_rule *rule)
{
	const struct yaml_node *only = rules_member(node, "mac_only_encrypted");

	for (int i = SOPS_EVERYTHING + 1; i <= SOPS_ENCRYPTED_COMMENT_REGEX; i++) {
		const struct yaml_node *member =
			rules_member(node, sops_rule_name((enum sops_rule)i));
		_cleanup_free_ char *text = member ? rules_text(reader, member) : NULL;
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
	return only ? bool_read(reader, only, &rule->policy.mac_only_encrypted) : 0;
}

static int rule_read(struct rules_reader *reader, const struct yaml_node *node,
		     struct sops_creation_rule *rule)
{
	const struct yaml_node *regex, *threshold;
	long number = 0;
	int r;

	node = yaml_target(node);
	rule->line = (int)node->line;
	r = rules_mapping_check(reader, node, "a rule");
	if (r < 0)
		return r;
	regex = rules_member(node, "path_regex");
	rule->path_regex = regex ? rules_text(reader, regex) : NULL;
	if (regex && !rule->path_regex)
		return -(int)reader->err->code;
	threshold = rules_member(node, "shamir_threshold");
	if (threshold)
		r = number_read(reader, threshold, 0, UCHAR_MAX, &number);
	rule->policy.shamir_threshold = (unsigned int)number;
	if (r == 0)
		r = selection_read(reader, node, rule);
	return r < 0 ? r : rules_keys_read(reader, node, &rule->policy);
}

static int stores_read(struct rules_reader *reader, const struct yaml_node *node,
		       struct sops_creation_rules *rules)
{
	int r = rules_mapping_check(reader, node, "stores");

	for (size_t i = 0; r == 0 && i < SOPS_STORES_LAID_OUT; i++) {
		const char *name = sops_stores_laid_out[i].name;
		const struct yaml_node *store = rules_member(node, name), *indent;

		r = store ? rules_mapping_check(reader, store, name) : 0;
		indent = store && r == 0 ? rules_member(store, "indent") : NULL;
		if (indent)
			r = number_read(reader, indent, -1, INDENT_MAX, &rules->indents[i]);
	}
	return r;
}

static int document_read(struct rules_reader *reader, struct sops_creation_rules *rules)
{
	const struct yaml_node *root = yaml_root(&reader->yaml), *list, *stores;
	int r;

	if (!root || yaml_is_null(root))
		return 0;
	r = rules_mapping_check(reader, root, "the document");
	if (r < 0)
		return r;
	list = rules_member(root, "creation_rules");
	stores = rules_member(root, "stores");
	if (list) {
		if (list->kind != YAML_SEQUENCE)
			return rules_reject(reader, list, "creation_rules must be a list");
		rules->has_rules = true;
		rules->items = calloc(yaml_count(list) + 1, sizeof(*rules->items));
		if (!rules->items)
			return error_no_memory(reader->err);
		for (const struct yaml_node *item = rules_item(list, list + 1); r == 0 && item;
		     item = rules_item(list, yaml_end(item)))
			r = rule_read(reader, item, &rules->items[rules->count++]);
	}
	return r == 0 && stores ? stores_read(reader, stores, rules) : r;
}

int sops_creation_rules_load(const char *path, struct sops_creation_rules **rules,
			     struct error *err)
{
	_cleanup_sops_creation_rules_ struct sops_creation_rules *made = calloc(1, sizeof(*made));
	struct rules_reader reader = {.yaml = {.name = path, .invalid = VMCRED_USAGE}, .err = err};
	struct secret text = {0};
	int r;

	if (!made)
		return error_no_memory(err);
	for (size_t i = 0; i < SOPS_STORES_LAID_OUT; i++)
		made->indents[i] = -1;
	made->path = strdup(path);
	made->directory = path_absolute(path);
	if (!made->path || !made->directory)
		return error_no_memory(err);
	strrchr(made->directory, '/')[1] = '\0';
	r = file_read_secret(AT_FDCWD, path, FILE_SIZE_MAX, &text, err);
	if (r == 0)
		r = yaml_read(&reader.yaml, &text, err);
	if (r == 0)
		r = document_read(&reader, made);
	yaml_destroy(&reader.yaml);
	if (r < 0)
		return r;
	*rules = pointer_release(&made);
	return 0;
}

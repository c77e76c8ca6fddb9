/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred-sops/creation_rules_yaml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* An alias of an alias of an alias. */
#define ALIASES_MAX 16

/* Mappings merged into one, and into those. */
#define MERGED_MAX 100

static int parser_reject(const struct rules_yaml_reader *reader)
{
	const struct fy_diag_error *reason;
	void *iterator = NULL;

	reason = fy_diag_errors_iterate(reader->diag, &iterator);
	if (!reason)
		return error_set(reader->err, VMCRED_USAGE, "%s: not valid YAML", reader->path);
	return error_set(reader->err, VMCRED_USAGE, "%s:%d: not valid YAML: %s", reader->path,
			 reason->line, reason->msg);
}

/* Nothing but white space and comments, for which the parser has no document. */
static bool text_is_empty(const char *text)
{
	for (;;) {
		text += strspn(text, " \t\r\n");
		if (*text != '#')
			return *text == '\0';
		text += strcspn(text, "\n");
	}
}

/* libfyaml 0.7.12 does not come back from some directives that are malformed. */
static int directives_reject(const struct rules_yaml_reader *reader, const char *text)
{
	int line = 1;

	for (; *text; text++) {
		if (*text == '%')
			return error_set(reader->err, VMCRED_USAGE,
					 "%s:%d: YAML directives are not supported", reader->path,
					 line);
		text += strcspn(text, "\n");
		if (*text == '\0')
			break;
		line++;
	}
	return 0;
}

int rules_yaml_open(struct rules_yaml_reader *reader, const char *text, size_t size)
{
	struct fy_parse_cfg settings = {.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG};
	int r = directives_reject(reader, text);

	if (r < 0 || text_is_empty(text))
		return r;
	reader->diag = fy_diag_create(&(struct fy_diag_cfg){.level = FYET_ERROR});
	if (!reader->diag)
		return error_no_memory(reader->err);
	fy_diag_set_collect_errors(reader->diag, true);
	settings.diag = reader->diag;
	reader->document = fy_document_build_from_string(&settings, text, size);
	return reader->document ? 0 : parser_reject(reader);
}

void rules_yaml_close(struct rules_yaml_reader *reader)
{
	fy_document_destroy(reader->document);
	fy_diag_destroy(reader->diag);
	reader->document = NULL;
	reader->diag = NULL;
}

struct fy_node *rules_yaml_root(const struct rules_yaml_reader *reader)
{
	return reader->document ? fy_document_root(reader->document) : NULL;
}

struct fy_node *rules_yaml_resolve(struct fy_node *node)
{
	for (int i = 0; node && fy_node_is_alias(node) && i < ALIASES_MAX; i++) {
		struct fy_node *meant = fy_node_resolve_alias(node);

		if (!meant)
			break;
		node = meant;
	}
	return node;
}

bool rules_yaml_is_null(struct fy_node *node)
{
	size_t size = 0;
	const char *text;

	if (!node || fy_node_is_null(node))
		return true;
	if (!fy_node_is_scalar(node) || fy_node_is_alias(node))
		return false;
	if (fy_node_get_style(node) != FYNS_PLAIN)
		return false;
	text = fy_node_get_scalar(node, &size);
	return !text || size == 0 || (size == 1 && *text == '~') ||
	       (size == 4 && (memcmp(text, "null", 4) == 0 || memcmp(text, "Null", 4) == 0 ||
			      memcmp(text, "NULL", 4) == 0));
}

int rules_yaml_line(struct fy_node *node)
{
	struct fy_token *token = NULL;
	const struct fy_mark *mark;

	if (!node)
		return 0;
	if (fy_node_is_scalar(node))
		token = fy_node_get_scalar_token(node);
	else if (fy_node_is_mapping(node) && fy_node_mapping_item_count(node) > 0)
		return rules_yaml_line(fy_node_pair_key(fy_node_mapping_get_by_index(node, 0)));
	else if (fy_node_is_sequence(node) && fy_node_sequence_item_count(node) > 0)
		return rules_yaml_line(fy_node_sequence_get_by_index(node, 0));
	mark = token ? fy_token_start_mark(token) : NULL;
	return mark ? mark->line + 1 : 0;
}

static bool scalar_is(struct fy_node *node, const char *name)
{
	size_t size = 0;
	const char *text = node && fy_node_is_scalar(node) ? fy_node_get_scalar(node, &size) : NULL;

	return text && size == strlen(name) && memcmp(text, name, size) == 0;
}

static struct fy_node *own_member(struct fy_node *map, const char *name)
{
	struct fy_node_pair *pair;
	void *iterator = NULL;

	while ((pair = fy_node_mapping_iterate(map, &iterator))) {
		if (scalar_is(fy_node_pair_key(pair), name))
			return rules_yaml_resolve(fy_node_pair_value(pair));
	}
	return NULL;
}

/* `budget` is how many mappings may still be looked into: aliases of aliases grow without bounds.
 */
static struct fy_node *member_find(struct fy_node *map, const char *name, int *budget)
{
	struct fy_node *found, *merged, *item;
	void *iterator = NULL;

	map = rules_yaml_resolve(map);
	if (!map || !fy_node_is_mapping(map) || --*budget < 0)
		return NULL;
	found = own_member(map, name);
	merged = found ? NULL : own_member(map, "<<");
	if (!merged)
		return found;
	if (!fy_node_is_sequence(merged))
		return member_find(merged, name, budget);
	while (!found && *budget > 0 && (item = fy_node_sequence_iterate(merged, &iterator)))
		found = member_find(item, name, budget);
	return found;
}

struct fy_node *rules_yaml_member(struct fy_node *map, const char *name)
{
	int budget = MERGED_MAX;
	struct fy_node *found = member_find(map, name, &budget);

	return rules_yaml_is_null(found) ? NULL : found;
}

int rules_yaml_reject(const struct rules_yaml_reader *reader, struct fy_node *node,
		      const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	int line = rules_yaml_line(node);
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vasprintf(&text, format, arguments);
	va_end(arguments);
	if (length < 0) {
		text = NULL;
		return error_no_memory(reader->err);
	}
	if (line > 0)
		return error_set(reader->err, VMCRED_USAGE, "%s:%d: %s", reader->path, line, text);
	return error_set(reader->err, VMCRED_USAGE, "%s: %s", reader->path, text);
}

char *rules_yaml_text(const struct rules_yaml_reader *reader, struct fy_node *node)
{
	struct fy_node *resolved = rules_yaml_resolve(node);
	const char *text = NULL;
	size_t size = 0;
	char *copy;

	if (resolved && fy_node_is_scalar(resolved) && !fy_node_is_alias(resolved))
		text = fy_node_get_scalar(resolved, &size);
	if (!text) {
		rules_yaml_reject(reader, node, "must be a text");
		return NULL;
	}
	copy = strndup(text, size);
	if (!copy)
		error_no_memory(reader->err);
	return copy;
}

int rules_yaml_bool(const struct rules_yaml_reader *reader, struct fy_node *node, bool *value)
{
	/* YAML 1.1 has more words for it, and go-yaml takes them where a truth value is wanted. */
	static const char *const words[][2] = {
		{"false", "true"}, {"False", "True"}, {"FALSE", "TRUE"}, {"no", "yes"},
		{"No", "Yes"},     {"NO", "YES"},     {"off", "on"},     {"Off", "On"},
		{"OFF", "ON"},     {"n", "y"},        {"N", "Y"},
	};
	_cleanup_free_ char *text = rules_yaml_text(reader, node);

	if (!text)
		return -(int)reader->err->code;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		for (int j = 0; j < 2; j++) {
			if (strcmp(text, words[i][j]) == 0) {
				*value = j == 1;
				return 0;
			}
		}
	}
	return rules_yaml_reject(reader, node, "must be true or false, not \"%s\"", text);
}

int rules_yaml_number(const struct rules_yaml_reader *reader, struct fy_node *node, long least,
		      long most, long *value)
{
	_cleanup_free_ char *text = rules_yaml_text(reader, node);
	long number;
	char *end;

	if (!text)
		return -(int)reader->err->code;
	errno = 0;
	number = strtol(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || number < least || number > most ||
	    fy_node_get_style(node) != FYNS_PLAIN)
		return rules_yaml_reject(reader, node, "must be a whole number from %ld to %ld",
					 least, most);
	*value = number;
	return 0;
}

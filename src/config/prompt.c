/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <jansson.h>

#include "base/json.h"
#include "config/schema.h"

int schema_prompt(struct reader *reader, const char *name, const struct yaml_node *key,
		  const struct yaml_node *value, void *entry)
{
	static const char *const types[] = {
		[CONFIG_PROMPT_LINE] = "line",
		[CONFIG_PROMPT_HIDDEN] = "hidden",
		[CONFIG_PROMPT_MULTILINE] = "multiline",
		[CONFIG_PROMPT_MULTILINE_HIDDEN] = "multiline-hidden",
		NULL,
	};
	static const struct reader_key keys[] = {
		READER_WORD("type", types, struct config_prompt, type),
		READER_KEY("description", reader_string, struct config_prompt, description),
		READER_KEY("persist", reader_bool, struct config_prompt, persist),
		READER_KEY("name", schema_same_name, struct config_prompt, name),
		{.name = "display", .read = schema_display},
		{0},
	};
	struct config_prompt *prompt = entry;
	int r = schema_store_name(reader, "prompt", name, key, &prompt->name);

	prompt->line = (int)key->line;
	return r == 0 ? reader_mapping(reader, value, keys, prompt) : r;
}

/* clan allows two levels. Aliases are bounded too, since a value may have any number of them. */
#define VALIDATION_DEPTH_MAX 8
#define VALIDATION_NODES_MAX 100000

static json_t *node_json(const struct yaml_node *node, int depth, size_t *nodes);

/* A plain scalar is what JSON reads it as; anything else is a string. */
static json_t *scalar_json(const struct yaml_node *node)
{
	const char *text = (const char *)node->value.data;
	json_t *value = NULL;

	if (!node->quoted && node->value.size == 0)
		return json_null();
	if (!node->quoted)
		value = json_loadb(text, node->value.size, JSON_DECODE_ANY, NULL);
	return value && !json_is_string(value) ? value : json_stringn(text, node->value.size);
}

static json_t *mapping_json(const struct yaml_node *node, int depth, size_t *nodes)
{
	json_t *object = json_object();

	for (const struct yaml_node *key = node + 1; object && key < yaml_end(node);
	     key = yaml_end(yaml_end(key))) {
		const struct yaml_node *name = yaml_target(key);
		json_t *value = name->kind == YAML_SCALAR
					? node_json(yaml_end(key), depth + 1, nodes)
					: NULL;

		if (!value || json_object_setn_new(object, (const char *)name->value.data,
						   name->value.size, value) < 0) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

static json_t *sequence_json(const struct yaml_node *node, int depth, size_t *nodes)
{
	json_t *array = json_array();

	for (const struct yaml_node *item = node + 1; array && item < yaml_end(node);
	     item = yaml_end(item)) {
		json_t *value = node_json(item, depth + 1, nodes);

		if (!value || json_array_append_new(array, value) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static json_t *node_json(const struct yaml_node *node, int depth, size_t *nodes)
{
	node = yaml_target(node);
	if (depth > VALIDATION_DEPTH_MAX || ++*nodes > VALIDATION_NODES_MAX)
		return NULL;
	if (node->kind == YAML_MAPPING)
		return mapping_json(node, depth, nodes);
	return node->kind == YAML_SEQUENCE ? sequence_json(node, depth, nodes) : scalar_json(node);
}

/* Nix writes escaped characters in lower case, jansson in upper case. */
static void escapes_lower(char *text)
{
	for (char *at = strchr(text, '\\'); at; at = strchr(at + 2, '\\')) {
		for (int i = 2; at[1] == 'u' && i < 6; i++)
			at[i] = (char)tolower(at[i]);
	}
}

int schema_validation(struct reader *reader, const struct yaml_node *value, void *target)
{
	size_t nodes = 0;
	_cleanup_json_ json_t *json = node_json(value, 0, &nodes);
	char *text;

	if (!json)
		return reader_reject(reader, value,
				     "must be a value with at most %d levels and %d nodes",
				     VALIDATION_DEPTH_MAX, VALIDATION_NODES_MAX);
	if (json_is_null(json))
		return 0;
	text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
	text = schema_text_take(reader->config, text, reader->err);
	if (!text)
		return -(int)reader->err->code;
	escapes_lower(text);
	*(char **)target = text;
	return 0;
}

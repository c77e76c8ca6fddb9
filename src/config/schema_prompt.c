/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "config/schema.h"

static int read_type(struct reader *reader, struct fy_node *value, void *target)
{
	static const char *const words[] = {
		[CONFIG_PROMPT_LINE] = "line",
		[CONFIG_PROMPT_HIDDEN] = "hidden",
		[CONFIG_PROMPT_MULTILINE] = "multiline",
		[CONFIG_PROMPT_MULTILINE_HIDDEN] = "multiline-hidden",
		NULL,
	};
	int word;
	int r = reader_word(reader, value, words, &word);

	if (r == 0)
		*(enum config_prompt_type *)target = (enum config_prompt_type)word;
	return r;
}

int schema_prompt(struct reader *reader, const char *name, struct fy_node *key,
		  struct fy_node *value, void *entry)
{
	static const struct reader_key keys[] = {
		{"type", read_type, offsetof(struct config_prompt, type)},
		{"description", reader_string, offsetof(struct config_prompt, description)},
		{"persist", reader_bool, offsetof(struct config_prompt, persist)},
		{"name", schema_same_name, offsetof(struct config_prompt, name)},
		{"display", schema_display, 0},
		{0},
	};
	struct config_prompt *prompt = entry;
	int r = schema_store_name(reader, "prompt", name, key, &prompt->name);

	prompt->line = reader_line(key);
	return r == 0 ? reader_mapping(reader, value, keys, prompt) : r;
}

/* Deeper than the two levels that clan takes, and little enough for a recursion. */
#define VALIDATION_DEPTH_MAX 8

static json_t *node_json(struct fy_node *node, int depth);

/* A plain scalar is what JSON would take it for; anything else is a text. */
static json_t *scalar_json(struct fy_node *node)
{
	size_t length = 0;
	const char *text = fy_node_get_scalar(node, &length);
	json_t *value = NULL;

	if (!text)
		return json_null();
	if (fy_node_get_style(node) == FYNS_PLAIN)
		value = json_loadb(text, length, JSON_DECODE_ANY, NULL);
	return value && !json_is_string(value) ? value : json_stringn(text, length);
}

static json_t *mapping_json(struct fy_node *node, int depth)
{
	json_t *object = json_object();
	struct fy_node_pair *pair;
	void *iterator = NULL;

	while (object && (pair = fy_node_mapping_iterate(node, &iterator))) {
		size_t length = 0;
		const char *key = fy_node_get_scalar(fy_node_pair_key(pair), &length);
		json_t *value = key ? node_json(fy_node_pair_value(pair), depth + 1) : NULL;

		if (!value || json_object_setn_new(object, key, length, value) < 0) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

static json_t *sequence_json(struct fy_node *node, int depth)
{
	json_t *array = json_array();
	struct fy_node *item;
	void *iterator = NULL;

	while (array && (item = fy_node_sequence_iterate(node, &iterator))) {
		json_t *value = node_json(item, depth + 1);

		if (!value || json_array_append_new(array, value) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static json_t *node_json(struct fy_node *node, int depth)
{
	node = reader_resolve(node);
	if (depth > VALIDATION_DEPTH_MAX || (node && fy_node_is_alias(node)))
		return NULL;
	if (node && fy_node_is_mapping(node))
		return mapping_json(node, depth);
	if (node && fy_node_is_sequence(node))
		return sequence_json(node, depth);
	return node ? scalar_json(node) : json_null();
}

/* Nix writes an escaped character with small letters, jansson with capital ones. */
static void escapes_lower(char *text)
{
	for (char *at = strchr(text, '\\'); at; at = strchr(at + 2, '\\')) {
		for (int i = 2; at[1] == 'u' && i < 6; i++)
			at[i] = (char)tolower(at[i]);
	}
}

int schema_validation(struct reader *reader, struct fy_node *value, void *target)
{
	_cleanup_json_ json_t *json = node_json(value, 0);
	char *text;

	if (!json)
		return reader_reject(reader, value, "must be a value of at most %d levels",
				     VALIDATION_DEPTH_MAX);
	if (json_is_null(json))
		return 0;
	text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
	if (!text)
		return error_no_memory(reader->err);
	escapes_lower(text);
	free(*(char **)target);
	*(char **)target = text;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "config/reader.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/name.h"

#define KEYS_MAX 24

/* A declaration is written by hand or by Nix: an anchor that refers to itself is no use to either.
 */
#define LIST_MAX 100000

/* An alias of an alias of an alias. */
#define ALIASES_MAX 16

struct fy_node *reader_resolve(struct fy_node *node)
{
	for (int i = 0; node && fy_node_is_alias(node) && i < ALIASES_MAX; i++) {
		struct fy_node *meant = fy_node_resolve_alias(node);

		/* An alias without an anchor stays one, which nothing takes for a value. */
		if (!meant)
			break;
		node = meant;
	}
	return node;
}

int reader_line(struct fy_node *node)
{
	struct fy_token *token = NULL;
	const struct fy_mark *mark;

	if (fy_node_is_scalar(node))
		token = fy_node_get_scalar_token(node);
	if (token)
		mark = fy_token_start_mark(token);
	else if (fy_node_is_mapping(node) && fy_node_mapping_item_count(node) > 0)
		return reader_line(fy_node_pair_key(fy_node_mapping_get_by_index(node, 0)));
	else if (fy_node_is_sequence(node) && fy_node_sequence_item_count(node) > 0)
		return reader_line(fy_node_sequence_get_by_index(node, 0));
	else
		mark = NULL;
	return mark ? mark->line + 1 : 0;
}

int reader_reject(struct reader *reader, struct fy_node *node, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	int line = node ? reader_line(node) : 0;
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vasprintf(&text, format, arguments);
	va_end(arguments);
	if (length < 0) {
		text = NULL;
		return error_no_memory(reader->err);
	}
	error_set(reader->err, VMCRED_USAGE, "%s", text);
	if (*reader->where)
		error_wrap(reader->err, "%s", reader->where);
	if (line > 0)
		return error_wrap(reader->err, "%s:%d", reader->path, line);
	return error_wrap(reader->err, "%s", reader->path);
}

char *reader_enter(struct reader *reader, const char *name)
{
	char *previous = reader->where, *where = NULL;

	if (asprintf(&where, "%s%s%s", previous, *previous ? "." : "", name) < 0) {
		error_no_memory(reader->err);
		return NULL;
	}
	reader->where = where;
	return previous;
}

void reader_leave(struct reader *reader, char *previous)
{
	free(reader->where);
	reader->where = previous;
}

/* A scalar's text in new memory, with the error set where it is none. */
static char *scalar_text(struct reader *reader, struct fy_node *node, const char *what)
{
	size_t length = 0;
	const char *text = NULL;
	char *copy;
	struct fy_node *resolved = reader_resolve(node);

	if (resolved && fy_node_is_scalar(resolved) && !fy_node_is_alias(resolved))
		text = fy_node_get_scalar(resolved, &length);
	if (!text) {
		reader_reject(reader, node, "must be %s", what);
		return NULL;
	}
	if (memchr(text, '\0', length)) {
		reader_reject(reader, node, "has a NUL character in it");
		return NULL;
	}
	copy = strndup(text, length);
	if (!copy)
		error_no_memory(reader->err);
	return copy;
}

/* "a, b, c", cut where there is no more room. */
static void names_join(const char *const *names, char *text, size_t size)
{
	size_t length = 0;

	text[0] = '\0';
	for (size_t i = 0; names[i] && length < size; i++)
		length += (size_t)snprintf(text + length, size - length, "%s%s", i > 0 ? ", " : "",
					   names[i]);
}

static int key_unknown(struct reader *reader, struct fy_node *node, const char *name,
		       const struct reader_key *keys)
{
	const char *names[KEYS_MAX + 1] = {NULL};
	const char *nearest, *foreign = reader_foreign_hint(name);
	char known[512];

	for (size_t i = 0; i < KEYS_MAX && keys[i].name; i++)
		names[i] = keys[i].name;
	nearest = name_nearest(name, names);
	reader_reject(reader, node, "unknown key \"%s\"", name);
	if (foreign)
		return error_hint(reader->err, "%s", foreign);
	if (nearest)
		return error_hint(reader->err, "did you mean \"%s\"?", nearest);
	names_join(names, known, sizeof(known));
	return error_hint(reader->err, "the keys here are %s", known);
}

static int key_read(struct reader *reader, struct fy_node_pair *pair, const struct reader_key *keys,
		    void *target)
{
	struct fy_node *key = fy_node_pair_key(pair), *value = fy_node_pair_value(pair);
	_cleanup_free_ char *name = scalar_text(reader, key, "a mapping with names as keys");
	const struct reader_key *row = keys;
	char *previous;
	int r;

	if (!name)
		return -(int)reader->err->code;
	while (row->name && strcmp(row->name, name) != 0)
		row++;
	if (!row->name)
		return key_unknown(reader, key, name, keys);
	previous = reader_enter(reader, name);
	if (!previous)
		return -(int)reader->err->code;
	r = row->read(reader, value, (char *)target + row->offset);
	reader_leave(reader, previous);
	return r;
}

static int keys_compare(const void *a, const void *b)
{
	size_t left_size = 0, right_size = 0;
	const char *left = fy_node_get_scalar(*(struct fy_node *const *)a, &left_size);
	const char *right = fy_node_get_scalar(*(struct fy_node *const *)b, &right_size);
	size_t size = left_size < right_size ? left_size : right_size;
	int order = size > 0 ? memcmp(left, right, size) : 0;

	return order != 0 ? order : (left_size > right_size) - (left_size < right_size);
}

/* A key that stands twice would be two things at once. Keys that are no text are refused later. */
static int keys_unique(struct reader *reader, struct fy_node *mapping)
{
	int items = fy_node_mapping_item_count(mapping);
	_cleanup_free_ struct fy_node **keys = NULL;
	struct fy_node_pair *pair;
	void *iterator = NULL;
	size_t count = 0;

	keys = calloc((size_t)(items > 0 ? items : 0) + 1, sizeof(struct fy_node *));
	if (!keys)
		return error_no_memory(reader->err);
	while ((pair = fy_node_mapping_iterate(mapping, &iterator))) {
		struct fy_node *key = reader_resolve(fy_node_pair_key(pair));

		if (key && fy_node_is_scalar(key) && !fy_node_is_alias(key))
			keys[count++] = key;
	}
	qsort(keys, count, sizeof(struct fy_node *), keys_compare);
	for (size_t i = 1; i < count; i++) {
		size_t size = 0;
		const char *text;

		if (keys_compare(&keys[i - 1], &keys[i]) != 0)
			continue;
		text = fy_node_get_scalar(keys[i], &size);
		if (reader_line(keys[i - 1]) > reader_line(keys[i]))
			i--;
		return reader_reject(reader, keys[i], "has the key \"%.*s\" twice", (int)size,
				     text ? text : "");
	}
	return 0;
}

int reader_mapping(struct reader *reader, struct fy_node *node, const struct reader_key *keys,
		   void *target)
{
	struct fy_node_pair *pair;
	void *iterator = NULL;

	node = reader_resolve(node);
	/* `test-vm:` with nothing behind it is an empty mapping, as people write it. */
	if (!node || fy_node_is_null(node))
		return 0;
	if (!fy_node_is_mapping(node))
		return reader_reject(reader, node, "must be a mapping");
	if (keys_unique(reader, node) < 0)
		return -(int)reader->err->code;
	while ((pair = fy_node_mapping_iterate(node, &iterator))) {
		int r = key_read(reader, pair, keys, target);

		if (r < 0)
			return r;
	}
	return 0;
}

int reader_entries(struct reader *reader, struct fy_node *node, size_t entry_size,
		   int (*read)(struct reader *reader, const char *name, struct fy_node *key,
			       struct fy_node *value, void *entry),
		   void **entries, size_t *count)
{
	struct fy_node_pair *pair;
	void *iterator = NULL;
	int items, r;

	node = reader_resolve(node);
	if (!node || fy_node_is_null(node))
		return 0;
	if (!fy_node_is_mapping(node))
		return reader_reject(reader, node, "must be a mapping of names");
	items = fy_node_mapping_item_count(node);
	if (items <= 0)
		return 0;
	if (items > LIST_MAX)
		return reader_reject(reader, node, "has more than %d entries", LIST_MAX);
	if (keys_unique(reader, node) < 0)
		return -(int)reader->err->code;
	*entries = calloc((size_t)items, entry_size);
	if (!*entries)
		return error_no_memory(reader->err);
	while ((pair = fy_node_mapping_iterate(node, &iterator))) {
		struct fy_node *key = fy_node_pair_key(pair);
		_cleanup_free_ char *name = scalar_text(reader, key, "a mapping of names");
		char *previous;

		if (!name)
			return -(int)reader->err->code;
		previous = reader_enter(reader, name);
		if (!previous)
			return -(int)reader->err->code;
		/* Counted before it is read: what a failed read left in it is released with the
		 * rest. */
		r = read(reader, name, key, fy_node_pair_value(pair),
			 (char *)*entries + (*count)++ * entry_size);
		reader_leave(reader, previous);
		if (r < 0)
			return r;
	}
	return 0;
}

int reader_string(struct reader *reader, struct fy_node *value, void *target)
{
	char *text = scalar_text(reader, value, "a text");

	if (!text)
		return -(int)reader->err->code;
	free(*(char **)target);
	*(char **)target = text;
	return 0;
}

int reader_bool(struct reader *reader, struct fy_node *value, void *target)
{
	_cleanup_free_ char *text = scalar_text(reader, value, "true or false");

	if (!text)
		return -(int)reader->err->code;
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return reader_reject(reader, value, "must be true or false, not \"%s\"", text);
	*(bool *)target = strcmp(text, "true") == 0;
	return 0;
}

int reader_strings(struct reader *reader, struct fy_node *value, void *target)
{
	struct fy_node *item;
	void *iterator = NULL;
	size_t used = 0;
	int count;

	value = reader_resolve(value);
	if (!value || fy_node_is_null(value))
		return 0;
	if (!fy_node_is_sequence(value))
		return reader_reject(reader, value, "must be a list");
	count = fy_node_sequence_item_count(value);
	if (count < 0 || count > LIST_MAX)
		return reader_reject(reader, value, "has more than %d entries", LIST_MAX);
	config_texts_free(*(char ***)target);
	*(char ***)target = calloc((size_t)count + 1, sizeof(char *));
	if (!*(char ***)target)
		return error_no_memory(reader->err);
	while ((item = fy_node_sequence_iterate(value, &iterator))) {
		char *text = scalar_text(reader, item, "a list of texts");

		if (!text)
			return -(int)reader->err->code;
		(*(char ***)target)[used++] = text;
	}
	return 0;
}

int reader_number(struct reader *reader, struct fy_node *value, size_t least, size_t most,
		  size_t *number)
{
	_cleanup_free_ char *text = scalar_text(reader, value, "a whole number");
	unsigned long long parsed;
	char *end;

	if (!text)
		return -(int)reader->err->code;
	errno = 0;
	parsed = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0' || text[0] < '0' || text[0] > '9' || parsed < least ||
	    parsed > most)
		return reader_reject(reader, value,
				     "must be a whole number from %zu to %zu, not \"%s\"", least,
				     most, text);
	*number = (size_t)parsed;
	return 0;
}

/* "a", "b" or "c"; NULL without memory. The caller frees it. */
static char *words_list(const char *const *words)
{
	char *list = strdup("");

	for (size_t i = 0; list && words[i]; i++) {
		_cleanup_free_ char *before = list;
		const char *joint = !words[i + 1] ? " or " : ", ";

		if (asprintf(&list, "%s%s\"%s\"", before, i > 0 ? joint : "", words[i]) < 0)
			list = NULL;
	}
	return list;
}

int reader_word(struct reader *reader, struct fy_node *value, const char *const *words, int *word)
{
	_cleanup_free_ char *text = scalar_text(reader, value, "a word"), *list = NULL;

	if (!text)
		return -(int)reader->err->code;
	for (*word = 0; words[*word]; (*word)++) {
		if (strcmp(words[*word], text) == 0)
			return 0;
	}
	list = words_list(words);
	if (!list)
		return error_no_memory(reader->err);
	return reader_reject(reader, value, "must be %s, not \"%s\"", list, text);
}

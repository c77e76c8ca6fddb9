/* SPDX-License-Identifier: Apache-2.0 */
#include "config/reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/name.h"
#include "config/schema.h"

/* The largest table, and a limit for lists. */
#define KEYS_MAX 24
#define LIST_MAX 100000

int reader_wrap(struct reader *reader, const struct yaml_node *node)
{
	_cleanup_free_ char *path = NULL;

	for (const struct reader_where *where = reader->where; where; where = where->parent) {
		_cleanup_free_ char *rest = path;

		path = text_format("%s%s%s", where->name, rest ? "." : "", rest ? rest : "");
		if (!path)
			return error_no_memory(reader->err);
	}
	if (path)
		error_wrap(reader->err, "%s", path);
	return error_wrap(reader->err, "%s:%u", reader->path, node->line);
}

int reader_reject_text(struct reader *reader, const struct yaml_node *node, char *text)
{
	if (!text)
		return error_no_memory(reader->err);
	error_set(reader->err, VMCRED_USAGE, "%s", text);
	free(text);
	return reader_wrap(reader, node);
}

int reader_reject_line_text(struct reader *reader, int line, char *text)
{
	int r = text ? error_set(reader->err, VMCRED_USAGE, "%s:%d: %s", reader->path, line, text)
		     : error_no_memory(reader->err);

	free(text);
	return r;
}

int reader_hint_nearest(struct error *err, const char *name, const void *entries, size_t count,
			size_t entry_size)
{
	_cleanup_free_ const char **names = calloc(count + 1, sizeof(char *));
	size_t used = 0;

	if (!names)
		return error_no_memory(err);
	for (size_t i = 0; i < count; i++) {
		memcpy(&names[used], (const char *)entries + i * entry_size, sizeof(names[used]));
		/* Variants of a generator have the same name. */
		used += used == 0 || strcmp(names[used], names[used - 1]) != 0;
	}
	names[used] = NULL;
	return name_hint(name, names, err);
}

static int node_count(struct reader *reader, const struct yaml_node *node)
{
	if (reader->nodes_left == 0)
		return reader_reject(reader, node, "excessive aliasing");
	reader->nodes_left--;
	return 0;
}

/* A value is missing, as after `test-vm:`. */
static bool is_missing(const struct yaml_node *node)
{
	return node->kind == YAML_SCALAR && node->value.size == 0 && !node->quoted;
}

/* Only an escape in quotes can be a NUL. */
static bool has_nul(const struct yaml_node *scalar)
{
	return scalar->quoted && memchr(scalar->value.data, '\0', scalar->value.size);
}

/* A scalar's text, or NULL with the error set. */
static char *scalar_text(struct reader *reader, const struct yaml_node *node, const char *what)
{
	const struct yaml_node *scalar = yaml_target(node);
	char *text = NULL;

	if (node_count(reader, node) < 0)
		return NULL;
	if (scalar->kind != YAML_SCALAR || is_missing(scalar)) {
		reader_reject(reader, node, "must be %s", what);
	} else if (has_nul(scalar)) {
		reader_reject(reader, node, "contains a NUL character");
	} else {
		text = schema_text(reader->config, (const char *)scalar->value.data,
				   scalar->value.size, reader->err);
	}
	return text;
}

static int key_unknown(struct reader *reader, const struct yaml_node *node, const char *name,
		       const struct reader_key *keys)
{
	const char *names[KEYS_MAX + 1] = {NULL};
	const char *nearest, *foreign = schema_foreign_hint(name);
	_cleanup_free_ char *known = NULL;
	size_t count = 0;

	for (; count < KEYS_MAX && keys[count].name; count++)
		names[count] = keys[count].name;
	nearest = name_nearest(name, names);
	reader_reject(reader, node, "unknown key \"%s\"", name);
	if (foreign)
		return error_hint(reader->err, "%s", foreign);
	if (nearest)
		return error_hint(reader->err, "did you mean \"%s\"?", nearest);
	known = strings_join(&(struct strings){(char **)names, count}, ", ");
	return error_hint(reader->err, "known keys: %s", known ? known : "");
}

/* Checks a mapping; returns 1, or 0 if it is missing, which is an empty mapping. */
static int mapping_begin(struct reader *reader, const struct yaml_node *node)
{
	const struct yaml_node *repeated;

	if (is_missing(node))
		return 0;
	if (node->kind != YAML_MAPPING)
		return reader_reject(reader, node, "must be a mapping");
	if (yaml_key_repeated(node, &repeated, reader->err) < 0)
		return -(int)reader->err->code;
	if (repeated)
		return reader_reject(reader, repeated, "duplicate key \"%.*s\"",
				     (int)repeated->value.size, (const char *)repeated->value.data);
	return 1;
}

/* Longer keys are rare. */
#define NAME_SIZE_MAX 64

/* A key's text, in `buffer` if it fits. */
static inline const char *key_text(struct reader *reader, const struct yaml_node *key,
				   const char *what, char buffer[NAME_SIZE_MAX])
{
	const struct yaml_node *scalar = yaml_target(key);
	const size_t size = scalar->value.size;

	if (scalar->kind != YAML_SCALAR || size == 0 || size >= NAME_SIZE_MAX || has_nul(scalar) ||
	    reader->nodes_left == 0)
		return scalar_text(reader, key, what);
	reader->nodes_left--;
	memcpy(buffer, scalar->value.data, size);
	buffer[size] = '\0';
	return buffer;
}

int reader_mapping(struct reader *reader, const struct yaml_node *node,
		   const struct reader_key *keys, void *target)
{
	int r;

	node = yaml_target(node);
	r = mapping_begin(reader, node);
	if (r <= 0)
		return r;
	for (const struct yaml_node *key = node + 1; key < yaml_end(node);
	     key = yaml_end(yaml_end(key))) {
		char buffer[NAME_SIZE_MAX];
		const char *name = key_text(reader, key, "a mapping with names as keys", buffer);
		struct reader_where here = {reader->where, name};
		const struct reader_key *row = keys;

		if (!name)
			return -(int)reader->err->code;
		while (row->name && (row->name[0] != name[0] || strcmp(row->name, name) != 0))
			row++;
		if (!row->name)
			return key_unknown(reader, key, name, keys);
		reader->where = &here;
		r = reader_key_value(reader, row, yaml_end(key), target);
		reader->where = here.parent;
		if (r < 0)
			return r;
	}
	return 0;
}

/* An empty list is not a list of entries, but an invalid entry. */
static bool is_entry_list(const struct reader_key *row, const struct yaml_node *value)
{
	return row->lists && value->kind == YAML_SEQUENCE && yaml_count(value) > 0;
}

static size_t entries_count(const struct reader_key *row, const struct yaml_node *node)
{
	size_t count = 0;

	for (const struct yaml_node *key = node + 1; key < yaml_end(node);
	     key = yaml_end(yaml_end(key))) {
		const struct yaml_node *value = yaml_target(yaml_end(key));

		count += is_entry_list(row, value) ? yaml_count(value) : 1;
	}
	return count;
}

/* Reads an entry, or a list of them, into the next unused ones. */
static int entry_read(struct reader *reader, const struct reader_key *row, const char *name,
		      const struct yaml_node *key, char *entries, size_t *used)
{
	const struct yaml_node *value = yaml_end(key), *list = yaml_target(value);
	int r = 0;

	if (!is_entry_list(row, list))
		return row->entry(reader, name, key, value, entries + (*used)++ * row->entry_size);
	for (const struct yaml_node *item = list + 1; r == 0 && item < yaml_end(list);
	     item = yaml_end(item))
		r = row->entry(reader, name, item, item, entries + (*used)++ * row->entry_size);
	return r;
}

static int entries_read(struct reader *reader, const struct yaml_node *node,
			const struct reader_key *row, void *target)
{
	size_t *used = (void *)((char *)target + row->count_offset), count;
	char **entries = (void *)((char *)target + row->offset);
	int r;

	node = yaml_target(node);
	r = mapping_begin(reader, node);
	count = r > 0 ? entries_count(row, node) : 0;
	if (count > LIST_MAX)
		return reader_reject(reader, node, "more than %d entries", LIST_MAX);
	if (count == 0)
		return r < 0 ? r : 0;
	*entries = schema_allocate(reader->config, count, row->entry_size, reader->err);
	if (!*entries)
		return -(int)reader->err->code;
	for (const struct yaml_node *key = node + 1; key < yaml_end(node);
	     key = yaml_end(yaml_end(key))) {
		char buffer[NAME_SIZE_MAX];
		const char *name = key_text(reader, key, "a mapping of names", buffer);
		struct reader_where here = {reader->where, name};

		if (!name)
			return -(int)reader->err->code;
		reader->where = &here;
		r = entry_read(reader, row, name, key, *entries, used);
		reader->where = here.parent;
		if (r < 0)
			return r;
	}
	return 0;
}

static int word_read(struct reader *reader, const struct yaml_node *value, const char *const *words,
		     unsigned int *index)
{
	const char *text = scalar_text(reader, value, "a word");
	_cleanup_free_ char *list = strdup("");

	if (!text)
		return -(int)reader->err->code;
	for (*index = 0; words[*index]; (*index)++) {
		if (strcmp(words[*index], text) == 0)
			return 0;
	}
	for (size_t i = 0; list && words[i]; i++) {
		_cleanup_free_ char *before = list;

		list = text_format("%s%s\"%s\"", before,
				   i == 0         ? ""
				   : words[i + 1] ? ", "
						  : " or ",
				   words[i]);
	}
	return list ? reader_reject(reader, value, "must be %s, not \"%s\"", list, text)
		    : error_no_memory(reader->err);
}

static int number_read(struct reader *reader, const struct yaml_node *value, size_t most,
		       size_t *number)
{
	const char *text = scalar_text(reader, value, "an integer");
	unsigned long long parsed;
	char *end;

	if (!text)
		return -(int)reader->err->code;
	errno = 0;
	parsed = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0' || text[0] < '0' || text[0] > '9' || parsed < 1 ||
	    parsed > most)
		return reader_reject(reader, value, "must be an integer from 1 to %zu, not \"%s\"",
				     most, text);
	*number = (size_t)parsed;
	return 0;
}

int reader_key_value(struct reader *reader, const struct reader_key *key,
		     const struct yaml_node *value, void *target)
{
	char *member = (char *)target + key->offset;

	if (node_count(reader, value) < 0)
		return -(int)reader->err->code;
	if (key->entry)
		return entries_read(reader, value, key, target);
	if (key->words)
		return word_read(reader, value, key->words, (unsigned int *)(void *)member);
	if (key->most > 0)
		return number_read(reader, value, key->most, (size_t *)(void *)member);
	return key->read(reader, value, member);
}

int reader_ignore(struct reader *reader, const struct yaml_node *value, void *target)
{
	(void)reader;
	(void)value;
	(void)target;
	return 0;
}

int reader_string(struct reader *reader, const struct yaml_node *value, void *target)
{
	char *text = scalar_text(reader, value, "a string");

	if (!text)
		return -(int)reader->err->code;
	*(char **)target = text;
	return 0;
}

int reader_bool(struct reader *reader, const struct yaml_node *value, void *target)
{
	const char *text = scalar_text(reader, value, "true or false");

	if (!text)
		return -(int)reader->err->code;
	*(bool *)target = strcmp(text, "true") == 0;
	if (!*(bool *)target && strcmp(text, "false") != 0)
		return reader_reject(reader, value, "must be true or false, not \"%s\"", text);
	return 0;
}

int reader_strings(struct reader *reader, const struct yaml_node *value, void *target)
{
	size_t used = 0, count;
	char **texts;

	value = yaml_target(value);
	if (is_missing(value))
		return 0;
	if (value->kind != YAML_SEQUENCE)
		return reader_reject(reader, value, "must be a list");
	count = yaml_count(value);
	if (count > LIST_MAX)
		return reader_reject(reader, value, "more than %d entries", LIST_MAX);
	texts = schema_allocate(reader->config, count + 1, sizeof(char *), reader->err);
	if (!texts)
		return -(int)reader->err->code;
	*(char ***)target = texts;
	for (const struct yaml_node *item = value + 1; item < yaml_end(value);
	     item = yaml_end(item)) {
		texts[used] = scalar_text(reader, item, "a list of strings");
		if (!texts[used++])
			return -(int)reader->err->code;
	}
	return 0;
}

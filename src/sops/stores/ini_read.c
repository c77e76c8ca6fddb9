/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "sops/stores/flat.h"
#include "sops/stores/ini.h"

/* A key of the current section. */
struct key {
	struct span name, value, comment;
	size_t order;  /* its position in the section */
	bool replaced; /* an earlier key of the same name has its value now */
};

struct reader {
	uint8_t *start, *at, *end; /* the text; values are joined in place */
	size_t line_number;
	const char *what;
	struct sops_tree *tree;
	struct secret comment; /* of the next key or section */
	struct span section, section_comment;
	struct key *keys; /* owned */
	size_t count, capacity;
	size_t anonymous; /* number of keys named "-" */
};

static void reader_destroy(struct reader *reader)
{
	secret_destroy(&reader->comment);
	free(reader->keys);
}

static int invalid(const struct reader *reader, const char *reason, struct error *err)
{
	return error_set(err, VMCRED_FAILED, "%s: line %zu: %s", reader->what, reader->line_number,
			 reason);
}

/* The next line with its line break; empty at the end. */
static struct span line_take(struct reader *reader)
{
	uint8_t *start = reader->at, *end = memchr(start, '\n', (size_t)(reader->end - start));

	reader->at = end ? end + 1 : reader->end;
	reader->line_number++;
	return span_of(start, (size_t)(reader->at - start));
}

static struct span span_from(struct span text, size_t from)
{
	return span_of(text.data + from, text.size - from);
}

/* The position of the first of some characters, or the size. */
static size_t find_any(struct span text, const char *characters)
{
	size_t i = 0;

	while (i < text.size && (text.data[i] == '\0' || !strchr(characters, text.data[i])))
		i++;
	return i;
}

static size_t find_first(struct span text, struct span needle)
{
	const uint8_t *found = memmem(text.data, text.size, needle.data, needle.size);

	return found ? (size_t)(found - text.data) : text.size;
}

static size_t find_last(struct span text, struct span needle)
{
	for (size_t i = text.size; i >= needle.size; i--) {
		size_t at = i - needle.size;

		if (memcmp(text.data + at, needle.data, needle.size) == 0)
			return at;
	}
	return text.size;
}

/* Removes the comment marks of the first line only, as in sops. */
static struct span comment_strip(struct span text)
{
	const char *marks = "";

	if (text.size > 0 && text.data[0] == ';')
		marks = "; ";
	else if (text.size > 0 && text.data[0] == '#')
		marks = "# ";
	while (text.size > 0 && text.data[0] != '\0' && strchr(marks, text.data[0]))
		text = span_from(text, 1);
	return text;
}

/* Returns the collected comment and clears it. Leading empty lines are dropped, because sops
 * crashes when it writes them. */
static int comment_take(struct reader *reader, struct span *comment, struct error *err)
{
	struct span text = comment_strip(sops_space_trim(secret_span(&reader->comment)));
	int r;

	while (text.size > 0 && text.data[0] == '\n')
		text = comment_strip(span_from(text, 1));
	*comment = (struct span){0};
	r = text.size > 0 ? sops_tree_text(reader->tree, text, comment, err) : 0;
	reader->comment.size = 0;
	return r;
}

static int comment_add_from(struct reader *reader, struct span text, struct error *err)
{
	size_t start = find_any(text, "#;");

	return start < text.size ? secret_append(&reader->comment, span_from(text, start), err) : 0;
}

/* The opening quote of a name or value that may span anything, or an empty span. */
static struct span quote_find(struct span text, size_t triple_size_min)
{
	if (text.size >= triple_size_min && span_starts_with(text, span_of_text("\"\"\"")))
		return span_of_text("\"\"\"");
	if (text.size > 0 && text.data[0] == '`')
		return span_of_text("`");
	return span_of(NULL, 0);
}

/* Reads the name at the start of a line. `*rest` follows its delimiter. */
static int name_read(const struct reader *reader, struct span line, struct span *name,
		     struct span *rest, struct error *err)
{
	struct span quote = quote_find(line, 7);
	size_t end = 0, delimiter;

	if (quote.size == 0 && line.data[0] == '"')
		quote = span_of_text("\"");
	if (quote.size > 0) {
		struct span inner = span_from(line, quote.size);

		end = find_first(inner, quote);
		if (end == inner.size)
			return invalid(reader, "unterminated quote in a name", err);
		*name = sops_space_trim(span_of(inner.data, end));
		end += 2 * quote.size;
	}
	delimiter = end + find_any(span_from(line, end), INI_DELIMITERS);
	if (delimiter == line.size)
		return invalid(reader, "expected NAME = value", err);
	if (quote.size == 0)
		*name = sops_space_trim(span_of(line.data, delimiter));
	if (name->size == 0)
		return invalid(reader, "missing name", err);
	*rest = span_from(line, delimiter + 1);
	return 0;
}

/* Reads the further lines of a quoted value. */
static int lines_quoted_read(struct reader *reader, struct span *value, struct span quote,
			     struct error *err)
{
	for (;;) {
		struct span next = line_take(reader), tail;
		size_t position = find_last(next, quote);

		if (next.size == 0)
			return invalid(reader, "unterminated quote before this line", err);
		if (position == next.size) {
			value->size += next.size;
			continue;
		}
		tail = sops_space_trim(span_from(next, position + quote.size));
		if (tail.size > 0 && tail.data[tail.size - 1] == '\\') {
			value->size += next.size;
			continue;
		}
		value->size += position;
		return comment_add_from(reader, sops_space_trim(span_from(next, position)), err);
	}
}

/* After a backslash at the end of a line: appends the next lines to the value, in place. */
static void lines_continued_read(struct reader *reader, struct span *value)
{
	uint8_t *start = reader->start + (value->data - reader->start), *to = start + value->size;

	for (;;) {
		struct span next = sops_space_trim(line_take(reader));

		if (next.size == 0)
			break;
		memmove(to, next.data, next.size);
		to += next.size;
		if (to[-1] != '\\')
			break;
		to--;
	}
	value->size = (size_t)(to - start);
}

static bool is_quoted_by(struct span text, uint8_t quote)
{
	return text.size >= 2 && text.data[0] == quote && text.data[text.size - 1] == quote &&
	       !memchr(text.data + 1, quote, text.size - 2);
}

static int value_read(struct reader *reader, struct span line, struct span *value,
		      struct error *err)
{
	struct span quote;
	size_t comment;
	int r;

	line = sops_space_trim_left(line);
	quote = quote_find(line, 4);
	*value = line;
	if (quote.size > 0) {
		*value = span_from(line, quote.size);
		comment = find_last(*value, quote);
		if (comment == value->size)
			return lines_quoted_read(reader, value, quote, err);
		value->size = comment;
		return 0;
	}
	*value = sops_space_trim_right(line);
	if (value->size > 0 && value->data[value->size - 1] == '\\') {
		value->size--;
		lines_continued_read(reader, value);
		return 0;
	}
	comment = find_any(*value, "#;");
	r = comment_add_from(reader, *value, err);
	*value = sops_space_trim(span_of(value->data, comment));
	if (is_quoted_by(*value, '\'') || is_quoted_by(*value, '"'))
		*value = span_of(value->data + 1, value->size - 2);
	return r;
}

static int key_add(struct reader *reader, struct key key, struct error *err)
{
	if (array_grow(&reader->keys, reader->count, &reader->capacity, sizeof(key), err) < 0)
		return -(int)err->code;
	key.order = reader->count;
	reader->keys[reader->count++] = key;
	return 0;
}

/* Keys named "-" are numbered. */
static int name_number(struct reader *reader, struct span *name, struct error *err)
{
	char number[32];
	int length = snprintf(number, sizeof(number), "#%zu", ++reader->anonymous);

	return sops_tree_text(reader->tree, span_of(number, (size_t)length), name, err);
}

static int key_read(struct reader *reader, struct span line, struct error *err)
{
	struct key key = {0};
	struct span rest = {0};
	int r = name_read(reader, line, &key.name, &rest, err);

	if (r == 0 && span_equal(key.name, span_of_text("-")))
		r = name_number(reader, &key.name, err);
	if (r == 0)
		r = value_read(reader, rest, &key.value, err);
	if (r == 0)
		r = comment_take(reader, &key.comment, err);
	return r == 0 ? key_add(reader, key, err) : r;
}

static int names_compare(const void *a, const void *b)
{
	const struct key *left = *(struct key *const *)a, *right = *(struct key *const *)b;
	int order = span_compare(left->name, right->name);

	return order != 0 ? order : (left->order > right->order) - (left->order < right->order);
}

/* A duplicate name has the position of the first and the value of the last. */
static int names_unite(struct reader *reader, struct error *err)
{
	_cleanup_free_ struct key **sorted = calloc(reader->count + 1, sizeof(struct key *));
	size_t first = 0;

	if (!sorted)
		return error_no_memory(err);
	for (size_t i = 0; i < reader->count; i++)
		sorted[i] = &reader->keys[i];
	qsort(sorted, reader->count, sizeof(struct key *), names_compare);
	for (size_t i = 1; i < reader->count; i++) {
		if (!span_equal(sorted[first]->name, sorted[i]->name)) {
			first = i;
			continue;
		}
		sorted[first]->value = sorted[i]->value;
		sorted[first]->comment = sorted[i]->comment;
		sorted[i]->replaced = true;
	}
	return 0;
}

static int item_add(struct reader *reader, size_t map, struct span name, struct span value,
		    struct span comment, struct error *err)
{
	struct sops_node node = {.kind = SOPS_STRING, .parent = map, .key = name, .text = value};
	size_t index;
	int r = name.data ? sops_tree_add(reader->tree, node, &index, err) : 0;

	if (r < 0 || comment.size == 0)
		return r;
	node = (struct sops_node){.kind = SOPS_COMMENT, .parent = map, .text = comment};
	return sops_tree_add(reader->tree, node, &index, err);
}

static int section_close(struct reader *reader, struct error *err)
{
	size_t map;
	int r = names_unite(reader, err);

	if (r == 0)
		r = sops_tree_add(reader->tree,
				  (struct sops_node){.kind = SOPS_MAP,
						     .parent = SOPS_FIRST_DOCUMENT,
						     .key = reader->section},
				  &map, err);
	if (r == 0)
		r = item_add(reader, map, (struct span){0}, (struct span){0},
			     reader->section_comment, err);
	for (size_t i = 0; i < reader->count && r == 0; i++) {
		const struct key *key = &reader->keys[i];

		if (!key->replaced)
			r = item_add(reader, map, key->name, key->value, key->comment, err);
	}
	if (r == 0)
		reader->tree->nodes[map].end = reader->tree->count;
	reader->count = 0;
	reader->anonymous = 0;
	return r;
}

static int header_read(struct reader *reader, struct span line, struct error *err)
{
	size_t close = find_last(line, span_of_text("]"));
	int r;

	if (close == line.size)
		return invalid(reader, "missing ] after a section name", err);
	if (close == 1)
		return invalid(reader, "section without a name", err);
	r = section_close(reader, err);
	reader->section = span_of(line.data + 1, close - 1);
	if (r == 0)
		r = comment_add_from(reader, span_from(line, close + 1), err);
	return r == 0 ? comment_take(reader, &reader->section_comment, err) : r;
}

static int lines_read(struct reader *reader, struct error *err)
{
	int r = 0;

	while (r == 0 && reader->at < reader->end) {
		struct span line = sops_space_trim_left(line_take(reader));

		if (line.size == 0)
			continue;
		if (line.data[0] == '#' || line.data[0] == ';')
			r = secret_append(&reader->comment, line, err);
		else if (line.data[0] == '[')
			r = header_read(reader, line, err);
		else
			r = key_read(reader, line, err);
	}
	return r == 0 ? section_close(reader, err) : r;
}

static int byte_order_skip(struct reader *reader, struct error *err)
{
	struct span text = span_of(reader->at, (size_t)(reader->end - reader->at));

	if (span_starts_with(text, span_of_text("\xef\xbb\xbf")))
		reader->at += 3;
	else if (span_starts_with(text, span_of_text("\xff\xfe")) ||
		 span_starts_with(text, span_of_text("\xfe\xff")))
		return error_set(err, VMCRED_FAILED, "%s is UTF-16, not UTF-8", reader->what);
	return 0;
}

int ini_read(struct secret *text, const char *what, struct sops_tree *tree, struct error *err)
{
	__attribute__((cleanup(reader_destroy))) struct reader reader = {
		.start = text->data,
		.at = text->data,
		.end = text->data + text->size,
		.what = what,
		.tree = tree,
		.section = span_of_text(INI_DEFAULT_SECTION),
	};
	int r = sops_tree_begin(tree, err);

	if (r == 0 && text->size > 0)
		r = byte_order_skip(&reader, err);
	if (r == 0)
		r = lines_read(&reader, err);
	if (r < 0)
		return r;
	tree->nodes[SOPS_FIRST_DOCUMENT].end = tree->count;
	tree->nodes[0].end = tree->count;
	return sops_tree_adopt(tree, text, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/merge_conflict.h"
#include "base/text.h"
#include "sops/stores/json.h"
#include "sops/tree/number.h"

struct reader {
	uint8_t *at, *end;
	const uint8_t *start;
	const char *what;
	struct sops_tree *tree;
	size_t container; /* index of the innermost open container */
	size_t depth;
};

static int invalid(const struct reader *reader, struct error *err)
{
	size_t line = 1, column = 1;

	for (const uint8_t *at = reader->start; at < reader->at; at++) {
		column++;
		if (*at == '\n') {
			line++;
			column = 1;
		}
	}
	if (merge_conflict_check(span_of(reader->start, (size_t)(reader->end - reader->start)),
				 reader->what, err) < 0)
		return -(int)err->code;
	if (reader->at == reader->end)
		return error_set(err, VMCRED_FAILED,
				 "%s is truncated: unexpected end of JSON (line %zu, column %zu)",
				 reader->what, line, column);
	return error_set(err, VMCRED_FAILED, "%s is not valid JSON (line %zu, column %zu)",
			 reader->what, line, column);
}

static void spaces_skip(struct reader *reader)
{
	while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\t' ||
					    *reader->at == '\n' || *reader->at == '\r'))
		reader->at++;
}

/* The next character, or 0 at the end: no token begins with a NUL. */
static uint8_t peek(const struct reader *reader)
{
	return reader->at < reader->end ? *reader->at : 0;
}

static int hex_read(struct reader *reader, uint32_t *value, struct error *err)
{
	*value = 0;
	for (int i = 0; i < 4; i++, reader->at++) {
		uint8_t c = peek(reader), lower = c | 0x20;

		if (c >= '0' && c <= '9')
			*value = *value << 4 | (uint32_t)(c - '0');
		else if (lower >= 'a' && lower <= 'f')
			*value = *value << 4 | (uint32_t)(lower - 'a' + 10);
		else
			return invalid(reader, err);
	}
	return 0;
}

/* After "\u". Half a surrogate pair becomes U+FFFD, as in sops. */
static int unicode_escape_read(struct reader *reader, uint8_t **to, struct error *err)
{
	uint32_t c, low;
	int r = hex_read(reader, &c, err);

	if (r < 0)
		return r;
	if (c >= 0xd800 && c < 0xdc00 && reader->end - reader->at >= 2 && reader->at[0] == '\\' &&
	    reader->at[1] == 'u') {
		uint8_t *before = reader->at;

		reader->at += 2;
		r = hex_read(reader, &low, err);
		if (r < 0)
			return r;
		if (low >= 0xdc00 && low < 0xe000)
			c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
		else
			reader->at = before;
	}
	if (c >= 0xd800 && c < 0xe000)
		c = 0xfffd;
	*to += utf8_encode(c, *to);
	return 0;
}

static int escape_read(struct reader *reader, uint8_t **to, struct error *err)
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	const char *name;
	uint8_t c = peek(reader);

	if (c == 'u') {
		reader->at++;
		return unicode_escape_read(reader, to, err);
	}
	name = c ? strchr(names, c) : NULL;
	if (!name)
		return invalid(reader, err);
	*(*to)++ = (uint8_t)values[name - names];
	reader->at++;
	return 0;
}

/* Decodes in place: an escape is never shorter than its character. */
static int string_read(struct reader *reader, struct span *string, struct error *err)
{
	uint8_t *begin = ++reader->at, *to;

	while (reader->at < reader->end && *reader->at != '"' && *reader->at != '\\' &&
	       *reader->at >= ' ')
		reader->at++;
	to = reader->at;
	while (peek(reader) != '"') {
		uint8_t c = peek(reader);

		if (c < ' ')
			return invalid(reader, err);
		reader->at++;
		if (c == '\\') {
			int r = escape_read(reader, &to, err);

			if (r < 0)
				return r;
		} else {
			*to++ = c;
		}
	}
	reader->at++;
	*string = span_of(begin, (size_t)(to - begin));
	return 0;
}

static bool word_take(struct reader *reader, const char *word)
{
	struct span rest = span_of(reader->at, (size_t)(reader->end - reader->at));

	if (!span_starts_with(rest, span_of_text(word)))
		return false;
	reader->at += strlen(word);
	return true;
}

static int number_read(struct reader *reader, struct sops_node *node, struct error *err)
{
	struct span rest = span_of(reader->at, (size_t)(reader->end - reader->at));
	size_t size = sops_number_scan(rest);

	if (size == 0)
		return invalid(reader, err);
	if (sops_number_read(span_of(reader->at, size), &node->kind, &node->text) < 0) {
		invalid(reader, err);
		return error_wrap(err, "a number is too large");
	}
	reader->at += size;
	return 0;
}

static int scalar_read(struct reader *reader, struct sops_node *node, struct error *err)
{
	if (peek(reader) == '"') {
		node->kind = SOPS_STRING;
		return string_read(reader, &node->text, err);
	}
	if (word_take(reader, "true")) {
		node->kind = SOPS_BOOL;
		node->text = span_of_text("True");
	} else if (word_take(reader, "false")) {
		node->kind = SOPS_BOOL;
		node->text = span_of_text("False");
	} else if (word_take(reader, "null")) {
		node->kind = SOPS_NULL;
	} else {
		return number_read(reader, node, err);
	}
	return 0;
}

/* Reads a scalar, or the opening bracket of a container. */
static int value_read(struct reader *reader, struct span key, bool *opened, struct error *err)
{
	struct sops_node node = {.key = key, .parent = reader->container};
	uint8_t c = peek(reader);
	size_t index;
	int r = 0;

	*opened = c == '{' || c == '[';
	if (*opened) {
		node.kind = c == '{' ? SOPS_MAP : SOPS_LIST;
		reader->at++;
		if (++reader->depth > SOPS_DEPTH_MAX)
			return error_set(err, VMCRED_FAILED,
					 "%s is nested more than %d levels deep", reader->what,
					 SOPS_DEPTH_MAX);
	} else {
		r = scalar_read(reader, &node, err);
	}
	if (r == 0)
		r = sops_tree_add(reader->tree, node, &index, err);
	if (r == 0 && *opened)
		reader->container = index;
	return r;
}

static int key_read(struct reader *reader, struct span *key, struct error *err)
{
	int r;

	if (peek(reader) != '"')
		return invalid(reader, err);
	r = string_read(reader, key, err);
	if (r < 0)
		return r;
	spaces_skip(reader);
	if (peek(reader) != ':')
		return invalid(reader, err);
	reader->at++;
	spaces_skip(reader);
	return 0;
}

/* Reads up to the closing bracket of the root. */
static int containers_read(struct reader *reader, struct error *err)
{
	enum {
		OPENED,
		AFTER_VALUE,
		AFTER_COMMA
	} state = OPENED;

	while (reader->depth > 0) {
		struct sops_node *container = &reader->tree->nodes[reader->container];
		bool is_map = container->kind == SOPS_MAP, opened = false;
		struct span key = {0};
		int r = 0;

		spaces_skip(reader);
		if (peek(reader) == (is_map ? '}' : ']') && state != AFTER_COMMA) {
			reader->at++;
			reader->depth--;
			container->end = reader->tree->count;
			reader->container = container->parent;
			state = AFTER_VALUE;
			continue;
		}
		if (state == AFTER_VALUE) {
			if (peek(reader) != ',')
				return invalid(reader, err);
			reader->at++;
			state = AFTER_COMMA;
			continue;
		}
		if (is_map)
			r = key_read(reader, &key, err);
		if (r == 0)
			r = value_read(reader, key, &opened, err);
		if (r < 0)
			return r;
		state = opened ? OPENED : AFTER_VALUE;
	}
	return 0;
}

static bool is_ascii(struct span text)
{
	uint8_t bits = 0;

	for (size_t i = 0; i < text.size; i++)
		bits |= text.data[i];
	return bits < 0x80;
}

/* Reads the single value of a text. */
static int text_read(struct secret *text, const char *what, struct sops_tree *tree,
		     bool object_only, struct error *err)
{
	struct reader reader = {
		.at = text->data,
		.start = text->data,
		.end = text->data + text->size,
		.what = what,
		.tree = tree,
	};
	bool opened = false;
	int r;

	if (!is_ascii(secret_span(text)) && !utf8_valid(secret_span(text)))
		return error_set(err, VMCRED_FAILED, "%s is not valid JSON: not UTF-8", what);
	spaces_skip(&reader);
	if (reader.at == reader.end)
		return error_set(err, VMCRED_FAILED, "%s is empty", what);
	if (object_only && peek(&reader) != '{')
		return merge_conflict_check(secret_span(text), what, err) < 0
			       ? -(int)err->code
			       : error_set(err, VMCRED_FAILED, "%s is not a JSON object", what);
	r = value_read(&reader, (struct span){0}, &opened, err);
	if (r == 0)
		r = containers_read(&reader, err);
	if (r < 0)
		return r;
	spaces_skip(&reader);
	if (reader.at < reader.end)
		return invalid(&reader, err);
	return 0;
}

int sops_json_read(struct secret *text, const char *what, struct sops_tree *tree, struct error *err)
{
	size_t root;
	int r = sops_tree_add(tree, (struct sops_node){.kind = SOPS_LIST}, &root, err);

	if (r == 0)
		r = text_read(text, what, tree, true, err);
	if (r < 0)
		return r;
	tree->nodes[root].end = tree->count;
	return sops_tree_adopt(tree, text, err);
}

int sops_json_read_value(struct secret *text, const char *what, struct sops_tree *tree,
			 struct error *err)
{
	int r = text_read(text, what, tree, false, err);

	return r < 0 ? r : sops_tree_adopt(tree, text, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "sops/stores/flat.h"
#include "sops/stores/ini.h"

static bool holds_any(struct span text, const char *characters)
{
	for (const char *c = characters; *c; c++) {
		if (text.size > 0 && memchr(text.data, *c, text.size))
			return true;
	}
	return false;
}

static int append_all(struct secret *out, struct span before, struct span text, struct span after,
		      struct error *err)
{
	int r = secret_append(out, before, err);

	if (r == 0)
		r = secret_append(out, text, err);
	return r == 0 ? secret_append(out, after, err) : r;
}

static int append_quoted(struct secret *out, const char *quote, struct span text, struct error *err)
{
	return append_all(out, span_of_text(quote), text, span_of_text(quote), err);
}

/* `trims`: remove white space, which a section's comment keeps. */
static int comment_line_write(struct span line, bool trims, struct secret *out, struct error *err)
{
	const bool is_marked = line.size > 0 && (line.data[0] == '#' || line.data[0] == ';');
	int r = secret_append(out, is_marked ? span_of(line.data, 1) : span_of_text(";"), err);

	if (is_marked)
		line = sops_space_trim(span_of(line.data + 1, line.size - 1));
	else if (trims)
		line = sops_space_trim(line);
	return r == 0 ? append_all(out, span_of_text(" "), line, span_of_text("\n"), err) : r;
}

static int comment_write(struct span comment, bool trims, struct secret *out, struct error *err)
{
	int r = 0;

	while (comment.data && r == 0) {
		const uint8_t *end = memchr(comment.data, '\n', comment.size);
		size_t size = end ? (size_t)(end - comment.data) : comment.size;

		r = comment_line_write(span_of(comment.data, size), trims, out, err);
		comment = end ? span_of(end + 1, comment.size - size - 1) : span_of(NULL, 0);
	}
	return r;
}

/* A name like "#1", which "-" gets, must not become a comment, and "[x" not a section. */
static const char *name_quote(struct span name)
{
	struct span first = span_of(name.data, name.size > 0);

	if (holds_any(name, "`"))
		return "\"\"\"";
	return holds_any(name, "\"" INI_DELIMITERS) || holds_any(first, "#;[") ? "`" : "";
}

static size_t name_width(struct span name)
{
	return name.size + 2 * strlen(name_quote(name));
}

static int name_write(struct span name, size_t width, struct secret *out, struct error *err)
{
	int r = append_quoted(out, name_quote(name), name, err);

	for (size_t i = name_width(name); i < width && r == 0; i++)
		r = secret_append_text(out, " ", err);
	return r;
}

/* Whether a value without quotes is read as another one: a continued line or a quoted value. */
static bool is_misread(struct span value)
{
	uint8_t first = value.size > 0 ? value.data[0] : 0;
	uint8_t last = value.size > 0 ? value.data[value.size - 1] : 0;

	return last == '\\' || span_starts_with(value, span_of_text("\"\"\"")) ||
	       (value.size > 1 && first == last && (first == '"' || first == '\''));
}

static int value_write(struct span value, struct secret *out, struct error *err)
{
	const bool is_padded = sops_space_trim(value).size != value.size;
	const char *quote = "";

	if (holds_any(value, "\n`"))
		quote = "\"\"\"";
	else if (is_padded && !holds_any(value, "#;\""))
		quote = "\"";
	else if (is_padded || holds_any(value, "#;") || is_misread(value))
		quote = "`";
	return append_quoted(out, quote, value, err);
}

static int escaped_copy(struct span text, struct secret *escaped, struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < text.size && r == 0; i++) {
		struct span c = span_of(text.data + i, 1);

		r = secret_append(escaped, c.data[0] == '\n' ? span_of_text("\\n") : c, err);
	}
	return r;
}

static int key_write(const struct sops_node *node, struct span comment, size_t width, bool escapes,
		     struct secret *out, struct error *err)
{
	_cleanup_secret_ struct secret escaped = {0};
	char buffer[SOPS_NUMBER_SIZE_MAX];
	struct span text;
	int r = sops_flat_text(node, buffer, &text, err);

	if (r < 0)
		return error_wrap(err, "the value %.*s cannot be stored in an INI file",
				  (int)node->key.size, (const char *)node->key.data);
	if (escapes) {
		r = escaped_copy(text, &escaped, err);
		text = secret_span(&escaped);
	}
	if (r == 0 && comment.size > 0)
		r = comment_write(comment, true, out, err);
	if (r == 0)
		r = name_write(node->key, width, out, err);
	if (r == 0)
		r = secret_append_text(out, " = ", err);
	if (r == 0)
		r = value_write(text, out, err);
	memory_wipe(buffer, sizeof(buffer));
	return r == 0 ? secret_append_text(out, "\n", err) : r;
}

/* The width of a section's aligned names. */
static size_t names_width(const struct sops_tree *tree, size_t map, size_t *count)
{
	size_t width = 0;

	*count = 0;
	for (size_t i = map + 1; i < tree->nodes[map].end; i = tree->nodes[i].end) {
		size_t size;

		if (tree->nodes[i].kind == SOPS_COMMENT)
			continue;
		size = name_width(tree->nodes[i].key);
		width = size > width ? size : width;
		(*count)++;
	}
	return width;
}

/* A duplicate name would lose a value. */
static int names_check(const struct sops_tree *tree, size_t map, size_t count, struct error *err)
{
	_cleanup_free_ struct span *names = calloc(count + 1, sizeof(*names));
	size_t used = 0;

	if (!names)
		return error_no_memory(err);
	for (size_t i = map + 1; i < tree->nodes[map].end; i = tree->nodes[i].end) {
		if (tree->nodes[i].kind == SOPS_COMMENT)
			continue;
		names[used++] = tree->nodes[i].key;
		if (tree->nodes[i].key.size == 0)
			return error_set(err, VMCRED_FAILED,
					 "an INI file cannot have a key without a name");
	}
	qsort(names, used, sizeof(*names), spans_compare);
	for (size_t i = 1; i < used; i++) {
		if (span_equal(names[i - 1], names[i]))
			return error_set(err, VMCRED_FAILED, "duplicate key \"%.*s\"",
					 (int)names[i].size, (const char *)names[i].data);
	}
	return 0;
}

/* The comment of a key: the last one before the next key. */
static struct span comment_behind(const struct sops_tree *tree, size_t map, size_t key)
{
	struct span comment = {0};

	for (size_t i = tree->nodes[key].end; i < tree->nodes[map].end; i = tree->nodes[i].end) {
		if (tree->nodes[i].kind != SOPS_COMMENT)
			break;
		comment = tree->nodes[i].text;
	}
	return comment;
}

static bool is_default(struct span name)
{
	return name.size == strlen(INI_DEFAULT_SECTION) &&
	       strncasecmp((const char *)name.data, INI_DEFAULT_SECTION, name.size) == 0;
}

int ini_section_write(const struct sops_tree *tree, size_t map, struct span name,
		      const struct ini_place *place, struct secret *out, struct error *err)
{
	size_t count, width = names_width(tree, map, &count), end = tree->nodes[map].end;
	bool has_comment = map + 1 < end && tree->nodes[map + 1].kind == SOPS_COMMENT;
	int r = names_check(tree, map, count, err);

	if (r == 0 && has_comment && tree->nodes[map + 1].text.size > 0)
		r = comment_write(tree->nodes[map + 1].text, false, out, err);
	if (r == 0 && place->first && is_default(name)) {
		/* The default section has no header. */
		if (count == 0)
			return 0;
	} else if (r == 0) {
		r = append_all(out, span_of_text("["), name, span_of_text("]\n"), err);
	}
	for (size_t i = map + 1; i < end && r == 0; i = tree->nodes[i].end) {
		if (tree->nodes[i].kind != SOPS_COMMENT)
			r = key_write(&tree->nodes[i], comment_behind(tree, map, i), width,
				      place->escapes, out, err);
	}
	return r == 0 && !place->last ? secret_append_text(out, "\n", err) : r;
}

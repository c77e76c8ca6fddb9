/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dotenv store: lines of NAME=value, and comments. Quotes have no meaning, and the only escape
 * is "\n" for a line break in a value. As in sops, a backslash followed by an n is therefore not
 * preserved. The names of metadata begin with "sops_".
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "sops/stores/flat.h"
#include "sops/stores/stores.h"

#define METADATA_PREFIX SOPS_METADATA_KEY "_"

/* Replaces each "\n" of a value by a line break, in place. */
static struct span value_unescape(uint8_t *data, size_t size)
{
	uint8_t *to = data;

	for (size_t i = 0; i < size; i++) {
		if (data[i] == '\\' && i + 1 < size && data[i + 1] == 'n') {
			*to++ = '\n';
			i++;
		} else {
			*to++ = data[i];
		}
	}
	return span_of(data, (size_t)(to - data));
}

static int line_read(struct sops_tree *tree, size_t map, uint8_t *line, size_t size,
		     const char *what, size_t number, struct error *err)
{
	struct sops_node node = {.kind = SOPS_COMMENT, .parent = map};
	uint8_t *equals = memchr(line, '=', size);
	size_t index;

	if (line[0] == '#') {
		node.text = span_of(line + 1, size - 1);
		return sops_tree_add(tree, node, &index, err);
	}
	if (!equals) {
		error_set(err, VMCRED_FAILED, "%s: line %zu: expected NAME=value", what, number);
		return error_hint(err, "comments begin with #");
	}
	node.kind = SOPS_STRING;
	node.key = span_of(line, (size_t)(equals - line));
	node.text = value_unescape(equals + 1, size - node.key.size - 1);
	return sops_tree_add(tree, node, &index, err);
}

static int dotenv_read(struct secret *text, const char *what, struct sops_tree *tree,
		       struct error *err)
{
	const size_t map = SOPS_FIRST_DOCUMENT;
	size_t number = 1;
	int r = sops_tree_begin(tree, err);

	for (size_t at = 0; r == 0 && at < text->size; number++) {
		uint8_t *line = text->data + at;
		uint8_t *end = memchr(line, '\n', text->size - at);
		size_t size = end ? (size_t)(end - line) : text->size - at;

		if (size > 0)
			r = line_read(tree, map, line, size, what, number, err);
		at += size + 1;
	}
	if (r < 0)
		return r;
	tree->nodes[map].end = tree->count;
	tree->nodes[0].end = tree->count;
	return sops_tree_adopt(tree, text, err);
}

static bool is_metadata(const struct sops_node *node)
{
	return node->key.data && span_starts_with(node->key, span_of_text(METADATA_PREFIX));
}

static bool dotenv_has_metadata(const struct sops_tree *tree)
{
	for (size_t i = SOPS_FIRST_DOCUMENT + 1; i < tree->nodes[SOPS_FIRST_DOCUMENT].end;
	     i = tree->nodes[i].end) {
		if (is_metadata(&tree->nodes[i]))
			return true;
	}
	return false;
}

static int dotenv_metadata_take(struct sops_tree *tree, const char *what,
				struct sops_tree *metadata, struct error *err)
{
	_cleanup_free_ struct sops_flat_value *values = calloc(tree->count, sizeof(*values));
	const size_t prefix = strlen(METADATA_PREFIX);
	size_t count = 0;
	int r;

	if (!values)
		return error_no_memory(err);
	for (size_t i = SOPS_FIRST_DOCUMENT + 1; i < tree->count; i++) {
		struct sops_node *node = &tree->nodes[i];

		if (!is_metadata(node))
			continue;
		node->removed = true;
		values[count++] = (struct sops_flat_value){
			span_of(node->key.data + prefix, node->key.size - prefix), node->text};
	}
	if (count == 0)
		return 0;
	r = sops_unflatten(values, count, what, metadata, err);
	if (r == 0)
		r = sops_tree_sweep(tree, err);
	return r < 0 ? r : 1;
}

static int escaped_append(struct secret *out, struct span text, struct error *err)
{
	int r = 0;

	while (text.size > 0 && r == 0) {
		const uint8_t *end = memchr(text.data, '\n', text.size);
		size_t size = end ? (size_t)(end - text.data) : text.size;

		r = secret_append(out, span_of(text.data, size), err);
		if (r == 0 && end)
			r = secret_append_text(out, "\\n", err);
		size += end ? 1 : 0;
		text = span_of(text.data + size, text.size - size);
	}
	return r;
}

static int line_write(const struct sops_node *node, struct secret *out, struct error *err)
{
	char buffer[SOPS_NUMBER_SIZE_MAX];
	struct span text;
	int r = sops_flat_text(node, buffer, &text, err);

	if (r < 0)
		return error_wrap(err, "the value %.*s cannot be stored in a dotenv file",
				  (int)node->key.size, (const char *)node->key.data);
	if (node->kind == SOPS_COMMENT) {
		r = secret_append_text(out, "#", err);
		if (r == 0)
			r = secret_append(out, text, err);
	} else {
		r = secret_append(out, node->key, err);
		if (r == 0)
			r = secret_append_text(out, "=", err);
		if (r == 0)
			r = escaped_append(out, text, err);
	}
	memory_wipe(buffer, sizeof(buffer));
	return r == 0 ? secret_append_text(out, "\n", err) : r;
}

static int lines_write(const struct sops_tree *tree, size_t map, struct secret *out,
		       struct error *err)
{
	int r = 0;

	for (size_t i = map + 1; i < tree->nodes[map].end && r == 0; i = tree->nodes[i].end)
		r = line_write(&tree->nodes[i], out, err);
	return r;
}

static int dotenv_write(const struct sops_tree *tree, const struct sops_tree *metadata,
			const struct sops_format *format, struct secret *out, struct error *err)
{
	_cleanup_sops_tree_ struct sops_tree flat = {0};
	size_t map;
	int r;

	(void)format;
	if (metadata && dotenv_has_metadata(tree))
		return error_set(err, VMCRED_FAILED,
				 "names that begin with " METADATA_PREFIX
				 " are reserved for the metadata");
	r = lines_write(tree, SOPS_FIRST_DOCUMENT, out, err);
	if (r < 0 || !metadata)
		return r;
	r = sops_tree_add(&flat, (struct sops_node){.kind = SOPS_MAP}, &map, err);
	if (r == 0)
		r = sops_flatten(metadata, METADATA_PREFIX, &flat, map, err);
	return r == 0 ? lines_write(&flat, map, out, err) : r;
}

const struct sops_store sops_store_dotenv = {
	.name = "dotenv",
	.suffixes = (const char *const[]){".env", NULL},
	.read = dotenv_read,
	.read_plain = dotenv_read,
	.has_metadata = dotenv_has_metadata,
	.metadata_take = dotenv_metadata_take,
	.write = dotenv_write,
	.example = "# Edit this file; it is encrypted when you save it.\n"
		   "NAME=value\n"
		   "SEVERAL_LINES=first\\nsecond\n",
};

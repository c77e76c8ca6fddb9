/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The value that a scalar stands for.
 */
#include "base/base64.h"
#include "yaml/yaml.h"

/* go-yaml takes line breaks inside Base64. */
static int binary_read(const struct yaml_scanner *scanner, struct sops_tree *tree,
		       const struct yaml_node *scalar, struct span *text, struct error *err)
{
	uint8_t *room, *bytes;
	size_t size = 0;
	struct error ignored = {0};
	int r = sops_tree_text_reserve(tree, scalar->value.size * 2 + 2, &room, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < scalar->value.size; i++) {
		uint8_t byte = scalar->value.data[i];

		if (byte != '\n' && byte != '\r')
			room[size++] = byte;
	}
	bytes = room + size;
	r = base64_decode(span_of(room, size), BASE64_PADDED, bytes, &size, &ignored);
	error_clear(&ignored);
	if (r < 0)
		return yaml_node_fail(scanner, scalar, "a !!binary value is not Base64", err);
	*text = span_of(bytes, size);
	return 0;
}

int yaml_scalar_read(const struct yaml_scanner *scanner, struct sops_tree *tree,
		     const struct yaml_node *scalar, struct sops_node *node, struct error *err)
{
	enum yaml_tag tag = (enum yaml_tag)scalar->tag;
	struct yaml_scalar value;
	int r;

	node->kind = SOPS_STRING;
	node->text = scalar->value;
	if (tag == YAML_TAG_BINARY)
		return binary_read(scanner, tree, scalar, &node->text, err);
	if (tag == YAML_TAG_STRING || tag == YAML_TAG_OTHER || tag == YAML_TAG_MERGE ||
	    (tag == YAML_TAG_NONE && scalar->quoted))
		return 0;
	r = yaml_resolve(tag, scalar->value, &value, err);
	if (r == 0)
		r = yaml_node_fail(scanner, scalar, "a value is not of the type that its tag tells",
				   err);
	else if (r > 0 && value.too_large)
		r = yaml_node_fail(scanner, scalar,
				   "an integer has more than 64 bits with its sign", err);
	if (r < 0)
		return r;
	node->kind = value.kind;
	r = 0;
	if (value.kind == SOPS_BOOL)
		node->text = span_of_text(value.text[0] == 'T' ? "True" : "False");
	else if (value.kind == SOPS_NULL)
		node->text = (struct span){0};
	else if (value.kind != SOPS_STRING)
		r = sops_tree_text(tree, span_of(value.text, value.size), &node->text, err);
	if (value.kind != SOPS_STRING)
		memory_wipe(value.text, value.size);
	return r;
}

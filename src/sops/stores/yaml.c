/* SPDX-License-Identifier: Apache-2.0 */
#include "yaml/yaml.h"
#include "yaml/emit.h"

static int yaml_read(struct secret *text, const char *what, struct sops_tree *tree,
		     struct error *err)
{
	__attribute__((cleanup(yaml_scanner_destroy))) struct yaml_scanner scanner = {0};
	__attribute__((cleanup(yaml_nodes_destroy))) struct yaml_nodes nodes = {0};
	bool ascii, empty = text->size == 0;
	int r = yaml_text_prepare(text, what, &ascii, err);

	if (r == 0)
		r = yaml_scanner_begin(&scanner, text, ascii, what, tree, err);
	if (r == 0)
		r = sops_tree_adopt(tree, text, err);
	if (r == 0)
		r = yaml_parse(&scanner, &nodes, err);
	if (r == 0 && nodes.count == 0 && !empty)
		return error_set(err, VMCRED_FAILED,
				 "%s holds no YAML document, only comments or empty lines", what);
	return r < 0 ? r : yaml_tree_copy(&scanner, &nodes, tree, err);
}

static size_t indent_of(const struct sops_format *format)
{
	return format && format->indent_given && format->indent > 0 ? format->indent
								    : YAML_INDENT_DEFAULT;
}

/* Whether there is an entry where the metadata goes. */
static bool has_reserved_key(const struct sops_tree *tree)
{
	struct span key = span_of_text(SOPS_METADATA_KEY);

	for (size_t i = SOPS_FIRST_DOCUMENT; i < tree->nodes[0].end; i = tree->nodes[i].end) {
		if (sops_tree_child(tree, i, key) != 0)
			return true;
	}
	return false;
}

static int yaml_write(const struct sops_tree *tree, const struct sops_tree *metadata,
		      const struct sops_format *format, struct secret *out, struct error *err)
{
	size_t indent = indent_of(format);
	int r;

	if (metadata && has_reserved_key(tree))
		return error_set(err, VMCRED_FAILED,
				 "the key " SOPS_METADATA_KEY
				 " cannot be at the top of an encrypted YAML file: it is the "
				 "metadata's");
	r = secret_reserve(out, out->size + sops_tree_size_estimate(tree, metadata, indent), err);
	return r < 0 ? r : yaml_emit_documents(tree, metadata, indent, out, err);
}

/* sops indents single values always the same. */
static int yaml_write_value(const struct sops_tree *tree, size_t node,
			    const struct sops_format *format, struct secret *out, struct error *err)
{
	(void)format;
	return yaml_emit_node(tree, node, YAML_INDENT_DEFAULT, out, err);
}

static const char *const suffixes[] = {".yaml", ".yml", NULL};

const struct sops_store sops_store_yaml = {
	.name = "yaml",
	.suffixes = suffixes,
	.read = yaml_read,
	.read_plain = yaml_read,
	.has_metadata = sops_metadata_is_nested,
	.metadata_take = sops_metadata_take_nested,
	.write = yaml_write,
	.write_value = yaml_write_value,
	.example = "hello: Write your secrets here!\n"
		   "example_key: example_value\n"
		   "# An example of a comment\n"
		   "example_array:\n"
		   "    - example_value1\n"
		   "    - example_value2\n"
		   "example_number: 1234.56789\n"
		   "example_booleans:\n"
		   "    - true\n"
		   "    - false\n",
};

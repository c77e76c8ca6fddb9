/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/stores/yaml.h"

/* sops's default. */
#define INDENT_DEFAULT 4

static int yaml_read_tree(struct secret *text, const char *what, struct sops_tree *tree,
			  struct error *err)
{
	_cleanup_yaml_ struct yaml yaml = {.name = what};
	int r = yaml_read(&yaml, text, err);

	if (r == 0 && yaml.count == 0 && yaml.text_size > 0)
		return error_set(err, VMCRED_FAILED,
				 "%s: no YAML document, only comments or empty lines", what);
	if (r == 0)
		r = arena_take(&tree->texts, &yaml.texts, err);
	return r < 0 ? r : sops_yaml_tree_fill(&yaml, tree, err);
}

static size_t indent_of(const struct sops_format *format)
{
	return format && format->indent_given && format->indent > 0 ? format->indent
								    : INDENT_DEFAULT;
}

/* Whether a document has an entry under the key of the metadata. */
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
				 "the key \"" SOPS_METADATA_KEY
				 "\" at the top of an encrypted YAML file is reserved for the "
				 "metadata");
	r = secret_reserve(out, out->size + sops_tree_size_estimate(tree, metadata, indent), err);
	return r < 0 ? r : sops_yaml_documents_emit(tree, metadata, indent, out, err);
}

/* sops always indents single values the same. */
static int yaml_write_value(const struct sops_tree *tree, size_t node,
			    const struct sops_format *format, struct secret *out, struct error *err)
{
	(void)format;
	return sops_yaml_node_emit(tree, node, INDENT_DEFAULT, out, err);
}

static const char *const suffixes[] = {".yaml", ".yml", NULL};

const struct sops_store sops_store_yaml = {
	.name = "yaml",
	.suffixes = suffixes,
	.read = yaml_read_tree,
	.read_plain = yaml_read_tree,
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

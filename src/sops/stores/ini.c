/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/stores/ini.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "sops/stores/flat.h"
#include "sops/stores/json.h"
#include "sops/stores/stores.h"

/* Line breaks in metadata are written as "\n". */
static int unescaped_copy(struct sops_tree *tree, struct span text, struct span *result,
			  struct error *err)
{
	_cleanup_secret_ struct secret copy = {0};
	int r = 0;

	for (size_t i = 0; i < text.size && r == 0; i++) {
		bool is_break =
			text.data[i] == '\\' && i + 1 < text.size && text.data[i + 1] == 'n';

		r = secret_append(&copy, is_break ? span_of_text("\n") : span_of(text.data + i, 1),
				  err);
		i += is_break;
	}
	return r == 0 ? sops_tree_text(tree, secret_span(&copy), result, err) : r;
}

static int section_unflatten(struct sops_tree *tree, size_t section, const char *what,
			     struct sops_tree *metadata, struct error *err)
{
	size_t end = tree->nodes[section].end, count = 0;
	_cleanup_free_ struct sops_flat_value *values =
		calloc(end - section, sizeof(struct sops_flat_value));
	int r = 0;

	if (!values)
		return error_no_memory(err);
	for (size_t i = section + 1; i < end && r == 0; i++) {
		if (tree->nodes[i].kind == SOPS_COMMENT)
			continue;
		values[count].path = tree->nodes[i].key;
		r = unescaped_copy(tree, tree->nodes[i].text, &values[count].text, err);
		count++;
	}
	return r == 0 ? sops_unflatten(values, count, what, metadata, err) : r;
}

static int ini_metadata_take(struct sops_tree *tree, const char *what, struct sops_tree *metadata,
			     struct error *err)
{
	size_t section = 0;
	int r;

	for (size_t i = SOPS_FIRST_DOCUMENT + 1; i < tree->nodes[SOPS_FIRST_DOCUMENT].end;
	     i = tree->nodes[i].end) {
		if (!span_equal(tree->nodes[i].key, span_of_text(SOPS_METADATA_KEY)))
			continue;
		if (section != 0)
			return error_set(err, VMCRED_FAILED,
					 "%s: duplicate section [" SOPS_METADATA_KEY "]", what);
		section = i;
	}
	if (section == 0)
		return 0;
	r = section_unflatten(tree, section, what, metadata, err);
	tree->nodes[section].removed = true;
	if (r == 0)
		r = sops_tree_sweep(tree, err);
	return r < 0 ? r : 1;
}

static int sections_check(const struct sops_tree *tree, bool sealed, struct error *err)
{
	for (size_t i = SOPS_FIRST_DOCUMENT + 1; i < tree->nodes[SOPS_FIRST_DOCUMENT].end;
	     i = tree->nodes[i].end) {
		const struct sops_node *node = &tree->nodes[i];

		if (node->kind == SOPS_COMMENT)
			continue;
		if (node->kind != SOPS_MAP)
			return error_set(err, VMCRED_FAILED,
					 "the value %.*s cannot be stored in an INI file: it is "
					 "not in a section",
					 (int)node->key.size, (const char *)node->key.data);
		if (node->key.size == 0)
			return error_set(err, VMCRED_FAILED,
					 "an INI file cannot have a section without a name");
		if (sealed && span_equal(node->key, span_of_text(SOPS_METADATA_KEY)))
			return error_set(err, VMCRED_FAILED,
					 "the section [" SOPS_METADATA_KEY
					 "] is reserved for the metadata");
	}
	return 0;
}

/* The index of the last section, or 0. */
static size_t section_last(const struct sops_tree *tree)
{
	size_t last = 0;

	for (size_t i = SOPS_FIRST_DOCUMENT + 1; i < tree->nodes[SOPS_FIRST_DOCUMENT].end;
	     i = tree->nodes[i].end) {
		if (tree->nodes[i].kind == SOPS_MAP)
			last = i;
	}
	return last;
}

static int metadata_write(const struct sops_tree *metadata, bool is_first, struct secret *out,
			  struct error *err)
{
	_cleanup_sops_tree_ struct sops_tree flat = {0};
	const struct ini_place place = {.first = is_first, .last = true, .escapes = true};
	size_t map;
	int r = sops_tree_add(&flat, (struct sops_node){.kind = SOPS_MAP}, &map, err);

	if (r == 0)
		r = sops_flatten(metadata, "", &flat, map, err);
	return r == 0 ? ini_section_write(&flat, map, span_of_text(SOPS_METADATA_KEY), &place, out,
					  err)
		      : r;
}

static int ini_write(const struct sops_tree *tree, const struct sops_tree *metadata,
		     const struct sops_format *format, struct secret *out, struct error *err)
{
	struct ini_place place = {.first = true};
	size_t last = section_last(tree);
	int r = sections_check(tree, metadata, err);

	(void)format;
	for (size_t i = SOPS_FIRST_DOCUMENT + 1; i < tree->nodes[SOPS_FIRST_DOCUMENT].end && r == 0;
	     i = tree->nodes[i].end) {
		if (tree->nodes[i].kind != SOPS_MAP)
			continue;
		place.last = i == last && !metadata;
		r = ini_section_write(tree, i, tree->nodes[i].key, &place, out, err);
		place.first = false;
	}
	return r == 0 && metadata ? metadata_write(metadata, place.first, out, err) : r;
}

/* An INI file has only strings, but the value may come from another store. */
static int ini_write_value(const struct sops_tree *tree, size_t node,
			   const struct sops_format *format, struct secret *out, struct error *err)
{
	if (tree->nodes[node].kind == SOPS_MAP || tree->nodes[node].kind == SOPS_LIST)
		return error_set(err, VMCRED_FAILED, "a map or a list cannot be printed as INI");
	return sops_store_json.write_value(tree, node, format, out, err);
}

const struct sops_store sops_store_ini = {
	.name = "ini",
	.suffixes = (const char *const[]){".ini", NULL},
	.read = ini_read,
	.read_plain = ini_read,
	.has_metadata = sops_metadata_is_nested,
	.metadata_take = ini_metadata_take,
	.write = ini_write,
	.write_value = ini_write_value,
	.example = "[section]\n; Edit this file; it is encrypted when you save it.\n"
		   "name = value\n",
};

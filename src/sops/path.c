/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/path.h"

#include <stdlib.h>

#include "base/text.h"
#include "sops/sops.h"

static int invalid(const char *text, struct error *err)
{
	error_set(err, VMCRED_USAGE, "invalid path %s", text);
	return error_hint(err, "the form is [\"key\"][0][\"other key\"]");
}

/* As in sops, a key cannot contain '[' or escapes. */
static int component_read(struct span component, struct sops_step *step)
{
	bool quoted =
		component.size >= 2 && (component.data[0] == '"' || component.data[0] == '\'');

	if (quoted) {
		step->key = span_of(component.data + 1, component.size - 2);
		return component.data[component.size - 1] == component.data[0] ? 0 : -1;
	}
	if (component.size == 0)
		return -1;
	for (size_t i = 0; i < component.size; i++) {
		uint8_t c = component.data[i];

		if (c < '0' || c > '9' ||
		    __builtin_mul_overflow(step->position, 10, &step->position) ||
		    __builtin_add_overflow(step->position, c - '0', &step->position) ||
		    step->position > INT64_MAX)
			return -1;
	}
	return 0;
}

int sops_path_read(const char *text, struct sops_path *path, struct error *err)
{
	const char *at = text;
	size_t count = 0;

	if (!utf8_valid(span_of_text(text)))
		return error_set(err, VMCRED_USAGE, "invalid path: not UTF-8");
	for (const char *c = text; *c; c++)
		count += *c == '[';
	path->steps = calloc(count + 1, sizeof(*path->steps));
	if (!path->steps)
		return error_no_memory(err);
	while (*at) {
		const char *next;
		size_t size;

		if (*at != '[')
			return invalid(text, err);
		next = strchrnul(++at, '[');
		size = (size_t)(next - at);
		if (size == 0 || at[size - 1] != ']' ||
		    component_read(span_of(at, size - 1), &path->steps[path->count++]) < 0)
			return invalid(text, err);
		at = next;
	}
	return path->count > 0 ? 0 : invalid(text, err);
}

int sops_path_check(const char *text, struct error *err)
{
	_cleanup_sops_path_ struct sops_path ignored = {0};

	return sops_path_read(text, &ignored, err);
}

void sops_path_destroy(struct sops_path *path)
{
	free(path->steps);
	*path = (struct sops_path){0};
}

int sops_path_step(const struct sops_tree *tree, size_t container, const struct sops_step *step,
		   size_t *child, struct error *err)
{
	const struct sops_node *node = &tree->nodes[container];
	size_t position = step->position;

	*child = 0;
	if (node->kind == SOPS_MAP && !step->key.data)
		return error_set(err, VMCRED_USAGE,
				 "[%zu] is a list position, but the value is a map", position);
	if (node->kind == SOPS_LIST && step->key.data)
		return error_set(err, VMCRED_USAGE,
				 "[\"%.*s\"] is a map key, but the value is a list",
				 (int)step->key.size, (const char *)step->key.data);
	if (node->kind == SOPS_MAP)
		*child = sops_tree_child(tree, container, step->key);
	if (node->kind != SOPS_LIST)
		return 0;
	for (size_t i = container + 1; i < node->end; i = tree->nodes[i].end) {
		if (position-- == 0) {
			*child = i;
			break;
		}
	}
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A document's key is a map of texts. The key's own text is composed of them as in sops. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "sops/keys/key.h"
#include "sops/tree/number.h"
#include "sops/tree/timestamp.h"

static int field_invalid(const char *what, const char *name, const char *reason, struct error *err)
{
	return error_set(err, VMCRED_FAILED, "%s: sops.%s %s", what, name, reason);
}

int sops_field_read(const struct sops_tree *tree, size_t map, const char *name, const char *what,
		    char **text, struct error *err)
{
	size_t index = sops_tree_last_child(tree, map, span_of_text(name));
	const struct sops_node *node = &tree->nodes[index];
	char number[SOPS_NUMBER_SIZE_MAX];
	struct span value = node->text;

	if (index == 0 || node->kind == SOPS_NULL)
		value = span_of("", 0);
	else if (node->kind == SOPS_FLOAT)
		value = span_of(number, sops_float_print(value, SOPS_NUMBER_PLAIN, number));
	else if (node->kind == SOPS_MAP || node->kind == SOPS_LIST)
		return field_invalid(what, name, "is not a string", err);
	if (value.size > 0 && memchr(value.data, 0, value.size))
		return field_invalid(what, name, "contains a NUL byte", err);
	*text = strndup((const char *)value.data, value.size);
	return *text ? 0 : error_no_memory(err);
}

static int context_order(const void *a, const void *b)
{
	return strcmp(((const struct sops_context *)a)->name,
		      ((const struct sops_context *)b)->name);
}

/* Only KMS keys have one. */
static int context_read(const struct sops_tree *tree, size_t map, const char *what,
			struct sops_key *key, struct error *err)
{
	size_t context = sops_tree_last_child(tree, map, span_of_text("context")), count = 0;

	if (context == 0 || tree->nodes[context].kind == SOPS_NULL)
		return 0;
	if (tree->nodes[context].kind != SOPS_MAP)
		return field_invalid(what, "kms.context", "is not a map", err);
	for (size_t i = context + 1; i < tree->nodes[context].end; i = tree->nodes[i].end)
		count += tree->nodes[i].key.data != NULL;
	key->context = calloc(count + 1, sizeof(*key->context));
	if (!key->context)
		return error_no_memory(err);
	for (size_t i = context + 1; i < tree->nodes[context].end; i = tree->nodes[i].end) {
		const struct sops_node *node = &tree->nodes[i];
		struct sops_context *entry;

		if (node->kind == SOPS_MAP || node->kind == SOPS_LIST)
			return field_invalid(what, "kms.context", "contains a map or a list", err);
		if (!node->key.data)
			continue;
		entry = &key->context[key->context_count++];
		entry->name = strndup((const char *)node->key.data, node->key.size);
		if (node->kind != SOPS_NULL)
			entry->value = strndup((const char *)node->text.data, node->text.size);
		if (!entry->name || (node->kind != SOPS_NULL && !entry->value))
			return error_no_memory(err);
	}
	qsort(key->context, key->context_count, sizeof(*key->context), context_order);
	return 0;
}

/* Composes the text from the pattern of its type. */
static char *text_compose(const struct sops_key *key, const char *pattern)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);

	if (!to)
		return NULL;
	for (; *pattern; pattern++) {
		if (*pattern == '$')
			fputs(key->fields[*++pattern - '0'], to);
		else
			fputc(*pattern, to);
	}
	if (key->type == SOPS_KEY_KMS) {
		const char *profile = key->fields[1], *role = key->fields[4];

		if (*role)
			fprintf(to, "+%s", role);
		if (key->context_count > 0 || *profile)
			fputc('|', to);
		for (size_t i = 0; i < key->context_count; i++)
			fprintf(to, "%s%s:%s", i ? "," : "", key->context[i].name,
				key->context[i].value ? key->context[i].value : "");
		if (*profile)
			fprintf(to, "|%s", profile);
	}
	if (fclose(to) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static int time_normalize(char **field, const char *what, const char *name, struct error *err)
{
	char time[SOPS_TIMESTAMP_SIZE_MAX];
	char *copy;

	if (!*field || sops_timestamp_normalize(span_of_text(*field), time) < 0)
		return field_invalid(what, name, "is not a time (RFC 3339)", err);
	copy = strdup(time);
	if (!copy)
		return error_no_memory(err);
	free(*field);
	*field = copy;
	return 0;
}

int sops_key_read(const struct sops_tree *tree, size_t map, enum sops_key_type type,
		  const char *what, struct sops_key *key, struct error *err)
{
	const struct sops_key_type_row *row = sops_key_type_row(type);
	int r = 0;

	*key = (struct sops_key){.type = type};
	for (size_t i = 0; r == 0 && row->fields[i].name; i++) {
		r = sops_field_read(tree, map, row->fields[i].name, what, &key->fields[i], err);
		if (r == 0 && row->fields[i].use == SOPS_FIELD_TIME)
			r = time_normalize(&key->fields[i], what, row->fields[i].name, err);
	}
	if (r == 0 && type == SOPS_KEY_KMS)
		r = context_read(tree, map, what, key, err);
	if (r == 0) {
		key->text = text_compose(key, row->text);
		if (!key->text)
			r = error_no_memory(err);
	}
	if (r < 0)
		sops_key_destroy(key);
	return r;
}

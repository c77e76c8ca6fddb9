/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/name.h"
#include "config/schema.h"

const char *schema_entry_nearest(const char *name, const void *entries, size_t count, size_t stride,
				 size_t offset)
{
	_cleanup_free_ const char **names = calloc(count + 1, sizeof(char *));

	for (size_t i = 0; names && i < count; i++)
		memcpy(&names[i], (const char *)entries + i * stride + offset, sizeof(names[i]));
	return names ? name_nearest(name, names) : NULL;
}

int schema_hint_nearest(struct reader *reader, const char *nearest)
{
	if (nearest)
		return error_hint(reader->err, "did you mean \"%s\"?", nearest);
	return -(int)reader->err->code;
}

/* Puts file and line in front of an error about a name. */
static int name_rejected(struct reader *reader, struct fy_node *node)
{
	_cleanup_free_ char *text = reader->err->text;

	reader->err->text = NULL;
	return reader_reject(reader, node, "%s", text);
}

int schema_store_name(struct reader *reader, const char *what, const char *name,
		      struct fy_node *key, char **copy)
{
	if (store_name_check(what, name, reader->err) < 0)
		return name_rejected(reader, key);
	*copy = strdup(name);
	return *copy ? 0 : error_no_memory(reader->err);
}

int schema_credential_name(struct reader *reader, const char *name, struct fy_node *node,
			   char **copy)
{
	if (credential_name_check(name, reader->err) < 0)
		return name_rejected(reader, node);
	free(*copy);
	*copy = strdup(name);
	return *copy ? 0 : error_no_memory(reader->err);
}

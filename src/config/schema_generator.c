/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/name.h"
#include "config/schema.h"

/* systemd takes no larger credential: systemd.exec(5), LoadCredential=. */
#define SECRET_SIZE_MAX ((size_t)1024 * 1024)

/* A key of the format that this version does nothing with: only its empty form is taken. */
static int read_unsupported(struct reader *reader, struct fy_node *value, void *target)
{
	(void)target;
	value = reader_resolve(value);
	if (!value || fy_node_is_null(value) ||
	    (fy_node_is_mapping(value) && fy_node_mapping_item_count(value) == 0) ||
	    (fy_node_is_sequence(value) && fy_node_sequence_item_count(value) == 0))
		return 0;
	return reader_reject(reader, value, "is not supported by vmcred %s", vmcred_version());
}

static int read_mode(struct reader *reader, struct fy_node *value, void *target)
{
	_cleanup_free_ char *text = NULL;
	unsigned long mode;
	char *end;
	int r = reader_string(reader, value, &text);

	if (r < 0)
		return r;
	mode = strtoul(text, &end, 8);
	if (*end != '\0' || text[0] < '0' || text[0] > '7' || mode > 0777)
		return reader_reject(reader, value,
				     "must be an octal file mode such as \"0400\", not \"%s\"",
				     text);
	*(mode_t *)target = (mode_t)mode;
	return 0;
}

static int read_needed_for(struct reader *reader, struct fy_node *value, void *target)
{
	_cleanup_free_ char *text = NULL;
	int r = reader_string(reader, value, &text);

	(void)target;
	if (r < 0)
		return r;
	if (strcmp(text, "services") != 0)
		return reader_reject(reader, value,
				     "\"%s\" is not supported by vmcred %s, only \"services\"",
				     text, vmcred_version());
	return 0;
}

static int read_file(struct reader *reader, const char *name, struct fy_node *key,
		     struct fy_node *value, void *entry)
{
	static const struct reader_key keys[] = {
		{"secret", reader_bool, offsetof(struct config_file, secret)},
		{"deploy", reader_bool, offsetof(struct config_file, deploy)},
		{"owner", reader_string, offsetof(struct config_file, owner)},
		{"group", reader_string, offsetof(struct config_file, group)},
		{"mode", read_mode, offsetof(struct config_file, mode)},
		{"neededFor", read_needed_for, 0},
		{"restartUnits", reader_strings, offsetof(struct config_file, restart_units)},
		{"reloadUnits", reader_strings, offsetof(struct config_file, reload_units)},
		{0},
	};
	struct config_file *file = entry;
	int r = schema_store_name(reader, "file", name, key, &file->name);

	if (r < 0)
		return r;
	file->secret = true;
	file->deploy = true;
	file->mode = 0400;
	file->line = reader_line(key);
	file->owner = strdup("root");
	file->group = strdup("root");
	if (!file->owner || !file->group)
		return error_no_memory(reader->err);
	return reader_mapping(reader, value, keys, file);
}

static int read_files(struct reader *reader, struct fy_node *value, void *target)
{
	struct config_generator *generator = target;
	void *entries = NULL;
	int r = reader_entries(reader, value, sizeof(struct config_file), read_file, &entries,
			       &generator->file_count);

	generator->files = entries;
	return r;
}

/* The kinds are read after the files that they belong to, whatever the order in the file. */
struct kind_entry {
	char *file;
	struct config_kind kind;
	struct fy_node *key;
};

static int read_kind(struct reader *reader, const char *name, struct fy_node *key,
		     struct fy_node *value, void *entry)
{
	static const struct {
		const char *name;
		enum config_kind_type type;
	} kinds[] = {{"base64", CONFIG_KIND_BASE64}, {"hex", CONFIG_KIND_HEX}};
	struct kind_entry *into = entry;
	struct fy_node_pair *pair;
	_cleanup_free_ char *kind = NULL;
	int r;

	into->file = strdup(name);
	into->key = key;
	if (!into->file)
		return error_no_memory(reader->err);
	value = reader_resolve(value);
	if (!value || !fy_node_is_mapping(value) || fy_node_mapping_item_count(value) != 1)
		return reader_reject(reader, key,
				     "must be one kind with its size, such as {base64: 32}");
	pair = fy_node_mapping_get_by_index(value, 0);
	r = reader_string(reader, fy_node_pair_key(pair), &kind);
	if (r < 0)
		return r;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].name, kind) == 0)
			into->kind.type = kinds[i].type;
	}
	if (into->kind.type == CONFIG_KIND_NONE) {
		const char *const names[] = {"base64", "hex", NULL};

		reader_reject(reader, fy_node_pair_key(pair), "unknown kind \"%s\"", kind);
		return schema_hint_nearest(reader, name_nearest(kind, names));
	}
	return reader_number(reader, fy_node_pair_value(pair), 1, SECRET_SIZE_MAX / 2,
			     &into->kind.size);
}

static int kinds_assign(struct reader *reader, struct config_generator *generator,
			const struct kind_entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		size_t j = 0;

		while (j < generator->file_count &&
		       strcmp(generator->files[j].name, entries[i].file) != 0)
			j++;
		if (j == generator->file_count) {
			reader_reject(reader, entries[i].key,
				      "kind \"%s\" has no file of that name", entries[i].file);
			return schema_hint_nearest(
				reader, schema_entry_nearest(entries[i].file, generator->files,
							     generator->file_count,
							     sizeof(struct config_file),
							     offsetof(struct config_file, name)));
		}
		generator->files[j].kind = entries[i].kind;
	}
	return 0;
}

static int read_kinds(struct reader *reader, struct config_generator *generator,
		      struct fy_node *node)
{
	struct kind_entry *entries = NULL;
	void *array = NULL;
	size_t count = 0;
	int r = reader_entries(reader, node, sizeof(struct kind_entry), read_kind, &array, &count);

	entries = array;
	if (r == 0)
		r = kinds_assign(reader, generator, entries, count);
	for (size_t i = 0; i < count; i++)
		free(entries[i].file);
	free(entries);
	return r;
}

/* Checked by generator_check(), when the files are known. */
static int read_later(struct reader *reader, struct fy_node *value, void *target)
{
	(void)reader;
	(void)value;
	(void)target;
	return 0;
}

static int generator_check(struct reader *reader, struct config_generator *generator,
			   struct fy_node *key)
{
	if (generator->file_count == 0)
		return reader_reject(reader, key, "declares no files");
	if (!generator->share && config_texts_count(generator->machines) == 0)
		return reader_reject(reader, key,
				     "is for no machine: give it machines: or share: true");
	for (size_t i = 0; i < generator->file_count; i++) {
		bool has_kind = generator->files[i].kind.type != CONFIG_KIND_NONE;

		if (generator->script && has_kind)
			return reader_reject(reader, key, "has both a script and a kind for \"%s\"",
					     generator->files[i].name);
		if (!generator->script && !has_kind)
			return reader_reject(reader, key,
					     "has neither a script nor a kind for \"%s\"",
					     generator->files[i].name);
	}
	return 0;
}

int schema_generator(struct reader *reader, const char *name, struct fy_node *key,
		     struct fy_node *value, void *entry)
{
	static const struct reader_key keys[] = {
		{"machines", reader_strings, offsetof(struct config_generator, machines)},
		{"share", reader_bool, offsetof(struct config_generator, share)},
		{"dependencies", read_unsupported, 0},
		{"prompts", read_unsupported, 0},
		{"validation", read_unsupported, 0},
		{"files", read_files, 0},
		{"script", reader_string, offsetof(struct config_generator, script)},
		{"kind", read_later, 0},
		{0},
	};
	struct config_generator *generator = entry;
	int r = schema_store_name(reader, "generator", name, key, &generator->name);

	value = reader_resolve(value);
	generator->line = reader_line(key);
	if (r == 0)
		r = reader_mapping(reader, value, keys, generator);
	if (r == 0 && value && fy_node_is_mapping(value))
		r = read_kinds(reader, generator,
			       fy_node_mapping_lookup_by_string(value, "kind", FY_NT));
	if (r == 0)
		r = generator_check(reader, generator, key);
	return r;
}

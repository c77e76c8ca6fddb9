/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/name.h"
#include "config/schema.h"

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
	const char *words[CONFIG_PHASES + 1] = {NULL};
	int word, r;

	for (size_t i = 0; i < CONFIG_PHASES; i++)
		words[i] = config_phase_get((enum config_needed_for)i)->name;
	r = reader_word(reader, value, words, &word);
	if (r == 0)
		*(enum config_needed_for *)target = (enum config_needed_for)word;
	return r;
}

static int read_owner(struct reader *reader, struct fy_node *value, void *target)
{
	char **owner = target;
	uint32_t number = 0;
	int r = reader_string(reader, value, owner);

	if (r == 0 && config_owner_number(*owner, &number) && number == UINT32_MAX)
		return reader_reject(reader, value, "\"%s\" is too large for a number", *owner);
	return r;
}

/*
 * There may be no users yet in any phase before that of the services, and clan and sops-nix want
 * the files of these phases to be root's.
 */
static int file_phase_check(struct reader *reader, const struct config_file *file,
			    struct fy_node *key)
{
	const char *phase = config_phase_get(file->needed_for)->name;
	const char *owner;
	uint32_t number;

	if (file->needed_for == CONFIG_SERVICES)
		return 0;
	if (!file->deploy) {
		reader_reject(reader, key, "is needed for %s, and no machine gets it", phase);
		return error_hint(reader->err, "leave out neededFor or deploy: false");
	}
	owner = config_owner_number(file->owner, &number) ? file->group : file->owner;
	if (config_owner_number(owner, &number))
		return 0;
	reader_reject(reader, key, "is needed for %s, when there may be no \"%s\" yet", phase,
		      owner);
	return error_hint(reader->err, "let it belong to root, or to a number");
}

static int file_default(struct reader *reader, struct config_file *file, int line)
{
	file->secret = true;
	file->deploy = true;
	file->mode = 0400;
	file->line = line;
	file->owner = strdup("root");
	file->group = strdup("root");
	return file->owner && file->group ? 0 : error_no_memory(reader->err);
}

static int read_file(struct reader *reader, const char *name, struct fy_node *key,
		     struct fy_node *value, void *entry)
{
	static const struct reader_key keys[] = {
		{"name", schema_same_name, offsetof(struct config_file, name)},
		{"secret", reader_bool, offsetof(struct config_file, secret)},
		{"deploy", reader_bool, offsetof(struct config_file, deploy)},
		{"owner", read_owner, offsetof(struct config_file, owner)},
		{"group", read_owner, offsetof(struct config_file, group)},
		{"mode", read_mode, offsetof(struct config_file, mode)},
		{"neededFor", read_needed_for, offsetof(struct config_file, needed_for)},
		{"restartUnits", reader_strings, offsetof(struct config_file, restart_units)},
		{"reloadUnits", reader_strings, offsetof(struct config_file, reload_units)},
		{0},
	};
	struct config_file *file = entry;
	int r = schema_store_name(reader, "file", name, key, &file->name);

	if (r == 0)
		r = file_default(reader, file, reader_line(key));
	if (r == 0)
		r = reader_mapping(reader, value, keys, file);
	return r == 0 ? file_phase_check(reader, file, key) : r;
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

static int read_prompts(struct reader *reader, struct fy_node *value, void *target)
{
	struct config_generator *generator = target;
	void *entries = NULL;
	int r = reader_entries(reader, value, sizeof(struct config_prompt), schema_prompt, &entries,
			       &generator->prompt_count);

	generator->prompts = entries;
	return r;
}

/* The file of a persisted prompt, which need not be declared: it is a secret like others. */
static int prompt_file(struct reader *reader, struct config_generator *generator,
		       const struct config_prompt *prompt)
{
	struct config_file *files;
	int r;

	for (size_t i = 0; i < generator->file_count; i++) {
		if (strcmp(generator->files[i].name, prompt->name) == 0) {
			generator->files[i].prompted = true;
			return 0;
		}
	}
	files = reallocarray(generator->files, generator->file_count + 1, sizeof(*files));
	if (!files)
		return error_no_memory(reader->err);
	generator->files = files;
	files += generator->file_count;
	*files = (struct config_file){.name = strdup(prompt->name), .prompted = true};
	generator->file_count++;
	r = file_default(reader, files, prompt->line);
	return files->name ? r : error_no_memory(reader->err);
}

/* Checked by generator_check(), when the files are known. */
static int read_later(struct reader *reader, struct fy_node *value, void *target)
{
	(void)reader;
	(void)value;
	(void)target;
	return 0;
}

static int file_check(struct reader *reader, const struct config_generator *generator,
		      const struct config_file *file, struct fy_node *key)
{
	bool has_kind = file->kind.type != CONFIG_KIND_NONE;

	if (generator->script && (has_kind || file->derived))
		return reader_reject(reader, key, "has both a script and a kind for \"%s\"",
				     file->name);
	if (file->prompted && (has_kind || file->derived))
		return reader_reject(reader, key, "has both a prompt and a kind for \"%s\"",
				     file->name);
	if (!generator->script && !has_kind && !file->derived && !file->prompted)
		return reader_reject(reader, key, "has neither a script nor a kind for \"%s\"",
				     file->name);
	return 0;
}

static int generator_check(struct reader *reader, struct config_generator *generator,
			   struct fy_node *key)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < generator->prompt_count; i++) {
		if (generator->prompts[i].persist)
			r = prompt_file(reader, generator, &generator->prompts[i]);
	}
	if (r < 0)
		return r;
	if (generator->file_count == 0)
		return reader_reject(reader, key, "declares no files");
	if (!generator->share && config_texts_count(generator->machines) == 0)
		return reader_reject(reader, key,
				     "is for no machine: give it machines: or share: true");
	for (size_t i = 0; r == 0 && i < generator->file_count; i++)
		r = file_check(reader, generator, &generator->files[i], key);
	return r;
}

int schema_generator(struct reader *reader, const char *name, struct fy_node *key,
		     struct fy_node *value, void *entry)
{
	static const struct reader_key keys[] = {
		{"name", schema_same_name, offsetof(struct config_generator, name)},
		{"machines", reader_strings, offsetof(struct config_generator, machines)},
		{"share", reader_bool, offsetof(struct config_generator, share)},
		{"dependencies", reader_strings, offsetof(struct config_generator, dependencies)},
		{"prompts", read_prompts, 0},
		{"validation", schema_validation, offsetof(struct config_generator, validation)},
		{"files", read_files, 0},
		{"script", reader_string, offsetof(struct config_generator, script)},
		{"runtimeInputs", schema_runtime_inputs,
		 offsetof(struct config_generator, runtime_inputs)},
		{"kind", read_later, 0},
		{0},
	};
	struct config_generator *generator = entry;
	int r = schema_store_name(reader, "generator", name, key, &generator->name);

	value = reader_resolve(value);
	generator->line = reader_line(key);
	if (r == 0)
		r = reader_mapping(reader, value, keys, generator);
	if (r == 0)
		r = schema_script_finish(generator, reader->err);
	if (r == 0 && value && fy_node_is_mapping(value))
		r = schema_kinds(reader, generator,
				 fy_node_mapping_lookup_by_string(value, "kind", FY_NT));
	if (r == 0)
		r = generator_check(reader, generator, key);
	return r;
}

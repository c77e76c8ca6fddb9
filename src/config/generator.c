/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "config/schema.h"

static int read_mode(struct reader *reader, const struct yaml_node *value, void *target)
{
	char *text = NULL;
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

static int read_owner(struct reader *reader, const struct yaml_node *value, void *target)
{
	char **owner = target;
	uint32_t number = 0;
	int r = reader_string(reader, value, owner);

	if (r == 0 && config_owner_number(*owner, &number) && number == UINT32_MAX)
		return reader_reject(reader, value, "ID \"%s\" is too large", *owner);
	return r;
}

/* They become arguments of systemctl, which completes a name without a suffix. */
static int read_units(struct reader *reader, const struct yaml_node *value, void *target)
{
	int r = reader_strings(reader, value, target);
	char *const *units = *(char ***)target;

	for (; r == 0 && units && *units; units++) {
		if (!config_is_unit(*units, ""))
			r = reader_reject(reader, value, "\"%s\" is not the name of a unit",
					  *units);
	}
	return r;
}

/* Before the phase of the services there may be no users, and clan and sops-nix require root to own
 * the files. */
static int file_phase_check(struct reader *reader, const struct config_file *file,
			    const struct yaml_node *key)
{
	const char *phase = config_phase_get(file->needed_for)->name;
	const char *owner;
	uint32_t number;

	if (file->needed_for == CONFIG_SERVICES)
		return 0;
	if (!file->deploy) {
		reader_reject(reader, key, "neededFor: %s conflicts with deploy: false", phase);
		return error_hint(reader->err, "remove one of them");
	}
	owner = config_owner_number(file->owner, &number) ? file->group : file->owner;
	if (config_owner_number(owner, &number))
		return 0;
	reader_reject(reader, key, "\"%s\" may not exist yet with neededFor: %s", owner, phase);
	return error_hint(reader->err, "use root or a number");
}

static int file_default(struct reader *reader, struct config_file *file, int line)
{
	file->secret = true;
	file->deploy = true;
	file->mode = 0400;
	file->line = line;
	file->owner = file->group = schema_text(reader->config, "root", 4, reader->err);
	return file->owner ? 0 : -(int)reader->err->code;
}

#define DAYS_MAX 36600 /* a hundred years */

static int read_days(struct reader *reader, const struct yaml_node *value, void *target)
{
	char *text = NULL, *end;
	unsigned long days;
	int r = reader_string(reader, value, &text);

	if (r < 0)
		return r;
	days = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || strcmp(end, "d") != 0 || days == 0 || days > DAYS_MAX)
		return reader_reject(reader, value,
				     "must be a number of days such as 90d, not \"%s\"", text);
	*(size_t *)target = days;
	return 0;
}

static int read_file(struct reader *reader, const char *name, const struct yaml_node *key,
		     const struct yaml_node *value, void *entry)
{
	static const struct reader_key keys[] = {
		READER_KEY("name", schema_same_name, struct config_file, name),
		READER_KEY("secret", reader_bool, struct config_file, secret),
		READER_KEY("deploy", reader_bool, struct config_file, deploy),
		READER_KEY("owner", read_owner, struct config_file, owner),
		READER_KEY("group", read_owner, struct config_file, group),
		READER_KEY("mode", read_mode, struct config_file, mode),
		READER_WORD("neededFor", config_phase_names, struct config_file, needed_for),
		READER_KEY("restartUnits", read_units, struct config_file, restart_units),
		READER_KEY("reloadUnits", read_units, struct config_file, reload_units),
		{0},
	};
	struct config_file *file = entry;
	int r = schema_store_name(reader, "file", name, key, &file->name);

	if (r == 0)
		r = file_default(reader, file, (int)key->line);
	if (r == 0)
		r = reader_mapping(reader, value, keys, file);
	return r == 0 ? file_phase_check(reader, file, key) : r;
}

/* Adds the file of a persisted prompt, for which there is room, unless it is declared. */
static int prompt_file(struct reader *reader, struct config_generator *generator,
		       const struct config_prompt *prompt)
{
	for (size_t i = 0; i < generator->file_count; i++) {
		if (strcmp(generator->files[i].name, prompt->name) == 0) {
			generator->files[i].prompted = true;
			return 0;
		}
	}
	generator->files[generator->file_count] =
		(struct config_file){.name = prompt->name, .prompted = true};
	return file_default(reader, &generator->files[generator->file_count++], prompt->line);
}

static int prompt_files(struct reader *reader, struct config_generator *generator)
{
	struct config_file *files;
	int r = 0;

	if (generator->prompt_count == 0)
		return 0;
	files = schema_allocate(reader->config, generator->file_count + generator->prompt_count,
				sizeof(*files), reader->err);
	if (!files)
		return -(int)reader->err->code;
	for (size_t i = 0; i < generator->file_count; i++)
		files[i] = generator->files[i];
	generator->files = files;
	for (size_t i = 0; r == 0 && i < generator->prompt_count; i++) {
		if (generator->prompts[i].persist)
			r = prompt_file(reader, generator, &generator->prompts[i]);
	}
	return r;
}

static int file_check(struct reader *reader, const struct config_generator *generator,
		      const struct config_file *file, const struct yaml_node *key)
{
	bool has_builtin = file->builtin.type != CONFIG_BUILTIN_NONE;

	if (generator->script && (has_builtin || file->derived))
		return reader_reject(reader, key, "both a script and a kind for \"%s\"",
				     file->name);
	if (file->prompted && (has_builtin || file->derived))
		return reader_reject(reader, key, "both a prompt and a kind for \"%s\"",
				     file->name);
	if (!generator->script && !has_builtin && !file->derived && !file->prompted)
		return reader_reject(reader, key, "neither a script nor a kind for \"%s\"",
				     file->name);
	return 0;
}

static bool has_secret(const struct config_generator *generator)
{
	for (size_t i = 0; i < generator->file_count; i++) {
		if (generator->files[i].secret)
			return true;
	}
	return false;
}

static int generator_check(struct reader *reader, struct config_generator *generator,
			   const struct yaml_node *key)
{
	int r = prompt_files(reader, generator);

	if (r < 0)
		return r;
	if (generator->file_count == 0)
		return reader_reject(reader, key, "no files");
	if (!generator->share && config_texts_count(generator->machines) == 0)
		return reader_reject(reader, key, "no machines: add machines: or share: true");
	if (generator->rotate_days > 0 && !has_secret(generator))
		return reader_reject(reader, key,
				     "rotateAfter: without secret files, the age is unknown");
	for (size_t i = 0; r == 0 && i < generator->file_count; i++)
		r = file_check(reader, generator, &generator->files[i], key);
	return r;
}

int schema_generator(struct reader *reader, const char *name, const struct yaml_node *key,
		     const struct yaml_node *value, void *entry)
{
	static const struct reader_key keys[] = {
		READER_KEY("name", schema_same_name, struct config_generator, name),
		READER_KEY("machines", reader_strings, struct config_generator, machines),
		READER_KEY("share", reader_bool, struct config_generator, share),
		READER_KEY("dependencies", reader_strings, struct config_generator, dependencies),
		READER_ENTRIES("prompts", schema_prompt, struct config_generator, prompts,
			       prompt_count),
		READER_KEY("rotateAfter", read_days, struct config_generator, rotate_days),
		READER_KEY("validation", schema_validation, struct config_generator, validation),
		READER_ENTRIES("files", read_file, struct config_generator, files, file_count),
		READER_KEY("script", reader_string, struct config_generator, script),
		READER_KEY("runtimeInputs", schema_runtime_inputs, struct config_generator,
			   runtime_inputs),
		/* Read when the files are known. */
		{.name = "kind", .read = reader_ignore},
		{0},
	};
	struct config_generator *generator = entry;
	const struct yaml_node *builtins;
	int r = schema_store_name(reader, "generator", name, key, &generator->name);

	value = yaml_target(value);
	generator->line = (int)key->line;
	if (r == 0)
		r = reader_mapping(reader, value, keys, generator);
	if (r == 0)
		r = schema_script_finish(reader, generator);
	if (r < 0)
		return r;
	builtins = value->kind == YAML_MAPPING ? yaml_member(value, "kind") : NULL;
	if (builtins)
		r = schema_builtins(reader, generator, builtins);
	return r < 0 ? r : generator_check(reader, generator, key);
}

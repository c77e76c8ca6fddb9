/* SPDX-License-Identifier: Apache-2.0 */
/* The part of a declaration that one machine needs. */
#include <jansson.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "config/schema.h"

/* Only aliases can make a part larger than its declaration. */
#define PART_SIZE_MAX ((size_t)64 * 1024 * 1024)

/* Generators need a way to make their files, but those of a part never run (CONFIG_WHOLE). */
#define SCRIPT "exit 1\n"

static json_t *texts_json(char *const *texts)
{
	json_t *list = json_array();

	for (; texts && *texts; texts++)
		json_array_append_new(list, json_string(*texts));
	return list;
}

static json_t *file_json(const struct config_file *file)
{
	char mode[sizeof("0777")];

	snprintf(mode, sizeof(mode), "%04o", (unsigned)file->mode & 0777);
	return json_pack("{s:b, s:b, s:s, s:s, s:s, s:s, s:o, s:o}", "secret", file->secret,
			 "deploy", file->deploy, "owner", file->owner, "group", file->group, "mode",
			 mode, "neededFor", config_phase_get(file->needed_for)->name,
			 "restartUnits", texts_json(file->restart_units), "reloadUnits",
			 texts_json(file->reload_units));
}

static bool loads_are_for(const struct config *config, const struct config_load *loads,
			  size_t count, const char *machine)
{
	for (size_t i = 0; i < count; i++) {
		if (loads[i].generator &&
		    !config_generator_is_for(
			    config_generator_find(config, loads[i].generator, machine), machine))
			return false;
	}
	return true;
}

/* One without a machine runs where all of its secrets are. */
static bool vm_is_for(const struct config *config, const struct config_vm *vm, const char *machine)
{
	if (vm->machine)
		return strcmp(vm->machine, machine) == 0;
	return loads_are_for(config, vm->loads, vm->load_count, machine) &&
	       loads_are_for(config, vm->channel, vm->channel_count, machine);
}

static bool loads_have(const struct config_load *loads, size_t count,
		       const struct config_generator *generator, const struct config_file *file)
{
	for (size_t i = 0; i < count; i++) {
		if (loads[i].generator && strcmp(loads[i].generator, generator->name) == 0 &&
		    strcmp(loads[i].file, file->name) == 0)
			return true;
	}
	return false;
}

/* A file that is not on the host is declared only where a VM would be an error without it. */
static bool file_is_needed(const struct config *config, const struct config_generator *generator,
			   const struct config_file *file, const char *machine)
{
	bool needed = file->deploy;

	for (size_t i = 0; !needed && i < config->vm_count; i++) {
		const struct config_vm *vm = &config->vms[i];

		needed = (loads_have(vm->loads, vm->load_count, generator, file) ||
			  loads_have(vm->channel, vm->channel_count, generator, file)) &&
			 vm_is_for(config, vm, machine);
	}
	return needed;
}

/* NULL: the machine needs none of its files. */
static json_t *generator_json(const struct config *config, const struct config_generator *generator,
			      const char *machine)
{
	_cleanup_json_ json_t *files = json_object();

	for (size_t i = 0; i < generator->file_count; i++) {
		if (file_is_needed(config, generator, &generator->files[i], machine))
			json_object_set_new(files, generator->files[i].name,
					    file_json(&generator->files[i]));
	}
	return json_object_size(files) == 0
		       ? NULL
		       : json_pack("{s:[s], s:b, s:O, s:s}", "machines", machine, "share",
				   generator->share, "files", files, "script", SCRIPT);
}

static json_t *generators_json(const struct config *config, const char *machine)
{
	json_t *generators = json_object();

	for (size_t i = 0; i < config->generator_count; i++) {
		const struct config_generator *generator = &config->generators[i];

		json_t *part = config_generator_is_for(generator, machine)
				       ? generator_json(config, generator, machine)
				       : NULL;

		if (part)
			json_object_set_new(generators, generator->name, part);
	}
	return generators;
}

static int vms_print(FILE *stream, const struct yaml_node *vms, const struct config *config,
		     const char *machine)
{
	const struct yaml_node *key = vms + 1;
	const char *separator = "";
	int r = 0;

	fputs(",\n\"vms\":{", stream);
	for (size_t i = 0; r == 0 && i < config->vm_count; i++, key = yaml_end(yaml_end(key))) {
		if (!vm_is_for(config, &config->vms[i], machine))
			continue;
		fprintf(stream, "%s\n\"%s\":", separator, config->vms[i].name);
		separator = ",";
		r = schema_node_print(stream, yaml_end(key), NULL, PART_SIZE_MAX);
	}
	fputs("\n}", stream);
	return r;
}

static int part_print(FILE *stream, const struct yaml_node *root, const struct config *config,
		      const char *machine)
{
	static const char *const as_they_are[] = {"credentialSource", "hypervisors"};
	const struct yaml_node *vms = yaml_member(root, "vms");
	_cleanup_json_ json_t *generators = generators_json(config, machine);
	int r;

	fprintf(stream, "{\n\"part\":true,\n\"machines\":{\"%s\":{}},\n\"generators\":", machine);
	r = json_dumpf(generators, stream, JSON_INDENT(1));
	for (size_t i = 0; r == 0 && i < sizeof(as_they_are) / sizeof(as_they_are[0]); i++) {
		const struct yaml_node *node = yaml_member(root, as_they_are[i]);

		if (!node)
			continue;
		fprintf(stream, ",\n\"%s\":", as_they_are[i]);
		r = schema_node_print(stream, node, NULL, PART_SIZE_MAX);
	}
	if (r == 0 && vms)
		r = vms_print(stream, vms, config, machine);
	fputs("\n}\n", stream);
	return r;
}

int schema_part(const struct yaml_node *root, const struct config *config, const char *machine,
		char **text, struct error *err)
{
	_cleanup_free_ char *part = NULL;
	_cleanup_fclose_ FILE *stream = NULL;
	size_t size = 0;

	if (!config_machine_get(config, machine, err))
		return -(int)err->code;
	stream = open_memstream(&part, &size);
	if (!stream || part_print(stream, root, config, machine) < 0 || fflush(stream) != 0 ||
	    ferror(stream))
		return error_no_memory(err);
	fclose(stream);
	stream = NULL;
	*text = pointer_release(&part);
	return 0;
}

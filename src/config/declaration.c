/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a declaration: the top of the schema, and the checks between its parts. */
#include <fcntl.h>

#include "base/file.h"
#include "base/merge_conflict.h"
#include "base/name.h"
#include "channel/channel.h"
#include "config/schema.h"

/* Ten thousand machines take less than 2 MiB. */
#define DECLARATION_SIZE_MAX ((size_t)64 * 1024 * 1024)

/* Nodes that may be read again through aliases. */
#define ALIASED_NODES_MAX 1000000

int schema_store_name(struct reader *reader, const char *what, const char *name,
		      const struct yaml_node *key, char **copy)
{
	if (store_name_check(what, name, reader->err) < 0)
		return reader_wrap(reader, key);
	*copy = schema_text(reader->config, name, strlen(name), reader->err);
	return *copy ? 0 : -(int)reader->err->code;
}

int schema_credential_check(struct reader *reader, const char *name, const struct yaml_node *node)
{
	if (credential_name_check(name, reader->err) < 0)
		return reader_wrap(reader, node);
	if (strcmp(name, CONFIG_ENTRY_CREDENTIAL) == 0 || strcmp(name, CHANNEL_CREDENTIAL) == 0)
		return reader_reject(reader, node, "the credential name \"%s\" is reserved", name);
	return 0;
}

int schema_credential_name(struct reader *reader, const char *name, const struct yaml_node *node,
			   char **copy)
{
	int r = schema_credential_check(reader, name, node);

	if (r < 0)
		return r;
	*copy = schema_text(reader->config, name, strlen(name), reader->err);
	return *copy ? 0 : -(int)reader->err->code;
}

static int read_machine(struct reader *reader, const char *name, const struct yaml_node *key,
			const struct yaml_node *value, void *entry)
{
	static const struct reader_key keys[] = {
		READER_KEY("tags", reader_strings, struct config_machine, tags),
		{0},
	};
	struct config_machine *machine = entry;
	int r = schema_store_name(reader, "machine", name, key, &machine->name);

	machine->line = (int)key->line;
	return r < 0 ? r : reader_mapping(reader, value, keys, machine);
}

static int read_hypervisor(struct reader *reader, const char *name, const struct yaml_node *key,
			   const struct yaml_node *value, void *entry)
{
	struct config_hypervisor *hypervisor = entry;
	int r = schema_store_name(reader, "hypervisor", name, key, &hypervisor->name);

	hypervisor->line = (int)key->line;
	if (r == 0)
		r = reader_string(reader, value, &hypervisor->path);
	if (r == 0 && hypervisor->path[0] != '/')
		return reader_reject(reader, key, "must be an absolute path");
	return r;
}

/* Groups are names of directories of the store. */
static int read_groups(struct reader *reader, const struct yaml_node *value, void *target)
{
	char ***names = target;
	int r = reader_strings(reader, value, target);

	for (size_t i = 0; r == 0 && *names && (*names)[i]; i++) {
		if (store_name_check("group", (*names)[i], reader->err) < 0)
			return reader_wrap(reader, value);
	}
	return r;
}

static int read_sops(struct reader *reader, const struct yaml_node *value, void *target)
{
	static const struct reader_key keys[] = {
		READER_KEY("defaultGroups", read_groups, struct config, default_groups),
		{0},
	};

	return reader_mapping(reader, value, keys, target);
}

static int load_check(struct reader *reader, const struct config *config,
		      const struct config_vm *vm, struct config_load *load)
{
	const struct config_generator *generator;
	const struct config_file *file = NULL;
	size_t variants = 1;

	if (!load->generator)
		return 0;
	generator = config_generator_find(config, load->generator, vm->machine);
	if (!generator) {
		reader_reject_line(reader, load->line, "vms.%s.%s: undeclared generator \"%s\"",
				   vm->name, load->credential, load->generator);
		return READER_HINT_NEAREST(reader->err, load->generator, config->generators,
					   config->generator_count);
	}
	if (vm->machine && !config_generator_is_for(generator, vm->machine)) {
		reader_reject_line(
			reader, load->line,
			"vms.%s.%s: the machine %s of this VM has no files of the generator \"%s\"",
			vm->name, load->credential, vm->machine, load->generator);
		return error_hint(reader->err, "add it to the generator's machines");
	}
	if (!vm->machine) {
		generator -= generator->variant;
		variants = generator->variants;
	}
	for (size_t i = 0; i < variants; i++) {
		const struct config_file *found = config_file_find(&generator[i], load->file);

		if (file && found && file->needed_for != found->needed_for)
			return reader_reject_line(
				reader, load->line,
				"vms.%s.%s: %s has another neededFor on other machines", vm->name,
				load->credential, load->source);
		file = found ? found : file;
	}
	if (!file) {
		reader_reject_line(reader, load->line, "vms.%s.%s: undeclared file \"%s\"",
				   vm->name, load->credential, load->file);
		return READER_HINT_NEAREST(reader->err, load->file, generator->files,
					   generator->file_count);
	}
	load->needed_for = file->needed_for;
	if (load->needed_for != CONFIG_PARTITIONING)
		return 0;
	reader_reject_line(reader, load->line,
			   "vms.%s.%s: %s is needed for partitioning and removed before VMs start",
			   vm->name, load->credential, load->source);
	return error_hint(reader->err, "use a file with another neededFor");
}

/* systemd would only report "Protocol error" or "Invalid argument" when the unit starts. */
static int source_check(struct reader *reader, const struct config *config, struct config_vm *vm)
{
	if (vm->source == CONFIG_SOURCE_DEFAULT)
		vm->source = config->source;
	if (vm->source == CONFIG_SOURCE_DEFAULT)
		vm->source = CONFIG_SOURCE_FILES;
	if ((vm->source == CONFIG_SOURCE_SOCKET && config_vm_socket_check(vm, reader->err) < 0) ||
	    config_vm_channel_check(vm, reader->err) < 0)
		return error_wrap(reader->err, "%s:%d: vms.%s", reader->path, vm->line, vm->name);
	return 0;
}

/* A VM of an unknown machine is not one of another machine: it has an error everywhere. */
static int machine_check(struct reader *reader, const struct config *config, struct config_vm *vm)
{
	const char *name = vm->machine;

	if (!name || config_machine_find(config, name))
		return 0;
	vm->machine = NULL;
	reader_reject_line(reader, vm->line, "vms.%s: undeclared machine \"%s\"", vm->name, name);
	return READER_HINT_NEAREST(reader->err, name, config->machines, config->machine_count);
}

static int vm_check(struct reader *reader, const struct config *config, struct config_vm *vm)
{
	int r = machine_check(reader, config, vm);

	for (size_t i = 0; r == 0 && i < vm->load_count; i++)
		r = load_check(reader, config, vm, &vm->loads[i]);
	for (size_t i = 0; r == 0 && i < vm->channel_count; i++)
		r = load_check(reader, config, vm, &vm->channel[i]);
	if (r == 0)
		r = source_check(reader, config, vm);
	return r < 0 ? schema_vm_fail(reader, vm) : 0;
}

/*
 * Two VMs of a machine must not have the same unit: their credentials could not be told apart.
 * Default names differ, so only the others are compared: a declaration may have very many VMs.
 */
static int units_check(struct reader *reader, struct config *config)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < config->vm_count; i++) {
		for (size_t j = 0;
		     r == 0 && !schema_vm_has_default_unit(&config->vms[i]) && j < config->vm_count;
		     j++) {
			struct config_vm *first = &config->vms[i < j ? i : j],
					 *second = &config->vms[i < j ? j : i];

			if (i == j || first->problem || second->problem ||
			    (first->machine && second->machine &&
			     strcmp(first->machine, second->machine) != 0) ||
			    strcmp(first->unit, second->unit) != 0)
				continue;
			reader_reject_line(reader, second->line, "vms.%s: same unit %s as %s",
					   second->name, second->unit, first->name);
			r = schema_vm_fail(reader, second);
		}
	}
	return r;
}

static int document_read(const struct yaml *yaml, struct reader *reader, struct config *config)
{
	static const struct reader_key keys[] = {
		{.name = "sops", .read = read_sops},
		READER_ENTRIES("machines", read_machine, struct config, machines, machine_count),
		{.name = "generators",
		 .entry = schema_generator,
		 .offset = offsetof(struct config, generators),
		 .entry_size = sizeof(struct config_generator),
		 .count_offset = offsetof(struct config, generator_count),
		 .lists = true},
		READER_ENTRIES("vms", schema_vm, struct config, vms, vm_count),
		READER_KEY("credentialSource", schema_source, struct config, source),
		READER_KEY("part", reader_bool, struct config, part),
		READER_ENTRIES("hypervisors", read_hypervisor, struct config, hypervisors,
			       hypervisor_count),
		{0},
	};
	const struct yaml_node *root = yaml_root(yaml);
	int r = 0;

	/* An empty text declares nothing. */
	if (root && yaml_end(root) < yaml->nodes + yaml->count)
		return reader_reject(reader, yaml_end(root), "more than one YAML document");
	if (root)
		r = reader_mapping(reader, root, keys, config);
	if (r == 0)
		r = schema_names_sort(config, reader->err);
	if (r == 0)
		r = schema_dependencies(reader, config);
	for (size_t i = 0; r == 0 && i < config->vm_count; i++) {
		if (!config->vms[i].problem)
			r = vm_check(reader, config, &config->vms[i]);
		else if (machine_check(reader, config, &config->vms[i]) < 0)
			error_clear(reader->err);
	}
	return r < 0 ? r : units_check(reader, config);
}

/* The text owns nothing afterwards. */
static int yaml_load(struct yaml *yaml, struct secret *text, const char *path, unsigned int flags,
		     struct config *config, struct error *err)
{
	struct reader reader = {.path = path,
				.config = config,
				.lenient = (flags & CONFIG_LENIENT) != 0,
				.err = err};
	int r;

	*config = (struct config){0};
	config->path = schema_text(config, path, strlen(path), err);
	r = config->path ? 0 : -(int)err->code;
	if (r == 0)
		r = merge_conflict_check(secret_span(text), path, err);
	if (r == 0)
		r = yaml_read(yaml, text, err);
	reader.nodes_left = 4 * yaml->count + ALIASED_NODES_MAX;
	if (r == 0)
		r = document_read(yaml, &reader, config);
	secret_destroy(text);
	if (r < 0)
		config_destroy(config);
	return r;
}

static int text_load(struct secret *text, const char *path, unsigned int flags,
		     struct config *config, struct error *err)
{
	_cleanup_yaml_ struct yaml yaml = {.name = path, .invalid = VMCRED_USAGE};
	int r = yaml_load(&yaml, text, path, flags, config, err);

	if (r == 0 && (flags & CONFIG_WHOLE) && config->part) {
		config_destroy(config);
		error_set(err, VMCRED_USAGE, "%s is only the part of one machine", path);
		return error_hint(err, "use the repository that it was exported from");
	}
	if (r == 0 && (flags & CONFIG_ENTRIES) && config->vm_count > 0)
		schema_entries(yaml_root(&yaml), config);
	return r;
}

int config_load_text(const char *text, size_t size, const char *path, struct config *config,
		     struct error *err)
{
	struct secret copy = {0};
	int r = secret_copy(&copy, span_of(text, size), err);

	return r < 0 ? r : text_load(&copy, path, CONFIG_ENTRIES, config, err);
}

int config_load_file_as(const char *path, unsigned int flags, struct config *config,
			struct error *err)
{
	struct secret text = {0};
	int r = file_read_secret(AT_FDCWD, path, DECLARATION_SIZE_MAX, &text, err);

	return r < 0 ? r : text_load(&text, path, flags, config, err);
}

int config_part(const char *path, const char *machine, char **text, struct error *err)
{
	_cleanup_yaml_ struct yaml yaml = {.name = path, .invalid = VMCRED_USAGE};
	_cleanup_config_ struct config config = {0};
	struct secret whole = {0};
	int r = file_read_secret(AT_FDCWD, path, DECLARATION_SIZE_MAX, &whole, err);

	if (r == 0)
		r = yaml_load(&yaml, &whole, path, 0, &config, err);
	return r < 0 ? r : schema_part(yaml_root(&yaml), &config, machine, text, err);
}

int config_load_file(const char *path, struct config *config, struct error *err)
{
	return config_load_file_as(path, 0, config, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "config/schema.h"

/* systemd's UNIT_NAME_MAX without its NUL. */
#define UNIT_NAME_SIZE_MAX 255

/* It is copied into a unit file, where systemd would simplify it. */
static int load_path_check(struct reader *reader, const struct yaml_node *value, const char *path)
{
	const char *part = path;

	for (const char *c = path; *c; c++) {
		if (*c <= ' ' || *c > '~' || strchr("\"'\\", *c))
			return reader_reject(reader, value,
					     "paths with white space, quotes or other special "
					     "characters are not possible here");
	}
	while (*part) {
		const char *name = part + 1;

		part = strchrnul(name, '/');
		if (part - name <= 2 && strncmp(name, "..", (size_t)(part - name)) == 0)
			return reader_reject(reader, value,
					     "must be a path without empty parts, \".\" and "
					     "\"..\", not \"%s\"",
					     path);
	}
	return 0;
}

static int read_load(struct reader *reader, const char *name, const struct yaml_node *key,
		     const struct yaml_node *value, void *entry)
{
	struct config_load *load = entry;
	const char *slash;
	int r = schema_credential_name(reader, name, key, &load->credential);

	if (r == 0)
		r = reader_string(reader, value, &load->source);
	if (r < 0)
		return r;
	load->line = (int)value->line;
	slash = strchr(load->source, '/');
	if (slash == load->source)
		return load_path_check(reader, value, load->source);
	if (!slash || !slash[1] || strchr(slash + 1, '/'))
		return reader_reject(reader, value,
				     "must be GENERATOR/FILE or an absolute path, not \"%s\"",
				     load->source);
	load->generator = schema_text(reader->config, load->source, (size_t)(slash - load->source),
				      reader->err);
	load->file = load->source + (slash + 1 - load->source);
	return load->generator ? 0 : -(int)reader->err->code;
}

static int read_channel(struct reader *reader, const char *name, const struct yaml_node *key,
			const struct yaml_node *value, void *entry)
{
	const struct config_load *load = entry;
	int r = read_load(reader, name, key, value, entry);

	return r < 0 || load->generator
		       ? r
		       : reader_reject(reader, value, "must be GENERATOR/FILE, not \"%s\"",
				       load->source);
}

static int read_credential_name(struct reader *reader, const struct yaml_node *value, void *target)
{
	char **name = target;
	int r = reader_string(reader, value, name);

	return r < 0 ? r : schema_credential_check(reader, *name, value);
}

static int read_credential_file(struct reader *reader, const char *name,
				const struct yaml_node *key, const struct yaml_node *value,
				void *entry)
{
	static const struct reader_key keys[] = {
		READER_KEY("credential", read_credential_name, struct config_credential_file,
			   credential),
		READER_KEY("optional", reader_bool, struct config_credential_file, optional),
		{0},
	};
	struct config_credential_file *file = entry;
	int r = schema_credential_name(reader, name, key, &file->oem_name);

	if (r < 0)
		return r;
	file->line = (int)key->line;
	if (yaml_target(value)->kind != YAML_MAPPING)
		return read_credential_name(reader, value, &file->credential);
	r = reader_mapping(reader, value, keys, file);
	if (r == 0 && !file->credential)
		r = reader_reject(reader, key, "missing key \"credential\"");
	return r;
}

bool config_is_unit(const char *name, const char *suffix)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789:_.\\@-";
	size_t length = strlen(name), end = strlen(suffix);
	const char *at = strrchr(name, '@');

	/* With "-", it would be an option of systemctl; after "@", a template has no instance. */
	return length > end && length <= UNIT_NAME_SIZE_MAX && !strchr(".-@", name[0]) &&
	       !(at && (at[1] == '\0' || at + 1 == strrchr(name, '.'))) &&
	       strcmp(name + length - end, suffix) == 0 && name[strspn(name, allowed)] == '\0';
}

/* It becomes the name of a directory. */
static int read_unit(struct reader *reader, const struct yaml_node *value, void *target)
{
	char **name = target;
	int r = reader_string(reader, value, name);

	return r < 0 || config_is_unit(*name, ".service")
		       ? r
		       : reader_reject(reader, value,
				       "must be the name of a .service unit, not \"%s\"", *name);
}

static int read_vm_config(struct reader *reader, const struct yaml_node *value, void *target)
{
	return yaml_target(value)->kind == YAML_MAPPING
		       ? schema_validation(reader, value, target)
		       : reader_reject(reader, value, "must be a mapping");
}

int schema_source(struct reader *reader, const struct yaml_node *value, void *target)
{
	static const char *const words[] = {"files", "socket", NULL};
	const struct reader_key row = {.words = words};
	enum config_source *source = target;
	int r = reader_key_value(reader, &row, value, source);

	/* The first word is CONFIG_SOURCE_FILES. */
	*source += 1;
	return r;
}

static int unit_default(struct reader *reader, struct config_vm *vm)
{
	static const char before[] = "microvm@", after[] = ".service";
	const size_t size = strlen(vm->name);
	char *unit = schema_allocate(reader->config, sizeof(before) + size + sizeof(after), 1,
				     reader->err);

	vm->unit = unit;
	if (!unit)
		return -(int)reader->err->code;
	/* A declaration may have very many. */
	unit = mempcpy(unit, before, strlen(before));
	unit = mempcpy(unit, vm->name, size);
	memcpy(unit, after, sizeof(after));
	return 0;
}

#define LAUNCH_KEY(id, option, key, ...) \
	READER_KEY(key, reader_string, struct config_vm, launch[CONFIG_LAUNCH_##id]),

static int launch_check(struct reader *reader, const struct yaml_node *entry, struct config_vm *vm)
{
	for (size_t i = 0; i < CONFIG_LAUNCH_OPTIONS; i++) {
		const char *key = config_launch_rows[i].key;
		struct reader_where here = {reader->where, key};

		if (!vm->launch[i] || config_launch_check((enum config_launch_option)i,
							  vm->launch[i], reader->err) == 0)
			continue;
		reader->where = &here;
		reader_wrap(reader, yaml_member(entry, key));
		reader->where = here.parent;
		return -(int)reader->err->code;
	}
	return 0;
}

#define LOADS_KEY READER_ENTRIES("loadCredentials", read_load, struct config_vm, loads, load_count)

static int vm_read(struct reader *reader, const char *name, const struct yaml_node *key,
		   const struct yaml_node *value, struct config_vm *vm)
{
	static const struct reader_key keys[] = {
		LOADS_KEY,
		READER_ENTRIES("channelCredentials", read_channel, struct config_vm, channel,
			       channel_count),
		READER_ENTRIES("credentialFiles", read_credential_file, struct config_vm,
			       credential_files, credential_file_count),
		READER_KEY("platformOEMStrings", reader_strings, struct config_vm, oem_strings),
		READER_KEY("command", reader_strings, struct config_vm, command),
		READER_KEY("machine", reader_string, struct config_vm, machine),
		READER_KEY("unit", read_unit, struct config_vm, unit),
		CONFIG_LAUNCH_TABLE(LAUNCH_KEY)
			READER_KEY("vmConfig", read_vm_config, struct config_vm, vm_config),
		READER_KEY("credentialSource", schema_source, struct config_vm, source),
		{0},
	};
	int r = schema_store_name(reader, "VM", name, key, &vm->name);

	if (r < 0)
		return r;
	vm->line = (int)key->line;
	r = reader_mapping(reader, value, keys, vm);
	if (r == 0)
		r = launch_check(reader, yaml_target(value), vm);
	vm->oem_string_count = config_texts_count(vm->oem_strings);
	if (r == 0 && vm->command && !vm->command[0])
		return reader_reject(reader, key, "empty command");
	return r < 0 || vm->unit ? r : unit_default(reader, vm);
}

int schema_vm_fail(struct reader *reader, struct config_vm *vm)
{
	if (!reader->lenient || reader->err->code != VMCRED_USAGE)
		return -(int)reader->err->code;
	vm->problem = error_line(reader->err);
	error_clear(reader->err);
	vm->problem = schema_text_take(reader->config, vm->problem, reader->err);
	return vm->problem ? 0 : -(int)reader->err->code;
}

/* Of a VM with a problem, its machine, unit and credentials are used as far as they can be read:
 * its unit may still have an earlier drop-in. */
static int vm_salvage(struct reader *reader, const char *name, const struct yaml_node *value,
		      struct config_vm *vm)
{
	static const struct reader_key loads_key = LOADS_KEY;
	const struct yaml_node *entry = yaml_target(value);
	const struct yaml_node *unit = yaml_member(entry, "unit");
	const struct yaml_node *machine = yaml_member(entry, "machine");
	const struct yaml_node *loads = yaml_member(entry, loads_key.name);
	size_t whole = 0;

	vm->load_count = vm->channel_count = 0;
	vm->unit = vm->machine = NULL;
	/* The entries before the wrong one; it and those after it are not whole. */
	while (whole < vm->credential_file_count && vm->credential_files[whole].oem_name &&
	       vm->credential_files[whole].credential)
		whole++;
	vm->credential_file_count = whole;
	if (vm->command && !vm->command[0])
		vm->command = NULL;
	if (loads && reader_key_value(reader, &loads_key, loads, vm) < 0)
		vm->load_count = 0;
	error_clear(reader->err);
	if (unit && read_unit(reader, unit, &vm->unit) < 0)
		vm->unit = NULL;
	error_clear(reader->err);
	if (machine && reader_string(reader, machine, &vm->machine) < 0)
		vm->machine = NULL;
	error_clear(reader->err);
	if (!vm->name)
		vm->name = schema_text(reader->config, name, strlen(name), reader->err);
	if (!vm->name)
		return -(int)reader->err->code;
	return vm->unit ? 0 : unit_default(reader, vm);
}

int schema_vm(struct reader *reader, const char *name, const struct yaml_node *key,
	      const struct yaml_node *value, void *entry)
{
	struct config_vm *vm = entry;
	int r = vm_read(reader, name, key, value, vm);

	if (r < 0)
		r = schema_vm_fail(reader, vm);
	return r < 0 || !vm->problem ? r : vm_salvage(reader, name, value, vm);
}

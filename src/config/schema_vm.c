/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/name.h"
#include "config/schema.h"

/* systemd's UNIT_NAME_MAX without its NUL. */
#define UNIT_NAME_SIZE_MAX 255

static int read_load(struct reader *reader, const char *name, struct fy_node *key,
		     struct fy_node *value, void *entry)
{
	struct config_load *load = entry;
	_cleanup_free_ char *source = NULL;
	char *slash;
	int r = schema_credential_name(reader, name, key, &load->credential);

	if (r == 0)
		r = reader_string(reader, value, &source);
	if (r < 0 || !source)
		return r;
	slash = strchr(source, '/');
	if (!slash || slash == source || !slash[1] || strchr(slash + 1, '/'))
		return reader_reject(reader, value, "must be generator/file, not \"%s\"", source);
	*slash = '\0';
	load->generator = strdup(source);
	load->file = strdup(slash + 1);
	load->line = reader_line(value);
	return load->generator && load->file ? 0 : error_no_memory(reader->err);
}

static int read_credential_name(struct reader *reader, struct fy_node *value, void *target)
{
	_cleanup_free_ char *name = NULL;
	int r = reader_string(reader, value, &name);

	if (r < 0 || !name)
		return r;
	return schema_credential_name(reader, name, value, target);
}

static int read_credential_file(struct reader *reader, const char *name, struct fy_node *key,
				struct fy_node *value, void *entry)
{
	static const struct reader_key keys[] = {
		{"credential", read_credential_name,
		 offsetof(struct config_credential_file, credential)},
		{"optional", reader_bool, offsetof(struct config_credential_file, optional)},
		{0},
	};
	struct config_credential_file *file = entry;
	int r = schema_credential_name(reader, name, key, &file->oem_name);

	if (r < 0)
		return r;
	value = reader_resolve(value);
	file->line = reader_line(key);
	if (!value || !fy_node_is_mapping(value))
		return read_credential_name(reader, value, &file->credential);
	r = reader_mapping(reader, value, keys, file);
	if (r == 0 && !file->credential)
		r = reader_reject(reader, key, "needs the key \"credential\"");
	return r;
}

/* An array and its count: the target of these two is the whole VM. */
static int read_loads(struct reader *reader, struct fy_node *value, void *target)
{
	struct config_vm *vm = target;
	void *entries = NULL;
	int r = reader_entries(reader, value, sizeof(struct config_load), read_load, &entries,
			       &vm->load_count);

	vm->loads = entries;
	return r;
}

static int read_credential_files(struct reader *reader, struct fy_node *value, void *target)
{
	struct config_vm *vm = target;
	void *entries = NULL;
	int r = reader_entries(reader, value, sizeof(struct config_credential_file),
			       read_credential_file, &entries, &vm->credential_file_count);

	vm->credential_files = entries;
	return r;
}

/* systemd.unit(5), "unit names": it becomes the name of a folder. */
static int read_unit(struct reader *reader, struct fy_node *value, void *target)
{
	static const char suffix[] = ".service";
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789:_.\\@-";
	int r = reader_string(reader, value, target);
	const char *unit = *(char **)target;
	size_t length = unit ? strlen(unit) : 0;

	if (r < 0 || !unit)
		return r;
	if (length < sizeof(suffix) || length > UNIT_NAME_SIZE_MAX || unit[0] == '.' ||
	    strcmp(unit + length + 1 - sizeof(suffix), suffix) != 0 ||
	    strspn(unit, allowed) != length)
		return reader_reject(reader, value,
				     "must be the name of a .service unit, not \"%s\"", unit);
	return 0;
}

int schema_source(struct reader *reader, struct fy_node *value, void *target)
{
	static const char *const words[] = {"files", "socket", NULL};
	int word;
	int r = reader_word(reader, value, words, &word);

	if (r == 0)
		*(enum config_source *)target =
			word == 0 ? CONFIG_SOURCE_FILES : CONFIG_SOURCE_SOCKET;
	return r;
}

static int vm_unit_default(struct reader *reader, struct config_vm *vm)
{
	if (!vm->unit && asprintf(&vm->unit, "microvm@%s.service", vm->name) < 0) {
		vm->unit = NULL;
		return error_no_memory(reader->err);
	}
	return 0;
}

int schema_vm(struct reader *reader, const char *name, struct fy_node *key, struct fy_node *value,
	      void *entry)
{
	static const struct reader_key keys[] = {
		{"loadCredentials", read_loads, 0},
		{"credentialFiles", read_credential_files, 0},
		{"platformOEMStrings", reader_strings, offsetof(struct config_vm, oem_strings)},
		{"command", reader_strings, offsetof(struct config_vm, command)},
		{"unit", read_unit, offsetof(struct config_vm, unit)},
		{"credentialSource", schema_source, offsetof(struct config_vm, source)},
		{0},
	};
	struct config_vm *vm = entry;
	int r = schema_store_name(reader, "VM", name, key, &vm->name);

	if (r < 0)
		return r;
	vm->line = reader_line(key);
	r = reader_mapping(reader, value, keys, vm);
	vm->oem_string_count = config_texts_count(vm->oem_strings);
	if (r == 0 && vm->command && !vm->command[0])
		return reader_reject(reader, key, "has an empty command");
	return r < 0 ? r : vm_unit_default(reader, vm);
}

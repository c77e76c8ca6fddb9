/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a declaration: the parser's errors, the top of the schema, and the checks between its
 * parts.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/merge_conflict.h"
#include "base/name.h"
#include "config/schema.h"

/* Ten thousand machines take less than 2 MiB. */
#define DECLARATION_SIZE_MAX ((size_t)64 * 1024 * 1024)

static int read_machine(struct reader *reader, const char *name, struct fy_node *key,
			struct fy_node *value, void *entry)
{
	static const struct reader_key keys[] = {
		{"tags", reader_strings, offsetof(struct config_machine, tags)},
		{0},
	};
	struct config_machine *machine = entry;
	int r = schema_store_name(reader, "machine", name, key, &machine->name);

	if (r < 0)
		return r;
	machine->line = reader_line(key);
	return reader_mapping(reader, value, keys, machine);
}

static int read_machines(struct reader *reader, struct fy_node *value, void *target)
{
	struct config *config = target;
	void *entries = NULL;
	int r = reader_entries(reader, value, sizeof(struct config_machine), read_machine, &entries,
			       &config->machine_count);

	config->machines = entries;
	return r;
}

static int read_generators(struct reader *reader, struct fy_node *value, void *target)
{
	struct config *config = target;
	void *entries = NULL;
	int r = reader_entries(reader, value, sizeof(struct config_generator), schema_generator,
			       &entries, &config->generator_count);

	config->generators = entries;
	return r;
}

static int read_vms(struct reader *reader, struct fy_node *value, void *target)
{
	struct config *config = target;
	void *entries = NULL;
	int r = reader_entries(reader, value, sizeof(struct config_vm), schema_vm, &entries,
			       &config->vm_count);

	config->vms = entries;
	return r;
}

static int read_hypervisor(struct reader *reader, const char *name, struct fy_node *key,
			   struct fy_node *value, void *entry)
{
	struct config_hypervisor *hypervisor = entry;
	int r = schema_store_name(reader, "hypervisor", name, key, &hypervisor->name);

	hypervisor->line = reader_line(key);
	if (r == 0)
		r = reader_string(reader, value, &hypervisor->path);
	if (r == 0 && (!hypervisor->path || hypervisor->path[0] != '/'))
		return reader_reject(reader, key, "must be the absolute path of the program");
	return r;
}

static int read_hypervisors(struct reader *reader, struct fy_node *value, void *target)
{
	struct config *config = target;
	void *entries = NULL;
	int r = reader_entries(reader, value, sizeof(struct config_hypervisor), read_hypervisor,
			       &entries, &config->hypervisor_count);

	config->hypervisors = entries;
	return r;
}

int schema_reference_reject(struct reader *reader, int line, const char *where, const char *what,
			    const char *name, const char *nearest)
{
	error_set(reader->err, VMCRED_USAGE, "%s:%d: %s: there is no %s \"%s\"", reader->path, line,
		  where, what, name);
	return schema_hint_nearest(reader, nearest);
}

static int load_reference_check(struct reader *reader, const struct config *config,
				struct config_load *load)
{
	const struct config_generator *generator = config_generator_find(config, load->generator);
	const struct config_file *file;

	if (!generator)
		return schema_reference_reject(
			reader, load->line, load->credential, "generator", load->generator,
			schema_entry_nearest(load->generator, config->generators,
					     config->generator_count,
					     sizeof(struct config_generator),
					     offsetof(struct config_generator, name)));
	file = config_file_find(generator, load->file);
	if (!file)
		return schema_reference_reject(
			reader, load->line, load->credential, "file", load->file,
			schema_entry_nearest(load->file, generator->files, generator->file_count,
					     sizeof(struct config_file),
					     offsetof(struct config_file, name)));
	load->needed_for = file->needed_for;
	if (load->needed_for != CONFIG_PARTITIONING)
		return 0;
	error_set(reader->err, VMCRED_USAGE,
		  "%s:%d: %s: %s/%s is needed for partitioning, and not there any more when a VM "
		  "starts",
		  reader->path, load->line, load->credential, load->generator, load->file);
	return error_hint(reader->err, "give the VM a file that is needed for something else");
}

/*
 * The credentials of a unit's two VMs could not be told apart. Default names differ, so that only
 * the others are compared: a declaration may have very many VMs.
 */
static int units_check(struct reader *reader, const struct config *config)
{
	for (size_t i = 0; i < config->vm_count; i++) {
		for (size_t j = 0;
		     !config_vm_has_default_unit(&config->vms[i]) && j < config->vm_count; j++) {
			const struct config_vm *first = &config->vms[i < j ? i : j],
					       *second = &config->vms[i < j ? j : i];

			if (i == j || strcmp(first->unit, second->unit) != 0)
				continue;
			return error_set(reader->err, VMCRED_USAGE,
					 "%s:%d: vms.%s: its unit %s is that of %s", reader->path,
					 second->line, second->name, second->unit, first->name);
		}
	}
	return 0;
}

/* Said here, because systemd says "Protocol error", or "Invalid argument", when the unit starts. */
static int source_check(struct reader *reader, const struct config *config, struct config_vm *vm)
{
	if (vm->source == CONFIG_SOURCE_DEFAULT)
		vm->source = config->source;
	if (vm->source == CONFIG_SOURCE_DEFAULT)
		vm->source = CONFIG_SOURCE_FILES;
	if (vm->source == CONFIG_SOURCE_SOCKET && config_vm_socket_check(vm, reader->err) < 0)
		return error_wrap(reader->err, "%s:%d: vms.%s", reader->path, vm->line, vm->name);
	return 0;
}

static int references_check(struct reader *reader, struct config *config)
{
	int r = schema_names(config, reader->err);

	if (r == 0)
		r = schema_dependencies(reader, config);
	if (r == 0)
		r = schema_machine_generators(reader, config);
	for (size_t i = 0; r == 0 && i < config->vm_count; i++) {
		for (size_t j = 0; r == 0 && j < config->vms[i].load_count; j++)
			r = load_reference_check(reader, config, &config->vms[i].loads[j]);
	}
	if (r == 0)
		r = units_check(reader, config);
	for (size_t i = 0; r == 0 && i < config->vm_count; i++)
		r = source_check(reader, config, &config->vms[i]);
	return r;
}

/* The parser's own words, with the place that it names. */
static int parser_reject(const char *path, struct fy_diag *diag, struct error *err)
{
	const struct fy_diag_error *reason;
	void *iterator = NULL;

	reason = fy_diag_errors_iterate(diag, &iterator);
	if (!reason)
		return error_set(err, VMCRED_USAGE, "%s: not valid YAML", path);
	return error_set(err, VMCRED_USAGE, "%s:%d: not valid YAML: %s", path, reason->line,
			 reason->msg);
}

/* Names of folders of the store. */
static int read_groups(struct reader *reader, struct fy_node *value, void *target)
{
	char ***names = target;
	int r = reader_strings(reader, value, target);

	for (size_t i = 0; r == 0 && *names && (*names)[i]; i++) {
		if (store_name_check("group", (*names)[i], reader->err) < 0)
			return error_wrap(reader->err, "%s:%d: %s", reader->path,
					  reader_line(value), reader->where);
	}
	return r;
}

static int read_sops(struct reader *reader, struct fy_node *value, void *target)
{
	static const struct reader_key keys[] = {
		{"defaultGroups", read_groups, offsetof(struct config, default_groups)},
		{0},
	};

	return reader_mapping(reader, value, keys, target);
}

static int document_read(struct fy_document *document, struct reader *reader, struct config *config)
{
	static const struct reader_key keys[] = {
		{"sops", read_sops, 0},
		{"machines", read_machines, 0},
		{"generators", read_generators, 0},
		{"vms", read_vms, 0},
		{"credentialSource", schema_source, offsetof(struct config, source)},
		{"hypervisors", read_hypervisors, 0},
		{0},
	};
	char nowhere[] = "";
	int r;

	reader->where = nowhere;
	r = reader_mapping(reader, fy_document_root(document), keys, config);
	return r < 0 ? r : references_check(reader, config);
}

/* Nothing but white space and comments: a declaration of nothing, for which the parser has no
 * document. */
static bool text_is_empty(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (text[i] == '#') {
			const char *end = memchr(text + i, '\n', size - i);

			if (!end)
				return true;
			i = (size_t)(end - text);
		} else if (!strchr(" \t\r\n", text[i]) || text[i] == '\0') {
			return false;
		}
	}
	return true;
}

/*
 * The line of a directive (%YAML, %TAG), 0 for none. A declaration needs none, and libfyaml 0.7.12
 * does not come back from some that are malformed.
 */
static int directive_line(const char *text, size_t size)
{
	int line = 1;

	for (size_t i = 0; i < size; i++) {
		if (text[i] == '%' && (i == 0 || text[i - 1] == '\n' || text[i - 1] == '\r'))
			return line;
		line += text[i] == '\n';
	}
	return 0;
}

static int text_check(const char *text, size_t size, const char *path, struct error *err)
{
	int line = directive_line(text, size);

	if (line > 0)
		return error_set(err, VMCRED_USAGE, "%s:%d: YAML directives are not supported",
				 path, line);
	return 0;
}

int config_load_text(const char *text, size_t size, const char *path, struct config *config,
		     struct error *err)
{
	/* Its own check for keys that stand twice is quadratic: the reader has one that is not. */
	struct fy_parse_cfg settings = {.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG |
						 FYPCF_ALLOW_DUPLICATE_KEYS};
	struct reader reader = {.path = path, .err = err};
	struct fy_document *document;
	int r = text_check(text, size, path, err);

	*config = (struct config){0};
	if (r < 0)
		return r;
	settings.diag = fy_diag_create(&(struct fy_diag_cfg){.level = FYET_ERROR});
	if (!settings.diag)
		return error_no_memory(err);
	fy_diag_set_collect_errors(settings.diag, true);
	*config = (struct config){.path = strdup(path)};
	document = fy_document_build_from_string(&settings, text, size);
	if (!config->path)
		r = error_no_memory(err);
	else if (text_is_empty(text, size))
		r = 0;
	else if (!document)
		r = merge_conflict_check(span_of(text, size), path, err) < 0
			    ? -(int)err->code
			    : parser_reject(path, settings.diag, err);
	else
		r = document_read(document, &reader, config);
	fy_document_destroy(document);
	fy_diag_destroy(settings.diag);
	if (r < 0)
		config_destroy(config);
	return r;
}

int config_load_file(const char *path, struct config *config, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	int r = file_read_text(AT_FDCWD, path, DECLARATION_SIZE_MAX, &text, &size, err);

	if (r < 0)
		return r;
	return config_load_text(text, size, path, config, err);
}

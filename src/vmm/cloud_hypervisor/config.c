/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cloud_hypervisor/cloud_hypervisor.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "vmm/cloud_hypervisor/values.h"

/* What the API of the newest version accepts. */
#define FILE_SIZE_MAX ((size_t)4 * 1024 * 1024)

/* The default of --memory; the API requires a size. */
#define MEMORY_SIZE_DEFAULT ((json_int_t)512 << 20)

/* Keeps --platform's pairs for a command line with literal OEM strings. */
static int platform_keep(struct cloud_hypervisor_config *config, const char *text,
			 struct error *err)
{
	_cleanup_strings_ struct strings pieces = {0};
	int r = option_pieces_split(text, &pieces, err);

	for (size_t i = 0; i < pieces.count && r == 0; i++) {
		if (*pieces.items[i] &&
		    strncmp(pieces.items[i], "oem_strings=", strlen("oem_strings=")) != 0)
			r = strings_add(&config->platform, pieces.items[i], err);
	}
	return r;
}

static int list_append(struct cloud_hypervisor_config *config, const struct option_row *row,
		       const char *text, struct error *err)
{
	json_t *array = json_object_get(config->vm, row->json), *object = NULL;
	int r = option_object_read(config, row, text, &object, err);

	if (r < 0)
		return r;
	if (!array) {
		array = json_array();
		if (json_object_set_new(config->vm, row->json, array) < 0) {
			json_decref(object);
			return error_no_memory(err);
		}
	}
	return json_array_append_new(array, object) < 0 ? error_no_memory(err) : 0;
}

static int text_keep(const char *text, char **kept, struct error *err)
{
	if (*kept)
		return error_set(err, VMCRED_USAGE, "given twice");
	*kept = strdup(text);
	return *kept ? 0 : error_no_memory(err);
}

/* Adds an option to the VMM's own command line; a value that starts with '-' must be attached. */
static int option_stay(struct cloud_hypervisor_config *config, const struct option_row *row,
		       const char *value, struct error *err)
{
	bool separate = value && value[0] != '-';
	int r = value && !separate
			? strings_add_format(&config->argv, err, "--%s=%s", row->name, value)
			: strings_add_format(&config->argv, err, "--%s", row->name);

	if (r == 0 && separate)
		r = strings_add(&config->argv, value, err);
	if (r == 0 && row->json)
		r = option_member_put(config->vm, row->json, json_true(), err);
	return r;
}

/* One value of an option of the VM. */
static int vm_option_read(struct cloud_hypervisor_config *config, const struct option_row *row,
			  const char *value, struct error *err)
{
	json_t *json = NULL;
	int r = 0;

	if (!config->vm_option)
		config->vm_option = row->name;
	if (row->form == OPTION_LIST)
		return list_append(config, row, value, err);
	if (option_member_get(config->vm, row->json))
		return error_set(err, VMCRED_USAGE, "given twice");
	if (row->form == OPTION_SWITCH)
		json = json_true();
	else if (row->form == OPTION_TEXT)
		r = option_text_json(value, &json, err);
	else
		r = option_object_read(config, row, value ? value : "", &json, err);
	if (r == 0 && strcmp(row->name, "platform") == 0)
		r = platform_keep(config, value, err);
	if (r == 0)
		return option_member_put(config->vm, row->json, json, err);
	json_decref(json);
	return r;
}

static int option_read(struct cloud_hypervisor_config *config, const struct option_row *row,
		       const char *value, struct error *err)
{
	int r = cloud_hypervisor_need_add(config, row, NULL, err);

	if (r < 0)
		return r;
	switch (row->form) {
	case OPTION_STAYS:
	case OPTION_STAYS_SWITCH:
		return option_stay(config, row, value, err);
	case OPTION_API_SOCKET:
		/* "PATH", "path=PATH" or "fd=N". */
		value += strncmp(value, "path=", strlen("path=")) == 0 ? strlen("path=") : 0;
		return text_keep(value, &config->api_socket, err);
	case OPTION_RESTORE:
		if (config->restores)
			return error_set(err, VMCRED_USAGE, "given twice");
		config->restores = true;
		return option_stay(config, row, value, err);
	case OPTION_VM_CONFIG:
		return text_keep(value, &config->vm_config, err);
	case OPTION_VM_CONFIG_MERGE:
		return text_keep(value, &config->vm_config_merge, err);
	case OPTION_REFUSED:
	case OPTION_TEXT:
	case OPTION_SWITCH:
	case OPTION_OBJECT:
	case OPTION_OBJECT_OR_BARE:
	case OPTION_LIST:
		break;
	}
	return vm_option_read(config, row, value, err);
}

/* To clap, a lone '-' is a value. */
static bool is_value(const char *argument)
{
	return argument && (argument[0] != '-' || argument[1] == '\0');
}

/*
 * An option that the tables do not know, such as --gpu of a patched build. If the declaration's
 * vmConfig has the member of that name, that replaces the option with its values, as far as the
 * command line has any.
 */
static int unknown_take(const struct cloud_hypervisor_config *config, char *name,
			char *const **argv, struct error *err)
{
	const char *declared = config->vm_config_declared;
	const char *nearest = cloud_hypervisor_option_nearest(name);
	_cleanup_json_ json_t *members = NULL;
	int r = declared ? json_parse(span_of_text(declared), "vmConfig", &members, err) : 0;

	error_set(err, VMCRED_USAGE, "unknown option --%s", name);
	for (char *dash = strchr(name, '-'); dash; dash = strchr(dash, '-'))
		*dash = '_';
	if (r == 0 && json_object_get(members, name)) {
		error_clear(err);
		while (is_value(**argv))
			(*argv)++;
		return 0;
	}
	if (nearest)
		return error_hint(err, "did you mean --%s? If not, declare %s in vmConfig", nearest,
				  name);
	return error_hint(err, "declare %s in vmConfig", name);
}

/* Reads an option and the values after it; moves `*argv` past them. `attached` is the value after
 * '=', or NULL. */
static int option_take(struct cloud_hypervisor_config *config, const struct option_row *row,
		       const char *attached, char *const **argv, struct error *err)
{
	char *const *argument = *argv;
	int r;

	if (row->form == OPTION_REFUSED)
		return error_set(err, VMCRED_USAGE, "%s", row->note);
	if (row->form == OPTION_SWITCH || row->form == OPTION_STAYS_SWITCH)
		return attached ? error_set(err, VMCRED_USAGE, "takes no value")
				: option_read(config, row, NULL, err);
	if (attached)
		return option_read(config, row, attached, err);
	if (!is_value(*argument))
		return row->form == OPTION_OBJECT_OR_BARE
			       ? option_read(config, row, NULL, err)
			       : error_set(err, VMCRED_USAGE, "needs a value");
	do {
		r = option_read(config, row, *argument++, err);
	} while (r == 0 && row->form == OPTION_LIST && is_value(*argument));
	*argv = argument;
	return r;
}

/* -v, -vv, …, -h and -V. */
static int short_read(struct cloud_hypervisor_config *config, const char *argument,
		      struct error *err)
{
	if (argument[0] == '-' && argument[1] == 'v' &&
	    strspn(argument + 1, "v") == strlen(argument + 1)) {
		config->logs_config = true;
		return strings_add(&config->argv, argument, err);
	}
	if (strcmp(argument, "-h") == 0 || strcmp(argument, "-V") == 0)
		return error_set(err, VMCRED_USAGE, "%s: it does not start a VM", argument);
	return error_set(err, VMCRED_USAGE, "unexpected argument \"%s\"", argument);
}

static int argument_read(struct cloud_hypervisor_config *config, char *const **argv,
			 struct error *err)
{
	const char *argument = *(*argv)++;
	_cleanup_free_ char *name = NULL;
	const struct option_row *row;
	size_t length;
	int r;

	if (strncmp(argument, "--", 2) != 0 || !argument[2])
		return short_read(config, argument, err);
	length = strcspn(argument + 2, "=");
	name = strndup(argument + 2, length);
	if (!name)
		return error_no_memory(err);
	row = cloud_hypervisor_option_find(name);
	if (!row)
		return unknown_take(config, name, argv, err);
	r = option_take(config, row, argument[2 + length] ? argument + 3 + length : NULL, argv,
			err);
	return r < 0 ? error_wrap(err, "--%s", name) : 0;
}

/* --memory-zone's zones are part of the memory, and inherit `mergeable` from it. */
static int memory_complete(struct cloud_hypervisor_config *config, struct error *err)
{
	json_t *zones = json_object_get(config->vm, MEMORY_ZONES_MEMBER);
	const json_t *mergeable = option_member_get(config->vm, "memory.mergeable");
	int r = 0;

	if (!zones)
		return 0;
	for (size_t i = 0; i < json_array_size(zones) && r == 0; i++) {
		json_t *zone = json_array_get(zones, i);

		if (json_is_true(mergeable) && !json_object_get(zone, "mergeable"))
			r = option_member_put(zone, "mergeable", json_true(), err);
	}
	if (r == 0)
		r = option_member_put(config->vm, "memory.zones", json_incref(zones), err);
	json_object_del(config->vm, MEMORY_ZONES_MEMBER);
	if (r < 0 || option_member_get(config->vm, "memory.size"))
		return r;
	return option_member_put(config->vm, "memory.size", json_integer(MEMORY_SIZE_DEFAULT), err);
}

/* Moves the OEM strings of a file's VmConfig to the configuration's own. */
static int oem_strings_move(struct cloud_hypervisor_config *config, struct error *err)
{
	json_t *platform = json_object_get(config->vm, "platform");
	const json_t *strings = json_object_get(platform, "oem_strings");
	bool valid = !strings || json_is_null(strings) || json_is_array(strings);
	int r = 0;

	for (size_t i = 0; i < json_array_size(strings) && valid && r == 0; i++) {
		const char *text = json_string_value(json_array_get(strings, i));

		valid = text != NULL;
		r = text ? strings_add(&config->oem_strings, text, err) : 0;
	}
	if (!valid)
		return error_set(err, VMCRED_USAGE,
				 "platform.oem_strings must be a list of strings");
	json_object_del(platform, "oem_strings");
	return r;
}

/* Reads the file of --vm-config, which may be a pipe. */
static int file_load(struct cloud_hypervisor_config *config, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ json_t *vm = NULL;
	size_t size = 0;
	int r = file_read_text(AT_FDCWD, config->vm_config, FILE_SIZE_MAX, &text, &size, err);

	if (r == 0)
		r = json_parse(span_of(text, size), config->vm_config, &vm, err);
	if (r < 0)
		return -(int)err->code;
	if (!json_is_object(json_object_get(vm, "payload"))) {
		error_set(err, VMCRED_USAGE, "%s has no payload", config->vm_config);
		return error_hint(err, "it must be a VmConfig for Cloud Hypervisor's vm.create: "
				       "{\"payload\": {\"kernel\": …}, …}");
	}
	json_decref(config->vm);
	config->vm = pointer_release(&vm);
	return oem_strings_move(config, err);
}

#define MERGE_OPTION "--vm-config-merge"

/* The name of what is merged into the configuration, or NULL. */
static const char *merges(const struct cloud_hypervisor_config *config)
{
	return config->vm_config_merge      ? MERGE_OPTION
	       : config->vm_config_declared ? "vmConfig"
					    : NULL;
}

/* The VM comes from the options, a file, or a snapshot, and never from two of them. */
static int vm_complete(struct cloud_hypervisor_config *config, struct error *err)
{
	int r;

	if (config->restores && (config->vm_option || config->vm_config || merges(config))) {
		error_set(err, VMCRED_USAGE, "--restore and %s%s cannot be combined",
			  config->vm_option || config->vm_config ? "--" : "",
			  config->vm_option   ? config->vm_option
			  : config->vm_config ? "vm-config"
					      : merges(config));
		return error_hint(err, "a restored VM has its own configuration");
	}
	if (config->vm_config && config->vm_option) {
		error_set(err, VMCRED_USAGE, "--vm-config and --%s cannot be combined",
			  config->vm_option);
		return error_hint(err, "the file must describe the whole VM");
	}
	if (config->restores)
		return 0;
	if (config->vm_config && file_load(config, err) < 0)
		return error_wrap(err, "--vm-config");
	r = config->vm_config ? 0 : memory_complete(config, err);
	if (r == 0)
		r = cloud_hypervisor_merge(config, config->vm_config_declared, "vmConfig", err);
	if (r == 0)
		r = cloud_hypervisor_merge(config, config->vm_config_merge, MERGE_OPTION, err);
	if (r < 0)
		return r;
	if (!config->vm_config && !json_object_get(config->merged, "payload") &&
	    !option_member_get(config->vm, "payload.kernel") &&
	    !option_member_get(config->vm, "payload.firmware") &&
	    !option_member_get(config->vm, "payload.igvm"))
		return error_set(err, VMCRED_USAGE, "--kernel or --firmware is missing");
	return 0;
}

int cloud_hypervisor_config_read(char *const *argv, struct cloud_hypervisor_config *config,
				 struct error *err)
{
	int r = strings_add(&config->argv, *argv++, err);

	config->vm = json_object();
	if (!config->vm)
		return error_no_memory(err);
	while (r == 0 && *argv)
		r = argument_read(config, &argv, err);
	return r == 0 ? vm_complete(config, err) : r;
}

void cloud_hypervisor_config_destroy(struct cloud_hypervisor_config *config)
{
	json_decref(config->vm);
	strings_destroy(&config->argv);
	strings_destroy(&config->platform);
	strings_destroy(&config->oem_strings);
	secret_destroy(&config->body);
	free(config->api_socket);
	free(config->vm_config);
	free(config->vm_config_merge);
	json_decref(config->merged);
	free(config->needs);
	*config = (struct cloud_hypervisor_config){0};
}

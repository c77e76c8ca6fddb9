/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cloud_hypervisor/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "vmm/cloud_hypervisor/file.h"
#include "vmm/cloud_hypervisor/lists.h"
#include "vmm/cloud_hypervisor/object.h"
#include "vmm/cloud_hypervisor/syntax.h"
#include "vmm/cloud_hypervisor/values.h"
#include "vmm/cloud_hypervisor/version.h"

/* The memory where --memory does not say it; the API wants a size. */
#define MEMORY_SIZE_DEFAULT ((json_int_t)512 << 20)

/* --platform's pairs are kept as they were, for a command line with literal OEM strings. */
static int platform_keep(struct cloud_hypervisor_config *config, const char *text,
			 struct error *err)
{
	_cleanup_command_ struct command pieces = {0};
	int r = option_text_blank(text) ? 0 : option_pieces_split(text, &pieces, err);

	for (size_t i = 0; i < pieces.count && r == 0; i++) {
		if (strncmp(pieces.words[i], "oem_strings=", strlen("oem_strings=")) != 0)
			r = command_add(&config->platform, pieces.words[i], err);
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
		return error_set(err, VMCRED_USAGE, "it comes twice");
	*kept = strdup(text);
	return *kept ? 0 : error_no_memory(err);
}

/* "PATH", "path=PATH" or "fd=N". */
static int api_socket_read(struct cloud_hypervisor_config *config, const char *text,
			   struct error *err)
{
	if (strncmp(text, "path=", 5) == 0)
		text += 5;
	return text_keep(text, &config->api_socket, err);
}

/* What stays on the VMM's own command line; a value with '-' in front cannot stand apart there. */
static int option_stay(struct cloud_hypervisor_config *config, const struct option_row *row,
		       const char *value, struct error *err)
{
	bool apart = value && value[0] != '-';
	int r = value && !apart
			? command_add_format(&config->command, err, "--%s=%s", row->name, value)
			: command_add_format(&config->command, err, "--%s", row->name);

	if (r == 0 && apart)
		r = command_add(&config->command, value, err);
	if (r == 0 && row->json)
		r = option_member_put(config->vm, row->json, json_true(), err);
	return r;
}

/* One value of one option that is the VM's. */
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
		return error_set(err, VMCRED_USAGE, "it comes twice");
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
		return api_socket_read(config, value, err);
	case OPTION_RESTORE:
		if (config->restores)
			return error_set(err, VMCRED_USAGE, "it comes twice");
		config->restores = true;
		return option_stay(config, row, value, err);
	case OPTION_VM_CONFIG:
		return text_keep(value, &config->vm_config, err);
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

static bool form_takes_value(enum option_form form)
{
	return form != OPTION_SWITCH && form != OPTION_STAYS_SWITCH;
}

static int option_reject(const char *name, struct error *err)
{
	const char *nearest = cloud_hypervisor_option_nearest(name);

	error_set(err, VMCRED_USAGE, "it is not an option that vmcred can translate to the API");
	if (nearest)
		return error_hint(err,
				  "did you mean --%s? What vmcred does not know can be given with "
				  "--vm-config FILE",
				  nearest);
	return error_hint(err, "what vmcred does not know can be given with --vm-config FILE");
}

/* A lone '-' is a value, as clap has it. */
static bool word_is_value(const char *word)
{
	return word && (word[0] != '-' || word[1] == '\0');
}

/* Reads an option and the values behind it; moves `*argv` behind them. `name` is without '=' and
 * what follows. */
static int option_take(struct cloud_hypervisor_config *config, const char *name,
		       const char *attached, char *const **argv, struct error *err)
{
	const struct option_row *row = cloud_hypervisor_option_find(name);
	char *const *word = *argv;
	int r;

	if (!row)
		return option_reject(name, err);
	if (row->form == OPTION_REFUSED)
		return error_set(err, VMCRED_USAGE, "%s", row->note);
	if (!form_takes_value(row->form))
		return attached ? error_set(err, VMCRED_USAGE, "it takes no value")
				: option_read(config, row, NULL, err);
	if (attached)
		return option_read(config, row, attached, err);
	if (!word_is_value(*word))
		return row->form == OPTION_OBJECT_OR_BARE
			       ? option_read(config, row, NULL, err)
			       : error_set(err, VMCRED_USAGE, "it needs a value");
	do {
		r = option_read(config, row, *word++, err);
	} while (r == 0 && row->form == OPTION_LIST && word_is_value(*word));
	*argv = word;
	return r;
}

/* -v, -vv, …, -h and -V. */
static int short_read(struct cloud_hypervisor_config *config, const char *word, struct error *err)
{
	if (word[0] == '-' && word[1] == 'v' && strspn(word + 1, "v") == strlen(word + 1)) {
		config->logs_config = true;
		return command_add(&config->command, word, err);
	}
	if (strcmp(word, "-h") == 0 || strcmp(word, "-V") == 0)
		return error_set(err, VMCRED_USAGE, "%s: it starts no VM", word);
	return error_set(err, VMCRED_USAGE, "\"%s\" is not an option, nor the value of one", word);
}

static int word_read(struct cloud_hypervisor_config *config, char *const **argv, struct error *err)
{
	const char *word = *(*argv)++;
	_cleanup_free_ char *name = NULL;
	size_t length;
	int r;

	if (strncmp(word, "--", 2) != 0 || !word[2])
		return short_read(config, word, err);
	length = strcspn(word + 2, "=");
	name = strndup(word + 2, length);
	if (!name)
		return error_no_memory(err);
	r = option_take(config, name, word[2 + length] ? word + 3 + length : NULL, argv, err);
	return r < 0 ? error_wrap(err, "--%s", name) : 0;
}

/* --memory-zone's zones belong to the memory, and take from it what they do not say. */
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

/* Two ways to say what VM to start, or none. */
static int vm_complete(struct cloud_hypervisor_config *config, struct error *err)
{
	if (config->restores && (config->vm_option || config->vm_config)) {
		error_set(err, VMCRED_USAGE, "--restore and --%s cannot be combined",
			  config->vm_option ? config->vm_option : "vm-config");
		return error_hint(err, "a restored VM has all that belongs to it");
	}
	if (config->vm_config && config->vm_option) {
		error_set(err, VMCRED_USAGE, "--vm-config and --%s cannot be combined",
			  config->vm_option);
		return error_hint(err, "the file is the whole VM");
	}
	if (config->restores)
		return 0;
	if (config->vm_config) {
		int r = cloud_hypervisor_file_read(config, err);

		return r < 0 ? error_wrap(err, "--vm-config") : 0;
	}
	if (!option_member_get(config->vm, "payload.kernel") &&
	    !option_member_get(config->vm, "payload.firmware") &&
	    !option_member_get(config->vm, "payload.igvm"))
		return error_set(
			err, VMCRED_USAGE,
			"there is no VM to start: --kernel and --firmware are both missing");
	return memory_complete(config, err);
}

int cloud_hypervisor_config_read(char *const *argv, struct cloud_hypervisor_config *config,
				 struct error *err)
{
	int r = command_add(&config->command, *argv++, err);

	config->vm = json_object();
	if (!config->vm)
		return error_no_memory(err);
	while (r == 0 && *argv)
		r = word_read(config, &argv, err);
	return r == 0 ? vm_complete(config, err) : r;
}

void cloud_hypervisor_config_destroy(struct cloud_hypervisor_config *config)
{
	json_decref(config->vm);
	command_destroy(&config->command);
	command_destroy(&config->platform);
	command_destroy(&config->oem_strings);
	free(config->api_socket);
	free(config->vm_config);
	free(config->needs);
	*config = (struct cloud_hypervisor_config){0};
}

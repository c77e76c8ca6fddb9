/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cloud_hypervisor_config.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/name.h"
#include "vmm/cloud_hypervisor_options.h"
#include "vmm/cloud_hypervisor_values.h"

#define KEYS_MAX 40

static int key_reject(const struct option_key *keys, const char *name, struct error *err)
{
	const char *names[KEYS_MAX + 1] = {NULL};
	const char *nearest;

	for (size_t i = 0; i < KEYS_MAX && keys[i].name; i++)
		names[i] = keys[i].name;
	nearest = name_nearest(name, names);
	error_set(err, VMCRED_USAGE, "its key \"%s\" is not known", name);
	if (nearest)
		return error_hint(err, "did you mean \"%s\"?", nearest);
	return -VMCRED_USAGE;
}

/* Splits "key=value,…" into a value for each row of the table; the last one of a key counts. */
static int pairs_read(const struct option_key *keys, const struct command *pieces,
		      const char *values[KEYS_MAX], struct error *err)
{
	for (size_t i = 0; i < pieces->count; i++) {
		char *piece = pieces->words[i], *equals = strchr(piece, '=');
		size_t length = equals ? (size_t)(equals - piece) : strlen(piece);
		size_t row = 0;

		while (keys[row].name && (strlen(keys[row].name) != length ||
					  strncmp(keys[row].name, piece, length) != 0))
			row++;
		if (!keys[row].name) {
			piece[length] = '\0';
			return key_reject(keys, piece, err);
		}
		if (!equals && keys[row].type != KEY_MODE)
			return error_set(err, VMCRED_USAGE, "its key \"%s\" needs a value", piece);
		values[row] = equals ? equals + 1 : "";
	}
	return 0;
}

/* The default of a key that the API wants and the command line does not. */
static const char *value_absent(const struct option_key *keys, const char *absent,
				const char *const values[KEYS_MAX])
{
	if (!absent || absent[0] != '=')
		return absent;
	for (size_t i = 0; keys[i].name; i++) {
		if (strcmp(keys[i].name, absent + 1) == 0)
			return values[i] && *values[i] ? values[i] : keys[i].absent;
	}
	return NULL;
}

static int object_read(struct cloud_hypervisor_config *config, const struct option_row *row,
		       const char *text, json_t **object, struct error *err)
{
	_cleanup_command_ struct command pieces = {0};
	_cleanup_json_ json_t *made = json_object();
	const char *values[KEYS_MAX] = {NULL};
	int r = made ? 0 : error_no_memory(err);

	if (r == 0 && *text)
		r = option_pieces_split(text, &pieces, err);
	if (r == 0)
		r = pairs_read(row->keys, &pieces, values, err);
	for (size_t i = 0; row->keys[i].name && r == 0; i++) {
		const struct option_key *key = &row->keys[i];
		const char *value = values[i];

		if (key->type == KEY_OEM_STRINGS && value) {
			r = option_strings_split(value, &config->oem_strings, err);
			continue;
		}
		if (!value || (!*value && key->type != KEY_MODE))
			value = value_absent(row->keys, key->absent, values);
		if (!value)
			continue;
		r = option_value_put(made, key, value, err);
		if (r < 0)
			return error_wrap(err, "%s", key->name);
	}
	if (r == 0)
		*object = pointer_release(&made);
	return r;
}

/* --platform's pairs are kept as they were, for a command line with literal OEM strings. */
static int platform_keep(struct cloud_hypervisor_config *config, const char *text,
			 struct error *err)
{
	_cleanup_command_ struct command pieces = {0};
	int r = *text ? option_pieces_split(text, &pieces, err) : 0;

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
	int r = object_read(config, row, text, &object, err);

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

/* "PATH", "path=PATH" or "fd=N". */
static int api_socket_read(struct cloud_hypervisor_config *config, const char *text,
			   struct error *err)
{
	if (strncmp(text, "fd=", 3) == 0) {
		error_set(err, VMCRED_USAGE,
			  "a socket that comes as a descriptor (%s) cannot be used", text);
		return error_hint(err, "give a path: vmcred makes the socket");
	}
	if (strncmp(text, "path=", 5) == 0)
		text += 5;
	config->api_socket = strdup(text);
	return config->api_socket ? 0 : error_no_memory(err);
}

/* One value of one option. */
static int option_read(struct cloud_hypervisor_config *config, const struct option_row *row,
		       const char *value, struct error *err)
{
	json_t *json = NULL;
	int r = 0;

	if (row->form == OPTION_LIST)
		return list_append(config, row, value, err);
	if (row->form == OPTION_STAYS) {
		r = command_add_format(&config->command, err, "--%s", row->name);
		return r < 0 ? r : command_add(&config->command, value, err);
	}
	if (row->form == OPTION_STAYS_SWITCH)
		return command_add_format(&config->command, err, "--%s", row->name);
	if (row->json ? option_member_has(config->vm, row->json) : config->api_socket != NULL)
		return error_set(err, VMCRED_USAGE, "it comes twice");
	if (row->form == OPTION_API_SOCKET)
		return api_socket_read(config, value, err);
	if (row->form == OPTION_SWITCH)
		json = json_true();
	else if (row->form == OPTION_TEXT)
		r = option_text_json(value, &json, err);
	else
		r = object_read(config, row, value, &json, err);
	if (r == 0 && strcmp(row->name, "platform") == 0)
		r = platform_keep(config, value, err);
	if (r == 0)
		return option_member_put(config->vm, row->json, json, err);
	json_decref(json);
	return r;
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
		return error_hint(err, "did you mean --%s?", nearest);
	return -VMCRED_USAGE;
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
	if (!*word || **word == '-')
		return error_set(err, VMCRED_USAGE, "it needs a value");
	do {
		r = option_read(config, row, *word++, err);
	} while (r == 0 && row->form == OPTION_LIST && *word && **word != '-');
	*argv = word;
	return r;
}

static int word_read(struct cloud_hypervisor_config *config, char *const **argv, struct error *err)
{
	const char *word = *(*argv)++;
	_cleanup_free_ char *name = NULL;
	size_t length;
	int r;

	if (word[0] == '-' && word[1] == 'v' && strspn(word + 1, "v") == strlen(word + 1)) {
		config->logs_config = true;
		return command_add(&config->command, word, err);
	}
	if (strncmp(word, "--", 2) != 0 || !word[2])
		return error_set(err, VMCRED_USAGE, "\"%s\" is not an option, nor the value of one",
				 word);
	length = strcspn(word + 2, "=");
	name = strndup(word + 2, length);
	if (!name)
		return error_no_memory(err);
	r = option_take(config, name, word[2 + length] ? word + 3 + length : NULL, argv, err);
	return r < 0 ? error_wrap(err, "--%s", name) : 0;
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
	if (r < 0)
		return r;
	if (!option_member_has(config->vm, "payload.kernel") &&
	    !option_member_has(config->vm, "payload.firmware"))
		return error_set(
			err, VMCRED_USAGE,
			"there is no VM to start: --kernel and --firmware are both missing");
	return 0;
}

void cloud_hypervisor_config_destroy(struct cloud_hypervisor_config *config)
{
	json_decref(config->vm);
	command_destroy(&config->command);
	command_destroy(&config->platform);
	command_destroy(&config->oem_strings);
	free(config->api_socket);
	*config = (struct cloud_hypervisor_config){0};
}

/* A member that does not hold secrets, with the comma that it needs. */
static int member_append(struct secret *body, bool *first, const char *name, const json_t *value,
			 struct error *err)
{
	int r = *first ? 0 : secret_append_text(body, ",", err);

	*first = false;
	if (r == 0)
		r = json_append_string(body, span_of_text(name), err);
	if (r == 0)
		r = secret_append_text(body, ":", err);
	return r == 0 && value ? json_append_value(body, value, JSON_COMPACT, err) : r;
}

static int oem_strings_append(struct secret *body, const struct oem_list *list, struct error *err)
{
	int r = secret_append_text(body, "[", err);

	for (size_t i = 0; i < list->count && r == 0; i++) {
		if (i > 0)
			r = secret_append_text(body, ",", err);
		if (r == 0)
			r = json_append_string(body, secret_span(&list->strings[i].text), err);
	}
	return r == 0 ? secret_append_text(body, "]", err) : r;
}

static int platform_append(struct secret *body, json_t *platform, const struct oem_list *list,
			   struct error *err)
{
	bool first = true;
	const char *name;
	json_t *value;
	int r = secret_append_text(body, "{", err);

	json_object_foreach(platform, name, value)
	{
		if (r == 0)
			r = member_append(body, &first, name, value, err);
	}
	if (r == 0 && list->count > 0) {
		r = member_append(body, &first, "oem_strings", NULL, err);
		if (r == 0)
			r = oem_strings_append(body, list, err);
	}
	return r == 0 ? secret_append_text(body, "}", err) : r;
}

int cloud_hypervisor_config_body(const struct cloud_hypervisor_config *config,
				 const struct oem_list *list, struct secret *body,
				 struct error *err)
{
	json_t *platform = json_object_get(config->vm, "platform");
	bool first = true;
	const char *name;
	json_t *value;
	int r = secret_append_text(body, "{", err);

	json_object_foreach(config->vm, name, value)
	{
		if (r == 0 && value != platform)
			r = member_append(body, &first, name, value, err);
	}
	if (r == 0 && (platform || list->count > 0)) {
		r = member_append(body, &first, "platform", NULL, err);
		if (r == 0)
			r = platform_append(body, platform, list, err);
	}
	return r == 0 ? secret_append_text(body, "}", err) : r;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cloud_hypervisor/values.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "vmm/cloud_hypervisor/lists.h"
#include "vmm/cloud_hypervisor/syntax.h"

static int number_parse(const char *text, const struct option_key *key, json_t **value,
			struct error *err)
{
	uint64_t number = 0;
	int r = option_number_read(text, 10, key->max, &number, err);

	return r < 0 ? r : option_number_json(number, value, err);
}

static int hex_parse(const char *text, const struct option_key *key, json_t **value,
		     struct error *err)
{
	uint64_t number = 0;
	int r;

	if (strncmp(text, "0x", 2) != 0)
		return error_set(err, VMCRED_USAGE, "%s is not a number that starts with 0x", text);
	r = option_number_read(text + 2, 16, key->max, &number, err);
	return r < 0 ? r : option_number_json(number, value, err);
}

static int size_parse(char *text, json_t **value, struct error *err)
{
	static const char suffixes[] = "KMG";
	unsigned int shift = 0;
	uint64_t number = 0;
	const char *suffix;
	size_t length;
	int r;

	text = option_text_trim(text);
	length = strlen(text);
	suffix = length > 0 ? strchr(suffixes, text[length - 1]) : NULL;
	if (suffix)
		shift = 10 * (unsigned int)(suffix - suffixes + 1);
	while (length > 0 && strchr(suffixes, text[length - 1]))
		text[--length] = '\0';
	r = option_number_read(text, 10, INT64_MAX >> shift, &number, err);
	return r < 0 ? r : option_number_json(number << shift, value, err);
}

static int toggle_parse(const char *text, json_t **value, struct error *err)
{
	if (strcasecmp(text, "on") == 0 || strcasecmp(text, "true") == 0)
		*value = json_true();
	else if (strcasecmp(text, "off") == 0 || strcasecmp(text, "false") == 0)
		*value = json_false();
	else
		return error_set(err, VMCRED_USAGE, "%s is neither on nor off", text);
	return 0;
}

static int word_parse(const char *text, const struct option_key *key, json_t **value,
		      struct error *err)
{
	const char *word = option_word_find(key->words, text, key->type == KEY_WORD_EXACT);

	if (!word)
		return error_set(err, VMCRED_USAGE, "%s is not one of its values", text);
	return option_text_json(word, value, err);
}

static int word_or_number_parse(const char *text, const struct option_key *key, json_t **value,
				struct error *err)
{
	const char *word = option_word_find(key->words, text, true);

	/* Cloud Hypervisor takes no zero in front. */
	if (!word && !(text[0] >= '1' && text[0] <= '9'))
		return error_set(err, VMCRED_USAGE, "%s is not one of its values", text);
	return number_parse(word ? word : text, key, value, err);
}

static int topology_parse(const char *text, json_t **value, struct error *err)
{
	static const char *const members[] = {"threads_per_core", "cores_per_die",
					      "dies_per_package", "packages"};
	_cleanup_free_ char *copy = strdup(text);
	_cleanup_json_ json_t *object = json_object();
	char *rest = copy;

	if (!copy || !object)
		return error_no_memory(err);
	for (size_t i = 0; i < 4; i++) {
		const char *part = strsep(&rest, ":");
		uint64_t number = 0;
		int r;

		if (!part || (i == 3 && rest))
			return error_set(err, VMCRED_USAGE, "%s is not threads:cores:dies:packages",
					 text);
		r = option_number_read(part, 10, UINT16_MAX, &number, err);
		if (r < 0)
			return r;
		if (json_object_set_new(object, members[i], json_integer((json_int_t)number)) < 0)
			return error_no_memory(err);
	}
	*value = pointer_release(&object);
	return 0;
}

int option_member_put(json_t *object, const char *members, json_t *value, struct error *err)
{
	const char *dot;

	while ((dot = strchr(members, '.'))) {
		_cleanup_free_ char *name = strndup(members, (size_t)(dot - members));
		json_t *below = name ? json_object_get(object, name) : NULL;

		if (!below) {
			below = json_object();
			if (!name || json_object_set_new(object, name, below) < 0) {
				json_decref(value);
				return error_no_memory(err);
			}
		}
		object = below;
		members = dot + 1;
	}
	return json_object_set_new(object, members, value) < 0 ? error_no_memory(err) : 0;
}

json_t *option_member_get(const json_t *object, const char *members)
{
	const char *dot = strchr(members, '.');
	_cleanup_free_ char *name =
		strndup(members, dot ? (size_t)(dot - members) : strlen(members));
	json_t *below = name ? json_object_get(object, name) : NULL;

	return below && dot ? option_member_get(below, dot + 1) : below;
}

/* The modes are in the table in Cloud Hypervisor's order: the first that is given wins. */
static int mode_put(json_t *object, const struct option_key *key, const char *path,
		    struct error *err)
{
	json_t *value = NULL;
	int r;

	if (json_object_get(object, "mode"))
		return 0;
	if (path && !*path)
		return error_set(err, VMCRED_USAGE, "it needs a path");
	r = option_text_json(key->words[0].json, &value, err);
	if (r == 0)
		r = option_member_put(object, "mode", value, err);
	if (r < 0 || !path)
		return r;
	r = option_text_json(path, &value, err);
	return r < 0 ? r : option_member_put(object, key->json, value, err);
}

static int string_parse(const char *text, const struct option_key *key, json_t **value,
			struct error *err)
{
	if (key->max > 0 && strlen(text) > key->max)
		return error_set(err, VMCRED_USAGE, "%s has more than %u bytes", text,
				 (unsigned int)key->max);
	return option_text_json(text, value, err);
}

/* `plain` is without quotes; Cloud Hypervisor leaves them in lists and in on and off. */
static int value_parse(const struct option_key *key, const char *value, char *plain, json_t **json,
		       struct error *err)
{
	switch (key->type) {
	case KEY_STRING:
		return string_parse(plain, key, json, err);
	case KEY_TOGGLE:
		return toggle_parse(value, json, err);
	case KEY_NUMBER:
		return number_parse(plain, key, json, err);
	case KEY_SIZE:
		return size_parse(plain, json, err);
	case KEY_HEX:
		return hex_parse(plain, key, json, err);
	case KEY_NUMBERS:
	case KEY_DESCRIPTORS:
		return option_numbers_json(value, key->max, json, err);
	case KEY_STRINGS:
		return option_strings_json(value, json, err);
	case KEY_WORD:
	case KEY_WORD_EXACT:
		return word_parse(plain, key, json, err);
	case KEY_WORD_OR_NUMBER:
		return word_or_number_parse(plain, key, json, err);
	case KEY_TOPOLOGY:
		return topology_parse(plain, json, err);
	case KEY_FEATURES:
		return option_features_json(value, key, json, err);
	case KEY_PAIRS:
	case KEY_PAIRS_OF_LISTS:
		return option_pairs_json(value, key, json, err);
	case KEY_REFUSED:
		return error_set(err, VMCRED_USAGE, "%s", key->note);
	case KEY_ITEMS:
	case KEY_MODE:
	case KEY_MODE_PATH:
	case KEY_OEM_STRINGS:
	case KEY_IGNORED:
		break;
	}
	return 0;
}

int option_value_put(json_t *object, const struct option_key *key, const char *value,
		     struct error *err)
{
	_cleanup_free_ char *plain = option_text_dequote(value);
	json_t *json = NULL;
	int r;

	if (!plain)
		return error_no_memory(err);
	if (key->type == KEY_MODE)
		return mode_put(object, key, NULL, err);
	if (key->type == KEY_MODE_PATH)
		return mode_put(object, key, plain, err);
	r = value_parse(key, value, plain, &json, err);
	return r == 0 && json ? option_member_put(object, key->json, json, err) : r;
}

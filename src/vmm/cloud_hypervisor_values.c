/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cloud_hypervisor_values.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"

/* A copy without white space at the ends. */
static char *text_trim(const char *text, size_t size)
{
	while (size > 0 && isspace((unsigned char)text[0])) {
		text++;
		size--;
	}
	while (size > 0 && isspace((unsigned char)text[size - 1]))
		size--;
	return strndup(text, size);
}

int option_pieces_split(const char *text, struct command *pieces, struct error *err)
{
	_cleanup_free_ char *trimmed = text_trim(text, strlen(text));
	bool quoted = false;
	size_t depth = 0;
	char *start = trimmed;

	if (!trimmed)
		return error_no_memory(err);
	for (char *c = trimmed;; c++) {
		if (*c == '"')
			quoted = !quoted;
		else if (!quoted && *c == '[')
			depth++;
		else if (!quoted && *c == ']' && depth-- == 0)
			break;
		if (*c == '\0' ? !quoted && depth == 0 : *c == ',' && !quoted && depth == 0) {
			bool last = *c == '\0';
			int r;

			*c = '\0';
			r = command_add(pieces, start, err);
			if (r < 0 || last)
				return r;
			start = c + 1;
		} else if (*c == '\0') {
			break;
		}
	}
	return error_set(err, VMCRED_USAGE, "its quotes or brackets do not match");
}

int option_strings_split(const char *text, struct command *strings, struct error *err)
{
	size_t size = strlen(text);
	_cleanup_free_ char *inner = NULL;

	/* As many brackets as there are at either end, as trim_matches() takes them. */
	while (size > 0 && strchr("[]", text[0])) {
		text++;
		size--;
	}
	while (size > 0 && strchr("[]", text[size - 1]))
		size--;
	/* "[]" is one empty string to Cloud Hypervisor, which would end the table: nobody means
	 * that. */
	if (size == 0)
		return 0;
	inner = strndup(text, size);
	return inner ? option_pieces_split(inner, strings, err) : error_no_memory(err);
}

/* Takes the quotes off; a doubled one inside of them is a quote. Balanced, or option_pieces_split()
 * refused it. */
static char *text_dequote(const char *text)
{
	char *plain = malloc(strlen(text) + 1), *to = plain;
	bool quoted = false;

	if (!plain)
		return NULL;
	for (const char *c = text; *c; c++) {
		if (*c != '"') {
			*to++ = *c;
			continue;
		}
		if (!quoted && c > text && c[-1] == '"')
			*to++ = '"';
		quoted = !quoted;
	}
	*to = '\0';
	return plain;
}

int option_text_json(const char *text, json_t **value, struct error *err)
{
	if (!utf8_valid(span_of_text(text)))
		return error_set(err, VMCRED_USAGE, "its value is not UTF-8");
	*value = json_string(text);
	return *value ? 0 : error_no_memory(err);
}

static int number_parse(const char *text, unsigned int shift, json_t **value, struct error *err)
{
	unsigned long long number;
	char *end;

	/* strtoull() also takes signs and white space. */
	if (!isdigit((unsigned char)text[0]))
		return error_set(err, VMCRED_USAGE, "%s is not a number", text);
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno != 0 || *end || number > (unsigned long long)INT64_MAX >> shift)
		return error_set(err, VMCRED_USAGE, "%s is not a number, or too large", text);
	*value = json_integer((json_int_t)(number << shift));
	return *value ? 0 : error_no_memory(err);
}

static int size_parse(char *text, json_t **value, struct error *err)
{
	static const char suffixes[] = "KMG";
	size_t length = strlen(text);
	const char *suffix = length > 0 ? strchr(suffixes, text[length - 1]) : NULL;

	if (!suffix)
		return number_parse(text, 0, value, err);
	text[length - 1] = '\0';
	return number_parse(text, 10 * (unsigned int)(suffix - suffixes + 1), value, err);
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

static int word_parse(const char *text, const struct option_word *words, json_t **value,
		      struct error *err)
{
	for (; words->word; words++) {
		if (strcasecmp(words->word, text) == 0)
			return option_text_json(words->json, value, err);
	}
	return error_set(err, VMCRED_USAGE, "%s is not one of its values", text);
}

/* "1,3-5": both ends of a range belong to it. */
static int numbers_add(json_t *array, const char *range, struct error *err)
{
	_cleanup_free_ char *from = strndup(range, strcspn(range, "-"));
	const char *dash = strchr(range, '-');
	_cleanup_json_ json_t *first = NULL;
	_cleanup_json_ json_t *last = NULL;
	int r;

	if (!from)
		return error_no_memory(err);
	r = number_parse(from, 0, &first, err);
	if (r == 0)
		r = number_parse(dash ? dash + 1 : from, 0, &last, err);
	if (r < 0)
		return r;
	if (dash && json_integer_value(first) >= json_integer_value(last))
		return error_set(err, VMCRED_USAGE, "%s is not a range", range);
	for (json_int_t i = json_integer_value(first); i <= json_integer_value(last); i++) {
		if (json_array_size(array) > UINT16_MAX)
			return error_set(err, VMCRED_USAGE, "%s is too large a range", range);
		if (json_array_append_new(array, json_integer(i)) < 0)
			return error_no_memory(err);
	}
	return 0;
}

static int numbers_parse(const char *text, json_t **value, struct error *err)
{
	_cleanup_command_ struct command pieces = {0};
	_cleanup_json_ json_t *array = json_array();
	int r = array ? option_strings_split(text, &pieces, err) : error_no_memory(err);

	for (size_t i = 0; i < pieces.count && r == 0; i++)
		r = numbers_add(array, pieces.words[i], err);
	if (r == 0)
		*value = pointer_release(&array);
	return r;
}

static int topology_parse(const char *text, json_t **value, struct error *err)
{
	static const char *const members[] = {"threads_per_core", "cores_per_die",
					      "dies_per_package", "packages"};
	_cleanup_json_ json_t *object = json_object();
	const char *rest = text;

	if (!object)
		return error_no_memory(err);
	for (size_t i = 0; i < 4; i++) {
		_cleanup_free_ char *part = strndup(rest, strcspn(rest, ":"));
		json_t *number = NULL;
		int r;

		if (!part)
			return error_no_memory(err);
		r = number_parse(part, 0, &number, err);
		if (r < 0)
			return r;
		if (json_object_set_new(object, members[i], number) < 0)
			return error_no_memory(err);
		rest += strlen(part);
		if (*rest != (i < 3 ? ':' : '\0'))
			return error_set(err, VMCRED_USAGE, "%s is not threads:cores:dies:packages",
					 text);
		rest++;
	}
	*value = pointer_release(&object);
	return 0;
}

static int features_parse(const char *text, json_t **value, struct error *err)
{
	_cleanup_command_ struct command words = {0};
	_cleanup_json_ json_t *object = json_object();
	int r = object ? option_strings_split(text, &words, err) : error_no_memory(err);

	for (size_t i = 0; i < words.count && r == 0; i++) {
		if (json_object_set_new(object, words.words[i], json_true()) < 0)
			r = error_no_memory(err);
	}
	if (r == 0)
		*value = pointer_release(&object);
	return r;
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

bool option_member_has(const json_t *object, const char *members)
{
	const char *dot = strchr(members, '.');
	_cleanup_free_ char *name =
		strndup(members, dot ? (size_t)(dot - members) : strlen(members));
	const json_t *below = name ? json_object_get(object, name) : NULL;

	return below && (!dot || option_member_has(below, dot + 1));
}

/* The modes are in the table in Cloud Hypervisor's order: the first that is given wins. */
static int mode_put(json_t *object, const struct option_key *key, const char *path,
		    struct error *err)
{
	json_t *mode = NULL;
	int r;

	if (json_object_get(object, "mode"))
		return 0;
	r = option_text_json(key->words[0].json, &mode, err);
	if (r == 0)
		r = option_member_put(object, "mode", mode, err);
	if (r < 0 || !path)
		return r;
	r = option_text_json(path, &mode, err);
	return r < 0 ? r : option_member_put(object, key->json, mode, err);
}

int option_value_put(json_t *object, const struct option_key *key, const char *value,
		     struct error *err)
{
	_cleanup_free_ char *plain = text_dequote(value);
	json_t *json = NULL;
	int r = 0;

	if (!plain)
		return error_no_memory(err);
	if (key->type == KEY_MODE)
		return mode_put(object, key, NULL, err);
	if (*value == '\0')
		return 0;
	switch (key->type) {
	case KEY_STRING:
		r = option_text_json(plain, &json, err);
		break;
	case KEY_TOGGLE:
		r = toggle_parse(plain, &json, err);
		break;
	case KEY_NUMBER:
		r = number_parse(plain, 0, &json, err);
		break;
	case KEY_SIZE:
		r = size_parse(plain, &json, err);
		break;
	case KEY_WORD:
		r = word_parse(plain, key->words, &json, err);
		break;
	case KEY_TOPOLOGY:
		r = topology_parse(plain, &json, err);
		break;
	case KEY_NUMBERS:
		r = numbers_parse(value, &json, err);
		break;
	case KEY_FEATURES:
		r = features_parse(value, &json, err);
		break;
	case KEY_MODE_PATH:
		return mode_put(object, key, plain, err);
	case KEY_MODE:
	case KEY_OEM_STRINGS:
		return 0;
	}
	return r < 0 ? r : option_member_put(object, key->json, json, err);
}

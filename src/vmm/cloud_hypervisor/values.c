/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cloud_hypervisor/values.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"

/* More numbers than there are segments, queues or CPUs are a mistake. */
#define NUMBERS_MAX 65536

char *option_text_trim(char *text)
{
	size_t size;

	while (isspace((unsigned char)*text))
		text++;
	size = strlen(text);
	while (size > 0 && isspace((unsigned char)text[size - 1]))
		size--;
	text[size] = '\0';
	return text;
}

/* The comma or NUL that ends the piece at `text`; NULL if quotes or brackets are unbalanced. */
static char *piece_end(char *text)
{
	bool quoted = false;
	size_t depth = 0;

	for (char *c = text;; c++) {
		if (*c == '\0')
			return quoted || depth > 0 ? NULL : c;
		if (*c == '"')
			quoted = !quoted;
		else if (quoted)
			continue;
		else if (*c == '[')
			depth++;
		else if (*c == ']' && depth-- == 0)
			return NULL;
		else if (*c == ',' && depth == 0)
			return c;
	}
}

int option_pieces_split(const char *text, struct strings *pieces, struct error *err)
{
	_cleanup_free_ char *copy = strdup(text);
	char *start;

	if (!copy)
		return error_no_memory(err);
	start = option_text_trim(copy);
	for (;;) {
		char *end = piece_end(start);
		bool last = !end || *end == '\0';
		int r;

		if (!end)
			return error_set(err, VMCRED_USAGE, "unbalanced quotes or brackets");
		*end = '\0';
		r = strings_add(pieces, start, err);
		if (r < 0 || last)
			return r;
		start = end + 1;
	}
}

/* Removes any number of brackets at either end, as Rust's trim_matches(). */
static char *brackets_strip(char *text)
{
	size_t size;

	text = option_text_trim(text);
	text += strspn(text, "[]");
	size = strlen(text);
	while (size > 0 && strchr("[]", text[size - 1]))
		text[--size] = '\0';
	return text;
}

int option_strings_split(const char *text, struct strings *strings, struct error *err)
{
	_cleanup_free_ char *copy = strdup(text);
	const char *inner = copy ? brackets_strip(copy) : NULL;

	if (!inner)
		return error_no_memory(err);
	/* Cloud Hypervisor parses "[]" as one empty string, which would end the table: nobody wants
	 * that. */
	return *inner ? option_pieces_split(inner, strings, err) : 0;
}

/* The text without quotes, or NULL without memory; a doubled quote within quotes becomes one. */
static char *text_dequote(const char *text)
{
	char *plain = malloc(strlen(text) + 1), *to = plain;
	bool quoted = false;

	for (const char *c = text; plain && *c; c++) {
		if (*c != '"' || (!quoted && c > text && c[-1] == '"'))
			*to++ = *c;
		if (*c == '"')
			quoted = !quoted;
	}
	if (plain)
		*to = '\0';
	return plain;
}

int option_text_json(const char *text, json_t **value, struct error *err)
{
	if (!utf8_valid(span_of_text(text)))
		return error_set(err, VMCRED_USAGE, "the value is not UTF-8");
	*value = json_string(text);
	return *value ? 0 : error_no_memory(err);
}

/* As Rust parses a number: digits, and an optional '+'. `max` 0: the largest JSON number. */
static int number_read(const char *text, int base, uint64_t max, uint64_t *number,
		       struct error *err)
{
	const char *digits = text[0] == '+' ? text + 1 : text;
	char *end = (char *)digits;

	if (max == 0)
		max = INT64_MAX;
	errno = 0;
	/* strtoull() also accepts signs, white space and "0x". */
	if (isxdigit((unsigned char)digits[0]) && tolower((unsigned char)digits[1]) != 'x')
		*number = strtoull(digits, &end, base);
	if (end == digits || *end)
		return error_set(err, VMCRED_USAGE, "\"%s\" is not a number", text);
	if (errno != 0 || *number > max)
		return error_set(err, VMCRED_USAGE, "\"%s\" is too large: the maximum is %llu",
				 text, (unsigned long long)max);
	return 0;
}

/* Unknown words in `words` are NULL. */
static const char *word_find(const struct option_word *words, const char *text, bool exact)
{
	for (; words->word; words++) {
		if ((exact ? strcmp(words->word, text) : strcasecmp(words->word, text)) == 0)
			return words->json;
	}
	return NULL;
}

static int word_reject(const char *text, struct error *err)
{
	return error_set(err, VMCRED_USAGE, "unknown value \"%s\"", text);
}

/* A number with the suffix K, M or G. Cloud Hypervisor uses the last suffix of several. */
static int size_read(char *text, uint64_t *number, struct error *err)
{
	static const char suffixes[] = "KMG";
	unsigned int shift = 0;
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
	r = number_read(text, 10, INT64_MAX >> shift, number, err);
	*number <<= shift;
	return r;
}

/* "threads:cores:dies:packages" */
static int topology_json(const char *text, json_t **value, struct error *err)
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
			return error_set(err, VMCRED_USAGE,
					 "\"%s\" is not threads:cores:dies:packages", text);
		r = number_read(part, 10, UINT16_MAX, &number, err);
		if (r < 0)
			return r;
		if (json_object_set_new(object, members[i], json_integer((json_int_t)number)) < 0)
			return error_no_memory(err);
	}
	*value = pointer_release(&object);
	return 0;
}

/* "3" or "3-5", which includes both ends. */
static int range_add(json_t *array, char *text, uint64_t max, struct error *err)
{
	char *dash = strchr(text, '-');
	uint64_t first = 0, last = 0;
	int r;

	if (dash)
		*dash = '\0';
	r = number_read(text, 10, max, &first, err);
	if (r == 0)
		r = number_read(dash ? dash + 1 : text, 10, max, &last, err);
	if (r < 0)
		return r;
	if (dash && first >= last)
		return error_set(err, VMCRED_USAGE, "\"%s-%s\" is not a range", text, dash + 1);
	if (last - first >= NUMBERS_MAX - json_array_size(array))
		return error_set(err, VMCRED_USAGE, "more than %d numbers", NUMBERS_MAX);
	for (uint64_t i = first; i <= last; i++) {
		if (json_array_append_new(array, json_integer((json_int_t)i)) < 0)
			return error_no_memory(err);
	}
	return 0;
}

/* "[1,3-5]" */
static int numbers_json(const char *text, uint64_t max, json_t **value, struct error *err)
{
	_cleanup_free_ char *copy = strdup(text);
	_cleanup_json_ json_t *array = json_array();
	char *rest = copy ? brackets_strip(copy) : NULL;
	int r = rest && array ? 0 : error_no_memory(err);

	while (r == 0 && rest)
		r = range_add(array, strsep(&rest, ","), max, err);
	if (r == 0)
		*value = pointer_release(&array);
	return r;
}

/* "[a,b]" as strings, or, with `words`, as an object in which these members are true. */
static int list_json(const char *text, const struct option_word *words, json_t **value,
		     struct error *err)
{
	_cleanup_strings_ struct strings strings = {0};
	_cleanup_json_ json_t *list = words ? json_object() : json_array();
	int r = list ? option_strings_split(text, &strings, err) : error_no_memory(err);

	if (r == 0 && words && strings.count == 0)
		r = error_set(err, VMCRED_USAGE, "empty list");
	for (size_t i = 0; i < strings.count && r == 0; i++) {
		const char *item = strings.items[i];
		const char *member = words ? word_find(words, item, true) : NULL;
		json_t *string = NULL;

		if (words && !member)
			return word_reject(item, err);
		if (!words)
			r = option_text_json(item, &string, err);
		if (r == 0 && (words ? json_object_set_new(list, member, json_true())
				     : json_array_append_new(list, string)) < 0)
			r = error_no_memory(err);
	}
	if (r == 0)
		*value = pointer_release(&list);
	return r;
}

/* Cuts "a@b" at the only '@' outside of quotes; returns b, or NULL if it is not such a pair. */
static char *pair_cut(char *text)
{
	char *second = NULL;
	bool quoted = false;

	for (char *c = text; *c; c++) {
		if (*c == '"')
			quoted = !quoted;
		if (*c != '@' || quoted)
			continue;
		if (second)
			return NULL;
		*c = '\0';
		second = c + 1;
	}
	return second;
}

/* "1@2" or "1@[2,3]". */
static int pair_add(json_t *array, char *text, const struct option_key *key, struct error *err)
{
	bool lists = key->type == KEY_PAIRS_OF_LISTS;
	char *second = pair_cut(text);
	_cleanup_free_ char *first = text_dequote(option_text_trim(text));
	uint64_t number = 0, other = 0;
	json_t *value = NULL, *object;
	int r;

	if (!first)
		return error_no_memory(err);
	if (!second)
		return error_set(err, VMCRED_USAGE, "\"%s\" is not a pair A@B", text);
	r = number_read(first, 10, lists && key->max > 0 ? key->max : UINT32_MAX, &number, err);
	if (r == 0 && lists)
		r = numbers_json(second, 0, &value, err);
	else if (r == 0)
		r = number_read(option_text_trim(second), 10, key->max, &other, err);
	if (r < 0)
		return r;
	if (!lists)
		value = json_integer((json_int_t)other);
	object = json_pack("{s:I, s:o}", key->pair[0], (json_int_t)number, key->pair[1], value);
	if (!object || json_array_append_new(array, object) < 0)
		return error_no_memory(err);
	return 0;
}

/* "[1@2,…]" or "[1@[2,3],…]", by the key's type. */
static int pairs_json(const char *text, const struct option_key *key, json_t **value,
		      struct error *err)
{
	_cleanup_strings_ struct strings pieces = {0};
	_cleanup_free_ char *copy = strdup(text);
	_cleanup_json_ json_t *array = json_array();
	char *inner;
	size_t size;
	int r;

	if (!copy || !array)
		return error_no_memory(err);
	inner = option_text_trim(copy);
	size = strlen(inner);
	if (size < 2 || inner[0] != '[' || inner[size - 1] != ']')
		return error_set(err, VMCRED_USAGE, "\"%s\" is not a list in brackets", text);
	inner[size - 1] = '\0';
	r = option_pieces_split(inner + 1, &pieces, err);
	for (size_t i = 0; i < pieces.count && r == 0; i++)
		r = pair_add(array, pieces.items[i], key, err);
	if (r == 0)
		*value = pointer_release(&array);
	return r;
}

/* `plain` is without quotes; Cloud Hypervisor keeps them in lists and in on and off. */
static int value_json(const struct option_key *key, const char *value, char *plain, json_t **json,
		      struct error *err)
{
	const char *word = NULL;
	uint64_t number = 0;
	int r = 0;

	switch (key->type) {
	case KEY_STRING:
		if (key->max > 0 && strlen(plain) > key->max)
			return error_set(err, VMCRED_USAGE, "\"%s\" has more than %u bytes", plain,
					 (unsigned int)key->max);
		return option_text_json(plain, json, err);
	case KEY_TOGGLE:
		if (strcasecmp(value, "on") == 0 || strcasecmp(value, "true") == 0)
			*json = json_true();
		else if (strcasecmp(value, "off") == 0 || strcasecmp(value, "false") == 0)
			*json = json_false();
		else
			return error_set(err, VMCRED_USAGE, "\"%s\" is not on or off", value);
		return 0;
	case KEY_NUMBERS:
	case KEY_DESCRIPTORS:
		return numbers_json(value, key->max, json, err);
	case KEY_STRINGS:
		return list_json(value, NULL, json, err);
	case KEY_FEATURES:
		return list_json(value, key->words, json, err);
	case KEY_WORD:
	case KEY_WORD_EXACT:
		word = word_find(key->words, plain, key->type == KEY_WORD_EXACT);
		return word ? option_text_json(word, json, err) : word_reject(plain, err);
	case KEY_TOPOLOGY:
		return topology_json(plain, json, err);
	case KEY_PAIRS:
	case KEY_PAIRS_OF_LISTS:
		return pairs_json(value, key, json, err);
	case KEY_REFUSED:
		return error_set(err, VMCRED_USAGE, "%s", key->note);
	case KEY_NUMBER:
		r = number_read(plain, 10, key->max, &number, err);
		break;
	case KEY_WORD_OR_NUMBER:
		word = word_find(key->words, plain, true);
		/* Cloud Hypervisor accepts no leading zero. */
		if (!word && !(plain[0] >= '1' && plain[0] <= '9'))
			return word_reject(plain, err);
		r = number_read(word ? word : plain, 10, key->max, &number, err);
		break;
	case KEY_SIZE:
		r = size_read(plain, &number, err);
		break;
	case KEY_HEX:
		if (strncmp(plain, "0x", 2) != 0)
			return error_set(err, VMCRED_USAGE, "\"%s\" does not start with 0x", plain);
		r = number_read(plain + 2, 16, key->max, &number, err);
		break;
	case KEY_ITEMS:
	case KEY_MODE:
	case KEY_MODE_PATH:
	case KEY_OEM_STRINGS:
	case KEY_IGNORED:
		return 0;
	}
	if (r < 0)
		return r;
	*json = json_integer((json_int_t)number);
	return *json ? 0 : error_no_memory(err);
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

/* The modes are in the table in Cloud Hypervisor's order: the first one that is given wins. */
static int mode_put(json_t *object, const struct option_key *key, const char *path,
		    struct error *err)
{
	/* "Off" for the key "off". */
	_cleanup_free_ char *mode = text_format("%c%s", toupper(key->name[0]), key->name + 1);
	json_t *value = NULL;
	int r;

	if (!mode)
		return error_no_memory(err);
	if (json_object_get(object, "mode"))
		return 0;
	if (path && !*path)
		return error_set(err, VMCRED_USAGE, "missing path");
	r = option_text_json(mode, &value, err);
	if (r == 0)
		r = option_member_put(object, "mode", value, err);
	if (r < 0 || !path)
		return r;
	r = option_text_json(path, &value, err);
	return r < 0 ? r : option_member_put(object, key->json, value, err);
}

int option_value_put(json_t *object, const struct option_key *key, const char *value,
		     struct error *err)
{
	_cleanup_free_ char *plain = text_dequote(value);
	json_t *json = NULL;
	int r;

	if (!plain)
		return error_no_memory(err);
	if (key->type == KEY_MODE || key->type == KEY_MODE_PATH)
		return mode_put(object, key, key->type == KEY_MODE ? NULL : plain, err);
	r = value_json(key, value, plain, &json, err);
	return r == 0 && json ? option_member_put(object, key->json, json, err) : r;
}

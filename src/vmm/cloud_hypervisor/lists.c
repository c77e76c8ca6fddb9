/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cloud_hypervisor/lists.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/text.h"
#include "vmm/cloud_hypervisor/syntax.h"

/* A range of more numbers than there are segments, queues or CPUs is a mistake. */
#define NUMBERS_MAX 65536

int option_text_json(const char *text, json_t **value, struct error *err)
{
	if (!utf8_valid(span_of_text(text)))
		return error_set(err, VMCRED_USAGE, "its value is not UTF-8");
	*value = json_string(text);
	return *value ? 0 : error_no_memory(err);
}

int option_number_json(uint64_t number, json_t **value, struct error *err)
{
	*value = json_integer((json_int_t)number);
	return *value ? 0 : error_no_memory(err);
}

/* As Rust reads one: digits, and a '+' if one likes. `max` 0: what JSON here can hold. */
int option_number_read(const char *text, int base, uint64_t max, uint64_t *number,
		       struct error *err)
{
	const char *digits = text[0] == '+' ? text + 1 : text;
	char *end;

	if (max == 0)
		max = INT64_MAX;
	/* strtoull() also takes signs, white space and "0x". */
	if (!isxdigit((unsigned char)digits[0]))
		return error_set(err, VMCRED_USAGE, "%s is not a number", text);
	errno = 0;
	*number = strtoull(digits, &end, base);
	if (*end)
		return error_set(err, VMCRED_USAGE, "%s is not a number", text);
	if (errno != 0 || *number > max)
		return error_set(err, VMCRED_USAGE, "%s is too large: %llu is the most", text,
				 (unsigned long long)max);
	return 0;
}

const char *option_word_find(const struct option_word *words, const char *text, bool exact)
{
	for (; words->word; words++) {
		if ((exact ? strcmp(words->word, text) : strcasecmp(words->word, text)) == 0)
			return words->json;
	}
	return NULL;
}

/* "1,3-5": both ends of a range belong to it. */
static int range_add(json_t *array, char *text, uint64_t max, struct error *err)
{
	char *dash = strchr(text, '-');
	uint64_t first = 0, last = 0;
	int r;

	if (dash)
		*dash = '\0';
	r = option_number_read(text, 10, max, &first, err);
	if (r == 0)
		r = option_number_read(dash ? dash + 1 : text, 10, max, &last, err);
	if (r < 0)
		return r;
	if (dash && first >= last)
		return error_set(err, VMCRED_USAGE, "%s-%s is not a range", text, dash + 1);
	if (last - first >= NUMBERS_MAX - json_array_size(array))
		return error_set(err, VMCRED_USAGE, "%s has too many numbers",
				 dash ? "the range" : "the list");
	for (uint64_t i = first; i <= last; i++) {
		if (json_array_append_new(array, json_integer((json_int_t)i)) < 0)
			return error_no_memory(err);
	}
	return 0;
}

int option_numbers_json(const char *text, uint64_t max, json_t **value, struct error *err)
{
	_cleanup_free_ char *copy = strdup(text);
	_cleanup_json_ json_t *array = json_array();
	char *rest;
	size_t size;

	if (!copy || !array)
		return error_no_memory(err);
	rest = option_text_trim(copy);
	rest += strspn(rest, "[]");
	size = strlen(rest);
	while (size > 0 && strchr("[]", rest[size - 1]))
		rest[--size] = '\0';
	while (rest) {
		char *piece = strsep(&rest, ",");
		int r = range_add(array, piece, max, err);

		if (r < 0)
			return r;
	}
	*value = pointer_release(&array);
	return 0;
}

int option_strings_json(const char *text, json_t **value, struct error *err)
{
	_cleanup_command_ struct command strings = {0};
	_cleanup_json_ json_t *array = json_array();
	int r = array ? option_strings_split(text, &strings, err) : error_no_memory(err);

	for (size_t i = 0; i < strings.count && r == 0; i++) {
		json_t *string = NULL;

		r = option_text_json(strings.words[i], &string, err);
		if (r == 0 && json_array_append_new(array, string) < 0)
			r = error_no_memory(err);
	}
	if (r == 0)
		*value = pointer_release(&array);
	return r;
}

int option_features_json(const char *text, const struct option_key *key, json_t **value,
			 struct error *err)
{
	_cleanup_command_ struct command strings = {0};
	_cleanup_json_ json_t *object = json_object();
	int r = object ? option_strings_split(text, &strings, err) : error_no_memory(err);

	if (r == 0 && strings.count == 0)
		r = error_set(err, VMCRED_USAGE, "its list is empty");
	for (size_t i = 0; i < strings.count && r == 0; i++) {
		const char *member = option_word_find(key->words, strings.words[i], true);

		if (!member)
			r = error_set(err, VMCRED_USAGE, "%s is not one of its values",
				      strings.words[i]);
		else if (json_object_set_new(object, member, json_true()) < 0)
			r = error_no_memory(err);
	}
	if (r == 0)
		*value = pointer_release(&object);
	return r;
}

/* "1@2" or "1@[2,3]". */
static int pair_add(json_t *array, char *text, const struct option_key *key, struct error *err)
{
	bool lists = key->type == KEY_PAIRS_OF_LISTS;
	char *second = option_pair_cut(text);
	_cleanup_free_ char *first = option_text_dequote(option_text_trim(text));
	uint64_t number = 0, other = 0;
	json_t *value = NULL, *object;
	int r;

	if (!first)
		return error_no_memory(err);
	if (!second)
		return error_set(err, VMCRED_USAGE, "%s is not a pair with one '@'", text);
	r = option_number_read(first, 10, lists && key->max > 0 ? key->max : UINT32_MAX, &number,
			       err);
	if (r == 0 && lists)
		r = option_numbers_json(second, 0, &value, err);
	else if (r == 0)
		r = option_number_read(option_text_trim(second), 10, key->max, &other, err);
	if (r == 0 && !lists)
		r = option_number_json(other, &value, err);
	if (r < 0)
		return r;
	object = json_pack("{s:I, s:o}", key->pair[0], (json_int_t)number, key->pair[1], value);
	if (!object || json_array_append_new(array, object) < 0)
		return error_no_memory(err);
	return 0;
}

int option_pairs_json(const char *text, const struct option_key *key, json_t **value,
		      struct error *err)
{
	_cleanup_command_ struct command pieces = {0};
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
		return error_set(err, VMCRED_USAGE, "%s is not a list in brackets", text);
	inner[size - 1] = '\0';
	r = option_pieces_split(inner + 1, &pieces, err);
	for (size_t i = 0; i < pieces.count && r == 0; i++)
		r = pair_add(array, pieces.words[i], key, err);
	if (r == 0)
		*value = pointer_release(&array);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What a launch can be told: the values of `vmcred run`'s options and of the keys of vms.NAME. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "config/config.h"

#define DAY_SECONDS 86400UL

#define ROW(id_, option_, key_, form_, argument_, help_) \
	[CONFIG_LAUNCH_##id_] = {option_, key_, form_, argument_, help_},

const struct config_launch_row config_launch_rows[CONFIG_LAUNCH_OPTIONS] = {
	CONFIG_LAUNCH_TABLE(ROW)};

/* The index of a word in "smbios|fw_cfg", or -1. */
static int word_find(const char *words, const char *word, size_t length)
{
	for (int i = 0; *words; i++) {
		const size_t size = strcspn(words, "|");

		if (size == length && strncmp(words, word, size) == 0)
			return i;
		words += size + (words[size] != '\0');
	}
	return -1;
}

static int words_reject(const struct config_launch_row *row, const char *value, struct error *err)
{
	_cleanup_free_ char *words = strdup("");
	const char *rest = row->argument;

	for (; words && *rest; rest += *rest == '|') {
		_cleanup_free_ char *before = words;
		const int size = (int)strcspn(rest, "|");

		words = text_format("%s%s%.*s", before, *before ? " or " : "", size, rest);
		rest += size;
	}
	return error_set(err, VMCRED_USAGE, "must be %s%s, not \"%s\"", words ? words : "",
			 row->form == CONFIG_LAUNCH_WORDS ? ", or both separated by ','" : "",
			 value);
}

int config_launch_word(enum config_launch_option option, const char *value)
{
	return word_find(config_launch_rows[option].argument, value, strlen(value));
}

unsigned int config_launch_words(enum config_launch_option option, const char *value)
{
	unsigned int found = 0;

	while (*value) {
		const size_t size = strcspn(value, ",");
		const int word = word_find(config_launch_rows[option].argument, value, size);

		if (word < 0)
			return 0;
		found |= 1U << word;
		value += size + (value[size] == ',');
	}
	return found;
}

int config_launch_check(enum config_launch_option option, const char *value, struct error *err)
{
	const struct config_launch_row *row = &config_launch_rows[option];
	char *end = NULL;

	switch (row->form) {
	case CONFIG_LAUNCH_SWITCH:
		return strcmp(value, "true") == 0 || strcmp(value, "false") == 0
			       ? 0
			       : error_set(err, VMCRED_USAGE, "must be true or false");
	case CONFIG_LAUNCH_WORD:
		return config_launch_word(option, value) >= 0 ? 0 : words_reject(row, value, err);
	case CONFIG_LAUNCH_WORDS:
		return config_launch_words(option, value) > 0 ? 0 : words_reject(row, value, err);
	case CONFIG_LAUNCH_SECONDS:
		/* Without a sign; more than a day is a mistake. */
		if (*value >= '0' && *value <= '9' && strtoul(value, &end, 10) <= DAY_SECONDS &&
		    *end == '\0')
			return 0;
		return error_set(err, VMCRED_USAGE,
				 "must be a number of seconds from 0 to %lu, not \"%s\"",
				 DAY_SECONDS, value);
	case CONFIG_LAUNCH_TARGET:
		return config_is_unit(value, ".target")
			       ? 0
			       : error_set(err, VMCRED_USAGE,
					   "must be the name of a .target unit, not \"%s\"", value);
	case CONFIG_LAUNCH_TEXT:
		break;
	}
	return 0;
}

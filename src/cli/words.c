/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/words.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

void words_free(char ***words)
{
	for (char **word = *words; word && *word; word++)
		free(*word);
	free(*words);
	*words = NULL;
}

static int word_add(char ***words, size_t *count, char *word, struct error *err)
{
	char **larger = word ? reallocarray(*words, *count + 2, sizeof(char *)) : NULL;

	if (!larger) {
		free(word);
		return error_no_memory(err);
	}
	larger[(*count)++] = word;
	larger[*count] = NULL;
	*words = larger;
	return 0;
}

/* Skips white space and comments. */
static const char *word_start(const char *text)
{
	for (;;) {
		text += strspn(text, " \t\r\n");
		if (*text != '#')
			return text;
		text += strcspn(text, "\n");
	}
}

/* Reads one word into `word`, which has room for the whole text; NULL: it has no end. */
static const char *word_read(const char *text, char *word)
{
	char quote = '\0';

	for (; *text; text++) {
		if (quote && *text == quote) {
			quote = '\0';
		} else if (!quote && (*text == '"' || *text == '\'')) {
			quote = *text;
		} else if (*text == '\\' && quote != '\'') {
			if (*++text == '\0')
				return NULL;
			*word++ = *text;
		} else if (!quote && strchr(" \t\r\n", *text)) {
			break;
		} else {
			*word++ = *text;
		}
	}
	*word = '\0';
	return quote ? NULL : text;
}

int words_split(const char *text, const char *what, const char *extra, char ***words,
		struct error *err)
{
	_cleanup_free_ char *word = malloc(strlen(text) + 1);
	_cleanup_words_ char **list = NULL;
	size_t count = 0;
	int r = 0;

	if (!word)
		return error_no_memory(err);
	for (text = word_start(text); r == 0 && *text; text = word_start(text)) {
		text = word_read(text, word);
		if (!text)
			return error_set(err, VMCRED_USAGE,
					 "%s has a quotation mark or a backslash that ends nowhere",
					 what);
		r = word_add(&list, &count, strdup(word), err);
	}
	if (r == 0 && count == 0)
		return error_set(err, VMCRED_USAGE, "%s names no program", what);
	if (r == 0 && extra)
		r = word_add(&list, &count, strdup(extra), err);
	if (r == 0) {
		*words = list;
		list = NULL;
	}
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred-sops/flags.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/name.h"
#include "cli/vmcred-sops/flag_table.h"

/* Key groups are numbered by a byte (Shamir over GF(256)). */
#define NUMBER_MAX 255

void sops_arguments_destroy(struct sops_arguments *flags)
{
	for (size_t i = 0; i < SOPS_FLAG_COUNT; i++)
		free(flags->values[i]);
	*flags = (struct sops_arguments){0};
}

static bool flag_applies(const struct sops_flag_row *row, enum sops_verb_id verb)
{
	return (row->verbs & (1U << verb)) != 0;
}

/* The row whose name (or letter) the word is, up to '='; `word` is behind its dashes. */
static int flag_find(enum sops_verb_id verb, const char *word)
{
	size_t length = strcspn(word, "=");

	for (int i = 0; i < SOPS_FLAG_COUNT; i++) {
		const struct sops_flag_row *row = &sops_flag_table[i];

		if (!flag_applies(row, verb))
			continue;
		for (const char *const *name = row->names; name < row->names + 2 && *name; name++) {
			if (strlen(*name) == length && strncmp(*name, word, length) == 0)
				return i;
		}
	}
	return -1;
}

/* Behind the one or two dashes of a flag, NULL for any other word. */
static const char *flag_word(const char *word)
{
	if (word[0] != '-' || word[1] == '\0' || strcmp(word, "--") == 0)
		return NULL;
	return word + (word[1] == '-' ? 2 : 1);
}

/* The truth values of Go's strconv.ParseBool. */
static const char *truth_of(const char *text)
{
	static const char *const on[] = {"1", "t", "T", "TRUE", "true", "True"};
	static const char *const off[] = {"0", "f", "F", "FALSE", "false", "False"};

	for (size_t i = 0; i < sizeof(on) / sizeof(on[0]); i++) {
		if (strcmp(text, on[i]) == 0)
			return "true";
		if (strcmp(text, off[i]) == 0)
			return "false";
	}
	return NULL;
}

/* Both numbers that there are, columns and key groups, are small; -1 is nothing said. */
static bool is_number(const char *text)
{
	char *end;
	long number;

	errno = 0;
	number = strtol(text, &end, 0);
	return errno == 0 && end != text && *end == '\0' && number >= -1 && number <= NUMBER_MAX;
}

/* `source` names the flag or the variable. The value may be a secret (--set) and is not shown. */
static int value_take(enum sops_verb_id verb, struct sops_arguments *flags, int index,
		      const char *value, const char *source, struct error *err)
{
	const struct sops_flag_row *row = &sops_flag_table[index];
	char **target = &flags->values[index], *taken = NULL;

	switch (row->kind) {
	case SOPS_FLAG_TRUTH:
		value = truth_of(value);
		if (!value)
			return error_set(err, VMCRED_USAGE, "%s must be true or false", source);
		break;
	case SOPS_FLAG_WHOLE_NUMBER:
		if (!is_number(value))
			return error_set(err, VMCRED_USAGE, "%s must be a whole number up to %d",
					 source, NUMBER_MAX);
		break;
	case SOPS_FLAG_TEXT:
	case SOPS_FLAG_LIST:
		break;
	}
	if (row->kind == SOPS_FLAG_LIST && *target && verb == SOPS_GROUPS_ADD_VERB) {
		if (asprintf(&taken, "%s,%s", *target, value) < 0)
			return error_no_memory(err);
	} else {
		taken = strdup(value);
		if (!taken)
			return error_no_memory(err);
	}
	free(*target);
	*target = taken;
	return 0;
}

static int flag_unknown(enum sops_verb_id verb, const char *word, struct error *err)
{
	const char *names[SOPS_FLAG_COUNT + 1] = {NULL};
	char name[64] = "";
	const char *nearest;
	size_t count = 0;

	/* Behind '=' there may be anything, also a secret: not shown. */
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(word, "="), word);
	for (size_t i = 0; i < SOPS_FLAG_COUNT; i++) {
		if (flag_applies(&sops_flag_table[i], verb))
			names[count++] = sops_flag_table[i].names[0];
	}
	error_set(err, VMCRED_USAGE, "there is no flag --%s", name);
	nearest = name_nearest(name, names);
	if (nearest)
		return error_hint(err, "did you mean --%s?", nearest);
	return error_hint(err, "--help lists the flags");
}

/* Reads the flag at `argv[at]`; returns the number of words that it takes. */
static int flag_take(enum sops_verb_id verb, int argc, char **argv, int at,
		     struct sops_arguments *flags, struct error *err)
{
	const char *word = flag_word(argv[at]), *equals = strchr(word, '=');
	int index = flag_find(verb, word), used = 1, r;
	char source[80];
	const char *value;

	if (index < 0)
		return flag_unknown(verb, word, err);
	snprintf(source, sizeof(source), "--%s", sops_flag_table[index].names[0]);
	if (equals) {
		value = equals + 1;
	} else if (sops_flag_table[index].kind == SOPS_FLAG_TRUTH) {
		value = "true";
	} else if (at + 1 < argc) {
		value = argv[at + 1];
		used = 2;
	} else {
		return error_set(err, VMCRED_USAGE, "%s needs a value", source);
	}
	r = value_take(verb, flags, index, value, source, err);
	return r < 0 ? r : used;
}

int sops_arguments_parse(enum sops_verb_id verb, int argc, char **argv,
			 struct sops_arguments *flags, struct error *err)
{
	int words = 0, at = 0, r;

	while (at < argc) {
		const char *word = flag_word(argv[at]);

		if (strcmp(argv[at], "--") == 0) {
			at++;
			break;
		}
		/* Behind the first other word, only known flags are flags: a value may begin with a
		 * dash, and without a verb nothing there is one. */
		if (!word || (words > 0 && (verb == SOPS_OLD_FORM || flag_find(verb, word) < 0))) {
			argv[words++] = argv[at++];
			if (verb == SOPS_OLD_FORM)
				break;
			continue;
		}
		r = flag_take(verb, argc, argv, at, flags, err);
		if (r < 0)
			return r;
		at += r;
	}
	while (at < argc)
		argv[words++] = argv[at++];
	return words;
}

int sops_arguments_environment(enum sops_verb_id verb, struct sops_arguments *flags,
			       struct error *err)
{
	for (int i = 0; i < SOPS_FLAG_COUNT; i++) {
		const struct sops_flag_row *row = &sops_flag_table[i];
		const char *value;
		int r;

		if (!row->variable || flags->values[i] || !flag_applies(row, verb))
			continue;
		/* A group is made of what is given for it. */
		if (row->kind == SOPS_FLAG_LIST && verb == SOPS_GROUPS_ADD_VERB)
			continue;
		value = getenv(row->variable);
		if (!value || *value == '\0')
			continue;
		r = value_take(verb, flags, i, value, row->variable, err);
		if (r < 0)
			return r;
	}
	return 0;
}

const char *sops_flag_text(const struct sops_arguments *flags, enum sops_flag flag)
{
	const char *value = flags->values[flag];

	return value && *value ? value : NULL;
}

bool sops_flag_is_on(const struct sops_arguments *flags, enum sops_flag flag)
{
	return flags->values[flag] && strcmp(flags->values[flag], "true") == 0;
}

long sops_flag_number(const struct sops_arguments *flags, enum sops_flag flag, long missing)
{
	return flags->values[flag] ? strtol(flags->values[flag], NULL, 0) : missing;
}

const char *sops_flag_name(enum sops_flag flag)
{
	return sops_flag_table[flag].names[0];
}

void sops_arguments_help(enum sops_verb_id verb)
{
	for (size_t i = 0; i < SOPS_FLAG_COUNT; i++) {
		const struct sops_flag_row *row = &sops_flag_table[i];
		char left[80];

		if (!flag_applies(row, verb))
			continue;
		snprintf(left, sizeof(left), "--%s%s%s%s%s", row->names[0],
			 row->names[1] ? ", -" : "", row->names[1] ? row->names[1] : "",
			 row->argument ? " " : "", row->argument ? row->argument : "");
		printf("  %-36s %s%s%s%s\n", left, row->help, row->variable ? " [$" : "",
		       row->variable ? row->variable : "", row->variable ? "]" : "");
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred-sops/flags.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/name.h"
#include "base/text.h"

/* Key groups are numbered by a byte (Shamir over GF(256)). */
#define NUMBER_MAX 255

enum flag_type {
	TRUTH,
	TEXT,
	LIST, /* repeated, it replaces the value, but adds to that of `groups add` */
	NUMBER,
};

static const struct row {
	struct flag_about about;
	enum flag_type type;
	unsigned int commands; /* a set of enum command_id */
} rows[FLAG_COUNT] = {
#define FLAG(id, name, letter, type, commands, variable, argument, help) \
	[FLAG_##id] = {{name, letter, variable, argument, help}, type, commands},
#include "cli/vmcred-sops/flag_list.h"
};

const struct flag_about *flag_about(enum command_id command, enum flag flag)
{
	return rows[flag].commands & command ? &rows[flag].about : NULL;
}

const char *flag_name(enum flag flag)
{
	return rows[flag].about.name;
}

void flags_destroy(struct flags *flags)
{
	for (size_t i = 0; i < FLAG_COUNT; i++)
		free(flags->values[i]);
	*flags = (struct flags){0};
}

static bool name_is(const char *name, const char *argument, size_t length)
{
	return name && strlen(name) == length && strncmp(name, argument, length) == 0;
}

/* The flag with this name or letter, which ends at '='; -1: none. */
static int flag_find(enum command_id command, const char *argument)
{
	const size_t length = strcspn(argument, "=");

	for (int i = 0; i < FLAG_COUNT; i++) {
		const struct flag_about *about = flag_about(command, (enum flag)i);

		if (about && (name_is(about->name, argument, length) ||
			      name_is(about->letter, argument, length)))
			return i;
	}
	return -1;
}

/* The argument without its one or two dashes; NULL if it has none. */
static const char *dashes_skip(const char *argument)
{
	if (argument[0] != '-' || argument[1] == '\0' || strcmp(argument, "--") == 0)
		return NULL;
	return argument + (argument[1] == '-' ? 2 : 1);
}

/* The truth values of Go's strconv.ParseBool. */
static const char *truth_parse(const char *text)
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

/* For --indent, -1 is the same as no number. */
static int number_min(int flag)
{
	return flag == FLAG_SHAMIR_THRESHOLD ? 0 : -1;
}

static bool number_is_valid(int flag, const char *text)
{
	char *end;
	long number;

	errno = 0;
	number = strtol(text, &end, 0);
	return errno == 0 && end != text && *end == '\0' && number >= number_min(flag) &&
	       number <= NUMBER_MAX;
}

/* `source` is the flag or the variable. The value may be a secret (--set) and is not shown. */
static int value_take(enum command_id command, struct flags *flags, int flag, const char *value,
		      const char *source, struct error *err)
{
	const struct row *row = &rows[flag];
	char **target = &flags->values[flag], *taken;

	if (row->type == TRUTH) {
		value = truth_parse(value);
		if (!value)
			return error_set(err, VMCRED_USAGE, "%s must be true or false", source);
	}
	if (row->type == NUMBER && !number_is_valid(flag, value))
		return error_set(err, VMCRED_USAGE, "%s must be an integer from %d to %d", source,
				 number_min(flag), NUMBER_MAX);
	taken = row->type == LIST && *target && command == GROUPS_ADD
			? text_format("%s,%s", *target, value)
			: strdup(value);
	if (!taken)
		return error_no_memory(err);
	free(*target);
	*target = taken;
	return 0;
}

static int flag_unknown(enum command_id command, const char *argument, struct error *err)
{
	const char *names[FLAG_COUNT + 1] = {NULL};
	char name[64] = "";
	const char *nearest;
	size_t count = 0;

	/* What follows '=' may be a secret and is not shown. */
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(argument, "="), argument);
	for (int i = 0; i < FLAG_COUNT; i++) {
		if (flag_about(command, (enum flag)i))
			names[count++] = flag_name((enum flag)i);
	}
	nearest = name_nearest(name, names);
	error_set(err, VMCRED_USAGE, "unknown flag --%s", name);
	return nearest ? error_hint(err, "did you mean --%s?", nearest)
		       : error_hint(err, "--help lists the flags");
}

/* Reads the flag at `argv[at]`; returns the number of arguments that it takes. */
static int flag_take(enum command_id command, int argc, char **argv, int at, struct flags *flags,
		     struct error *err)
{
	const char *argument = dashes_skip(argv[at]), *equals = strchr(argument, '=');
	int flag = flag_find(command, argument), used = 1, r;
	const char *value = "true";
	char source[80];

	if (flag < 0)
		return flag_unknown(command, argument, err);
	snprintf(source, sizeof(source), "--%s", flag_name((enum flag)flag));
	if (equals) {
		value = equals + 1;
	} else if (rows[flag].type != TRUTH) {
		if (at + 1 == argc)
			return error_set(err, VMCRED_USAGE, "flag %s requires a value", source);
		value = argv[at + 1];
		used = 2;
	}
	r = value_take(command, flags, flag, value, source, err);
	return r < 0 ? r : used;
}

int flags_parse(enum command_id command, int argc, char **argv, struct flags *flags,
		struct error *err)
{
	int count = 0, at = 0, r;

	while (at < argc) {
		const char *argument = dashes_skip(argv[at]);

		if (strcmp(argv[at], "--") == 0) {
			at++;
			break;
		}
		/* After the first argument only known flags are flags: a value may begin with a
		 * dash. Without a command, nothing after it is a flag. */
		if (!argument ||
		    (count > 0 && (command == LEGACY || flag_find(command, argument) < 0))) {
			argv[count++] = argv[at++];
			if (command == LEGACY)
				break;
			continue;
		}
		r = flag_take(command, argc, argv, at, flags, err);
		if (r < 0)
			return r;
		at += r;
	}
	while (at < argc)
		argv[count++] = argv[at++];
	return count;
}

int flags_environment_read(enum command_id command, struct flags *flags, struct error *err)
{
	int r = 0;

	for (int i = 0; r == 0 && i < FLAG_COUNT; i++) {
		const struct flag_about *about = flag_about(command, (enum flag)i);
		const char *value = about && about->variable ? getenv(about->variable) : NULL;

		/* `groups add` takes keys from its flags only. */
		if (value && *value && !flags->values[i] &&
		    !(rows[i].type == LIST && command == GROUPS_ADD))
			r = value_take(command, flags, i, value, about->variable, err);
	}
	return r;
}

const char *flag_text(const struct flags *flags, enum flag flag)
{
	const char *value = flags->values[flag];

	return value && *value ? value : NULL;
}

bool flag_is_on(const struct flags *flags, enum flag flag)
{
	return flags->values[flag] && strcmp(flags->values[flag], "true") == 0;
}

long flag_number(const struct flags *flags, enum flag flag, long missing)
{
	return flags->values[flag] ? strtol(flags->values[flag], NULL, 0) : missing;
}

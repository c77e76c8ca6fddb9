/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flags of sops, read as sops reads them: -flag and --flag are the same; a value follows '=' or
 * is the next argument, a truth value only follows '='. After a command, known flags may stand
 * anywhere before "--"; without a command, only before the first argument.
 */
#ifndef VMCRED_CLI_VMCRED_SOPS_FLAGS_H
#define VMCRED_CLI_VMCRED_SOPS_FLAGS_H

#include <stdbool.h>

#include "base/error.h"

/* The commands that take flags; bits of a set. */
enum command_id {
	NO_COMMAND = 0,
	LEGACY = 1 << 0, /* the form without a command: -d, -e, -r, --set, or a file to edit */
	DECRYPT = 1 << 1,
	ENCRYPT = 1 << 2,
	EDIT = 1 << 3,
	ROTATE = 1 << 4,
	UPDATEKEYS = 1 << 5,
	SET = 1 << 6,
	UNSET = 1 << 7,
	GROUPS_ADD = 1 << 8,
	GROUPS_DELETE = 1 << 9,
	FILESTATUS = 1 << 10,
	EXEC_ENV = 1 << 11,
	EXEC_FILE = 1 << 12,
	COMPLETION = 1 << 13,
};

enum flag {
#define FLAG(id, ...) FLAG_##id,
#include "cli/vmcred-sops/flag_list.h"
	FLAG_COUNT
};

/* A flag that the command takes, for help and completion. */
struct flag_about {
	const char *name, *letter; /* without dashes; the letter may be NULL */
	const char *variable;      /* of the environment, or NULL */
	const char *argument;      /* the name of its value; NULL: a truth value */
	const char *help;
};

/* The flag, or NULL if the command does not take it. */
const struct flag_about *flag_about(enum command_id command, enum flag flag);

/* The flag's name without dashes. */
const char *flag_name(enum flag flag);

/* The values that were given. Starts as {0}. */
struct flags {
	char *values[FLAG_COUNT]; /* owned; NULL: not given; truth values as "true" or "false" */
};

void flags_destroy(struct flags *flags);

#define _cleanup_flags_ __attribute__((cleanup(flags_destroy)))

/*
 * Takes the flags of a command out of its `argc` arguments. The others move to the front of `argv`;
 * returns their number. VMCRED_USAGE: an unknown flag, a missing or a wrong value.
 */
int flags_parse(enum command_id command, int argc, char **argv, struct flags *flags,
		struct error *err);

/* Reads the variables of the environment for flags that are not given. */
int flags_environment_read(enum command_id command, struct flags *flags, struct error *err);

/* The value; NULL where the flag is not given or empty: sops makes no difference. */
const char *flag_text(const struct flags *flags, enum flag flag);
bool flag_is_on(const struct flags *flags, enum flag flag);

/* A number, checked by flags_parse(); `missing` where the flag is not given. */
long flag_number(const struct flags *flags, enum flag flag, long missing);

#endif

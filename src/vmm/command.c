/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Takes the word over, whatever happens. */
static int word_append(struct command *command, char *word, struct error *err)
{
	char **larger;

	if (!word)
		return error_no_memory(err);
	larger = reallocarray(command->words, command->count + 2, sizeof(*larger));
	if (!larger) {
		free(word);
		return error_no_memory(err);
	}
	command->words = larger;
	larger[command->count++] = word;
	larger[command->count] = NULL;
	return 0;
}

int command_add(struct command *command, const char *word, struct error *err)
{
	return word_append(command, strdup(word), err);
}

int command_add_format(struct command *command, struct error *err, const char *format, ...)
{
	char *word = NULL;
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vasprintf(&word, format, arguments);
	va_end(arguments);
	return word_append(command, length < 0 ? NULL : word, err);
}

int command_add_all(struct command *command, char *const *argv, struct error *err)
{
	for (; *argv; argv++) {
		int r = command_add(command, *argv, err);

		if (r < 0)
			return r;
	}
	return 0;
}

void command_destroy(struct command *command)
{
	for (size_t i = 0; i < command->count; i++)
		free(command->words[i]);
	free(command->words);
	*command = (struct command){0};
}

int command_exec_error(const char *program, int errnum, struct error *err)
{
	if (errnum != ENOENT)
		return error_set_errno(err, errnum, "executing it");
	/* Not VMCRED_MISSING: that is for what the declaration promises. */
	error_set(err, VMCRED_FAILED, "it is not installed");
	if (strchr(program, '/'))
		return error_hint(err, "there is no %s", program);
	return error_hint(err, "no folder of $PATH has it: add one, or give its whole path");
}

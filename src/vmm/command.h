/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: a hypervisor's command line while it is put together. It holds copies of all words.
 * Secrets do not belong here: the one exception is what the user asked for with --expose=argv.
 */
#ifndef VMCRED_VMM_COMMAND_H
#define VMCRED_VMM_COMMAND_H

#include "base/error.h"

struct command {
	char **words; /* NULL-terminated once there is one */
	size_t count;
};

#define _cleanup_command_ __attribute__((cleanup(command_destroy)))

int command_add(struct command *command, const char *word, struct error *err);

/* Adds a formatted word. */
int command_add_format(struct command *command, struct error *err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Adds all words of an argv. */
int command_add_all(struct command *command, char *const *argv, struct error *err);

void command_destroy(struct command *command);

/* Sets the error for an exec of `program` that failed with `errnum`. */
int command_exec_error(const char *program, int errnum, struct error *err);

#endif

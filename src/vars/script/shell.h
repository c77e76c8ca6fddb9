/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line and the environment of a script: bash, as clan runs its scripts, or where there
 * is none the shell that every system has. All of it is put together before the process is
 * forked, which must not allocate. Inside vars/ only.
 */
#ifndef VMCRED_VARS_SCRIPT_SHELL_H
#define VMCRED_VARS_SCRIPT_SHELL_H

#include "vars/script/sandbox.h"

#define SHELL_WORDS_MAX 40

struct shell {
	const char *arguments[SHELL_WORDS_MAX]; /* the program first, absolute; NULL-terminated */
	const char *environment[8];             /* NULL-terminated */
	char *texts[10];                        /* owned: what the above point to */
	size_t text_count;
};

/* `folder` is where the script will find its own. */
int shell_prepare(struct shell *shell, const struct sandbox *sandbox, const char *folder,
		  struct error *err);
void shell_destroy(struct shell *shell);

#define _cleanup_shell_ __attribute__((cleanup(shell_destroy)))

#endif

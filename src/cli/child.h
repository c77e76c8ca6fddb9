/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that sops starts: an editor, a command with the secrets in a file, a command that prints
 * a key. None goes through a shell, unless the command is one (exec-file).
 */
#ifndef VMCRED_CLI_CHILD_H
#define VMCRED_CLI_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/secret.h"

/*
 * Runs a program with our standard streams to its end; `*status` is that of waitpid(2). It is
 * looked up in $PATH. While it runs, our process outlives the signals of the terminal, which the
 * program gets as well, and hands on those that ask it to end: there is something to clean up.
 */
int child_run(char *const *arguments, char *const *environment, int *status, struct error *err);

/*
 * Shows a text on standard error and waits for a line on standard input. Returns 1, or 0 at its end
 * or where a signal asks to give up.
 */
int child_wait_for_line(const char *text);

/*
 * Runs the command line in `text` without input, and adds what it prints to `output`, at most
 * `size_max` bytes. `what` names the text, `variable` is a "NAME=value" that is added to its
 * environment. VMCRED_FAILED: it cannot be started, or does not end well.
 */
int child_output(const char *text, const char *what, const char *variable, size_t size_max,
		 struct secret *output, struct error *err);

/*
 * Has the shell run a command with this environment, which may lie in secret memory: in place of
 * our process, which does not return then, or beside it.
 */
int child_shell(const char *command, char *const *environment, bool beside, struct error *err);

/* Says how it ended, where it did not end with 0. `what` names it. */
int child_status_check(int status, const char *what, struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMCRED_CLI_FOREGROUND_H
#define VMCRED_CLI_FOREGROUND_H

#include "base/error.h"

/*
 * Runs a program from $PATH with our standard streams and environment to its end; `*status` is that
 * of waitpid(2). Meanwhile this process survives the signals of the terminal, which the program
 * gets as well, and passes on SIGTERM and SIGHUP.
 */
int foreground_run(char *const *argv, int *status, struct error *err);

/* Prints a text to stderr and waits for a line on stdin. Returns 1; 0 at end of file or after one
 * of these signals. */
int foreground_line_wait(const char *text);

#endif

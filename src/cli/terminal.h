/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking a person, on the terminal of the process (/dev/tty), whatever its standard streams are
 * connected to: a generator's prompts, passphrases of keys, and what age plugins ask. What is typed
 * goes into secret memory alone. While it is hidden the terminal shows nothing, and it is as it was
 * before however the question ends.
 */
#ifndef VMCRED_CLI_TERMINAL_H
#define VMCRED_CLI_TERMINAL_H

#include <stdbool.h>

#include "age/age.h"
#include "base/secret.h"

struct terminal_question {
	const char *text; /* on one line */
	bool hidden;      /* what is typed is not shown */
	bool lines;       /* any number of lines, ended by Ctrl-D */
	bool twice;       /* asked again, until both answers are the same */
};

/*
 * Adds the answer; a single line comes without its line break. VMCRED_FAILED: the process has no
 * terminal, or the person gave up (Ctrl-C, or Ctrl-D for a single line).
 */
int terminal_ask(const struct terminal_question *question, struct secret *answer,
		 struct error *err);

/* The same for age. */
extern const struct age_prompt terminal_prompt;

#endif

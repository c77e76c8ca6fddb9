/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions to a person on the controlling terminal (/dev/tty), even where the standard streams are
 * redirected: prompts of generators, passphrases of keys, and questions of age plugins. The answer
 * goes into secret memory only. Echo is restored however a hidden question ends.
 */
#ifndef VMCRED_CLI_TERMINAL_H
#define VMCRED_CLI_TERMINAL_H

#include <stdbool.h>

#include "age/age.h"
#include "base/secret.h"

struct terminal_question {
	const char *text; /* one line */
	bool hidden;      /* no echo */
	bool lines;       /* any number of lines, ended by Ctrl-D */
	bool twice;       /* asked until two answers in a row are the same */
};

/*
 * Adds the answer; a single line comes without its line break. VMCRED_FAILED: no terminal, or the
 * person cancelled (Ctrl-C, or Ctrl-D for a single line).
 */
int terminal_ask(const struct terminal_question *question, struct secret *answer,
		 struct error *err);

/* Shows a secret on the terminal, after the text `before`, and nowhere else. */
int terminal_show(const char *before, const struct secret *text, struct error *err);

/* Questions of age. */
extern const struct age_prompt terminal_prompt;

#endif

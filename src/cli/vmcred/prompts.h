/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answers to a generator's prompts: from files that the user named with --prompt, else from the
 * terminal.
 */
#ifndef VMCRED_CLI_VMCRED_PROMPTS_H
#define VMCRED_CLI_VMCRED_PROMPTS_H

#include "base/secret.h"
#include "cli/cli.h"
#include "config/config.h"

#define CLI_PROMPT_HELP "answer a prompt from a file (@-: stdin); also GENERATOR/NAME=@FILE"

/* Starts as {0}. */
struct cli_answers {
	struct cli_texts given;                /* [GENERATOR/]NAME=@FILE, for the option */
	struct secret contents[CLI_TEXTS_MAX]; /* owned: of those that were read */
	bool is_read[CLI_TEXTS_MAX];
};

#define _cleanup_answers_ __attribute__((cleanup(cli_answers_destroy)))

/* Checks that each text names a file and a prompt of some generator, no prompt twice, and stdin
 * once.
 */
int cli_answers_check(const struct cli_answers *answers, const struct config *config,
		      struct error *err);

/* Whether one of them answers the prompt. */
bool cli_is_answered(const struct cli_answers *answers, const struct config_generator *generator,
		     const struct config_prompt *prompt);

/*
 * Adds the answer. A text with the generator's name goes before one without. A file is read once,
 * for all prompts that it answers: it may be a pipe. Its last line break is no part of a single
 * line.
 */
int cli_answer(struct cli_answers *answers, const struct config_generator *generator,
	       const struct config_prompt *prompt, struct secret *answer, struct error *err);

void cli_answers_destroy(struct cli_answers *answers);

#endif

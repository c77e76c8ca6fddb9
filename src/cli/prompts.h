/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answers to a generator's prompts: from files that the user named with --prompt, else from the
 * terminal.
 */
#ifndef VMCRED_CLI_PROMPTS_H
#define VMCRED_CLI_PROMPTS_H

#include "base/secret.h"
#include "cli/cli.h"
#include "config/config.h"

#define CLI_PROMPT_HELP "answer a prompt from a file (@-: stdin); also GENERATOR/NAME=@FILE"

/* Checks that each text is [GENERATOR/]NAME=@FILE, and that some generator has such a prompt. */
int cli_prompts_check(const struct cli_texts *given, const struct config *config,
		      struct error *err);

/* Adds the answer. A last line break in a file is no part of a single line. */
int cli_prompt_answer(const struct cli_texts *given, const struct config_generator *generator,
		      const struct config_prompt *prompt, struct secret *answer, struct error *err);

#endif

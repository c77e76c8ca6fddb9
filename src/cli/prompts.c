/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/prompts.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "cli/terminal.h"

/* systemd takes no larger credential: systemd.exec(5), LoadCredential=. */
#define ANSWER_SIZE_MAX ((size_t)1024 * 1024)

/* Whether a text answers the prompt: its name, or its generator's and its name. */
static bool is_for(const char *given, const struct config_generator *generator,
		   const struct config_prompt *prompt)
{
	size_t size = strcspn(given, "="), generator_size = strlen(generator->name);
	const char *name = given;

	if (size > generator_size && strncmp(given, generator->name, generator_size) == 0 &&
	    given[generator_size] == '/') {
		name += generator_size + 1;
		size -= generator_size + 1;
	}
	return strlen(prompt->name) == size && strncmp(name, prompt->name, size) == 0;
}

static bool is_declared(const char *given, const struct config *config)
{
	for (size_t i = 0; i < config->generator_count; i++) {
		const struct config_generator *generator = &config->generators[i];

		for (size_t j = 0; j < generator->prompt_count; j++) {
			if (is_for(given, generator, &generator->prompts[j]))
				return true;
		}
	}
	return false;
}

int cli_prompts_check(const struct cli_texts *given, const struct config *config, struct error *err)
{
	for (size_t i = 0; i < given->count; i++) {
		const char *equals = strchr(given->items[i], '=');
		int name_size = (int)strcspn(given->items[i], "=");

		/* Without the '@' it is most likely the answer itself: not shown. */
		if (!equals || equals[1] != '@' || equals[2] == '\0') {
			error_set(err, VMCRED_USAGE, "--prompt %.*s does not name a file",
				  name_size, given->items[i]);
			return error_hint(err, "the answer itself would be seen by all users of "
					       "this host: write NAME=@FILE, or NAME=@- for stdin");
		}
		if (!is_declared(given->items[i], config))
			return error_set(err, VMCRED_USAGE, "%s declares no prompt \"%.*s\"",
					 config->path, name_size, given->items[i]);
	}
	return 0;
}

static int file_answer(const char *path, const struct config_prompt *prompt, struct secret *answer,
		       struct error *err)
{
	bool is_line = prompt->type == CONFIG_PROMPT_LINE || prompt->type == CONFIG_PROMPT_HIDDEN;
	int r = strcmp(path, "-") == 0
			? secret_read(answer, STDIN_FILENO, ANSWER_SIZE_MAX, "standard input", err)
			: file_read_secret(AT_FDCWD, path, ANSWER_SIZE_MAX, answer, err);

	if (r < 0)
		return error_wrap(err, "the answer to the prompt %s", prompt->name);
	if (is_line && answer->size > 0 && answer->data[answer->size - 1] == '\n')
		answer->size--;
	if (is_line && answer->size > 0 && memchr(answer->data, '\n', answer->size))
		return error_set(err, VMCRED_FAILED,
				 "the answer to the prompt %s is more than one line: %s",
				 prompt->name, path);
	return 0;
}

static int terminal_answer(const struct config_generator *generator,
			   const struct config_prompt *prompt, struct secret *answer,
			   struct error *err)
{
	_cleanup_free_ char *text = NULL;
	struct terminal_question question = {
		.hidden = prompt->type == CONFIG_PROMPT_HIDDEN ||
			  prompt->type == CONFIG_PROMPT_MULTILINE_HIDDEN,
		.lines = prompt->type == CONFIG_PROMPT_MULTILINE ||
			 prompt->type == CONFIG_PROMPT_MULTILINE_HIDDEN,
	};
	int r;

	if (asprintf(&text, "%s/%s%s%s%s%s:", generator->name, prompt->name,
		     prompt->description ? ", " : "",
		     prompt->description ? prompt->description : "",
		     question.lines ? " (lines, then Ctrl-D)" : "",
		     question.hidden ? " (not shown)" : "") < 0) {
		text = NULL;
		return error_no_memory(err);
	}
	question.text = text;
	question.twice = question.hidden;
	r = terminal_ask(&question, answer, err);
	if (r < 0)
		error_wrap(err, "asking for %s/%s", generator->name, prompt->name);
	return r < 0 ? error_hint(err, "--prompt %s/%s=@FILE answers it without one",
				  generator->name, prompt->name)
		     : 0;
}

int cli_prompt_answer(const struct cli_texts *given, const struct config_generator *generator,
		      const struct config_prompt *prompt, struct secret *answer, struct error *err)
{
	for (size_t i = 0; i < given->count; i++) {
		if (is_for(given->items[i], generator, prompt))
			return file_answer(strchr(given->items[i], '=') + 2, prompt, answer, err);
	}
	return terminal_answer(generator, prompt, answer, err);
}

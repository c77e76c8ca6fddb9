/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "cli/terminal.h"
#include "cli/vmcred/commands.h"

/* How well an option matches a prompt. */
enum fit {
	FIT_NOT,
	FIT_NAME,      /* NAME=... */
	FIT_GENERATOR, /* GENERATOR/NAME=... */
};

static enum fit fit_of(const char *given, const struct config_generator *generator,
		       const struct config_prompt *prompt)
{
	size_t size = strcspn(given, "="), generator_size = strlen(generator->name);
	enum fit fit = FIT_NAME;

	if (size > generator_size && strncmp(given, generator->name, generator_size) == 0 &&
	    given[generator_size] == '/') {
		given += generator_size + 1;
		size -= generator_size + 1;
		fit = FIT_GENERATOR;
	}
	return strlen(prompt->name) == size && strncmp(given, prompt->name, size) == 0 ? fit
										       : FIT_NOT;
}

static bool is_declared(const char *given, const struct config *config)
{
	for (size_t i = 0; i < config->generator_count; i++) {
		const struct config_generator *generator = &config->generators[i];

		for (size_t j = 0; j < generator->prompt_count; j++) {
			if (fit_of(given, generator, &generator->prompts[j]) != FIT_NOT)
				return true;
		}
	}
	return false;
}

static const char *path_of(const char *given)
{
	return strchr(given, '=') + 2;
}

int cli_answers_check(const struct cli_answers *answers, const struct config *config,
		      struct error *err)
{
	for (size_t i = 0; i < answers->given.count; i++) {
		const char *given = answers->given.items[i], *equals = strchr(given, '=');
		const int size = (int)strcspn(given, "=");

		/* Without the '@' it is probably the answer itself, which is not shown. */
		if (!equals || equals[1] != '@' || equals[2] == '\0') {
			error_set(err, VMCRED_USAGE, "--prompt %.*s must be NAME=@FILE or NAME=@-",
				  size, given);
			return error_hint(err, "an answer on the command line is visible to all "
					       "users of this host");
		}
		if (!is_declared(given, config))
			return error_set(err, VMCRED_USAGE,
					 "%s does not declare the prompt \"%.*s\"", config->path,
					 size, given);
		for (size_t j = 0; j < i; j++) {
			const char *other = answers->given.items[j];
			const int other_size = (int)strcspn(other, "=");

			if (other_size == size && strncmp(other, given, (size_t)size) == 0)
				return error_set(err, VMCRED_USAGE, "duplicate --prompt %.*s", size,
						 given);
			if (strcmp(path_of(other), "-") == 0 && strcmp(path_of(given), "-") == 0)
				return error_set(err, VMCRED_USAGE,
						 "standard input can answer one --prompt, not both "
						 "%.*s and %.*s",
						 other_size, other, size, given);
		}
	}
	return 0;
}

static int file_answer(struct cli_answers *answers, size_t index,
		       const struct config_prompt *prompt, struct secret *answer, struct error *err)
{
	const bool is_line =
		prompt->type == CONFIG_PROMPT_LINE || prompt->type == CONFIG_PROMPT_HIDDEN;
	const char *path = path_of(answers->given.items[index]);
	struct secret *content = &answers->contents[index];
	struct span text;
	int r = 0;

	if (!answers->is_read[index])
		r = strcmp(path, "-") == 0
			    ? secret_read(content, STDIN_FILENO, VARS_SECRET_SIZE_MAX,
					  "standard input", err)
			    : file_read_secret(AT_FDCWD, path, VARS_SECRET_SIZE_MAX, content, err);
	if (r < 0)
		return error_wrap(err, "answer to prompt %s", prompt->name);
	answers->is_read[index] = true;
	text = secret_span(content);
	if (is_line && text.size > 0 && text.data[text.size - 1] == '\n')
		text.size--;
	if (is_line && text.size > 0 && memchr(text.data, '\n', text.size))
		return error_set(err, VMCRED_FAILED,
				 "answer to prompt %s must be a single line: %s", prompt->name,
				 path);
	return secret_append(answer, text, err);
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

	text = text_format(
		"%s/%s%s%s%s%s:", generator->name, prompt->name, prompt->description ? ", " : "",
		prompt->description ? prompt->description : "",
		question.lines ? " (end with Ctrl-D)" : "", question.hidden ? " (hidden)" : "");
	if (!text)
		return error_no_memory(err);
	question.text = text;
	question.twice = question.hidden;
	r = terminal_ask(&question, answer, err);
	if (r < 0)
		error_wrap(err, "asking for %s/%s", generator->name, prompt->name);
	return r < 0 ? error_hint(err, "answer it with --prompt %s/%s=@FILE", generator->name,
				  prompt->name)
		     : 0;
}

/* How well the best option matches, and its index. */
static enum fit best_find(const struct cli_answers *answers,
			  const struct config_generator *generator,
			  const struct config_prompt *prompt, size_t *index)
{
	enum fit best = FIT_NOT;

	for (size_t i = 0; i < answers->given.count; i++) {
		enum fit fit = fit_of(answers->given.items[i], generator, prompt);

		if (fit > best) {
			best = fit;
			*index = i;
		}
	}
	return best;
}

bool cli_is_answered(const struct cli_answers *answers, const struct config_generator *generator,
		     const struct config_prompt *prompt)
{
	size_t index = 0;

	return best_find(answers, generator, prompt, &index) != FIT_NOT;
}

int cli_answer(struct cli_answers *answers, const struct config_generator *generator,
	       const struct config_prompt *prompt, struct secret *answer, struct error *err)
{
	size_t index = 0;

	return best_find(answers, generator, prompt, &index) == FIT_NOT
		       ? terminal_answer(generator, prompt, answer, err)
		       : file_answer(answers, index, prompt, answer, err);
}

void cli_answers_destroy(struct cli_answers *answers)
{
	for (size_t i = 0; i < answers->given.count; i++)
		secret_destroy(&answers->contents[i]);
}

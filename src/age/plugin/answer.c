/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The questions that a plugin may ask the user (C2SP age-plugin.md, the commands of phase 2).
 * Without a user the answer is "fail", and the plugin decides how to continue.
 */
#include <stdlib.h>

#include "age/plugin/plugin.h"
#include "base/base64.h"
#include "base/cleanup.h"
#include "base/text.h"

#define TEXT_MAX 1000

/* The number of bytes of the printable UTF-8 character at the start, or 0. */
static size_t character_size(struct span bytes)
{
	const uint8_t *c = bytes.data;
	size_t size = utf8_length(bytes);

	/* Control characters, C1 controls among them. */
	if ((size == 1 && (*c < ' ' || *c == 0x7f)) || (c[0] == 0xc2 && size == 2 && c[1] < 0xa0))
		return 0;
	/* Separators of lines and paragraphs, and characters that change the writing direction. */
	if (size == 3 && c[0] == 0xe2 &&
	    ((c[1] == 0x80 && c[2] >= 0xa8 && c[2] <= 0xae) ||
	     (c[1] == 0x81 && c[2] >= 0xa6 && c[2] <= 0xa9)))
		return 0;
	return size;
}

char *plugin_text(struct span bytes)
{
	char *text, *to;

	if (bytes.size > TEXT_MAX)
		bytes.size = TEXT_MAX;
	text = to = malloc(bytes.size + 1);
	if (!text)
		return NULL;
	while (bytes.size > 0) {
		size_t size = character_size(bytes);

		if (size == 0) {
			*to++ = bytes.data[0] == '\n' || bytes.data[0] == '\t' ? ' ' : '?';
			size = 1;
		} else {
			memcpy(to, bytes.data, size);
			to += size;
		}
		bytes = span_skip(bytes, size);
	}
	*to = '\0';
	return text;
}

/* "age-plugin-NAME: TEXT", in new memory. */
static char *message_make(const struct plugin *plugin, struct span bytes)
{
	_cleanup_free_ char *text = plugin_text(bytes);

	return text ? text_format("age-plugin-%s: %s", plugin->name, text) : NULL;
}

static int reply(struct plugin *plugin, const char *line, struct error *err)
{
	return plugin_send(plugin, line, span_of(NULL, 0), err);
}

static int message_show(struct plugin *plugin, const struct age_stanza *stanza, struct error *err)
{
	const struct age_prompt *prompt = plugin->prompt;
	_cleanup_free_ char *message = message_make(plugin, stanza->body);
	_cleanup_error_ struct error reason = {0};

	if (!message)
		return error_no_memory(err);
	if (!prompt || !prompt->show || prompt->show(prompt->context, message, &reason) < 0)
		return reply(plugin, "fail", err);
	return reply(plugin, "ok", err);
}

static int value_request(struct plugin *plugin, const struct age_stanza *stanza, bool hidden,
			 struct error *err)
{
	const struct age_prompt *prompt = plugin->prompt;
	_cleanup_free_ char *message = message_make(plugin, stanza->body);
	_cleanup_error_ struct error reason = {0};
	_cleanup_secret_ struct secret answer = {0};

	if (!message)
		return error_no_memory(err);
	if (!prompt || !prompt->ask ||
	    prompt->ask(prompt->context, message, hidden, &answer, &reason) < 0)
		return reply(plugin, "fail", err);
	return plugin_send(plugin, "ok", secret_span(&answer), err);
}

static int secret_request(struct plugin *plugin, const struct age_stanza *stanza, struct error *err)
{
	return value_request(plugin, stanza, true, err);
}

static int public_request(struct plugin *plugin, const struct age_stanza *stanza, struct error *err)
{
	return value_request(plugin, stanza, false, err);
}

/* The text of a choice, an argument in Base64; NULL if it is malformed or without memory. */
static char *choice_read(const struct age_stanza *stanza, size_t index)
{
	_cleanup_error_ struct error reason = {0};
	_cleanup_secret_ struct secret decoded = {0};

	if (base64_decode_secret(age_stanza_argument(stanza, index), BASE64_UNPADDED, &decoded,
				 &reason) < 0)
		return NULL;
	return plugin_text(secret_span(&decoded));
}

static int confirm(struct plugin *plugin, const struct age_stanza *stanza, struct error *err)
{
	const struct age_prompt *prompt = plugin->prompt;
	size_t words = age_stanza_argument_count(stanza);
	_cleanup_free_ char *message = message_make(plugin, stanza->body), *yes = NULL, *no = NULL;
	_cleanup_error_ struct error reason = {0};
	int chosen;

	if (words == 2 || words == 3)
		yes = choice_read(stanza, 1);
	if (words == 3)
		no = choice_read(stanza, 2);
	if (!message || !yes || (words == 3 && !no))
		return error_set(err, VMCRED_FAILED, "malformed confirm command");
	if (!prompt || !prompt->confirm)
		return reply(plugin, "fail", err);
	chosen = prompt->confirm(prompt->context, message, yes, no, &reason);
	if (chosen < 0)
		return reply(plugin, "fail", err);
	return reply(plugin, chosen ? "ok yes" : "ok no", err);
}

static const struct {
	const char *command;
	int (*answer)(struct plugin *plugin, const struct age_stanza *stanza, struct error *err);
} questions[] = {
	{"msg", message_show},
	{"request-secret", secret_request},
	{"request-public", public_request},
	{"confirm", confirm},
};

int plugin_answer(struct plugin *plugin, const struct age_stanza *stanza, struct error *err)
{
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		if (span_equal(age_stanza_argument(stanza, 0), span_of_text(questions[i].command)))
			return questions[i].answer(plugin, stanza, err);
	}
	return reply(plugin, "unsupported", err);
}

int plugin_error(struct plugin *plugin, const struct age_stanza *stanza, struct error *err)
{
	_cleanup_free_ char *text = plugin_text(stanza->body);
	int r = reply(plugin, "ok", err);

	if (r < 0)
		return r;
	if (!text)
		return error_no_memory(err);
	return error_set(err, VMCRED_MISSING, "it reports: %s", text);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a plugin may ask of a person (C2SP age-plugin.md, the commands of either phase 2). Where
 * there is no person the answer is "fail", and the plugin decides what follows.
 */
#include <stdlib.h>

#include "age/plugin/plugin.h"
#include "base/base64.h"
#include "base/cleanup.h"

#define TEXT_MAX 1000

/* The number of bytes of the printable UTF-8 character at the start, or 0. */
static size_t character_size(struct span bytes)
{
	uint8_t first = bytes.data[0];
	size_t size = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

	if (first < ' ' || first == 0x7f || first > 0xf4 || size == 0 || size > bytes.size)
		return 0;
	for (size_t i = 1; i < size; i++) {
		if ((bytes.data[i] & 0xc0) != 0x80)
			return 0;
	}
	/* C1 controls, overlong forms, surrogates, what is beyond Unicode, and characters that turn
	 * a line's direction around. */
	if ((first == 0xc2 && bytes.data[1] < 0xa0) || (first == 0xe0 && bytes.data[1] < 0xa0) ||
	    (first == 0xed && bytes.data[1] >= 0xa0) || (first == 0xf0 && bytes.data[1] < 0x90) ||
	    (first == 0xf4 && bytes.data[1] >= 0x90))
		return 0;
	if (first == 0xe2 &&
	    ((bytes.data[1] == 0x80 && bytes.data[2] >= 0xa8 && bytes.data[2] <= 0xae) ||
	     (bytes.data[1] == 0x81 && bytes.data[2] >= 0xa6 && bytes.data[2] <= 0xa9)))
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
		bytes = span_of(bytes.data + size, bytes.size - size);
	}
	*to = '\0';
	return text;
}

/* `plugin NAME: text`, in new memory. */
static char *message_make(const struct plugin *plugin, struct span bytes)
{
	_cleanup_free_ char *text = plugin_text(bytes);
	char *message;

	if (!text || asprintf(&message, "age-plugin-%s: %s", plugin->name, text) < 0)
		return NULL;
	return message;
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

/* What an answer is called: an argument in Base64. NULL: it is not, or there is no memory. */
static char *choice_read(const struct age_stanza *stanza, size_t index)
{
	_cleanup_error_ struct error reason = {0};
	_cleanup_secret_ struct secret decoded = {0};

	if (base64_decode_secret(age_stanza_word(stanza, index), BASE64_UNPADDED, &decoded,
				 &reason) < 0)
		return NULL;
	return plugin_text(secret_span(&decoded));
}

static int confirm(struct plugin *plugin, const struct age_stanza *stanza, struct error *err)
{
	const struct age_prompt *prompt = plugin->prompt;
	size_t words = age_stanza_word_count(stanza);
	_cleanup_free_ char *message = message_make(plugin, stanza->body), *yes = NULL, *no = NULL;
	_cleanup_error_ struct error reason = {0};
	int chosen;

	if (words == 2 || words == 3)
		yes = choice_read(stanza, 1);
	if (words == 3)
		no = choice_read(stanza, 2);
	if (!message || !yes || (words == 3 && !no))
		return error_set(err, VMCRED_FAILED, "its confirm command is malformed");
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
		if (span_equal(age_stanza_word(stanza, 0), span_of_text(questions[i].command)))
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

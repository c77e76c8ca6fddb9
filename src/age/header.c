/* SPDX-License-Identifier: Apache-2.0 */
#include "age/header.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/base64.h"

/* age.md, "Header" */
#define VERSION_LINE  "age-encryption.org/v1"
#define STANZA_PREFIX "-> "
#define MAC_PREFIX    "---"

#define LINE_COLUMNS 64U
#define LINE_BYTES   48 /* in a full line */

static int malformed(struct error *err, const char *reason)
{
	return error_set(err, VMCRED_FAILED, "the age header is malformed: %s", reason);
}

/* Removes a line from the text; it must end with a newline. */
static int line_take(struct span *text, struct span *line, struct error *err)
{
	const uint8_t *end = text->size ? memchr(text->data, '\n', text->size) : NULL;

	if (!end)
		return malformed(err, "it is truncated");
	*line = span_of(text->data, (size_t)(end - text->data));
	*text = span_skip(*text, line->size + 1);
	return 0;
}

/* Arguments of visible ASCII characters, separated by single spaces. */
static bool arguments_valid(struct span line)
{
	uint8_t before = ' ';

	for (size_t i = 0; i < line.size; i++) {
		uint8_t c = line.data[i];

		if (c < ' ' || c > '~' || (c == ' ' && before == ' '))
			return false;
		before = c;
	}
	return before != ' ';
}

/* The body: full lines, and a shorter, possibly empty one. */
static int body_parse(struct span *text, uint8_t *out, size_t *size, struct error *err)
{
	_cleanup_error_ struct error reason = {0};
	struct span line = {0};

	*size = 0;
	do {
		size_t decoded;
		int r = line_take(text, &line, err);

		if (r < 0)
			return r;
		if (line.size > LINE_COLUMNS)
			return malformed(err, "a line of a stanza's body is too long");
		r = base64_decode(line, BASE64_UNPADDED, out + *size, &decoded, &reason);
		if (r < 0)
			return malformed(err, "a line of a stanza's body is not canonical Base64");
		*size += decoded;
	} while (line.size == LINE_COLUMNS);
	return 0;
}

size_t age_stanza_size(struct span text)
{
	const uint8_t *at = text.data, *end;

	if (text.size == 0)
		return 0;
	end = text.data + text.size;
	for (bool first = true;; first = false) {
		const uint8_t *newline = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;

		if (!newline)
			return 0;
		if (!first && (size_t)(newline - at) < LINE_COLUMNS)
			return (size_t)(newline + 1 - text.data);
		at = newline + 1;
	}
}

int age_stanza_parse(struct span *text, uint8_t *body, struct age_stanza *stanza, struct error *err)
{
	struct span line = {0}, prefix = span_of_text(STANZA_PREFIX);
	size_t size = 0;
	int r = line_take(text, &line, err);

	if (r < 0)
		return r;
	if (!span_starts_with(line, prefix))
		return malformed(err, "a stanza does not begin with \"-> \"");
	stanza->line = span_skip(line, prefix.size);
	if (!arguments_valid(stanza->line))
		return malformed(err, "a stanza's arguments are not separated by single spaces");
	r = body_parse(text, body, &size, err);
	stanza->body = span_of(body, size);
	return r;
}

static int mac_line_parse(struct span *text, uint8_t mac[AGE_HEADER_MAC_SIZE], struct error *err)
{
	/* Room for a MAC that is one group too long. */
	uint8_t decoded[AGE_HEADER_MAC_SIZE + 8];
	_cleanup_error_ struct error reason = {0};
	struct span line = {0}, prefix = span_of_text(MAC_PREFIX " ");
	size_t size = 0;
	int r = line_take(text, &line, err);

	if (r < 0)
		return r;
	if (!span_starts_with(line, prefix))
		return malformed(err, "the last line is not \"--- \" and a MAC");
	line = span_skip(line, prefix.size);
	if (line.size != base64_encoded_size(AGE_HEADER_MAC_SIZE, BASE64_UNPADDED) ||
	    base64_decode(line, BASE64_UNPADDED, decoded, &size, &reason) < 0)
		return malformed(err, "the MAC is not 32 bytes of canonical Base64");
	memcpy(mac, decoded, AGE_HEADER_MAC_SIZE);
	return 0;
}

/*
 * Allocates enough for the stanzas before the line of the MAC, which is the first that starts with
 * "---": a body does not contain '-'.
 */
static int header_allocate(struct span text, struct age_header *header, struct error *err)
{
	static const char mac_start[] = "\n" MAC_PREFIX;
	const uint8_t *end = memmem(text.data, text.size, mac_start, strlen(mac_start));
	size_t size, lines = 0;

	if (!end)
		return malformed(err, "it is truncated");
	size = (size_t)(end - text.data);
	for (size_t i = 0; i < size; i++)
		lines += text.data[i] == '\n';
	header->stanzas = calloc(lines / 2 + 1, sizeof(*header->stanzas));
	header->bodies = malloc(AGE_STANZA_BODY_MAX(size));
	if (!header->stanzas || !header->bodies)
		return error_no_memory(err);
	return 0;
}

int age_header_parse(struct span file, struct age_header *header, struct error *err)
{
	struct span text = file, line = {0}, mac_prefix = span_of_text(MAC_PREFIX);
	uint8_t *body;
	int r;

	if (!span_starts_with(file, span_of_text(VERSION_LINE "\n"))) {
		if (span_starts_with(file, span_of_text("age-encryption.org/")))
			return error_set(err, VMCRED_FAILED,
					 "unsupported age file version (only v1)");
		return error_set(err, VMCRED_FAILED,
				 file.size > 0 ? "not an age file"
					       : "not an age file: it is empty");
	}
	r = line_take(&text, &line, err);
	if (r == 0)
		r = header_allocate(file, header, err);
	body = header->bodies;
	while (r == 0 && !span_starts_with(text, mac_prefix)) {
		struct age_stanza *stanza = &header->stanzas[header->count];

		r = age_stanza_parse(&text, body, stanza, err);
		if (r == 0) {
			body += stanza->body.size;
			header->count++;
		}
	}
	if (r < 0)
		return r;
	if (header->count == 0)
		return malformed(err, "no stanzas");
	header->covered = span_of(file.data, (size_t)(text.data - file.data) + mac_prefix.size);
	r = mac_line_parse(&text, header->mac, err);
	header->size = (size_t)(text.data - file.data);
	return r;
}

void age_header_destroy(struct age_header *header)
{
	free(header->stanzas);
	free(header->bodies);
	*header = (struct age_header){0};
}

struct span age_stanza_argument(const struct age_stanza *stanza, size_t index)
{
	struct span rest = stanza->line;

	for (;; index--) {
		const uint8_t *space = rest.size ? memchr(rest.data, ' ', rest.size) : NULL;
		size_t size = space ? (size_t)(space - rest.data) : rest.size;

		if (index == 0)
			return span_of(rest.data, size);
		if (!space)
			return span_of(NULL, 0);
		rest = span_skip(rest, size + 1);
	}
}

size_t age_stanza_argument_count(const struct age_stanza *stanza)
{
	size_t count = 1;

	for (size_t i = 0; i < stanza->line.size; i++)
		count += stanza->line.data[i] == ' ';
	return count;
}

int age_stanza_malformed(const struct age_stanza *stanza, const char *problem, struct error *err)
{
	struct span type = age_stanza_argument(stanza, 0);

	return error_set(err, VMCRED_FAILED, "the age header is malformed: %.*s stanza: %s",
			 (int)type.size, (const char *)type.data, problem);
}

int age_stanza_decode(const struct age_stanza *stanza, size_t count, size_t index, const char *what,
		      uint8_t *out, size_t size, struct error *err)
{
	_cleanup_error_ struct error reason = {0};
	struct span text = age_stanza_argument(stanza, index);
	size_t decoded = 0;
	char problem[80];

	if (age_stanza_argument_count(stanza) != count)
		return age_stanza_malformed(stanza, "wrong number of arguments", err);
	/* Text of this length decodes to `size` bytes. */
	if (text.size != base64_encoded_size(size, BASE64_UNPADDED) ||
	    base64_decode(text, BASE64_UNPADDED, out, &decoded, &reason) < 0) {
		snprintf(problem, sizeof(problem), "the %s is not %zu bytes of canonical Base64",
			 what, size);
		return age_stanza_malformed(stanza, problem, err);
	}
	if (stanza->body.size != AGE_WRAPPED_SIZE)
		return age_stanza_malformed(stanza, "the body is not 32 bytes long", err);
	return 0;
}

int age_header_begin(struct secret *text, struct error *err)
{
	return secret_append_text(text, VERSION_LINE "\n", err);
}

int age_stanza_append(struct secret *text, const char *line, struct span body, struct error *err)
{
	int r = secret_append_text(text, STANZA_PREFIX, err);

	if (r == 0)
		r = secret_append_text(text, line, err);
	if (r == 0)
		r = secret_append_text(text, "\n", err);
	while (r == 0) {
		struct span part =
			span_of(body.data, body.size < LINE_BYTES ? body.size : LINE_BYTES);

		r = base64_encode_secret(part, BASE64_UNPADDED, text, err);
		if (r == 0)
			r = secret_append_text(text, "\n", err);
		if (part.size < LINE_BYTES)
			break;
		body = span_skip(body, LINE_BYTES);
	}
	return r;
}

static int mac_compute(struct span covered, struct span file_key, uint8_t mac[AGE_HEADER_MAC_SIZE],
		       struct error *err)
{
	uint8_t key[AGE_KEY_SIZE];
	int r = age_hkdf(file_key, span_of(NULL, 0), "header", key, err);

	if (r == 0)
		r = age_hmac(span_of(key, sizeof(key)), covered, mac, err);
	memory_wipe(key, sizeof(key));
	return r;
}

int age_header_finish(struct secret *text, struct span file_key, struct error *err)
{
	uint8_t mac[AGE_HEADER_MAC_SIZE];
	int r = secret_append_text(text, MAC_PREFIX, err);

	if (r == 0)
		r = mac_compute(secret_span(text), file_key, mac, err);
	if (r == 0)
		r = secret_append_text(text, " ", err);
	if (r == 0)
		r = base64_encode_secret(span_of(mac, sizeof(mac)), BASE64_UNPADDED, text, err);
	if (r == 0)
		r = secret_append_text(text, "\n", err);
	return r;
}

int age_header_verify(const struct age_header *header, struct span file_key, struct error *err)
{
	uint8_t mac[AGE_HEADER_MAC_SIZE];
	int r = mac_compute(header->covered, file_key, mac, err);

	if (r < 0)
		return r;
	if (!secret_equal(span_of(mac, sizeof(mac)), span_of(header->mac, sizeof(header->mac))))
		return error_set(err, VMCRED_INTEGRITY,
				 "the age header's MAC does not match: the header was modified");
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON as sops writes it, which is as Go's encoding/json does: tabs, and strings that are safe
 * inside HTML.
 */
#include "base/json.h"
#include "sops/json.h"

#define ESCAPE_SIZE_MAX 6 /* \u0000 */

/* Length of the UTF-8 sequence at the start of `text`, or 0 if it is not a valid one. */
static size_t sequence_size(struct span text)
{
	uint8_t c = text.data[0];
	size_t size = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	if (size == 1)
		return 1;
	return size <= text.size && utf8_valid(span_of(text.data, size)) ? size : 0;
}

static uint8_t *unicode_escape_write(uint8_t *to, uint32_t c)
{
	static const char digits[] = "0123456789abcdef";

	*to++ = '\\';
	*to++ = 'u';
	for (int shift = 12; shift >= 0; shift -= 4)
		*to++ = (uint8_t)digits[c >> shift & 15];
	return to;
}

static uint8_t *ascii_write(uint8_t *to, uint8_t c)
{
	static const char values[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
	const char *value = c ? strchr(values, c) : NULL;

	if (value) {
		*to++ = '\\';
		*to++ = (uint8_t)names[value - values];
	} else if (c < ' ' || c == '<' || c == '>' || c == '&') {
		to = unicode_escape_write(to, c);
	} else {
		*to++ = c;
	}
	return to;
}

static int string_append(struct secret *out, struct span text, struct error *err)
{
	size_t room, end;
	uint8_t *to;
	int r;

	if (__builtin_mul_overflow(text.size, (size_t)ESCAPE_SIZE_MAX, &room) ||
	    __builtin_add_overflow(room, out->size + 2, &end))
		return error_no_memory(err);
	r = secret_reserve(out, end, err);
	if (r < 0)
		return r;
	to = out->data + out->size;
	*to++ = '"';
	while (text.size > 0) {
		size_t size = sequence_size(text);

		if (size == 1) {
			to = ascii_write(to, text.data[0]);
		} else if (size == 0) {
			to = unicode_escape_write(to, 0xfffd);
			size = 1;
		} else if (size == 3 && memcmp(text.data, "\xe2\x80", 2) == 0 &&
			   (text.data[2] & 0xfe) == 0xa8) {
			/* U+2028 and U+2029, which end a line in JavaScript. */
			to = unicode_escape_write(to, 0x2028 | (text.data[2] & 1));
		} else {
			memcpy(to, text.data, size);
			to += size;
		}
		text = span_of(text.data + size, text.size - size);
	}
	*to++ = '"';
	out->size = (size_t)(to - out->data);
	return 0;
}

static int line_begin(struct sops_json_writer *writer, struct error *err)
{
	int r = secret_append_text(writer->out, "\n", err);

	for (size_t i = 0; r == 0 && i < writer->depth; i++)
		r = secret_append_text(writer->out, "\t", err);
	return r;
}

static int item_begin(struct sops_json_writer *writer, struct span key, struct error *err)
{
	int r = 0;

	if (writer->started)
		r = secret_append_text(writer->out, ",", err);
	writer->started = true;
	if (r == 0 && writer->depth > 0)
		r = line_begin(writer, err);
	if (r == 0 && key.data)
		r = string_append(writer->out, key, err);
	if (r == 0 && key.data)
		r = secret_append_text(writer->out, ": ", err);
	return r;
}

int sops_json_open(struct sops_json_writer *writer, struct span key, char bracket,
		   struct error *err)
{
	int r = item_begin(writer, key, err);

	writer->depth++;
	writer->started = false;
	if (r == 0)
		r = secret_append(writer->out, span_of(&bracket, 1), err);
	return r;
}

int sops_json_close(struct sops_json_writer *writer, char bracket, struct error *err)
{
	bool empty = !writer->started;
	int r = 0;

	writer->depth--;
	writer->started = true;
	if (!empty)
		r = line_begin(writer, err);
	if (r == 0)
		r = secret_append(writer->out, span_of(&bracket, 1), err);
	if (r == 0 && writer->depth == 0)
		r = secret_append_text(writer->out, "\n", err);
	return r;
}

int sops_json_string(struct sops_json_writer *writer, struct span key, struct span text,
		     struct error *err)
{
	int r = item_begin(writer, key, err);

	if (r == 0)
		r = string_append(writer->out, text, err);
	return r;
}

int sops_json_literal(struct sops_json_writer *writer, struct span key, struct span text,
		      struct error *err)
{
	int r = item_begin(writer, key, err);

	if (r == 0)
		r = secret_append(writer->out, text, err);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ASCII armor (C2SP age.md, "ASCII armor"): PEM in its one strict form, with lines of 64 columns
 * and canonical Base64, so that nothing can hide in it. White space may stand before and behind.
 */
#include "age/age.h"
#include "base/base64.h"

#define BEGIN_LINE     "-----BEGIN AGE ENCRYPTED FILE-----"
#define END_LINE       "-----END AGE ENCRYPTED FILE-----"
#define LINE_COLUMNS   64U
#define LINE_BYTES     48   /* in a full line */
#define WHITESPACE_MAX 1024 /* what age tolerates on either side */

static int malformed(struct error *err, const char *reason)
{
	return error_set(err, VMCRED_FAILED, "the age armor is malformed: %s", reason);
}

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct span spaces_strip_front(struct span text)
{
	while (text.size > 0 && is_space(text.data[0]))
		text = span_of(text.data + 1, text.size - 1);
	return text;
}

bool age_armor_detect(struct span text)
{
	return span_starts_with(spaces_strip_front(text), span_of_text(BEGIN_LINE));
}

int age_armor_encode(struct span file, struct secret *text, struct error *err)
{
	size_t lines = file.size / LINE_BYTES + 1, end;
	int r;

	/* One reservation: growing line by line would move the text again and again. */
	if (__builtin_mul_overflow(lines, (size_t)LINE_COLUMNS + 1, &end) ||
	    __builtin_add_overflow(end, text->size + sizeof(BEGIN_LINE) + sizeof(END_LINE), &end))
		return error_no_memory(err);
	r = secret_reserve(text, end, err);
	if (r == 0)
		r = secret_append_text(text, BEGIN_LINE "\n", err);
	while (r == 0 && file.size > 0) {
		struct span part =
			span_of(file.data, file.size < LINE_BYTES ? file.size : LINE_BYTES);

		r = base64_encode_secret(part, BASE64_PADDED, text, err);
		if (r == 0)
			r = secret_append_text(text, "\n", err);
		file = span_of(file.data + part.size, file.size - part.size);
	}
	if (r == 0)
		r = secret_append_text(text, END_LINE "\n", err);
	return r;
}

/* Takes a line, without its end, which is LF, CR LF, or the end of the text. */
static bool line_take(struct span *text, struct span *line)
{
	const uint8_t *newline;

	if (text->size == 0)
		return false;
	newline = memchr(text->data, '\n', text->size);
	if (newline) {
		*line = span_of(text->data, (size_t)(newline - text->data));
		*text = span_of(newline + 1, text->size - line->size - 1);
	} else {
		*line = *text;
		*text = span_of(text->data + text->size, 0);
	}
	if (line->size > 0 && line->data[line->size - 1] == '\r')
		line->size--;
	return true;
}

/* Decodes the lines up to the end line. */
static int lines_decode(struct span *text, struct secret *file, struct error *err)
{
	struct span line = {0}, end = span_of_text(END_LINE);
	bool short_line = false;

	while (line_take(text, &line)) {
		if (span_equal(line, end))
			return 0;
		if (short_line)
			return malformed(err, "a line before the last is not 64 characters long");
		if (line.size == 0)
			return malformed(err, "it has an empty line");
		if (line.size > LINE_COLUMNS)
			return malformed(err, "a line is longer than 64 characters");
		if (base64_decode_secret(line, BASE64_PADDED, file, err) < 0)
			return malformed(err, "a line is not canonical Base64");
		short_line = line.size < LINE_COLUMNS || line.data[line.size - 1] == '=';
	}
	return malformed(err, "it is cut off");
}

int age_armor_decode(struct span text, struct secret *file, struct error *err)
{
	struct span rest = spaces_strip_front(text), line = {0};
	size_t start = file->size, room;
	int r;

	if (!line_take(&rest, &line) || !span_equal(line, span_of_text(BEGIN_LINE)))
		return malformed(err, "its first line is not \"" BEGIN_LINE "\"");
	if (text.size - rest.size - line.size > WHITESPACE_MAX + 2)
		return malformed(err, "there is too much white space before it");
	if (__builtin_add_overflow(start, rest.size, &room))
		return error_no_memory(err);
	r = secret_reserve(file, room, err);
	if (r == 0)
		r = lines_decode(&rest, file, err);
	if (r == 0 && rest.size > WHITESPACE_MAX)
		r = malformed(err, "there is too much behind it");
	if (r == 0 && spaces_strip_front(rest).size > 0)
		r = malformed(err, "there is something behind it");
	if (r < 0)
		file->size = start;
	return r;
}

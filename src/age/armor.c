/* SPDX-License-Identifier: Apache-2.0 */
#include "age/armor.h"

#include "age/age.h"
#include "base/base64.h"

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
		text = span_skip(text, 1);
	return text;
}

bool age_armor_detect(struct span text)
{
	return span_starts_with(spaces_strip_front(text), span_of_text(AGE_ARMOR_BEGIN));
}

int age_armor_encode_lines(struct span part, struct secret *text, struct error *err)
{
	size_t lines = part.size / AGE_ARMOR_LINE_BYTES + 1, end;
	int r;

	/* Reserve once instead of growing line by line. */
	if (__builtin_mul_overflow(lines, (size_t)AGE_ARMOR_LINE_COLUMNS + 1, &end) ||
	    __builtin_add_overflow(end, text->size, &end))
		return error_no_memory(err);
	r = secret_reserve(text, end, err);
	while (r == 0 && part.size > 0) {
		struct span line =
			span_of(part.data, part.size < AGE_ARMOR_LINE_BYTES ? part.size
									    : AGE_ARMOR_LINE_BYTES);

		base64_encode(line, BASE64_PADDED, (char *)text->data + text->size);
		text->size += base64_encoded_size(line.size, BASE64_PADDED);
		text->data[text->size++] = '\n';
		part = span_skip(part, line.size);
	}
	return r;
}

int age_armor_encode(struct span file, struct secret *text, struct error *err)
{
	int r = secret_append_text(text, AGE_ARMOR_BEGIN "\n", err);

	if (r == 0)
		r = age_armor_encode_lines(file, text, err);
	if (r == 0)
		r = secret_append_text(text, AGE_ARMOR_END "\n", err);
	return r;
}

static int before_decode(struct age_armor_decoder *decoder, struct span line, struct error *err)
{
	struct span stripped = spaces_strip_front(line);

	decoder->whitespace += line.size - stripped.size;
	if (decoder->whitespace > AGE_ARMOR_WHITESPACE_MAX)
		return malformed(err, "too much white space before it");
	if (stripped.size == 0) {
		decoder->whitespace++; /* the newline */
		return 0;
	}
	if (stripped.data[stripped.size - 1] == '\r')
		stripped.size--;
	if (!span_equal(stripped, span_of_text(AGE_ARMOR_BEGIN)))
		return malformed(err, "the first line is not \"" AGE_ARMOR_BEGIN "\"");
	*decoder = (struct age_armor_decoder){.place = AGE_ARMOR_INSIDE};
	return 0;
}

static int inside_decode(struct age_armor_decoder *decoder, struct span line, struct secret *file,
			 struct error *err)
{
	if (line.size > 0 && line.data[line.size - 1] == '\r')
		line.size--;
	if (span_equal(line, span_of_text(AGE_ARMOR_END))) {
		*decoder = (struct age_armor_decoder){.place = AGE_ARMOR_AFTER};
		return 0;
	}
	if (decoder->is_short_line)
		return malformed(err, "a line before the last one does not have 64 characters");
	if (line.size == 0)
		return malformed(err, "it has an empty line");
	if (line.size > AGE_ARMOR_LINE_COLUMNS)
		return malformed(err, "a line is longer than 64 characters");
	if (base64_decode_secret(line, BASE64_PADDED, file, err) < 0)
		return malformed(err, "a line is not canonical Base64");
	decoder->is_short_line =
		line.size < AGE_ARMOR_LINE_COLUMNS || line.data[line.size - 1] == '=';
	return 0;
}

static int after_decode(struct age_armor_decoder *decoder, struct span line, struct error *err)
{
	decoder->whitespace += line.size + 1;
	if (decoder->whitespace > AGE_ARMOR_WHITESPACE_MAX)
		return malformed(err, "too much white space after it");
	if (spaces_strip_front(line).size > 0)
		return malformed(err, "text after it");
	return 0;
}

int age_armor_decode_line(struct age_armor_decoder *decoder, struct span line, struct secret *file,
			  struct error *err)
{
	switch (decoder->place) {
	case AGE_ARMOR_BEFORE:
		return before_decode(decoder, line, err);
	case AGE_ARMOR_INSIDE:
		return inside_decode(decoder, line, file, err);
	default:
		return after_decode(decoder, line, err);
	}
}

int age_armor_decode_end(const struct age_armor_decoder *decoder, struct error *err)
{
	if (decoder->place == AGE_ARMOR_AFTER)
		return 0;
	if (decoder->place == AGE_ARMOR_INSIDE)
		return malformed(err, "it is truncated");
	return malformed(err, "the first line is not \"" AGE_ARMOR_BEGIN "\"");
}

int age_armor_decode(struct span text, struct secret *file, struct error *err)
{
	struct age_armor_decoder decoder = {0};
	size_t start = file->size, room;
	struct span line;
	int r;

	/* Reserve once instead of growing line by line. */
	if (__builtin_add_overflow(start, text.size, &room))
		return error_no_memory(err);
	r = secret_reserve(file, room, err);
	while (r == 0 && span_take_line(&text, &line))
		r = age_armor_decode_line(&decoder, line, file, err);
	if (r == 0)
		r = age_armor_decode_end(&decoder, err);
	if (r < 0)
		file->size = start;
	return r;
}

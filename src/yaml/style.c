/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The style of a scalar: plain if it reads back as the same value, else single quotes, else double
 * quotes; a string of several lines is a literal block.
 */
#include "base/base64.h"
#include "base/text.h"
#include "yaml/emit.h"

/* Longer keys are written after '?'. */
#define SIMPLE_KEY_SIZE_MAX 128

/* Characters of Base64 per line. */
#define BASE64_LINE 70

void yaml_written_destroy(struct yaml_written *written)
{
	secret_destroy(&written->base64);
}

/* Properties of a text that some styles cannot express. */
struct analysis {
	bool indicators; /* it would be read as something else */
	bool breaks, tabs, special;
	bool leading_space, trailing_space, leading_break, trailing_break;
	bool break_space, space_break; /* a space after a break, or before one */
};

/* ASCII without a special meaning inside a text. */
static inline bool is_ordinary(uint8_t c)
{
	return (uint8_t)(c - '!') < 0x7f - '!' && c != ':' && c != '#';
}

static bool begins_with_indicator(struct span text)
{
	uint8_t first = text.data[0];
	bool alone = text.size == 1 || yaml_is_blank(text.data + 1);

	if (span_starts_with(text, span_of_text("---")) ||
	    span_starts_with(text, span_of_text("...")))
		return true;
	if (first == '?' || first == ':' || first == '-')
		return alone;
	return first != 0 && strchr("#,[]{}&*!|>'\"%@`", first) != NULL;
}

static void analyze(struct span text, struct analysis *a)
{
	const uint8_t *at = text.data, *end = text.data + text.size;
	bool after_space = false, after_break = false, after_white = true;

	*a = (struct analysis){0};
	if (text.size == 0)
		return;
	a->indicators = begins_with_indicator(text);
	while (at < end) {
		const uint8_t *next = at + yaml_width(*at);
		bool first = at == text.data, last = next >= end;

		if (is_ordinary(*at)) {
			while (at < end && is_ordinary(*at))
				at++;
			after_space = after_break = after_white = false;
			continue;
		}
		if (!first && *at == ':' && (last || yaml_is_blank(next)))
			a->indicators = true;
		if (!first && *at == '#' && after_white)
			a->indicators = true;
		if (*at == '\t')
			a->tabs = true;
		else if (!yaml_is_printable(at))
			a->special = true;
		if (*at == ' ') {
			a->leading_space |= first;
			a->trailing_space |= last;
			a->break_space |= after_break;
			after_space = true;
			after_break = false;
		} else if (yaml_written_break(at) > 0) {
			a->breaks = true;
			a->leading_break |= first;
			a->trailing_break |= last;
			a->space_break |= after_space;
			after_space = false;
			after_break = true;
		} else {
			after_space = after_break = false;
		}
		after_white = *at == 0 || yaml_is_blank(at) || yaml_written_break(at) > 0;
		at = next;
	}
}

static enum yaml_style style_choose(enum yaml_style wanted, const struct analysis *a)
{
	if (wanted == YAML_LITERAL)
		return a->trailing_space || a->space_break || a->special ? YAML_DOUBLE_QUOTED
									 : YAML_LITERAL;
	if (wanted != YAML_PLAIN)
		return wanted;
	if (a->space_break || a->tabs || a->special || a->break_space)
		return YAML_DOUBLE_QUOTED;
	if (a->indicators || a->breaks || a->leading_space || a->trailing_space ||
	    a->leading_break || a->trailing_break)
		return YAML_SINGLE_QUOTED;
	return YAML_PLAIN;
}

/* The booleans of YAML 1.1, which some readers still know. */
static bool is_old_boolean(struct span text)
{
	static const char *const words[] = {"y", "Y", "yes", "Yes", "YES", "on",  "On",  "ON",
					    "n", "N", "no",  "No",  "NO",  "off", "Off", "OFF"};

	for (size_t i = 0; text.size <= 3 && i < sizeof(words) / sizeof(words[0]); i++) {
		if (span_equal(text, span_of_text(words[i])))
			return true;
	}
	return false;
}

static size_t digits_skip(struct span text, size_t at, bool underscores)
{
	while (at < text.size &&
	       (yaml_is_digit(text.data[at]) || (underscores && text.data[at] == '_')))
		at++;
	return at;
}

/* A number to the base 60, such as 1:30:00, as in YAML 1.1. */
static bool is_base_60(struct span text)
{
	size_t at = 0, groups = 0;

	if (text.size > 0 && (text.data[0] == '+' || text.data[0] == '-'))
		at++;
	if (at == text.size || !yaml_is_digit(text.data[at]))
		return false;
	at = digits_skip(text, at, true);
	for (; at < text.size && text.data[at] == ':'; groups++) {
		size_t end = digits_skip(text, at + 1, false), digits = end - at - 1;

		if (digits < 1 || digits > 2 || (digits == 2 && text.data[at + 1] > '5'))
			return false;
		at = end;
	}
	if (groups > 0 && at < text.size && text.data[at] == '.')
		at = digits_skip(text, at + 1, true);
	return groups > 0 && at == text.size;
}

/* Returns 1 if a plain string would be read as something else. */
static int needs_quotes(struct span text, struct error *err)
{
	struct yaml_scalar scalar;
	int r;

	if (is_old_boolean(text) || is_base_60(text))
		return 1;
	r = yaml_resolve(YAML_TAG_NONE, text, &scalar, err);
	if (r < 0)
		return r;
	r = scalar.type != YAML_STRING;
	memory_wipe(&scalar, sizeof(scalar));
	return r;
}

/* Bytes that are not UTF-8 are written as !!binary, on several lines if one is not enough. */
static int base64_make(struct yaml_written *written, struct span bytes, struct error *err)
{
	_cleanup_secret_ struct secret whole = {0};
	int r = base64_encode_secret(bytes, BASE64_PADDED, &whole, err);
	bool lines = whole.size >= BASE64_LINE;

	for (size_t at = 0; r == 0 && at < whole.size; at += BASE64_LINE) {
		size_t size = whole.size - at < BASE64_LINE ? whole.size - at : BASE64_LINE;

		r = secret_append(&written->base64, span_of(whole.data + at, size), err);
		if (r == 0 && lines)
			r = secret_append_text(&written->base64, "\n", err);
	}
	written->tag = "binary";
	written->text = secret_span(&written->base64);
	return r;
}

/* go-yaml takes a tab at the beginning of a block's text for indentation and reads the block back
 * as null. sops loses such a value; here it is written in double quotes. */
static bool literal_is_lost(struct span text)
{
	return text.data[0] == '\t';
}

int yaml_written_string(struct yaml_written *written, struct span text, struct error *err)
{
	struct analysis a;
	int r = 0;

	/* Not NULL: pointers are compared. */
	if (text.size == 0)
		text = span_of_text("");
	written->text = text;
	if (!yaml_is_ascii(text) && !utf8_valid(text)) {
		r = base64_make(written, text, err);
		if (r < 0)
			return r;
		text = written->text;
	} else if (span_equal(text, span_of_text("<<"))) {
		written->tag = "merge";
	} else {
		r = needs_quotes(text, err);
	}
	if (r < 0)
		return r;
	analyze(text, &a);
	written->multiline = a.breaks;
	if (text.size > 0 && memchr(text.data, '\n', text.size))
		written->style =
			literal_is_lost(text) ? YAML_DOUBLE_QUOTED : style_choose(YAML_LITERAL, &a);
	else
		written->style = style_choose(r > 0 ? YAML_DOUBLE_QUOTED : YAML_PLAIN, &a);
	return 0;
}

bool yaml_written_is_simple(const struct yaml_written *written)
{
	size_t tag = written->tag ? strlen("!!") + strlen(written->tag) : 0;

	return !written->multiline && tag + written->text.size <= SIMPLE_KEY_SIZE_MAX;
}

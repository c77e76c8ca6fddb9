/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Anchors, aliases, tags and directives.
 */
#include "yaml/scan.h"

static struct span word_scan(struct yaml_scanner *s)
{
	const uint8_t *start = s->at, *end = s->at;

	while (yaml_is_word(*end))
		end++;
	yaml_scanner_move(s, end);
	return span_of(start, (size_t)(end - start));
}

/* strchr() also finds the NUL at the end. */
static bool is_one_of(uint8_t c, const char *characters)
{
	return c != 0 && strchr(characters, c) != NULL;
}

int yaml_scan_anchor(struct yaml_scanner *s, struct yaml_token *token, struct error *err)
{
	yaml_scanner_step(s);
	token->value = word_scan(s);
	if (token->value.size == 0 || (!yaml_is_blankz(s->at) && !is_one_of(*s->at, "?:,]}%@`")))
		return yaml_scanner_fail(
			s, "an anchor's name must consist of letters, digits, '_' and '-'", err);
	return 0;
}

/* `!`, letters, and perhaps another `!`. */
static int handle_scan(struct yaml_scanner *s, struct span *handle, struct error *err)
{
	const uint8_t *start = s->at;

	if (*s->at != '!')
		return yaml_scanner_fail(s, "a tag must begin with '!'", err);
	yaml_scanner_step(s);
	word_scan(s);
	if (*s->at == '!')
		yaml_scanner_step(s);
	*handle = span_of(start, (size_t)(s->at - start));
	return 0;
}

/* %xx for each byte of a character. */
static int uri_escape_scan(struct yaml_scanner *s, uint8_t **to, struct error *err)
{
	size_t width = 1;

	for (size_t i = 0; i < width; i++) {
		int high = s->at[0] == '%' ? yaml_hex(s->at[1]) : -1;
		int low = high < 0 ? -1 : yaml_hex(s->at[2]);
		uint8_t byte;

		if (low < 0)
			return yaml_scanner_fail(s, "incomplete %-escape in a tag", err);
		byte = (uint8_t)(high << 4 | low);
		if (i == 0)
			width = yaml_width(byte);
		if (i == 0 ? (byte & 0xc0) == 0x80 || byte >= 0xf8 : (byte & 0xc0) != 0x80)
			return yaml_scanner_fail(s, "%-escape in a tag is not UTF-8", err);
		*(*to)++ = byte;
		yaml_scanner_move(s, s->at + 3);
	}
	return 0;
}

/* The text after a handle, decoded in place. */
static int uri_scan(struct yaml_scanner *s, struct span *uri, struct error *err)
{
	uint8_t *start = s->at, *to = s->at;

	while (yaml_is_word(*s->at) || is_one_of(*s->at, ";/?:@&=+$,.!~*'()[]%")) {
		if (*s->at == '%') {
			if (uri_escape_scan(s, &to, err) < 0)
				return -(int)err->code;
			continue;
		}
		*to++ = *s->at;
		yaml_scanner_step(s);
	}
	*uri = span_of(start, (size_t)(to - start));
	return 0;
}

int yaml_scan_tag(struct yaml_scanner *s, struct yaml_token *token, struct error *err)
{
	int r;

	if (s->at[1] == '<') {
		yaml_scanner_move(s, s->at + 2);
		r = uri_scan(s, &token->suffix, err);
		if (r == 0 && (token->suffix.size == 0 || *s->at != '>'))
			r = yaml_scanner_fail(s, "incomplete tag in <>", err);
		yaml_scanner_step(s);
	} else {
		uint8_t *start = s->at;

		r = handle_scan(s, &token->value, err);
		if (r < 0)
			return r;
		if (token->value.size > 1 && start[token->value.size - 1] == '!') {
			r = uri_scan(s, &token->suffix, err);
			if (r == 0 && token->suffix.size == 0)
				r = yaml_scanner_fail(s, "incomplete tag", err);
		} else {
			/* The handle is a single '!'; the rest is the suffix. */
			size_t word = token->value.size - 1;

			r = uri_scan(s, &token->suffix, err);
			token->suffix = span_of(start + 1, word + token->suffix.size);
			token->value.size = token->suffix.size > 0 ? 1 : 0;
			if (token->suffix.size == 0)
				token->suffix = span_of(start, 1);
		}
	}
	if (r == 0 && !yaml_is_blankz(s->at))
		r = yaml_scanner_fail(s, "missing space after a tag", err);
	return r;
}

/* go-yaml accepts %YAML 1.1 only. */
static int version_scan(struct yaml_scanner *s, struct error *err)
{
	static const char version[] = "1.1";

	yaml_scanner_blanks(s);
	/* Each number has up to two digits, so 01.01 is the same version. */
	for (const char *c = version; *c; c++) {
		if (*c == '1' && s->at[0] == '0' && s->at[1] == '1')
			yaml_scanner_step(s);
		if (*s->at != (uint8_t)*c)
			return yaml_scanner_fail(s, "%YAML version must be 1.1", err);
		yaml_scanner_step(s);
	}
	return yaml_is_digit(*s->at) ? yaml_scanner_fail(s, "%YAML version must be 1.1", err) : 0;
}

static int tag_directive_scan(struct yaml_scanner *s, struct yaml_token *token, struct error *err)
{
	int r;

	yaml_scanner_blanks(s);
	r = handle_scan(s, &token->value, err);
	if (r < 0)
		return r;
	if ((token->value.size > 1 && token->value.data[token->value.size - 1] != '!') ||
	    !yaml_is_blank(s->at))
		return yaml_scanner_fail(s, "incomplete handle in %TAG", err);
	yaml_scanner_blanks(s);
	r = uri_scan(s, &token->suffix, err);
	if (r == 0 && (token->suffix.size == 0 || !yaml_is_blankz(s->at)))
		r = yaml_scanner_fail(s, "incomplete prefix in %TAG", err);
	return r;
}

int yaml_scan_directive(struct yaml_scanner *s, struct yaml_token *token, struct error *err)
{
	struct span name;
	int r;

	yaml_scanner_step(s);
	name = word_scan(s);
	if (!yaml_is_blankz(s->at))
		return yaml_scanner_fail(s, "unknown directive", err);
	if (span_equal(name, span_of_text("YAML"))) {
		token->type = YAML_VERSION_DIRECTIVE;
		r = version_scan(s, err);
	} else if (span_equal(name, span_of_text("TAG"))) {
		token->type = YAML_TAG_DIRECTIVE;
		r = tag_directive_scan(s, token, err);
	} else {
		r = yaml_scanner_fail(s, "unknown directive", err);
	}
	if (r < 0)
		return r;
	yaml_scanner_blanks(s);
	if (*s->at == '#')
		yaml_scanner_move(s, yaml_line_end(s->at));
	if (!yaml_is_breakz(s->at))
		return yaml_scanner_fail(s, "unexpected text after a directive", err);
	yaml_scanner_break(s, yaml_break_size(s->at));
	return 0;
}

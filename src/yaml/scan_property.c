/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands before a node or a document: anchors, aliases, tags, directives.
 */
#include "yaml/scan.h"

static int fail(const struct yaml_scanner *s, const char *problem, struct error *err)
{
	return yaml_scanner_fail(s, yaml_scanner_mark(s), problem, err);
}

static struct span word_scan(struct yaml_scanner *s)
{
	const uint8_t *start = s->at, *end = s->at;

	while (yaml_is_word(*end))
		end++;
	yaml_scanner_move(s, end);
	return span_of(start, (size_t)(end - start));
}

/* strchr() finds the NUL at the end, too. */
static bool is_one_of(uint8_t c, const char *characters)
{
	return c != 0 && strchr(characters, c) != NULL;
}

int yaml_scan_anchor(struct yaml_scanner *s, struct yaml_token *token, struct error *err)
{
	yaml_scanner_step(s);
	token->value = word_scan(s);
	if (token->value.size == 0 || (!yaml_is_blankz(s->at) && !is_one_of(*s->at, "?:,]}%@`")))
		return fail(s, "an anchor's name is not made of letters and digits", err);
	return 0;
}

/* `!`, letters, and perhaps another `!`. */
static int handle_scan(struct yaml_scanner *s, struct span *handle, struct error *err)
{
	const uint8_t *start = s->at;

	if (*s->at != '!')
		return fail(s, "a tag does not begin with '!'", err);
	yaml_scanner_step(s);
	word_scan(s);
	if (*s->at == '!')
		yaml_scanner_step(s);
	*handle = span_of(start, (size_t)(s->at - start));
	return 0;
}

/* %xx, as many as the character has bytes. */
static int uri_escape_scan(struct yaml_scanner *s, uint8_t **to, struct error *err)
{
	size_t width = 1;

	for (size_t i = 0; i < width; i++) {
		int high = s->at[0] == '%' ? yaml_hex(s->at[1]) : -1;
		int low = high < 0 ? -1 : yaml_hex(s->at[2]);
		uint8_t byte;

		if (low < 0)
			return fail(s, "a tag has an incomplete %-escape", err);
		byte = (uint8_t)(high << 4 | low);
		if (i == 0)
			width = yaml_width(byte);
		if (i == 0 ? (byte & 0xc0) == 0x80 || byte >= 0xf8 : (byte & 0xc0) != 0x80)
			return fail(s, "a tag has a %-escape that is not UTF-8", err);
		*(*to)++ = byte;
		yaml_scanner_move(s, s->at + 3);
	}
	return 0;
}

/* What follows a handle, decoded where it stands. */
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
			r = fail(s, "a tag in <> is not complete", err);
		yaml_scanner_step(s);
	} else {
		uint8_t *start = s->at;

		r = handle_scan(s, &token->value, err);
		if (r < 0)
			return r;
		if (token->value.size > 1 && start[token->value.size - 1] == '!') {
			r = uri_scan(s, &token->suffix, err);
			if (r == 0 && token->suffix.size == 0)
				r = fail(s, "a tag has a handle and nothing else", err);
		} else {
			/* No handle but the one '!'; the rest is the suffix. */
			size_t word = token->value.size - 1;

			r = uri_scan(s, &token->suffix, err);
			token->suffix = span_of(start + 1, word + token->suffix.size);
			token->value.size = token->suffix.size > 0 ? 1 : 0;
			if (token->suffix.size == 0)
				token->suffix = span_of(start, 1);
		}
	}
	if (r == 0 && !yaml_is_blankz(s->at))
		r = fail(s, "something stands right behind a tag", err);
	return r;
}

static void blanks_skip(struct yaml_scanner *s)
{
	while (yaml_is_blank(s->at))
		s->at++;
}

/* %YAML 1.1: go-yaml takes no other version. */
static int version_scan(struct yaml_scanner *s, struct error *err)
{
	static const char version[] = "1.1";

	blanks_skip(s);
	/* It reads up to two digits, so that 01.01 is the same. */
	for (const char *c = version; *c; c++) {
		if (*c == '1' && s->at[0] == '0' && s->at[1] == '1')
			yaml_scanner_step(s);
		if (*s->at != (uint8_t)*c)
			return fail(s, "the version in %YAML is not 1.1", err);
		yaml_scanner_step(s);
	}
	return yaml_is_digit(*s->at) ? fail(s, "the version in %YAML is not 1.1", err) : 0;
}

static int tag_directive_scan(struct yaml_scanner *s, struct yaml_token *token, struct error *err)
{
	int r;

	blanks_skip(s);
	r = handle_scan(s, &token->value, err);
	if (r < 0)
		return r;
	if ((token->value.size > 1 && token->value.data[token->value.size - 1] != '!') ||
	    !yaml_is_blank(s->at))
		return fail(s, "the handle in %TAG is not complete", err);
	blanks_skip(s);
	r = uri_scan(s, &token->suffix, err);
	if (r == 0 && (token->suffix.size == 0 || !yaml_is_blankz(s->at)))
		r = fail(s, "the prefix in %TAG is not complete", err);
	return r;
}

int yaml_scan_directive(struct yaml_scanner *s, struct yaml_token *token, struct error *err)
{
	struct span name;
	size_t size;
	int r;

	yaml_scanner_step(s);
	name = word_scan(s);
	if (!yaml_is_blankz(s->at))
		return fail(s, "a directive is unknown", err);
	if (span_equal(name, span_of_text("YAML"))) {
		token->type = YAML_VERSION_DIRECTIVE;
		r = version_scan(s, err);
	} else if (span_equal(name, span_of_text("TAG"))) {
		token->type = YAML_TAG_DIRECTIVE;
		r = tag_directive_scan(s, token, err);
	} else {
		r = fail(s, "a directive is unknown", err);
	}
	if (r < 0)
		return r;
	blanks_skip(s);
	if (*s->at == '#') {
		const uint8_t *end = s->at;

		while (!yaml_is_breakz(end))
			end++;
		yaml_scanner_move(s, end);
	}
	if (!yaml_is_breakz(s->at))
		return fail(s, "something stands behind a directive", err);
	size = yaml_break_size(s->at);
	if (size > 0)
		yaml_scanner_break(s, size);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Block scalars, literal and folded (YAML 1.1, section 9.3), decoded in place.
 */
#include "yaml/scan.h"

enum chomping {
	CLIP,
	STRIP,
	KEEP
};

/* What separates two lines of text, written at `to`: the break that ends the first line, then
 * empty lines. */
struct block_text {
	uint8_t *to;
	size_t first, others;
};

static int header_scan(struct yaml_scanner *s, enum chomping *chomping, int64_t *increment,
		       struct error *err)
{
	bool chomped = false;

	yaml_scanner_step(s);
	/* One of each, in any order. */
	for (int i = 0; i < 2; i++) {
		if (!chomped && (*s->at == '+' || *s->at == '-')) {
			*chomping = *s->at == '+' ? KEEP : STRIP;
			chomped = true;
		} else if (*increment == 0 && yaml_is_digit(*s->at)) {
			*increment = *s->at - '0';
			if (*increment == 0)
				return yaml_scanner_fail(
					s, "a block scalar's indentation must not be 0", err);
		} else {
			break;
		}
		yaml_scanner_step(s);
	}
	return 0;
}

/* The rest of the first line, which may have a comment. */
static int header_end(struct yaml_scanner *s, struct yaml_mark mark, struct error *err)
{
	yaml_scanner_blanks(s);
	if (*s->at == '#') {
		if (yaml_comment_scan_line(s, mark.index, err) < 0)
			return -(int)err->code;
		yaml_scanner_move(s, yaml_line_end(s->at));
	}
	if (!yaml_is_breakz(s->at))
		return yaml_fail(s->yaml, mark.line + 1,
				 "unexpected text after a block scalar's indicator", err);
	yaml_scanner_break(s, yaml_break_size(s->at));
	return 0;
}

/* Empty lines, and the indentation of the line after them, which sets `*indent` if it is 0. */
static int empty_lines_scan(struct yaml_scanner *s, struct block_text *text, int64_t *indent,
			    struct error *err)
{
	int64_t deepest = 0;

	for (;;) {
		int64_t column;
		size_t size;

		while (*s->at == ' ' && (*indent == 0 || yaml_scanner_column(s) < *indent))
			s->at++;
		column = yaml_scanner_column(s);
		if (column > deepest)
			deepest = column;
		if (*s->at == '\t' && (*indent == 0 || column < *indent))
			return yaml_scanner_fail(s, "tab in the indentation", err);
		size = yaml_break_size(s->at);
		if (size == 0)
			break;
		text->others += yaml_break_copy(s->at, text->to + text->first + text->others);
		yaml_scanner_break(s, size);
	}
	if (*indent == 0) {
		*indent = deepest > s->indent + 1 ? deepest : s->indent + 1;
		if (*indent < 1)
			*indent = 1;
	}
	return 0;
}

/* Keeps what separates two lines; folded lines lose the break between them. */
static void lines_join(struct block_text *text, bool folded)
{
	if (!folded) {
		text->to += text->first + text->others;
	} else if (text->others > 0) {
		memmove(text->to, text->to + text->first, text->others);
		text->to += text->others;
	} else {
		*text->to++ = ' ';
	}
	text->first = text->others = 0;
}

static void line_copy(struct yaml_scanner *s, struct block_text *text)
{
	const uint8_t *end = s->at;
	size_t size;
	bool blank = true;

	for (; !yaml_is_breakz(end); end++)
		blank = blank && yaml_is_blank(end);
	size = (size_t)(end - s->at);
	if (text->to != s->at)
		memmove(text->to, s->at, size);
	text->to += size;
	if (blank)
		s->at += size;
	else
		yaml_scanner_move(s, end);
}

int yaml_scan_block(struct yaml_scanner *s, bool literal, struct yaml_token *token,
		    struct error *err)
{
	enum chomping chomping = CLIP;
	int64_t increment = 0, indent;
	struct block_text text = {0};
	const uint8_t *start;
	bool after_blank = false;
	int r = header_scan(s, &chomping, &increment, err);

	if (r == 0)
		r = header_end(s, token->mark, err);
	start = text.to = s->at;
	indent = increment > 0 && s->indent > 0 ? s->indent + increment : increment;
	if (r == 0)
		r = empty_lines_scan(s, &text, &indent, err);
	while (r == 0 && yaml_scanner_column(s) == indent && *s->at) {
		bool blank = yaml_is_blank(s->at);
		size_t size;

		lines_join(&text, !literal && !blank && !after_blank && text.first == 1 &&
					  *text.to == '\n');
		after_blank = blank;
		line_copy(s, &text);
		size = yaml_break_size(s->at);
		if (size > 0) {
			text.first = yaml_break_copy(s->at, text.to);
			yaml_scanner_break(s, size);
		}
		r = empty_lines_scan(s, &text, &indent, err);
	}
	if (chomping != STRIP)
		text.to += text.first;
	if (chomping == KEEP)
		text.to += text.others;
	token->quoted = true;
	token->value = span_of(start, (size_t)(text.to - start));
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain and quoted scalars, decoded in place: a decoded text is never longer than its source, with
 * two exceptions (text_move()).
 */
#include "base/text.h"
#include "yaml/scan.h"

/* The scalars in which a character may end a run: any, plain, plain in a flow, single-quoted,
 * double-quoted. */
enum {
	STOP_ANY = 1,
	STOP_PLAIN = 2,
	STOP_FLOW = 4,
	STOP_SINGLE = 8,
	STOP_DOUBLE = 16,
};

static const uint8_t stops[256] = {
	[0] = STOP_ANY,    [' '] = STOP_ANY,     ['\t'] = STOP_ANY,   ['\n'] = STOP_ANY,
	['\r'] = STOP_ANY, [0xc2] = STOP_ANY,    [0xe2] = STOP_ANY,   [':'] = STOP_PLAIN,
	[','] = STOP_FLOW, ['['] = STOP_FLOW,    [']'] = STOP_FLOW,   ['{'] = STOP_FLOW,
	['}'] = STOP_FLOW, ['\''] = STOP_SINGLE, ['"'] = STOP_DOUBLE, ['\\'] = STOP_DOUBLE,
};

/* The end of the run of characters that are neither blanks, nor breaks, nor in `stop`. */
static const uint8_t *run_end(const uint8_t *at, uint8_t stop)
{
	for (;;) {
		while (!(stops[*at] & stop))
			at++;
		/* Characters other than line breaks begin with these bytes, too. */
		if ((*at != 0xc2 && *at != 0xe2) || yaml_break_size(at) > 0)
			return at;
		at++;
	}
}

/* The decoded text, and white space that waits for what follows. */
struct folding {
	uint8_t *to;
	const uint8_t *blanks; /* those that wait */
	size_t blank_count;
	bool broken;          /* a line ended; its break and those after it are written at `to` */
	size_t first, others; /* their bytes */
};

static void text_copy(struct folding *f, const uint8_t *from, size_t size)
{
	if (f->to != from)
		memmove(f->to, from, size);
	f->to += size;
}

/* Text follows the white space: one line feed becomes a space, of several one is dropped. */
static void whitespace_join(struct folding *f)
{
	if (!f->broken) {
		text_copy(f, f->blanks, f->blank_count);
	} else if (f->first == 1 && *f->to == '\n') {
		if (f->others > 0)
			memmove(f->to, f->to + 1, f->others);
		else
			*f->to = ' ';
		f->to += f->others > 0 ? f->others : 1;
	} else {
		f->to += f->first + f->others;
	}
	f->broken = false;
	f->blank_count = f->first = f->others = 0;
}

/* Blanks and line breaks between two parts of a scalar. No tab may be left of `indent`. */
static int whitespace_scan(struct yaml_scanner *s, struct folding *f, int64_t indent,
			   struct error *err)
{
	for (;;) {
		size_t size = yaml_break_size(s->at);

		if (size > 0) {
			/* Written after the decoded text, never beyond what was read. */
			size_t written = yaml_break_copy(s->at, f->to + f->first + f->others);

			if (f->broken)
				f->others += written;
			else
				f->first = written;
			f->broken = true;
			f->blank_count = 0;
			yaml_scanner_break(s, size);
		} else if (yaml_is_blank(s->at)) {
			if (f->broken && *s->at == '\t' && yaml_scanner_column(s) < indent)
				return yaml_scanner_fail(s, "tab in the indentation", err);
			if (!f->broken && f->blank_count++ == 0)
				f->blanks = s->at;
			s->at++;
		} else {
			return 0;
		}
	}
}

int yaml_scan_plain(struct yaml_scanner *s, struct yaml_token *token, struct error *err)
{
	struct folding f = {.to = s->at, .blanks = s->at};
	uint8_t *start = s->at;
	uint8_t stop = STOP_ANY | STOP_PLAIN;
	bool broken = false;

	if (s->flow_level > 0)
		stop |= STOP_FLOW;
	for (;;) {
		const uint8_t *end = s->at;

		if (yaml_scanner_column(s) == 0 && (yaml_is_document_indicator(s->at, '-') ||
						    yaml_is_document_indicator(s->at, '.')))
			break;
		if (*s->at == '#')
			break;
		for (;;) {
			end = run_end(end, stop);
			if (*end != ':' || yaml_is_blankz(end + 1))
				break;
			end++;
		}
		if (end > s->at) {
			if (f.broken || f.blank_count > 0)
				whitespace_join(&f);
			text_copy(&f, s->at, (size_t)(end - s->at));
			yaml_scanner_move(s, end);
		}
		if (!yaml_is_blank(s->at) && yaml_break_size(s->at) == 0) {
			broken = f.broken;
			break;
		}
		if (whitespace_scan(s, &f, s->indent + 1, err) < 0)
			return -(int)err->code;
		broken = f.broken;
		if (s->flow_level == 0 && yaml_scanner_column(s) < s->indent + 1)
			break;
	}
	token->value = span_of(start, (size_t)(f.to - start));
	if (broken)
		s->simple_key_allowed = true;
	return 0;
}

/* Escapes of one character (YAML 1.1, section 5.6, as far as go-yaml knows them; JSON's \/). */
static bool simple_escape(uint8_t c, uint32_t *value)
{
	static const char names[] = "0abt\tnvfre \"'/\\N_LP";
	static const uint16_t values[] = {0,    7,    8,    9,      9,     10,   11,
					  12,   13,   0x1b, ' ',    '"',   '\'', '/',
					  '\\', 0x85, 0xa0, 0x2028, 0x2029};
	const char *name = c ? strchr(names, c) : NULL;

	if (name)
		*value = values[name - names];
	return name != NULL;
}

/* Reads `digits` hexadecimal digits. */
static bool hex_read(const uint8_t *at, size_t digits, uint32_t *value)
{
	*value = 0;
	for (size_t i = 0; i < digits; i++) {
		int digit = yaml_hex(at[i]);

		if (digit < 0 || *value >> 28)
			return false;
		*value = *value << 4 | (uint32_t)digit;
	}
	return true;
}

/* An escape; `at` is its backslash. */
static int escape_scan(struct yaml_scanner *s, uint32_t *value, struct error *err)
{
	const uint8_t *at = s->at + 2;
	uint8_t c = s->at[1];
	size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
	uint32_t low;

	if (digits == 0 && !simple_escape(c, value))
		return yaml_scanner_fail(s, "unknown escape in double quotes", err);
	if (digits > 0 && !hex_read(at, digits, value))
		return yaml_scanner_fail(s, "invalid escape in double quotes", err);
	at += digits;
	/* A pair of UTF-16 surrogates, as JSON writes it (RFC 8259, section 7). */
	if (c == 'u' && *value >> 10 == 0xd800 >> 10 && at[0] == '\\' && at[1] == 'u' &&
	    hex_read(at + 2, 4, &low) && low >> 10 == 0xdc00 >> 10) {
		*value = 0x10000 + ((*value & 0x3ff) << 10) + (low & 0x3ff);
		at += 6;
	}
	if ((*value >= 0xd800 && *value < 0xe000) || *value > 0x10ffff)
		return yaml_scanner_fail(s, "invalid escape in double quotes", err);
	yaml_scanner_move(s, at);
	return 0;
}

/* \L and \P decode to three bytes, more than they are written with: the decoded text moves to
 * memory of its own, with room for the rest. */
static int text_move(struct yaml_scanner *s, struct folding *f, uint8_t **start, struct error *err)
{
	size_t decoded = (size_t)(f->to - *start), rest = 0;
	const uint8_t *at = s->at;
	uint8_t *room;
	int r;

	if (*start < s->start || *start >= s->end)
		return 0;
	while (*at && *at != '"')
		at += *at == '\\' && at[1] ? 2 : 1;
	rest = (size_t)(at - s->at);
	r = arena_reserve(&s->yaml->texts, decoded + rest / 2 * 3 + 8, &room, err);
	if (r < 0)
		return r;
	memcpy(room, *start, decoded);
	*start = room;
	f->to = room + decoded;
	return 0;
}

/* The characters up to a blank, a break or the closing quote. Returns 1 after an escaped line
 * break. */
static int quoted_run(struct yaml_scanner *s, bool single, struct folding *f, uint8_t **start,
		      struct error *err)
{
	uint8_t stop = STOP_ANY | (single ? STOP_SINGLE : STOP_DOUBLE);
	uint32_t value = 0;

	for (;;) {
		const uint8_t *end = run_end(s->at, stop);
		size_t size;

		text_copy(f, s->at, (size_t)(end - s->at));
		yaml_scanner_move(s, end);
		if (single) {
			if (s->at[0] != '\'' || s->at[1] != '\'')
				return 0;
			*f->to++ = '\'';
			yaml_scanner_move(s, s->at + 2);
			continue;
		}
		if (*s->at != '\\')
			return 0;
		size = yaml_break_size(s->at + 1);
		if (size > 0) {
			yaml_scanner_step(s);
			yaml_scanner_break(s, size);
			return 1;
		}
		if (escape_scan(s, &value, err) < 0)
			return -(int)err->code;
		if ((value == 0x2028 || value == 0x2029) && text_move(s, f, start, err) < 0)
			return -(int)err->code;
		f->to += utf8_encode(value, f->to);
	}
}

int yaml_scan_quoted(struct yaml_scanner *s, bool single, struct yaml_token *token,
		     struct error *err)
{
	uint8_t quote = single ? '\'' : '"', *start = s->at + 1;
	struct folding f = {.to = start, .blanks = start};

	yaml_scanner_step(s);
	for (;;) {
		int r;

		if (yaml_scanner_column(s) == 0 && (yaml_is_document_indicator(s->at, '-') ||
						    yaml_is_document_indicator(s->at, '.')))
			return yaml_fail(s->yaml, token->mark.line + 1,
					 "document marker inside quotes", err);
		if (*s->at == 0)
			return yaml_fail(s->yaml, token->mark.line + 1, "missing closing quote",
					 err);
		r = quoted_run(s, single, &f, &start, err);
		if (r < 0)
			return r;
		if (*s->at == quote)
			break;
		f.broken = r > 0;
		if (whitespace_scan(s, &f, 0, err) < 0)
			return -(int)err->code;
		whitespace_join(&f);
	}
	yaml_scanner_step(s);
	token->quoted = true;
	token->value = span_of(start, (size_t)(f.to - start));
	return 0;
}

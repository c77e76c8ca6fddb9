/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a scalar in its style.
 */
#include <stdio.h>

#include "yaml/emit.h"

/* Keeps line breaks other than a line feed; the next text is indented again. */
static const uint8_t *break_emit(struct yaml_emitter *e, const uint8_t *at)
{
	size_t size = yaml_written_break(at);

	if (*at == '\n') {
		yaml_emit_break(e);
	} else {
		yaml_emit_bytes(e, span_of(at, size));
		e->column = 0;
		e->indention = true;
	}
	return at + size;
}

static void single_quoted_emit(struct yaml_emitter *e, struct span text)
{
	const uint8_t *at = text.data, *end = text.data + text.size;
	bool broken = false;

	yaml_emit_indicator(e, (struct yaml_indicator){"'", true, false, false});
	while (at < end) {
		const uint8_t *run = at;

		if (yaml_written_break(at) > 0) {
			at = break_emit(e, at);
			broken = true;
			continue;
		}
		if (broken && *at != ' ')
			yaml_emit_indent(e);
		while (at < end && *at != '\'' && yaml_written_break(at) == 0)
			at++;
		yaml_emit_bytes(e, span_of(run, (size_t)(at - run)));
		if (at < end && *at == '\'') {
			yaml_emit_bytes(e, span_of_text("''"));
			at++;
		}
		e->indention = false;
		broken = false;
	}
	yaml_emit_indicator(e, (struct yaml_indicator){"'", false, false, false});
}

static uint32_t character_read(const uint8_t *at)
{
	size_t width = yaml_width(*at);
	uint32_t c = width == 1 ? *at : *at & (0x7fU >> width);

	for (size_t i = 1; i < width; i++)
		c = c << 6 | (at[i] & 0x3f);
	return c;
}

static void escape_emit(struct yaml_emitter *e, uint32_t c)
{
	static const struct {
		uint16_t c;
		char name;
	} names[] = {
		{0, '0'},     {7, 'a'},    {8, 'b'},    {9, 't'},      {10, 'n'},
		{11, 'v'},    {12, 'f'},   {13, 'r'},   {0x1b, 'e'},   {'"', '"'},
		{'\\', '\\'}, {0x85, 'N'}, {0xa0, '_'}, {0x2028, 'L'}, {0x2029, 'P'},
	};
	char text[16];
	int size = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (c == names[i].c)
			size = snprintf(text, sizeof(text), "\\%c", names[i].name);
	}
	if (size == 0 && c <= 0xff)
		size = snprintf(text, sizeof(text), "\\x%02X", c);
	else if (size == 0 && c <= 0xffff)
		size = snprintf(text, sizeof(text), "\\u%04X", c);
	else if (size == 0)
		size = snprintf(text, sizeof(text), "\\U%08X", c);
	yaml_emit_bytes(e, span_of(text, (size_t)size));
	memory_wipe(text, sizeof(text));
}

static bool is_escaped(const uint8_t *at)
{
	return *at == '"' || *at == '\\' || yaml_written_break(at) > 0 || !yaml_is_printable(at);
}

static void double_quoted_emit(struct yaml_emitter *e, struct span text)
{
	const uint8_t *at = text.data, *end = text.data + text.size;
	/* After a byte order mark at the beginning, go-yaml escapes everything. */
	bool all = span_starts_with(text, span_of_text("\xef\xbb\xbf"));

	yaml_emit_indicator(e, (struct yaml_indicator){"\"", true, false, false});
	while (at < end) {
		const uint8_t *run = at;

		while (at < end && !all && !is_escaped(at))
			at += yaml_width(*at);
		yaml_emit_bytes(e, span_of(run, (size_t)(at - run)));
		if (at < end) {
			escape_emit(e, character_read(at));
			at += yaml_width(*at);
		}
	}
	yaml_emit_indicator(e, (struct yaml_indicator){"\"", false, false, false});
}

/* Whether the first line does not show the indentation. */
static bool needs_hint(struct span text)
{
	return text.data[0] == ' ' || yaml_written_break(text.data) > 0;
}

static bool has_text(struct span text)
{
	for (const uint8_t *at = text.data; at < text.data + text.size; at += yaml_width(*at)) {
		if (yaml_written_break(at) == 0)
			return true;
	}
	return false;
}

static void hints_emit(struct yaml_emitter *e, struct span text)
{
	char hint[2] = {(char)('0' + e->best_indent)};
	const uint8_t *last = text.data + text.size - 1;

	if (needs_hint(text))
		yaml_emit_indicator(e, (struct yaml_indicator){hint, false, false, false});
	/* LS and PS are breaks, too. */
	while (last > text.data && (*last & 0xc0) == 0x80)
		last--;
	if (yaml_written_break(last) == 0) {
		yaml_emit_indicator(e, (struct yaml_indicator){"-", false, false, false});
		return;
	}
	if (last > text.data) {
		last--;
		while (last > text.data && (*last & 0xc0) == 0x80)
			last--;
		if (yaml_written_break(last) == 0)
			return;
	}
	yaml_emit_indicator(e, (struct yaml_indicator){"+", false, false, false});
}

static void literal_emit(struct yaml_emitter *e, struct span text)
{
	const uint8_t *at = text.data, *end = text.data + text.size;
	bool broken = true;

	yaml_emit_indicator(e, (struct yaml_indicator){"|", true, false, false});
	hints_emit(e, text);
	yaml_emit_line_comment_or_break(e);
	e->whitespace = true;
	while (at < end) {
		const uint8_t *run = at;

		if (yaml_written_break(at) > 0) {
			at = break_emit(e, at);
			broken = true;
			continue;
		}
		if (broken)
			yaml_emit_indent(e);
		while (at < end && yaml_written_break(at) == 0)
			at++;
		yaml_emit_bytes(e, span_of(run, (size_t)(at - run)));
		e->indention = false;
		broken = false;
	}
}

static void plain_emit(struct yaml_emitter *e, struct span text)
{
	if (text.size > 0 && !e->whitespace)
		yaml_emit_bytes(e, span_of_text(" "));
	yaml_emit_bytes(e, text);
	if (text.size > 0)
		e->whitespace = false;
	e->indention = false;
}

static void tag_emit(struct yaml_emitter *e, const char *tag)
{
	if (!e->whitespace)
		yaml_emit_bytes(e, span_of_text(" "));
	yaml_emit_bytes(e, span_of_text("!!"));
	yaml_emit_bytes(e, span_of_text(tag));
	e->whitespace = false;
	e->indention = false;
}

void yaml_emit_scalar(struct yaml_emitter *e, const struct yaml_written *written,
		      enum yaml_place place)
{
	int64_t before = e->indent, around = before < 0 ? 0 : before;
	enum yaml_style style = written->style;

	if (written->tag)
		tag_emit(e, written->tag);
	yaml_emit_deeper(e, true, place);
	/*
	 * go-yaml's hint is the indentation at the top. Deeper inside lists the indentation
	 * differs, and the block could not be read again: double quotes keep the value.
	 */
	if (style == YAML_LITERAL && needs_hint(written->text) &&
	    e->indent - around != (int64_t)e->best_indent && has_text(written->text))
		style = YAML_DOUBLE_QUOTED;
	switch (style) {
	case YAML_PLAIN:
		plain_emit(e, written->text);
		break;
	case YAML_SINGLE_QUOTED:
		single_quoted_emit(e, written->text);
		break;
	case YAML_DOUBLE_QUOTED:
		double_quoted_emit(e, written->text);
		break;
	case YAML_LITERAL:
		literal_emit(e, written->text);
		break;
	}
	e->indent = before;
}

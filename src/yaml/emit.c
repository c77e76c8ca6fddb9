/* SPDX-License-Identifier: Apache-2.0 */
#include "yaml/emit.h"

/* go-yaml indents by 2 to 9 columns, and by 2 if told otherwise. */
#define INDENT_MIN 2
#define INDENT_MAX 9

/* "- " */
#define DASH_SIZE 2

void yaml_emitter_begin(struct yaml_emitter *e, size_t indent, struct secret *out,
			struct error *err)
{
	*e = (struct yaml_emitter){
		.out = out,
		.err = err,
		.best_indent = indent < INDENT_MIN || indent > INDENT_MAX ? INDENT_MIN : indent,
		.indent = -1,
		.foot_indent = -1,
		.whitespace = true,
		.indention = true,
	};
}

void yaml_emitter_destroy(struct yaml_emitter *e)
{
	secret_destroy(&e->head);
	secret_destroy(&e->line);
	secret_destroy(&e->foot);
	secret_destroy(&e->tail);
	secret_destroy(&e->key_line);
}

static void bytes_add(struct yaml_emitter *e, struct span bytes)
{
	if (e->failed == 0)
		e->failed = secret_append(e->out, bytes, e->err);
}

/* Columns matter only before a line has text, so counting bytes is enough. */
void yaml_emit_bytes(struct yaml_emitter *e, struct span bytes)
{
	bytes_add(e, bytes);
	e->column += (int64_t)bytes.size;
}

void yaml_emit_break(struct yaml_emitter *e)
{
	bytes_add(e, span_of_text("\n"));
	e->column = 0;
	e->indention = true;
}

static void spaces_emit(struct yaml_emitter *e, int64_t count)
{
	static const char spaces[] =
		"                                                                ";
	const int64_t chunk = sizeof(spaces) - 1;

	for (; count > 0; count -= chunk)
		yaml_emit_bytes(e, span_of(spaces, (size_t)(count < chunk ? count : chunk)));
}

void yaml_emit_indent(struct yaml_emitter *e)
{
	int64_t indent = e->indent < 0 ? 0 : e->indent;

	if (!e->indention || e->column > indent || (e->column == indent && !e->whitespace))
		yaml_emit_break(e);
	if (e->foot_indent == indent)
		yaml_emit_break(e);
	spaces_emit(e, indent - e->column);
	e->whitespace = true;
	e->foot_indent = -1;
}

void yaml_emit_indicator(struct yaml_emitter *e, struct yaml_indicator indicator)
{
	if (indicator.need_whitespace && !e->whitespace)
		yaml_emit_bytes(e, span_of_text(" "));
	yaml_emit_bytes(e, span_of_text(indicator.text));
	e->whitespace = indicator.is_whitespace;
	e->indention = e->indention && indicator.is_indention;
}

void yaml_emit_deeper(struct yaml_emitter *e, bool flow, enum yaml_place place)
{
	int64_t best = (int64_t)e->best_indent;

	if (e->indent < 0)
		e->indent = flow ? best : 0;
	else if (place == YAML_AS_ITEM)
		e->indent += DASH_SIZE;
	else
		e->indent = best * ((e->indent + best) / best);
}

void yaml_emit_comment_add(struct yaml_emitter *e, struct secret *comment, struct span text)
{
	if (e->failed == 0)
		e->failed = secret_append_text(comment, comment->size > 0 ? "\n#" : "#", e->err);
	if (e->failed == 0)
		e->failed = secret_append(comment, text, e->err);
}

/* A line break in a comment's text begins another comment line; an empty line is not written. */
static void comment_write(struct yaml_emitter *e, struct secret *comment)
{
	const uint8_t *at, *end;
	bool broken = false, pound = false;

	/* For looking ahead. */
	if (e->failed == 0)
		e->failed = secret_append(comment, span_of("\0\0\0\0", 4), e->err);
	if (e->failed < 0)
		return;
	at = comment->data;
	end = comment->data + comment->size - 4;
	while (at < end) {
		size_t size = yaml_break_size(at);
		const uint8_t *run = at;

		if (size > 0) {
			if (*at == '\n') {
				yaml_emit_break(e);
				at++;
			} else {
				/* Breaks other than a line feed stay, CR and LF as two. */
				size = *at == '\r' ? 1 : size;
				yaml_emit_bytes(e, span_of(at, size));
				e->column = 0;
				e->indention = true;
				at += size;
			}
			broken = true;
			pound = false;
			continue;
		}
		if (broken)
			yaml_emit_indent(e);
		if (!pound && *at != '#')
			yaml_emit_bytes(e, span_of_text("# "));
		pound = true;
		while (at < end && yaml_break_size(at) == 0)
			at++;
		yaml_emit_bytes(e, span_of(run, (size_t)(at - run)));
		e->indention = false;
		broken = false;
	}
	if (!broken)
		yaml_emit_break(e);
	e->whitespace = true;
	comment->size = 0;
}

static void foot_remember(struct yaml_emitter *e)
{
	e->foot_indent = e->indent < 0 ? 0 : e->indent;
}

void yaml_emit_head(struct yaml_emitter *e)
{
	if (e->tail.size > 0) {
		yaml_emit_indent(e);
		comment_write(e, &e->tail);
		foot_remember(e);
	}
	if (e->head.size > 0) {
		yaml_emit_indent(e);
		comment_write(e, &e->head);
	}
}

void yaml_emit_line_comment(struct yaml_emitter *e)
{
	if (e->line.size == 0)
		return;
	if (!e->whitespace)
		yaml_emit_bytes(e, span_of_text(" "));
	comment_write(e, &e->line);
}

void yaml_emit_line_comment_or_break(struct yaml_emitter *e)
{
	if (e->line.size == 0)
		yaml_emit_break(e);
	else
		yaml_emit_line_comment(e);
}

void yaml_emit_foot(struct yaml_emitter *e)
{
	if (e->foot.size == 0)
		return;
	yaml_emit_indent(e);
	comment_write(e, &e->foot);
	foot_remember(e);
}

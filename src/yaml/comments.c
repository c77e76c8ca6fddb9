/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Comments, and what they belong to: the line before them (line), what follows (head), or what came
 * before (foot). The rules are those of go-yaml 3, even where they are odd: they decide where a
 * comment is after sops rewrites a document.
 */
#include "yaml/scan.h"

/* go-yaml looks this many bytes ahead over blanks and line breaks. */
#define LOOK_AHEAD 512

/* Bounds the work on a document in which many blocks end after many comments. */
#define STEPS_PER_BYTE 64

static int comment_add(struct yaml_scanner *s, struct yaml_comment comment, struct error *err)
{
	int r;

	if (s->comment_head == s->comment_count)
		s->comment_head = s->comment_count = 0;
	r = array_grow(&s->comments, s->comment_count, &s->comment_capacity, sizeof(*s->comments),
		       err);
	if (r == 0)
		s->comments[s->comment_count++] = comment;
	return r;
}

int yaml_comment_scan_line(struct yaml_scanner *s, int64_t token, struct error *err)
{
	const uint8_t *at = s->at;
	struct yaml_mark start;

	if (s->newlines > 0)
		return 0;
	while (yaml_is_blank(at) && at - s->at < LOOK_AHEAD)
		at++;
	if (*at != '#' || at - s->at >= LOOK_AHEAD)
		return 0;
	s->at += at - s->at;
	start = yaml_scanner_mark(s);
	yaml_scanner_move(s, yaml_line_end(at));
	return comment_add(s,
			   (struct yaml_comment){.token = token,
						 .start = start,
						 .line = span_of(at, (size_t)(s->at - at))},
			   err);
}

void yaml_comment_after_dash(struct yaml_scanner *s)
{
	struct yaml_comment *comment = &s->comments[s->comment_count - 1];
	const struct yaml_token *last = &s->tokens[s->token_count - 1];

	if (s->token_count < 2 || last->type != YAML_BLOCK_ENTRY ||
	    last[-1].type != YAML_BLOCK_SEQUENCE_START || comment->line.size == 0 ||
	    yaml_break_size(s->at) > 0)
		return;
	comment->head = comment->line;
	comment->line = (struct span){0};
	if (comment->start.line == s->line - 1)
		comment->token = s->at - s->start;
}

int yaml_gathered_add(struct yaml_gathered *gathered, struct span text, struct error *err)
{
	struct secret *joined = &gathered->joined;
	int r = 0;

	if (gathered->text.size == 0) {
		gathered->text = text;
		return 0;
	}
	if (joined->size == 0)
		r = secret_append(joined, gathered->text, err);
	if (r == 0)
		r = secret_append(joined, text, err);
	gathered->text = secret_span(joined);
	return r;
}

int yaml_gathered_take(struct yaml_gathered *gathered, size_t size, size_t skip,
		       struct arena *texts, struct span *text, struct error *err)
{
	struct secret *joined = &gathered->joined;
	size_t rest = gathered->text.size - size - skip;
	int r = 0;

	*text = span_of(gathered->text.data, size);
	if (joined->size == 0) {
		gathered->text = span_of(gathered->text.data + size + skip, rest);
		return 0;
	}
	r = arena_copy(texts, *text, text, err);
	memmove(joined->data, joined->data + size + skip, rest);
	joined->size = rest;
	gathered->text = rest > 0 ? secret_span(joined) : (struct span){0};
	return r;
}

static int gathered_take(struct yaml_scanner *s, struct span *text, struct error *err)
{
	return yaml_gathered_take(&s->gathered, s->gathered.text.size, 0, &s->yaml->texts, text,
				  err);
}

/* The comment that is being gathered. */
struct block {
	int64_t scan, token;
	struct yaml_mark start;
	int64_t line, column, next_indent;
};

/* The gathered comment is the foot of what came before; scanning continues after it. */
static int foot_add(struct yaml_scanner *s, struct block *block, int64_t here, struct error *err)
{
	struct yaml_comment comment = {
		.scan = block->scan,
		.token = block->token,
		.start = block->start,
		.end = here,
	};

	block->scan = block->token = here;
	if (gathered_take(s, &comment.foot, err) < 0)
		return -(int)err->code;
	return comment_add(s, comment, err);
}

/* Moves to the comment at `to`, and over it. */
static int comment_take(struct yaml_scanner *s, struct block *block, const uint8_t *to,
			struct error *err)
{
	int r = 0;

	if (s->gathered.text.size == 0)
		block->start = (struct yaml_mark){
			.index = to - s->start, .line = block->line, .column = block->column};
	else
		r = yaml_gathered_add(&s->gathered, span_of_text("\n"), err);
	while (s->at < to) {
		size_t size = yaml_break_size(s->at);

		if (size > 0)
			yaml_scanner_break(s, size);
		else
			s->at++;
	}
	yaml_scanner_move(s, yaml_line_end(to));
	return r < 0 ? r : yaml_gathered_add(&s->gathered, span_of(to, (size_t)(s->at - to)), err);
}

int yaml_comment_scan_block(struct yaml_scanner *s, struct yaml_mark scan, struct error *err)
{
	const struct yaml_token *token = &s->tokens[s->token_count - 1];
	struct block block = {.scan = scan.index, .line = s->line};
	bool recent_empty = false, first_empty = s->newlines <= 1;
	int64_t foot_line = -1;
	size_t ahead = 0;
	int r = 0;

	if (token->type == YAML_FLOW_ENTRY && s->token_count > 1)
		token--;
	block.token = token->mark.index;
	block.column = yaml_scanner_column(s);
	block.next_indent = s->indent < 0 ? 0 : s->indent;
	/* A foot must begin here: on the line after the one with content. */
	if (scan.line > 0) {
		foot_line = s->line - s->newlines + 1;
		if (s->newlines == 0 && block.column > 1)
			foot_line++;
	}
	for (; r == 0 && ahead < LOOK_AHEAD; ahead++) {
		const uint8_t *at = s->at + ahead;
		bool close_flow = s->flow_level > 0 && (*at == ']' || *at == '}');
		int64_t here = at - s->start;

		block.column++;
		if (yaml_is_blank(at))
			continue;
		if (close_flow || yaml_is_breakz(at)) {
			bool dedented = block.start.column - 1 < block.next_indent;
			bool foot = close_flow || (first_empty && ((block.start.line == foot_line &&
								    token->type != YAML_VALUE) ||
								   dedented));

			if (s->gathered.text.size > 0 && (close_flow || !recent_empty)) {
				if (foot && dedented)
					block.token = block.start.index;
				if (foot)
					r = foot_add(s, &block, here, err);
				else if (*at != 0)
					r = yaml_gathered_add(&s->gathered, span_of_text("\n"),
							      err);
			}
			if (yaml_break_size(at) == 0)
				break;
			first_empty = false;
			recent_empty = true;
			block.column = 0;
			block.line++;
			continue;
		}
		/* A comment at another indentation is a foot of what came before. */
		if (s->gathered.text.size > 0 && block.column - 1 < block.next_indent &&
		    block.column != block.start.column)
			r = foot_add(s, &block, here, err);
		if (*at != '#' || r < 0)
			break;
		r = comment_take(s, &block, at, err);
		recent_empty = false;
		ahead = 0;
		block.column = 0;
		block.line = s->line;
		block.next_indent = s->indent < 0 ? 0 : s->indent;
	}
	if (r == 0 && s->gathered.text.size > 0) {
		struct yaml_comment comment = {
			.scan = block.scan,
			.token = block.start.index,
			.start = block.start,
			.end = s->at + ahead - 1 - s->start,
		};

		r = gathered_take(s, &comment.head, err);
		if (r == 0)
			r = comment_add(s, comment, err);
	}
	return r;
}

int yaml_comment_block_end(struct yaml_scanner *s, struct yaml_mark *end, struct error *err)
{
	int64_t stop = end->index;

	for (size_t i = s->comment_count; i > s->comment_head; i--) {
		const struct yaml_comment *comment = &s->comments[i - 1];

		if (comment->end < stop)
			break;
		if (++s->comment_steps > STEPS_PER_BYTE * (size_t)(s->end - s->start))
			return yaml_scanner_fail(s, "too many comments between blocks", err);
		if (comment->start.column == s->indent + 1)
			*end = comment->start;
		stop = comment->scan;
	}
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "yaml/scan.h"

#include <stdlib.h>

/* How far behind its beginning the colon of a key may stand (YAML 1.2, section 8.2.2). */
#define SIMPLE_KEY_SIZE_MAX 1024

int yaml_scanner_fail(const struct yaml_scanner *s, struct yaml_mark mark, const char *problem,
		      struct error *err)
{
	return error_set(err, VMCRED_FAILED, "%s is not valid YAML: %s (line %lld)", s->what,
			 problem, (long long)mark.line + 1);
}

int yaml_scanner_begin(struct yaml_scanner *s, struct secret *text, bool ascii, const char *what,
		       struct sops_tree *tree, struct error *err)
{
	*s = (struct yaml_scanner){
		.what = what,
		.tree = tree,
		.at = text->data,
		.start = text->data,
		.line_start = text->data,
		.end = text->data + text->size,
		.ascii = ascii,
		.indent = -1,
		.simple_key_allowed = true,
	};
	if (yaml_array_grow(&s->keys, 0, &s->key_capacity, sizeof(*s->keys), err) < 0)
		return -(int)err->code;
	s->keys[0] = (struct yaml_simple_key){0};
	return 0;
}

void yaml_scanner_destroy(struct yaml_scanner *s)
{
	free(s->indents);
	free(s->keys);
	free(s->tokens);
	free(s->comments);
	secret_destroy(&s->gathered.joined);
	*s = (struct yaml_scanner){0};
}

void yaml_scanner_move(struct yaml_scanner *s, const uint8_t *to)
{
	if (s->at == to)
		return;
	s->newlines = 0;
	if (!s->ascii) {
		for (const uint8_t *c = s->at; c < to; c++)
			s->wide += (*c & 0xc0) == 0x80;
	}
	s->at += to - s->at;
}

struct yaml_simple_key *yaml_key_here(struct yaml_scanner *s)
{
	return &s->keys[s->flow_level];
}

/* Adds a token at a place in the queue, counted from its head; -1: at the end. */
int yaml_token_insert(struct yaml_scanner *s, int64_t place, struct yaml_token token,
		      struct error *err)
{
	struct yaml_token *at;
	int r;

	if (s->token_head > 64 && s->token_head > s->token_count / 2) {
		s->token_count -= s->token_head;
		memmove(s->tokens, s->tokens + s->token_head, s->token_count * sizeof(*s->tokens));
		s->token_head = 0;
	}
	r = yaml_array_grow(&s->tokens, s->token_count, &s->token_capacity, sizeof(*s->tokens),
			    err);
	if (r < 0)
		return r;
	at = place < 0 ? s->tokens + s->token_count : s->tokens + s->token_head + place;
	memmove(at + 1, at, (size_t)(s->tokens + s->token_count - at) * sizeof(*at));
	*at = token;
	s->token_count++;
	return 0;
}

int yaml_token_add(struct yaml_scanner *s, enum yaml_token_type type, struct yaml_mark mark,
		   struct error *err)
{
	return yaml_token_insert(s, -1, (struct yaml_token){.type = type, .mark = mark}, err);
}

/* Whether the place may still turn out to be a key's: its line has not ended. Returns 1 or 0. */
int yaml_key_check(struct yaml_scanner *s, struct yaml_simple_key *key, struct error *err)
{
	if (!key->possible)
		return 0;
	if (key->mark.line == s->line &&
	    key->mark.column + SIMPLE_KEY_SIZE_MAX >= yaml_scanner_column(s))
		return 1;
	if (key->required)
		return yaml_scanner_fail(s, key->mark, "a ':' is missing behind a key", err);
	key->possible = false;
	return 0;
}

int yaml_key_remove(struct yaml_scanner *s, struct error *err)
{
	struct yaml_simple_key *key = yaml_key_here(s);

	if (key->possible && key->required)
		return yaml_scanner_fail(s, key->mark, "a ':' is missing behind a key", err);
	key->possible = false;
	return 0;
}

size_t yaml_next_token_number(const struct yaml_scanner *s)
{
	return s->tokens_parsed + (s->token_count - s->token_head);
}

int yaml_key_save(struct yaml_scanner *s, struct error *err)
{
	struct yaml_mark mark = yaml_scanner_mark(s);
	int r;

	if (!s->simple_key_allowed)
		return 0;
	r = yaml_key_remove(s, err);
	if (r < 0)
		return r;
	*yaml_key_here(s) = (struct yaml_simple_key){
		.possible = true,
		.required = s->flow_level == 0 && s->indent == mark.column,
		.token_number = yaml_next_token_number(s),
		.mark = mark,
	};
	return 0;
}

/* A deeper block begins at a column: its token goes before the one with that number, or to the end
 * (-1). */
int yaml_indent_push(struct yaml_scanner *s, struct yaml_mark mark, int64_t number,
		     enum yaml_token_type type, struct error *err)
{
	int r;

	if (s->flow_level > 0 || s->indent >= mark.column)
		return 0;
	if (s->indent_count >= SOPS_DEPTH_MAX)
		return error_set(err, VMCRED_FAILED, "%s is nested more than %d levels deep",
				 s->what, SOPS_DEPTH_MAX);
	r = yaml_array_grow(&s->indents, s->indent_count, &s->indent_capacity, sizeof(*s->indents),
			    err);
	if (r < 0)
		return r;
	s->indents[s->indent_count++] = s->indent;
	s->indent = mark.column;
	return yaml_token_insert(s, number < 0 ? -1 : number - (int64_t)s->tokens_parsed,
				 (struct yaml_token){.type = type, .mark = mark}, err);
}

/* Blocks deeper than the column end. */
int yaml_indents_pop(struct yaml_scanner *s, int64_t column, struct yaml_mark scan,
		     struct error *err)
{
	int r = 0;

	scan.index--;
	while (r == 0 && s->flow_level == 0 && s->indent > column) {
		r = yaml_comment_block_end(s, &scan, err);
		if (r == 0)
			r = yaml_token_add(s, YAML_BLOCK_END, scan, err);
		s->indent = s->indents[--s->indent_count];
	}
	return r;
}

/* Skips blanks, line breaks and comments. A tab is a blank where no block can begin. */
static int next_token_find(struct yaml_scanner *s, struct error *err)
{
	struct yaml_mark scan = yaml_scanner_mark(s);

	for (;;) {
		size_t size;

		while (*s->at == ' ' ||
		       (*s->at == '\t' && (s->flow_level > 0 || !s->simple_key_allowed)))
			s->at++;
		if (s->comment_count > s->comment_head)
			yaml_comment_behind_dash(s);
		if (*s->at == '#' && yaml_comment_scan_block(s, scan, err) < 0)
			return -(int)err->code;
		size = yaml_break_size(s->at);
		if (size == 0)
			return 0;
		yaml_scanner_break(s, size);
		if (s->flow_level == 0)
			s->simple_key_allowed = true;
	}
}

static int next_token_fetch(struct yaml_scanner *s, struct error *err)
{
	struct yaml_mark scan = yaml_scanner_mark(s), here;
	int64_t comment_token;
	int r = next_token_find(s, err);

	here = yaml_scanner_mark(s);
	if (r == 0)
		r = yaml_indents_pop(s, here.column, scan, err);
	if (r < 0)
		return r;
	if (yaml_token_is_of_stream(s))
		return yaml_token_fetch_of_stream(s, err);
	/* A comment behind a colon, or behind the comma in a flow, is that of what stands before.
	 */
	comment_token = here.index;
	if (*s->at == (s->flow_level == 0 ? ':' : ','))
		comment_token = s->tokens[s->token_count - 1].mark.index;
	r = yaml_token_fetch(s, err);
	if (r == 0 && s->tokens[s->token_count - 1].type != YAML_BLOCK_ENTRY)
		r = yaml_comment_scan_line(s, comment_token, err);
	return r;
}

/* The place of the token that is next, if it may turn out to be behind a key's mark. The numbers
 * grow with the level. */
static struct yaml_simple_key *key_at_head(const struct yaml_scanner *s)
{
	size_t low = 0, high = s->flow_level + 1;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s->keys[middle].token_number < s->tokens_parsed)
			low = middle + 1;
		else
			high = middle;
	}
	return low <= s->flow_level && s->keys[low].token_number == s->tokens_parsed &&
			       s->keys[low].possible
		       ? &s->keys[low]
		       : NULL;
}

int yaml_scanner_peek(struct yaml_scanner *s, struct yaml_token **token, struct error *err)
{
	int r = 0;

	if (!s->started) {
		s->started = true;
		r = yaml_token_add(s, YAML_STREAM_START, yaml_scanner_mark(s), err);
	}
	while (r == 0 && !s->available) {
		if (s->token_count - s->token_head > 2) {
			struct yaml_simple_key *key = key_at_head(s);

			r = key ? yaml_key_check(s, key, err) : 0;
			if (r < 0)
				return r;
			if (r == 0) {
				s->available = true;
				break;
			}
		}
		r = next_token_fetch(s, err);
	}
	*token = s->tokens + s->token_head;
	return r;
}

void yaml_scanner_skip(struct yaml_scanner *s)
{
	s->available = false;
	s->tokens_parsed++;
	s->token_head++;
}

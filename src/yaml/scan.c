/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of tokens, and the tokens that one or two characters identify. */
#include "yaml/scan.h"

#include <stdlib.h>

/* How far from its beginning the colon of a key may be (YAML 1.2, section 8.2.2). */
#define SIMPLE_KEY_SIZE_MAX 1024

int yaml_scanner_fail(const struct yaml_scanner *s, const char *problem, struct error *err)
{
	return yaml_fail(s->yaml, s->line + 1, problem, err);
}

static struct yaml_token *last_token(const struct yaml_scanner *s)
{
	return &s->tokens[s->token_count - 1];
}

static int nested_too_deep(const struct yaml_scanner *s, struct error *err)
{
	_Static_assert(YAML_DEPTH_MAX == 10000, "the text says so");
	return yaml_scanner_fail(s, "nested more than 10000 levels deep", err);
}

/*
 * Tokens are written where they stay, field by field: a structure that is copied before its fields
 * have left the processor's store buffer costs as much as ten of them.
 */
static void token_set(struct yaml_token *token, enum yaml_token_type type)
{
	token->type = type;
	token->quoted = false;
	token->key_level = 0;
	token->value = token->suffix = (struct span){0};
}

static int tokens_make_room(struct yaml_scanner *s, struct error *err)
{
	if (s->token_head <= s->token_count / 2)
		return array_enlarge(&s->tokens, &s->token_capacity, sizeof(*s->tokens), err);
	s->token_count -= s->token_head;
	memmove(s->tokens, s->tokens + s->token_head, s->token_count * sizeof(*s->tokens));
	s->token_head = 0;
	return 0;
}

/* Adds a token, whose mark is not set; NULL without memory. */
static inline struct yaml_token *token_add(struct yaml_scanner *s, enum yaml_token_type type,
					   struct error *err)
{
	if (s->token_count == s->token_capacity && tokens_make_room(s, err) < 0)
		return NULL;
	token_set(&s->tokens[s->token_count++], type);
	return last_token(s);
}

/* Inserts one before the token with that number, or adds it if there is none. */
static int token_insert(struct yaml_scanner *s, size_t number, const struct yaml_mark *mark,
			enum yaml_token_type type, struct error *err)
{
	struct yaml_token *last = token_add(s, type, err), *at;

	if (!last)
		return -(int)err->code;
	at = s->tokens + s->token_head + (number - s->tokens_parsed);
	memmove(at + 1, at, (size_t)(last - at) * sizeof(*at));
	token_set(at, type);
	at->mark = *mark;
	return 0;
}

/* Adds a token at the scanner's position; NULL without memory. */
static inline struct yaml_token *token_here(struct yaml_scanner *s, enum yaml_token_type type,
					    struct error *err)
{
	struct yaml_token *token = token_add(s, type, err);

	if (token)
		yaml_scanner_mark_set(s, &token->mark);
	return token;
}

int yaml_scanner_begin(struct yaml_scanner *s, struct secret *text, bool ascii, struct yaml *yaml,
		       struct error *err)
{
	*s = (struct yaml_scanner){
		.yaml = yaml,
		.at = text->data,
		.start = text->data,
		.line_start = text->data,
		.end = text->data + text->size,
		.ascii = ascii,
		.indent = -1,
		.simple_key_allowed = true,
	};
	if (array_grow(&s->keys, 0, &s->key_capacity, sizeof(*s->keys), err) < 0)
		return -(int)err->code;
	s->keys[0] = (struct yaml_simple_key){0};
	return token_here(s, YAML_STREAM_START, err) ? 0 : -(int)err->code;
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

/* The same for one character, over which it moves. */
static inline int token_step(struct yaml_scanner *s, enum yaml_token_type type, struct error *err)
{
	const struct yaml_token *token = token_here(s, type, err);

	yaml_scanner_step(s);
	return token ? 0 : -(int)err->code;
}

/* Where a key may begin, on this level of flows. */
static struct yaml_simple_key *key_here(struct yaml_scanner *s)
{
	return &s->keys[s->flow_level];
}

/* It is not a key. */
static inline int key_drop(struct yaml_scanner *s, struct yaml_simple_key *key, struct error *err)
{
	if (key->possible && key->required)
		return yaml_fail(s->yaml, key->mark.line + 1, "missing ':' after a key", err);
	key->possible = false;
	return 0;
}

/* Returns 1 if it may still turn out to be a key, because its line has not ended; else 0. */
static inline int key_check(struct yaml_scanner *s, struct yaml_simple_key *key, struct error *err)
{
	if (key->possible && key->mark.line == s->line &&
	    key->mark.column + SIMPLE_KEY_SIZE_MAX >= yaml_scanner_column(s))
		return 1;
	return key_drop(s, key, err);
}

static int key_remove(struct yaml_scanner *s, struct error *err)
{
	return key_drop(s, key_here(s), err);
}

static size_t next_token_number(const struct yaml_scanner *s)
{
	return s->tokens_parsed + (s->token_count - s->token_head);
}

static inline int key_save(struct yaml_scanner *s, struct error *err)
{
	struct yaml_simple_key *key = key_here(s);

	if (!s->simple_key_allowed)
		return 0;
	if (key_drop(s, key, err) < 0)
		return -(int)err->code;
	yaml_scanner_mark_set(s, &key->mark);
	key->possible = true;
	key->required = s->flow_level == 0 && s->indent == yaml_scanner_column(s);
	key->token_number = next_token_number(s);
	return 0;
}

/* A deeper block begins at a column: its token is inserted before the one with that number. */
static int indent_push(struct yaml_scanner *s, const struct yaml_mark *mark, size_t number,
		       enum yaml_token_type type, struct error *err)
{
	int r;

	if (s->flow_level > 0 || s->indent >= mark->column)
		return 0;
	if (s->indent_count >= YAML_DEPTH_MAX)
		return nested_too_deep(s, err);
	r = array_grow(&s->indents, s->indent_count, &s->indent_capacity, sizeof(*s->indents), err);
	if (r < 0)
		return r;
	s->indents[s->indent_count++] = s->indent;
	s->indent = mark->column;
	return token_insert(s, number, mark, type, err);
}

/* Blocks deeper than the column end. */
static int indents_pop(struct yaml_scanner *s, int64_t column, struct yaml_mark scan,
		       struct error *err)
{
	struct yaml_token *token;
	int r = 0;

	scan.index--;
	while (r == 0 && s->flow_level == 0 && s->indent > column) {
		r = yaml_comment_block_end(s, &scan, err);
		token = r == 0 ? token_add(s, YAML_BLOCK_END, err) : NULL;
		if (!token)
			return -(int)err->code;
		token->mark = scan;
		s->indent = s->indents[--s->indent_count];
	}
	return r;
}

/* All open blocks end: no key may be waiting. */
static int blocks_end(struct yaml_scanner *s, struct error *err)
{
	int r = indents_pop(s, -1, yaml_scanner_mark(s), err);

	if (r == 0)
		r = key_remove(s, err);
	s->simple_key_allowed = false;
	return r;
}

static bool at_stream_token(const struct yaml_scanner *s)
{
	return *s->at == 0 || (yaml_scanner_column(s) == 0 &&
			       (*s->at == '%' || yaml_is_document_indicator(s->at, '-') ||
				yaml_is_document_indicator(s->at, '.')));
}

/* What begins or ends a document. */
static int stream_token_fetch(struct yaml_scanner *s, struct error *err)
{
	struct yaml_token *token;
	int r;

	if (*s->at == 0 && yaml_scanner_column(s) != 0) {
		s->line_start = s->at;
		s->wide = 0;
		s->line++;
	}
	r = blocks_end(s, err);
	if (r < 0)
		return r;
	token = token_here(s,
			   *s->at == '-' ? YAML_DOCUMENT_START
			   : *s->at == 0 ? YAML_STREAM_END
					 : YAML_DOCUMENT_END,
			   err);
	if (!token)
		return -(int)err->code;
	if (*s->at == '%')
		return yaml_scan_directive(s, token, err);
	if (*s->at != 0)
		yaml_scanner_move(s, s->at + 3);
	return 0;
}

static int flow_start_fetch(struct yaml_scanner *s, struct error *err)
{
	enum yaml_token_type type =
		*s->at == '[' ? YAML_FLOW_SEQUENCE_START : YAML_FLOW_MAPPING_START;
	int r = key_save(s, err);

	if (r == 0 && s->flow_level >= YAML_DEPTH_MAX)
		r = nested_too_deep(s, err);
	if (r == 0)
		r = array_grow(&s->keys, s->flow_level + 1, &s->key_capacity, sizeof(*s->keys),
			       err);
	if (r < 0)
		return r;
	s->flow_level++;
	*key_here(s) = (struct yaml_simple_key){.token_number = next_token_number(s)};
	s->simple_key_allowed = true;
	r = token_step(s, type, err);
	if (r == 0)
		last_token(s)->key_level = (uint16_t)s->flow_level;
	return r;
}

/* ']', '}' or ',' */
static int flow_indicator_fetch(struct yaml_scanner *s, struct error *err)
{
	enum yaml_token_type type = *s->at == ','   ? YAML_FLOW_ENTRY
				    : *s->at == ']' ? YAML_FLOW_SEQUENCE_END
						    : YAML_FLOW_MAPPING_END;
	int r = key_remove(s, err);

	if (type != YAML_FLOW_ENTRY && s->flow_level > 0)
		s->flow_level--;
	s->simple_key_allowed = type == YAML_FLOW_ENTRY;
	return r < 0 ? r : token_step(s, type, err);
}

/* '-' or '?' */
static int block_indicator_fetch(struct yaml_scanner *s, struct error *err)
{
	struct yaml_mark mark = yaml_scanner_mark(s);
	bool item = *s->at == '-';
	int r = 0;

	if (s->flow_level == 0 && !s->simple_key_allowed)
		return yaml_scanner_fail(s, item ? "unexpected '-'" : "unexpected '?'", err);
	r = indent_push(s, &mark, next_token_number(s),
			item ? YAML_BLOCK_SEQUENCE_START : YAML_BLOCK_MAPPING_START, err);
	if (r == 0)
		r = key_remove(s, err);
	s->simple_key_allowed = item || s->flow_level == 0;
	return r < 0 ? r : token_step(s, item ? YAML_BLOCK_ENTRY : YAML_KEY, err);
}

static int value_fetch(struct yaml_scanner *s, struct error *err)
{
	struct yaml_simple_key *key = key_here(s);
	int r = key_check(s, key, err);

	if (r > 0) {
		r = token_insert(s, key->token_number, &key->mark, YAML_KEY, err);
		key->possible = false;
		s->simple_key_allowed = false;
		if (r == 0)
			r = indent_push(s, &key->mark, key->token_number, YAML_BLOCK_MAPPING_START,
					err);
	} else if (r == 0) {
		const struct yaml_mark mark = yaml_scanner_mark(s);

		if (s->flow_level == 0 && !s->simple_key_allowed)
			return yaml_scanner_fail(s, "unexpected ':'", err);
		r = indent_push(s, &mark, next_token_number(s), YAML_BLOCK_MAPPING_START, err);
		s->simple_key_allowed = s->flow_level == 0;
	}
	return r < 0 ? r : token_step(s, YAML_VALUE, err);
}

/* The first token of a node; the node may be a key. */
static int content_fetch(struct yaml_scanner *s, struct error *err)
{
	struct yaml_token *token;
	uint8_t c = *s->at;
	int r = key_save(s, err);

	s->simple_key_allowed = false;
	if (r < 0)
		return r;
	token = token_here(s, YAML_SCALAR_TEXT, err);
	if (!token)
		return -(int)err->code;
	token->key_level = (uint16_t)(1 + s->flow_level);
	if (c == '*' || c == '&') {
		token->type = c == '*' ? YAML_ALIAS_NAME : YAML_ANCHOR;
		return yaml_scan_anchor(s, token, err);
	}
	if (c == '!') {
		token->type = YAML_TAG;
		return yaml_scan_tag(s, token, err);
	}
	return c == '\'' || c == '"' ? yaml_scan_quoted(s, c == '\'', token, err)
				     : yaml_scan_plain(s, token, err);
}

static int block_scalar_fetch(struct yaml_scanner *s, struct error *err)
{
	struct yaml_token *token;

	if (key_remove(s, err) < 0)
		return -(int)err->code;
	s->simple_key_allowed = true;
	token = token_here(s, YAML_SCALAR_TEXT, err);
	return token ? yaml_scan_block(s, *s->at == '|', token, err) : -(int)err->code;
}

static bool plain_may_begin(const struct yaml_scanner *s)
{
	if (*s->at == '-')
		return !yaml_is_blank(s->at + 1);
	if (*s->at == '?' || *s->at == ':')
		return s->flow_level == 0 && !yaml_is_blankz(s->at + 1);
	switch (*s->at) {
	case '@':
	case '`':
	case '%':
	case '#':
	case '|':
	case '>':
		return false;
	default:
		return !yaml_is_blankz(s->at);
	}
}

static int token_fetch(struct yaml_scanner *s, struct error *err)
{
	const bool flow = s->flow_level > 0;

	switch (*s->at) {
	case '[':
	case '{':
		return flow_start_fetch(s, err);
	case ']':
	case '}':
	case ',':
		return flow_indicator_fetch(s, err);
	case '-':
	case '?':
		if ((flow && *s->at == '?') || yaml_is_blankz(s->at + 1))
			return block_indicator_fetch(s, err);
		break;
	case ':':
		if (flow || yaml_is_blankz(s->at + 1))
			return value_fetch(s, err);
		break;
	case '|':
	case '>':
		if (!flow)
			return block_scalar_fetch(s, err);
		break;
	default:
		break;
	}
	if (!plain_may_begin(s))
		return yaml_scanner_fail(
			s, *s->at == '\t' ? "tab in the indentation" : "unexpected character", err);
	return content_fetch(s, err);
}

/* Skips blanks, line breaks and comments. A tab is a blank where no block can begin. */
static int next_token_find(struct yaml_scanner *s, const struct yaml_mark *scan, struct error *err)
{
	for (;;) {
		const bool tabs = s->flow_level > 0 || !s->simple_key_allowed;
		uint8_t *at = s->at;
		size_t size;

		while (*at == ' ' || (tabs && *at == '\t'))
			at++;
		s->at = at;
		if (s->comment_count > s->comment_head)
			yaml_comment_after_dash(s);
		if (*s->at == '#' && yaml_comment_scan_block(s, *scan, err) < 0)
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
	const struct yaml_mark scan = yaml_scanner_mark(s);
	int64_t comment_token;
	int r = next_token_find(s, &scan, err);

	if (r == 0 && s->flow_level == 0 && s->indent > yaml_scanner_column(s))
		r = indents_pop(s, yaml_scanner_column(s), scan, err);
	if (r < 0)
		return r;
	if (at_stream_token(s))
		return stream_token_fetch(s, err);
	/* A comment after a colon, or after the comma in a flow, belongs to what came before. */
	comment_token = s->at - s->start;
	if (*s->at == (s->flow_level == 0 ? ':' : ','))
		comment_token = last_token(s)->mark.index;
	r = token_fetch(s, err);
	if (r == 0 && (*s->at == '#' || yaml_is_blank(s->at)) &&
	    last_token(s)->type != YAML_BLOCK_ENTRY)
		r = yaml_comment_scan_line(s, comment_token, err);
	return r;
}

int yaml_scanner_advance(struct yaml_scanner *s, struct error *err)
{
	struct yaml_simple_key *key =
		s->token_count - s->token_head > 2 ? yaml_scanner_key(s) : NULL;
	int r = key ? key_check(s, key, err) : 1;

	return r > 0 ? next_token_fetch(s, err) : r;
}

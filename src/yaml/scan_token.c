/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tokens that one or two characters tell apart.
 */
#include "yaml/scan.h"

static int fail_here(const struct yaml_scanner *s, const char *problem, struct error *err)
{
	return yaml_scanner_fail(s, yaml_scanner_mark(s), problem, err);
}

/* Everything that is open ends: no key may be waiting. */
static int blocks_end(struct yaml_scanner *s, struct error *err)
{
	int r = yaml_indents_pop(s, -1, yaml_scanner_mark(s), err);

	if (r == 0)
		r = yaml_key_remove(s, err);
	s->simple_key_allowed = false;
	return r;
}

static int fetch_stream_end(struct yaml_scanner *s, struct error *err)
{
	int r;

	if (yaml_scanner_column(s) != 0) {
		s->line_start = s->at;
		s->wide = 0;
		s->line++;
	}
	r = blocks_end(s, err);
	return r < 0 ? r : yaml_token_add(s, YAML_STREAM_END, yaml_scanner_mark(s), err);
}

static int fetch_directive(struct yaml_scanner *s, struct error *err)
{
	struct yaml_token token = {.mark = yaml_scanner_mark(s)};
	int r = blocks_end(s, err);

	if (r == 0)
		r = yaml_scan_directive(s, &token, err);
	return r < 0 ? r : yaml_token_insert(s, -1, token, err);
}

static int fetch_document_indicator(struct yaml_scanner *s, struct error *err)
{
	struct yaml_mark mark = yaml_scanner_mark(s);
	enum yaml_token_type type = *s->at == '-' ? YAML_DOCUMENT_START : YAML_DOCUMENT_END;
	int r = blocks_end(s, err);

	yaml_scanner_move(s, s->at + 3);
	return r < 0 ? r : yaml_token_add(s, type, mark, err);
}

static int fetch_flow_start(struct yaml_scanner *s, struct error *err)
{
	struct yaml_mark mark = yaml_scanner_mark(s);
	enum yaml_token_type type =
		*s->at == '[' ? YAML_FLOW_SEQUENCE_START : YAML_FLOW_MAPPING_START;
	int r = yaml_key_save(s, err);

	if (r == 0 && s->flow_level >= SOPS_DEPTH_MAX)
		return error_set(err, VMCRED_FAILED, "%s is nested more than %d levels deep",
				 s->what, SOPS_DEPTH_MAX);
	if (r == 0)
		r = yaml_array_grow(&s->keys, s->flow_level + 1, &s->key_capacity, sizeof(*s->keys),
				    err);
	if (r < 0)
		return r;
	s->flow_level++;
	*yaml_key_here(s) = (struct yaml_simple_key){.token_number = yaml_next_token_number(s)};
	s->simple_key_allowed = true;
	yaml_scanner_step(s);
	return yaml_token_add(s, type, mark, err);
}

static int fetch_flow_end(struct yaml_scanner *s, struct error *err)
{
	struct yaml_mark mark = yaml_scanner_mark(s);
	enum yaml_token_type type = *s->at == ']' ? YAML_FLOW_SEQUENCE_END : YAML_FLOW_MAPPING_END;
	int r = yaml_key_remove(s, err);

	if (s->flow_level > 0)
		s->flow_level--;
	s->simple_key_allowed = false;
	yaml_scanner_step(s);
	return r < 0 ? r : yaml_token_add(s, type, mark, err);
}

static int fetch_flow_entry(struct yaml_scanner *s, struct error *err)
{
	struct yaml_mark mark = yaml_scanner_mark(s);
	int r = yaml_key_remove(s, err);

	s->simple_key_allowed = true;
	yaml_scanner_step(s);
	return r < 0 ? r : yaml_token_add(s, YAML_FLOW_ENTRY, mark, err);
}

/* '-' or '?' */
static int fetch_block_indicator(struct yaml_scanner *s, enum yaml_token_type type,
				 enum yaml_token_type start, struct error *err)
{
	struct yaml_mark mark = yaml_scanner_mark(s);
	int r = 0;

	if (s->flow_level == 0) {
		if (!s->simple_key_allowed)
			return fail_here(s,
					 type == YAML_KEY ? "a key may not stand here"
							  : "an item of a list may not stand here",
					 err);
		r = yaml_indent_push(s, mark, -1, start, err);
	}
	if (r == 0)
		r = yaml_key_remove(s, err);
	s->simple_key_allowed = type == YAML_BLOCK_ENTRY || s->flow_level == 0;
	yaml_scanner_step(s);
	return r < 0 ? r : yaml_token_add(s, type, mark, err);
}

static int fetch_value(struct yaml_scanner *s, struct error *err)
{
	struct yaml_simple_key *key = yaml_key_here(s);
	struct yaml_mark mark = yaml_scanner_mark(s);
	int r = yaml_key_check(s, key, err);

	if (r > 0) {
		key->possible = false;
		s->simple_key_allowed = false;
		r = yaml_token_insert(s, (int64_t)(key->token_number - s->tokens_parsed),
				      (struct yaml_token){.type = YAML_KEY, .mark = key->mark},
				      err);
		if (r == 0)
			r = yaml_indent_push(s, key->mark, (int64_t)key->token_number,
					     YAML_BLOCK_MAPPING_START, err);
	} else if (r == 0) {
		if (s->flow_level == 0 && !s->simple_key_allowed)
			return fail_here(s, "a ':' may not stand here", err);
		r = yaml_indent_push(s, mark, -1, YAML_BLOCK_MAPPING_START, err);
		s->simple_key_allowed = s->flow_level == 0;
	}
	yaml_scanner_step(s);
	return r < 0 ? r : yaml_token_add(s, YAML_VALUE, mark, err);
}

/* What a node may begin with, so that it may be a key. */
static int fetch_content(struct yaml_scanner *s, struct error *err)
{
	struct yaml_token token = {.type = YAML_SCALAR_TEXT, .mark = yaml_scanner_mark(s)};
	uint8_t c = *s->at;
	int r = yaml_key_save(s, err);

	s->simple_key_allowed = false;
	if (r < 0)
		return r;
	switch (c) {
	case '*':
	case '&':
		token.type = c == '*' ? YAML_ALIAS_NAME : YAML_ANCHOR;
		r = yaml_scan_anchor(s, &token, err);
		break;
	case '!':
		token.type = YAML_TAG;
		r = yaml_scan_tag(s, &token, err);
		break;
	case '\'':
	case '"':
		r = yaml_scan_quoted(s, c == '\'', &token, err);
		break;
	default:
		r = yaml_scan_plain(s, &token, err);
		break;
	}
	return r < 0 ? r : yaml_token_insert(s, -1, token, err);
}

static int fetch_block_scalar(struct yaml_scanner *s, struct error *err)
{
	struct yaml_token token = {.type = YAML_SCALAR_TEXT, .mark = yaml_scanner_mark(s)};
	int r = yaml_key_remove(s, err);

	s->simple_key_allowed = true;
	if (r == 0)
		r = yaml_scan_block(s, *s->at == '|', &token, err);
	return r < 0 ? r : yaml_token_insert(s, -1, token, err);
}

static bool plain_may_begin(const struct yaml_scanner *s)
{
	switch (*s->at) {
	case '-':
		return !yaml_is_blank(s->at + 1);
	case '?':
	case ':':
		return s->flow_level == 0 && !yaml_is_blankz(s->at + 1);
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

int yaml_token_fetch(struct yaml_scanner *s, struct error *err)
{
	bool flow = s->flow_level > 0, alone = flow || yaml_is_blankz(s->at + 1);

	switch (*s->at) {
	case '[':
	case '{':
		return fetch_flow_start(s, err);
	case ']':
	case '}':
		return fetch_flow_end(s, err);
	case ',':
		return fetch_flow_entry(s, err);
	case '-':
		if (yaml_is_blankz(s->at + 1))
			return fetch_block_indicator(s, YAML_BLOCK_ENTRY, YAML_BLOCK_SEQUENCE_START,
						     err);
		break;
	case '?':
		if (alone)
			return fetch_block_indicator(s, YAML_KEY, YAML_BLOCK_MAPPING_START, err);
		break;
	case ':':
		if (alone)
			return fetch_value(s, err);
		break;
	case '|':
	case '>':
		if (!flow)
			return fetch_block_scalar(s, err);
		break;
	default:
		break;
	}
	if (!plain_may_begin(s))
		return fail_here(s, "a character that nothing can begin with", err);
	return fetch_content(s, err);
}

bool yaml_token_is_of_stream(const struct yaml_scanner *s)
{
	return *s->at == 0 || (yaml_scanner_column(s) == 0 &&
			       (*s->at == '%' || yaml_is_document_indicator(s->at, '-') ||
				yaml_is_document_indicator(s->at, '.')));
}

int yaml_token_fetch_of_stream(struct yaml_scanner *s, struct error *err)
{
	if (*s->at == 0)
		return fetch_stream_end(s, err);
	return *s->at == '%' ? fetch_directive(s, err) : fetch_document_indicator(s, err);
}

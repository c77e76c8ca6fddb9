/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The grammar of YAML 1.1, as a machine with its own stack: a document may be nested deeper than a
 * thread's stack allows. build.c makes the nodes.
 */
#include "yaml/parse.h"

#include <stdlib.h>

/* What is expected next. */
enum state {
	IMPLICIT_DOCUMENT_START,
	DOCUMENT_START,
	DOCUMENT_CONTENT,
	DOCUMENT_END,
	BLOCK_NODE,
	BLOCK_SEQUENCE,
	INDENTLESS_SEQUENCE,
	BLOCK_MAPPING_KEY,
	BLOCK_MAPPING_VALUE,
	FLOW_SEQUENCE_FIRST,
	FLOW_SEQUENCE,
	FLOW_PAIR_KEY,
	FLOW_PAIR_VALUE,
	FLOW_PAIR_END,
	FLOW_MAPPING_FIRST_KEY,
	FLOW_MAPPING_KEY,
	FLOW_MAPPING_VALUE,
	FLOW_MAPPING_EMPTY_VALUE,
	STREAM_ENDED,
};

struct machine {
	struct yaml_builder *builder;
	struct yaml_token *token; /* the current one */
	enum state state;
	uint8_t *states; /* owned; the states to return to */
	size_t count, capacity;
};

static inline int peek(struct machine *m, struct error *err)
{
	struct yaml_scanner *s = &m->builder->scanner;
	int r = yaml_scanner_peek(s, &m->token, err);

	return r < 0 || s->comment_head == s->comment_count
		       ? r
		       : yaml_builder_comments_gather(m->builder, m->token, err);
}

static inline int skip_peek(struct machine *m, struct error *err)
{
	yaml_scanner_skip(&m->builder->scanner);
	return peek(m, err);
}

static inline int push(struct machine *m, enum state state, struct error *err)
{
	int r = array_grow(&m->states, m->count, &m->capacity, sizeof(*m->states), err);

	if (r == 0)
		m->states[m->count++] = (uint8_t)state;
	return r;
}

static void pop(struct machine *m)
{
	m->state = (enum state)m->states[--m->count];
}

static int fail(struct machine *m, const char *problem, struct error *err)
{
	return yaml_fail(m->builder->yaml, m->token->mark.line + 1, problem, err);
}

/* A bit for each type of token, for sets of them. */
#define BIT(type) (1U << (type))

static bool token_is(const struct machine *m, unsigned int types)
{
	return (BIT(m->token->type) & types) != 0;
}

static int empty_scalar(struct machine *m, struct error *err)
{
	struct yaml_properties none = {.line = m->token->mark.line};

	return yaml_builder_empty(m->builder, &none, err);
}

/* Anchor and tag, in any order. */
static int properties_parse(struct machine *m, struct yaml_properties *properties,
			    struct error *err)
{
	bool anchored = false, tagged = false;

	properties->line = m->token->mark.line;
	for (;;) {
		int r = 0;

		if (m->token->type == YAML_ANCHOR && !anchored) {
			anchored = true;
			properties->anchor = m->token->value;
		} else if (m->token->type == YAML_TAG && !tagged) {
			tagged = true;
			r = yaml_builder_tag(m->builder, m->token, properties, err);
		} else {
			return 0;
		}
		if (r == 0)
			r = skip_peek(m, err);
		if (r < 0)
			return r;
	}
}

/* A collection, and then `after`. */
static int collection_start(struct machine *m, const struct yaml_properties *properties,
			    enum yaml_kind kind, bool flow, enum state state, enum state after,
			    struct error *err)
{
	int r = push(m, after, err);

	/* An indentless sequence has no token that opens it. */
	if (state != INDENTLESS_SEQUENCE)
		yaml_scanner_skip(&m->builder->scanner);
	m->state = state;
	return r < 0 ? r : yaml_builder_start(m->builder, kind, flow, properties, err);
}

/* A node, and then `after`. */
static int node_parse(struct machine *m, enum state after, bool block, bool indentless,
		      struct error *err)
{
	struct yaml_properties properties = {0};
	int r;

	if (m->token->type == YAML_ALIAS_NAME) {
		r = yaml_builder_alias(m->builder, m->token, err);
		m->state = after;
		yaml_scanner_skip(&m->builder->scanner);
		return r;
	}
	r = properties_parse(m, &properties, err);
	if (r < 0)
		return r;
	if (indentless && m->token->type == YAML_BLOCK_ENTRY) {
		properties.no_comments = true;
		return collection_start(m, &properties, YAML_SEQUENCE, false, INDENTLESS_SEQUENCE,
					after, err);
	}
	switch (m->token->type) {
	case YAML_SCALAR_TEXT:
		r = yaml_builder_scalar(m->builder, m->token, &properties, err);
		m->state = after;
		yaml_scanner_skip(&m->builder->scanner);
		return r;
	case YAML_FLOW_SEQUENCE_START:
		return collection_start(m, &properties, YAML_SEQUENCE, true, FLOW_SEQUENCE_FIRST,
					after, err);
	case YAML_FLOW_MAPPING_START:
		return collection_start(m, &properties, YAML_MAPPING, true, FLOW_MAPPING_FIRST_KEY,
					after, err);
	case YAML_BLOCK_SEQUENCE_START:
		if (block)
			return collection_start(m, &properties, YAML_SEQUENCE, false,
						BLOCK_SEQUENCE, after, err);
		break;
	case YAML_BLOCK_MAPPING_START:
		if (block)
			return collection_start(m, &properties, YAML_MAPPING, false,
						BLOCK_MAPPING_KEY, after, err);
		break;
	default:
		break;
	}
	if (properties.anchor.size == 0 && !properties.tagged)
		return fail(m, "missing or unexpected value", err);
	m->state = after;
	return yaml_builder_empty(m->builder, &properties, err);
}

/* A node; an empty scalar if one of these tokens follows. */
static int node_unless(struct machine *m, unsigned int types, enum state after, bool block,
		       bool indentless, struct error *err)
{
	if (!token_is(m, types))
		return node_parse(m, after, block, indentless, err);
	m->state = after;
	return empty_scalar(m, err);
}

static int collection_end(struct machine *m, bool comments, struct error *err)
{
	int r = yaml_builder_end(m->builder, comments, err);

	pop(m);
	return r;
}

static int document_start(struct machine *m, bool implicit, struct error *err)
{
	static const unsigned int explicit_types =
		BIT(YAML_VERSION_DIRECTIVE) | BIT(YAML_TAG_DIRECTIVE) | BIT(YAML_DOCUMENT_START);
	bool versioned = false;
	int r = 0;

	while (r == 0 && !implicit && m->token->type == YAML_DOCUMENT_END)
		r = skip_peek(m, err);
	if (r < 0)
		return r;
	if (m->token->type == YAML_STREAM_END) {
		m->state = STREAM_ENDED;
		return 0;
	}
	if (implicit && !token_is(m, explicit_types)) {
		m->state = BLOCK_NODE;
		return yaml_builder_document_start(m->builder, m->token, true, err);
	}
	while (r == 0 && token_is(m, BIT(YAML_VERSION_DIRECTIVE) | BIT(YAML_TAG_DIRECTIVE))) {
		if (m->token->type == YAML_TAG_DIRECTIVE)
			r = yaml_builder_directive(m->builder, m->token, err);
		else if (versioned)
			r = fail(m, "duplicate %YAML directive", err);
		else
			versioned = true;
		if (r == 0)
			r = skip_peek(m, err);
	}
	if (r == 0 && m->token->type != YAML_DOCUMENT_START)
		r = fail(m, "missing --- before a document", err);
	if (r == 0)
		r = yaml_builder_document_start(m->builder, m->token, false, err);
	m->state = DOCUMENT_CONTENT;
	yaml_scanner_skip(&m->builder->scanner);
	return r;
}

static int document_content(struct machine *m, struct error *err)
{
	return node_unless(m,
			   BIT(YAML_VERSION_DIRECTIVE) | BIT(YAML_TAG_DIRECTIVE) |
				   BIT(YAML_DOCUMENT_START) | BIT(YAML_DOCUMENT_END) |
				   BIT(YAML_STREAM_END),
			   DOCUMENT_END, true, false, err);
}

static int document_end(struct machine *m, struct error *err)
{
	if (m->token->type == YAML_DOCUMENT_END)
		yaml_scanner_skip(&m->builder->scanner);
	m->state = DOCUMENT_START;
	return yaml_builder_document_end(m->builder, err);
}

static int block_sequence(struct machine *m, bool indentless, struct error *err)
{
	unsigned int ends = BIT(YAML_BLOCK_ENTRY) | BIT(YAML_BLOCK_END);
	int r;

	if (indentless)
		ends |= BIT(YAML_KEY) | BIT(YAML_VALUE);
	if (m->token->type == YAML_BLOCK_ENTRY) {
		size_t head = m->builder->head.text.size;

		r = skip_peek(m, err);
		if (r == 0)
			r = yaml_builder_stem_split(m->builder, m->token, head, err);
		return r < 0 ? r
			     : node_unless(m, ends,
					   indentless ? INDENTLESS_SEQUENCE : BLOCK_SEQUENCE, true,
					   false, err);
	}
	if (indentless)
		return collection_end(m, false, err);
	if (m->token->type != YAML_BLOCK_END)
		return fail(m, "missing '-' before a list item", err);
	r = collection_end(m, false, err);
	yaml_scanner_skip(&m->builder->scanner);
	return r;
}

#define BLOCK_KEY_ENDS (BIT(YAML_KEY) | BIT(YAML_VALUE) | BIT(YAML_BLOCK_END))

static int block_mapping_key(struct machine *m, struct error *err)
{
	int r;

	if (m->token->type == YAML_KEY) {
		r = skip_peek(m, err);
		return r < 0 ? r
			     : node_unless(m, BLOCK_KEY_ENDS, BLOCK_MAPPING_VALUE, true, true, err);
	}
	if (m->token->type != YAML_BLOCK_END)
		return fail(m, "missing key or wrong indentation", err);
	r = collection_end(m, true, err);
	yaml_scanner_skip(&m->builder->scanner);
	return r;
}

/* `ends`: the tokens that show that no value follows the colon. */
static int value_parse(struct machine *m, unsigned int ends, enum state after, bool block,
		       struct error *err)
{
	int r;

	if (m->token->type != YAML_VALUE) {
		m->state = after;
		return empty_scalar(m, err);
	}
	r = skip_peek(m, err);
	return r < 0 ? r : node_unless(m, ends, after, block, block, err);
}

/* The comma between two entries of a flow. */
static int flow_entry(struct machine *m, bool first, enum yaml_token_type end, struct error *err)
{
	if (first || m->token->type == end)
		return 0;
	if (m->token->type != YAML_FLOW_ENTRY)
		return fail(m, "missing ',' or closing bracket", err);
	return skip_peek(m, err);
}

static int flow_sequence(struct machine *m, bool first, struct error *err)
{
	int r = flow_entry(m, first, YAML_FLOW_SEQUENCE_END, err);

	if (r < 0)
		return r;
	if (m->token->type == YAML_KEY) {
		struct yaml_properties none = {.line = m->token->mark.line, .no_comments = true};

		return collection_start(m, &none, YAML_MAPPING, true, FLOW_PAIR_KEY, FLOW_SEQUENCE,
					err);
	}
	if (m->token->type != YAML_FLOW_SEQUENCE_END)
		return node_parse(m, FLOW_SEQUENCE, false, false, err);
	r = collection_end(m, true, err);
	yaml_scanner_skip(&m->builder->scanner);
	return r;
}

#define FLOW_SEQUENCE_ENDS (BIT(YAML_FLOW_ENTRY) | BIT(YAML_FLOW_SEQUENCE_END))
#define FLOW_MAPPING_ENDS  (BIT(YAML_FLOW_ENTRY) | BIT(YAML_FLOW_MAPPING_END))

static int flow_pair_key(struct machine *m, struct error *err)
{
	if (!token_is(m, FLOW_SEQUENCE_ENDS | BIT(YAML_VALUE)))
		return node_parse(m, FLOW_PAIR_VALUE, false, false, err);
	/* No key; go-yaml skips what follows. */
	yaml_scanner_skip(&m->builder->scanner);
	m->state = FLOW_PAIR_VALUE;
	return empty_scalar(m, err);
}

static int flow_mapping_key(struct machine *m, bool first, struct error *err)
{
	int r = flow_entry(m, first, YAML_FLOW_MAPPING_END, err);

	if (r < 0)
		return r;
	if (m->token->type == YAML_KEY) {
		r = skip_peek(m, err);
		return r < 0 ? r
			     : node_unless(m, FLOW_MAPPING_ENDS | BIT(YAML_VALUE),
					   FLOW_MAPPING_VALUE, false, false, err);
	}
	if (m->token->type != YAML_FLOW_MAPPING_END)
		return node_parse(m, FLOW_MAPPING_EMPTY_VALUE, false, false, err);
	r = collection_end(m, true, err);
	yaml_scanner_skip(&m->builder->scanner);
	return r;
}

/* One step, which depends on the current token. */
static int step(struct machine *m, struct error *err)
{
	switch (m->state) {
	case IMPLICIT_DOCUMENT_START:
	case DOCUMENT_START:
		return document_start(m, m->state == IMPLICIT_DOCUMENT_START, err);
	case DOCUMENT_CONTENT:
		return document_content(m, err);
	case DOCUMENT_END:
		return document_end(m, err);
	case BLOCK_NODE:
		return node_parse(m, DOCUMENT_END, true, false, err);
	case BLOCK_SEQUENCE:
		return block_sequence(m, false, err);
	case INDENTLESS_SEQUENCE:
		return block_sequence(m, true, err);
	case BLOCK_MAPPING_KEY:
		return block_mapping_key(m, err);
	case BLOCK_MAPPING_VALUE:
		return value_parse(m, BLOCK_KEY_ENDS, BLOCK_MAPPING_KEY, true, err);
	case FLOW_SEQUENCE_FIRST:
	case FLOW_SEQUENCE:
		return flow_sequence(m, m->state == FLOW_SEQUENCE_FIRST, err);
	case FLOW_PAIR_KEY:
		return flow_pair_key(m, err);
	case FLOW_PAIR_VALUE:
		return value_parse(m, FLOW_SEQUENCE_ENDS, FLOW_PAIR_END, false, err);
	case FLOW_PAIR_END:
		return collection_end(m, false, err);
	case FLOW_MAPPING_FIRST_KEY:
	case FLOW_MAPPING_KEY:
		return flow_mapping_key(m, m->state == FLOW_MAPPING_FIRST_KEY, err);
	case FLOW_MAPPING_VALUE:
		return value_parse(m, FLOW_MAPPING_ENDS, FLOW_MAPPING_KEY, false, err);
	case FLOW_MAPPING_EMPTY_VALUE:
		m->state = FLOW_MAPPING_KEY;
		return empty_scalar(m, err);
	case STREAM_ENDED:
		break;
	}
	return 0;
}

static int nodes_read(struct yaml *yaml, struct secret *text, struct error *err)
{
	__attribute__((cleanup(yaml_builder_destroy))) struct yaml_builder builder = {.yaml = yaml};
	struct machine m = {.builder = &builder, .state = IMPLICIT_DOCUMENT_START};
	bool ascii = false;
	int r = yaml_text_prepare(text, yaml, &ascii, err);

	yaml->text_size = text->size;
	if (r == 0)
		r = yaml_scanner_begin(&builder.scanner, text, ascii, yaml, err);
	if (r == 0)
		r = arena_adopt(&yaml->texts, text, err);
	if (r == 0)
		r = peek(&m, err);
	/* The start of the stream. */
	if (r == 0)
		yaml_scanner_skip(&builder.scanner);
	while (r == 0 && m.state != STREAM_ENDED) {
		r = peek(&m, err);
		if (r == 0)
			r = step(&m, err);
	}
	free(m.states);
	return r;
}

int yaml_read(struct yaml *yaml, struct secret *text, struct error *err)
{
	int r = nodes_read(yaml, text, err);

	secret_destroy(text);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text to tokens and comments. Scalars are decoded in place: each is a span of the text.
 *
 * YAML needs lookahead: that `a` is a key shows at the colon after it, and that a block ended, or
 * that a comment belongs to what came before it, shows only at what follows. So tokens wait in a
 * queue, at least two of them after the current one, and comments in another queue, each with the
 * position of the token that it belongs to. Where a comment goes is what go-yaml 3 does, which is
 * not specified; the real sops is the reference.
 */
#ifndef VMCRED_YAML_SCAN_H
#define VMCRED_YAML_SCAN_H

#include "yaml/text.h"
#include "yaml/yaml.h"

/* A position in the text, from 0. Columns count characters. */
struct yaml_mark {
	int64_t index, line, column;
};

enum yaml_token_type {
	YAML_STREAM_START,
	YAML_STREAM_END,
	YAML_VERSION_DIRECTIVE,
	YAML_TAG_DIRECTIVE, /* value: the handle, suffix: its prefix */
	YAML_DOCUMENT_START,
	YAML_DOCUMENT_END,
	YAML_BLOCK_SEQUENCE_START,
	YAML_BLOCK_MAPPING_START,
	YAML_BLOCK_END,
	YAML_FLOW_SEQUENCE_START,
	YAML_FLOW_SEQUENCE_END,
	YAML_FLOW_MAPPING_START,
	YAML_FLOW_MAPPING_END,
	YAML_BLOCK_ENTRY,
	YAML_FLOW_ENTRY,
	YAML_KEY,
	YAML_VALUE,
	YAML_ALIAS_NAME,
	YAML_ANCHOR,
	YAML_TAG, /* value: the handle or nothing, suffix: the rest */
	YAML_SCALAR_TEXT,
};

struct yaml_token {
	enum yaml_token_type type;
	bool quoted; /* a scalar in quotes or in a block */
	/* 1 + the level of flows on which a key may begin with it, 0: with this type it cannot */
	uint16_t key_level;
	struct yaml_mark mark;
	struct span value, suffix;
};

/* A comment of one or more lines, in one of the three texts. Lines are separated by '\n'; an empty
 * line in between adds one. */
struct yaml_comment {
	int64_t scan, token, end;
	struct yaml_mark start;
	struct span head, line, foot;
};

/* Lines of comments that are being joined: a single piece is a span of the text, several are
 * copied to secret memory. Starts as {0}. */
struct yaml_gathered {
	struct span text;
	struct secret joined;
};

int yaml_gathered_add(struct yaml_gathered *gathered, struct span text, struct error *err);
/* Takes the first `size` bytes and drops the `skip` bytes after them. */
int yaml_gathered_take(struct yaml_gathered *gathered, size_t size, size_t skip,
		       struct arena *texts, struct span *text, struct error *err);

/* Where a key may begin, if a colon follows. */
struct yaml_simple_key {
	bool possible, required;
	size_t token_number;
	struct yaml_mark mark;
};

struct yaml_scanner {
	struct yaml *yaml; /* for errors, and owns the texts */
	uint8_t *at;
	const uint8_t *start, *end, *line_start;
	size_t wide; /* bytes of this line, up to `at`, that continue a character */
	bool ascii;
	int64_t line;
	int64_t newlines; /* line breaks since the last character that is not blank */

	int64_t indent;
	int64_t *indents; /* owned; of the blocks around this one */
	size_t indent_count, indent_capacity;
	size_t flow_level;
	bool simple_key_allowed;
	struct yaml_simple_key *keys; /* owned; one for the block, and one for each flow level */
	size_t key_capacity;

	struct yaml_token *tokens; /* owned; from `token_head` on they wait */
	size_t token_head, token_count, token_capacity;
	size_t tokens_parsed;

	struct yaml_comment *comments; /* owned; from `comment_head` on they wait */
	size_t comment_head, comment_count, comment_capacity;
	size_t comment_steps;
	struct yaml_gathered gathered; /* the lines of one comment */
};

/* `text` is prepared by yaml_text_prepare(). */
int yaml_scanner_begin(struct yaml_scanner *scanner, struct secret *text, bool ascii,
		       struct yaml *yaml, struct error *err);
void yaml_scanner_destroy(struct yaml_scanner *scanner);

/* The possible key that begins with the next token, or NULL. */
static inline struct yaml_simple_key *yaml_scanner_key(const struct yaml_scanner *s)
{
	const size_t level = s->tokens[s->token_head].key_level;
	struct yaml_simple_key *key = level > 0 ? &s->keys[level - 1] : NULL;

	return key && key->possible && key->token_number == s->tokens_parsed ? key : NULL;
}

/* Reads a token, or finds out that the next one is not a key. */
int yaml_scanner_advance(struct yaml_scanner *scanner, struct error *err);

/* The next token, valid until it is skipped. All comments that belong to it or to what came before
 * it are in the queue then. */
static inline int yaml_scanner_peek(struct yaml_scanner *s, struct yaml_token **token,
				    struct error *err)
{
	int r = 0;

	while (r == 0 && (s->token_count - s->token_head <= 2 || yaml_scanner_key(s)))
		r = yaml_scanner_advance(s, err);
	*token = s->tokens + s->token_head;
	return r;
}

static inline void yaml_scanner_skip(struct yaml_scanner *scanner)
{
	scanner->tokens_parsed++;
	scanner->token_head++;
}

/* Sets an error with the line of the scanner's position. */
int yaml_scanner_fail(const struct yaml_scanner *scanner, const char *problem, struct error *err);

/* The rest is for the scanner's own files. */

static inline int64_t yaml_scanner_column(const struct yaml_scanner *s)
{
	return s->at - s->line_start - (int64_t)s->wide;
}

static inline void yaml_scanner_mark_set(const struct yaml_scanner *s, struct yaml_mark *mark)
{
	mark->index = s->at - s->start;
	mark->line = s->line;
	mark->column = yaml_scanner_column(s);
}

static inline struct yaml_mark yaml_scanner_mark(const struct yaml_scanner *s)
{
	return (struct yaml_mark){s->at - s->start, s->line, yaml_scanner_column(s)};
}

/* Moves forward within the line over text whose first character is not blank. */
static inline void yaml_scanner_move(struct yaml_scanner *s, const uint8_t *to)
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

/* Moves over one ASCII character that is not blank. */
static inline void yaml_scanner_step(struct yaml_scanner *s)
{
	s->at++;
	s->newlines = 0;
}

static inline void yaml_scanner_blanks(struct yaml_scanner *s)
{
	while (yaml_is_blank(s->at))
		s->at++;
}

/* Moves over a line break of that size; 0: there is none. */
static inline void yaml_scanner_break(struct yaml_scanner *s, size_t size)
{
	if (size == 0)
		return;
	s->at += size;
	s->line_start = s->at;
	s->wide = 0;
	s->line++;
	s->newlines++;
}

/* comments.c */
int yaml_comment_scan_line(struct yaml_scanner *s, int64_t token, struct error *err);
int yaml_comment_scan_block(struct yaml_scanner *s, struct yaml_mark scan, struct error *err);
/* A comment after `- ` is the head of what follows on the next line, if anything does. */
void yaml_comment_after_dash(struct yaml_scanner *s);
/* Where the block that ends now ended: before comments at its parent's indentation. */
int yaml_comment_block_end(struct yaml_scanner *s, struct yaml_mark *end, struct error *err);

/* Each fills the token: scan_scalar.c, scan_block.c, scan_property.c */
int yaml_scan_plain(struct yaml_scanner *s, struct yaml_token *token, struct error *err);
int yaml_scan_quoted(struct yaml_scanner *s, bool single, struct yaml_token *token,
		     struct error *err);
int yaml_scan_block(struct yaml_scanner *s, bool literal, struct yaml_token *token,
		    struct error *err);
int yaml_scan_anchor(struct yaml_scanner *s, struct yaml_token *token, struct error *err);
int yaml_scan_tag(struct yaml_scanner *s, struct yaml_token *token, struct error *err);
int yaml_scan_directive(struct yaml_scanner *s, struct yaml_token *token, struct error *err);

#endif

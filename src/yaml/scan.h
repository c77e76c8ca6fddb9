/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML text to tokens and comments. The text is read once; a scalar of one line is a span of it,
 * what has to be decoded is decoded where it stands.
 *
 * YAML cannot be taken apart without looking ahead: that `a` is a key shows at the colon behind it,
 * and that a block ended, or that a comment belongs to what stood before it, shows only at what
 * follows. So tokens wait in a queue, at least two of them behind the one that is given out, and
 * comments in another one, each with the place of the token that it belongs to. Where a comment
 * ends up is what go-yaml 3 does, which no specification tells; the real sops is the judge.
 */
#ifndef VMCRED_YAML_SCAN_H
#define VMCRED_YAML_SCAN_H

#include "sops/tree.h"
#include "yaml/text.h"

/* A place in the text. Columns count characters. */
struct yaml_mark {
	int64_t index, line, column;
};

enum yaml_token_type {
	YAML_STREAM_START,
	YAML_STREAM_END,
	YAML_VERSION_DIRECTIVE,
	YAML_TAG_DIRECTIVE, /* value: the handle, suffix: the prefix that it stands for */
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
	YAML_TAG, /* value: the handle or nothing, suffix: what follows it */
	YAML_SCALAR_TEXT,
};

struct yaml_token {
	enum yaml_token_type type;
	bool quoted; /* a scalar in quotes or in a block */
	struct yaml_mark mark;
	struct span value, suffix;
};

/* A comment of one or more lines; one of the three texts is there. Lines are joined by '\n', and an
 * empty line in between is one more. */
struct yaml_comment {
	int64_t scan, token, end;
	struct yaml_mark start;
	struct span head, line, foot;
};

/* Lines of comments that are being put together: one piece stays where it is, several are joined in
 * secret memory. Starts as {0}. */
struct yaml_gathered {
	struct span text;
	struct secret joined;
};

int yaml_gathered_add(struct yaml_gathered *gathered, struct span text, struct error *err);
/* Takes the first `size` bytes out and drops `skip` behind them; what was joined is copied. */
int yaml_gathered_take(struct yaml_gathered *gathered, size_t size, size_t skip,
		       struct sops_tree *tree, struct span *text, struct error *err);

/* Where a key may have begun that nothing but the colon behind it will tell. */
struct yaml_simple_key {
	bool possible, required;
	size_t token_number;
	struct yaml_mark mark;
};

/* Starts with yaml_scanner_begin(). */
struct yaml_scanner {
	const char *what;
	struct sops_tree *tree; /* owns texts that do not fit where they stand */
	uint8_t *at;
	const uint8_t *start, *end, *line_start;
	size_t wide; /* bytes of this line, up to `at`, that continue a character */
	bool ascii;
	int64_t line;
	int64_t newlines; /* line breaks since the last character that was no blank */

	int64_t indent;
	int64_t *indents; /* owned; those of the blocks around this one */
	size_t indent_count, indent_capacity;
	size_t flow_level;
	bool simple_key_allowed;
	struct yaml_simple_key *keys; /* owned; one for the block, and one for each flow level */
	size_t key_capacity;

	struct yaml_token *tokens; /* owned; from `token_head` on they wait */
	size_t token_head, token_count, token_capacity;
	size_t tokens_parsed;
	bool started, available;

	struct yaml_comment *comments; /* owned; from `comment_head` on they wait */
	size_t comment_head, comment_count, comment_capacity;
	size_t comment_steps;
	struct yaml_gathered gathered; /* the lines of one comment */
};

/* The text was prepared by yaml_text_prepare(). */
int yaml_scanner_begin(struct yaml_scanner *scanner, struct secret *text, bool ascii,
		       const char *what, struct sops_tree *tree, struct error *err);
void yaml_scanner_destroy(struct yaml_scanner *scanner);

/* The next token; it stays valid until it is skipped. All comments that belong to it or to what
 * stood before it wait in the queue then. */
int yaml_scanner_peek(struct yaml_scanner *scanner, struct yaml_token **token, struct error *err);
void yaml_scanner_skip(struct yaml_scanner *scanner);

/* Sets the error: what is wrong, and the line where `mark` is. */
int yaml_scanner_fail(const struct yaml_scanner *scanner, struct yaml_mark mark,
		      const char *problem, struct error *err);

/* For the scanner's own files. */

static inline struct yaml_mark yaml_scanner_mark(const struct yaml_scanner *s)
{
	return (struct yaml_mark){
		.index = s->at - s->start,
		.line = s->line,
		.column = s->at - s->line_start - (int64_t)s->wide,
	};
}

static inline int64_t yaml_scanner_column(const struct yaml_scanner *s)
{
	return s->at - s->line_start - (int64_t)s->wide;
}

/* Moves on, within the line, over text that begins with a character that is no blank. */
void yaml_scanner_move(struct yaml_scanner *s, const uint8_t *to);

/* Moves on over one ASCII character that is no blank. */
static inline void yaml_scanner_step(struct yaml_scanner *s)
{
	s->at++;
	s->newlines = 0;
}

/* Moves on over a line break. */
static inline void yaml_scanner_break(struct yaml_scanner *s, size_t size)
{
	s->at += size;
	s->line_start = s->at;
	s->wide = 0;
	s->line++;
	s->newlines++;
}

/* yaml_scan.c: the queue; a place in it counts from its head, -1 is its end. */
int yaml_token_insert(struct yaml_scanner *s, int64_t place, struct yaml_token token,
		      struct error *err);
int yaml_token_add(struct yaml_scanner *s, enum yaml_token_type type, struct yaml_mark mark,
		   struct error *err);
size_t yaml_next_token_number(const struct yaml_scanner *s);

/* yaml_scan.c: the place where a key may have begun, on this level of flows. */
struct yaml_simple_key *yaml_key_here(struct yaml_scanner *s);
int yaml_key_save(struct yaml_scanner *s, struct error *err);
int yaml_key_remove(struct yaml_scanner *s, struct error *err);
/* Whether it may still turn out to be a key's: its line has not ended. Returns 1 or 0. */
int yaml_key_check(struct yaml_scanner *s, struct yaml_simple_key *key, struct error *err);

/* yaml_scan.c: a deeper block begins at a column; its token goes before the one with that number,
 * or to the end (-1). Blocks deeper than a column end. */
int yaml_indent_push(struct yaml_scanner *s, struct yaml_mark mark, int64_t number,
		     enum yaml_token_type type, struct error *err);
int yaml_indents_pop(struct yaml_scanner *s, int64_t column, struct yaml_mark scan,
		     struct error *err);

/* yaml_scan_token.c: what begins or ends a document; everything else. */
bool yaml_token_is_of_stream(const struct yaml_scanner *s);
int yaml_token_fetch_of_stream(struct yaml_scanner *s, struct error *err);
int yaml_token_fetch(struct yaml_scanner *s, struct error *err);

/* yaml_comments.c */
int yaml_comment_scan_line(struct yaml_scanner *s, int64_t token, struct error *err);
int yaml_comment_scan_block(struct yaml_scanner *s, struct yaml_mark scan, struct error *err);
/* The comment behind `- ` is the head of what follows on the next line, if anything does. */
void yaml_comment_behind_dash(struct yaml_scanner *s);
/* Where the block that ends now ended: before comments that stand at its parent's indentation. */
int yaml_comment_block_end(struct yaml_scanner *s, struct yaml_mark *end, struct error *err);

/* yaml_scan_scalar.c: each fills the token. */
int yaml_scan_plain(struct yaml_scanner *s, struct yaml_token *token, struct error *err);
int yaml_scan_quoted(struct yaml_scanner *s, bool single, struct yaml_token *token,
		     struct error *err);
/* yaml_scan_block.c */
int yaml_scan_block(struct yaml_scanner *s, bool literal, struct yaml_token *token,
		    struct error *err);

/* yaml_scan_property.c: each fills the token. */
int yaml_scan_anchor(struct yaml_scanner *s, struct yaml_token *token, struct error *err);
int yaml_scan_tag(struct yaml_scanner *s, struct yaml_token *token, struct error *err);
int yaml_scan_directive(struct yaml_scanner *s, struct yaml_token *token, struct error *err);

#endif

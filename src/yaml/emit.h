/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing YAML as go-yaml 3 does. Where white space and comments go depends on what was written
 * before, so the emitter remembers a little: the column, whether the line has anything but
 * indentation and dashes on it, whether the last character was white space, and comments that were
 * announced and not written yet.
 */
#ifndef VMCRED_YAML_EMIT_H
#define VMCRED_YAML_EMIT_H

#include "yaml/yaml.h"

/* How sops indents where nobody says otherwise. */
#define YAML_INDENT_DEFAULT 4

struct yaml_emitter {
	struct secret *out;
	struct error *err;
	int failed; /* the first error's code; nothing is written after it */
	size_t best_indent;
	int64_t indent;      /* -1 outside of everything */
	int64_t foot_indent; /* an empty line goes before what is written there next; -1: none */
	int64_t column;
	bool whitespace, indention;
	/* Comments, each line with its '#'. */
	struct secret head, line, foot, tail, key_line;
};

void yaml_emitter_begin(struct yaml_emitter *emitter, size_t indent, struct secret *out,
			struct error *err);
void yaml_emitter_destroy(struct yaml_emitter *emitter);

void yaml_emit_bytes(struct yaml_emitter *e, struct span bytes);
void yaml_emit_break(struct yaml_emitter *e);
/* Goes to a new line, unless this one is still empty, and indents it. */
void yaml_emit_indent(struct yaml_emitter *e);

struct yaml_indicator {
	const char *text;
	bool need_whitespace, is_whitespace, is_indention;
};
void yaml_emit_indicator(struct yaml_emitter *e, struct yaml_indicator indicator);

/* Adds a line to a comment that is announced. */
void yaml_emit_comment_add(struct yaml_emitter *e, struct secret *comment, struct span text);

/* Write comments that are announced: tail and head; behind what is on the line; foot. */
void yaml_emit_head(struct yaml_emitter *e);
void yaml_emit_line_comment(struct yaml_emitter *e);
void yaml_emit_foot(struct yaml_emitter *e);
/* Behind the indicator of a block scalar: ends the line in any case. */
void yaml_emit_line_comment_or_break(struct yaml_emitter *e);

/* Where a node stands. */
enum yaml_place {
	YAML_AT_ROOT,
	YAML_AS_KEY,      /* written before ':' */
	YAML_AS_LONG_KEY, /* behind '?' */
	YAML_AS_VALUE,
	YAML_AS_ITEM,
};

/* The indentation goes one level deeper; the caller puts it back. */
void yaml_emit_deeper(struct yaml_emitter *e, bool flow, enum yaml_place place);

/* yaml_style.c */

enum yaml_style {
	YAML_PLAIN,
	YAML_SINGLE_QUOTED,
	YAML_DOUBLE_QUOTED,
	YAML_LITERAL
};

/* A scalar and how it is going to be written. */
struct yaml_written {
	struct span text;
	const char *tag; /* without the "!!", or NULL */
	enum yaml_style style;
	bool multiline;
	struct secret base64; /* what a string that is no UTF-8 is written as */
};

void yaml_written_destroy(struct yaml_written *written);

/* Decides on the style of a string, such as a key. */
int yaml_written_string(struct yaml_written *written, struct span text, struct error *err);

/* The same for a node of the tree that is neither map nor list; `buffer` holds a number's text. */
int yaml_written_node(struct yaml_written *written, const struct sops_node *node,
		      char buffer[SOPS_NUMBER_SIZE_MAX], struct error *err);

/* Whether a key can be written without '?'. */
bool yaml_written_is_simple(const struct yaml_written *written);

/* The size of the line break here, or 0. CR LF is two. Looks at nothing behind the character. */
static inline size_t yaml_written_break(const uint8_t *at)
{
	return *at == '\r' ? 1 : yaml_break_size(at);
}

/* yaml_emit_scalar.c */
void yaml_emit_scalar(struct yaml_emitter *e, const struct yaml_written *written,
		      enum yaml_place place);

/* yaml_emit_tree.c */

/* Adds all documents, each with the metadata at its end where there is any. */
int yaml_emit_documents(const struct sops_tree *tree, const struct sops_tree *metadata,
			size_t indent, struct secret *out, struct error *err);

/* Adds one node as a document. */
int yaml_emit_node(const struct sops_tree *tree, size_t node, size_t indent, struct secret *out,
		   struct error *err);

#endif

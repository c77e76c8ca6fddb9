/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML as go-yaml 3 reads and writes it, which is what sops uses: YAML 1.1 with some of 1.2, and
 * comments that stay with their nodes. Where go-yaml differs from the specification, go-yaml is
 * right here. Three things are accepted that it refuses, because JSON and YAML 1.2 have them: `\/`,
 * surrogate pairs, and '?' inside a plain scalar of a flow collection.
 *
 * Every text is untrusted: reading takes linear time, nesting is limited, aliases are not expanded.
 * It may hold secrets, so it stays in secret memory, and no error quotes it.
 *
 * Reading: text.h (characters), scan.h (tokens), parse.h (nodes). Writing: the emitter, below.
 */
#ifndef VMCRED_YAML_YAML_H
#define VMCRED_YAML_YAML_H

#include "base/arena.h"
#include "base/error.h"
#include "base/secret.h"

#define YAML_DEPTH_MAX 10000

enum yaml_kind {
	YAML_DOCUMENT, /* has one child */
	YAML_SEQUENCE,
	YAML_MAPPING, /* its children are key, value, key, value ... */
	YAML_SCALAR,
	YAML_ALIAS
};

/* The tags that matter. A tag of a collection means nothing. */
enum yaml_tag {
	YAML_TAG_NONE, /* none, or '!' */
	YAML_TAG_STRING,
	YAML_TAG_INT,
	YAML_TAG_FLOAT,
	YAML_TAG_BOOL,
	YAML_TAG_NULL,
	YAML_TAG_TIMESTAMP,
	YAML_TAG_BINARY,
	YAML_TAG_MERGE,
	YAML_TAG_OTHER, /* the scalar is a string */
};

/* Each with its '#', lines separated by '\n'. */
struct yaml_comments {
	struct span head, line, foot;
};

/* Nodes are stored in the order of the text, each before its children. */
struct yaml_node {
	struct span value; /* of a scalar; an alias's name. Never NULL */
	uint32_t line;     /* from 1 */
	union {
		uint32_t size; /* of the subtree: 1 + the nodes below this one */
		uint32_t back; /* of an alias, which is alone: its target is so far before it */
	};
	uint32_t comments; /* 1 + index, or 0 */
	uint8_t kind, tag;
	bool quoted; /* a scalar in quotes, or a block scalar */
	bool flow;
};

/* All documents of a text. Starts as {.name = ...}. */
struct yaml {
	const char *name;         /* borrowed; what errors call the text */
	enum vmcred_code invalid; /* the code of errors in the text; 0: VMCRED_FAILED */
	struct yaml_node *nodes;  /* owned; YAML_DOCUMENT nodes with their subtrees */
	size_t count, capacity;
	struct yaml_comments *comments; /* owned */
	size_t comment_count, comment_capacity;
	struct arena texts; /* all spans point here; may be taken over once it is read */
	size_t text_size;
};

/* Parses `*text`, which is changed and owns nothing afterwards, also on failure. Errors are
 * "NAME:LINE: not valid YAML: PROBLEM". */
int yaml_read(struct yaml *yaml, struct secret *text, struct error *err);
void yaml_destroy(struct yaml *yaml);

#define _cleanup_yaml_ __attribute__((cleanup(yaml_destroy)))

/* Sets such an error for a problem at a line. */
int yaml_fail(const struct yaml *yaml, int64_t line, const char *problem, struct error *err);

/*
 * Walking: the first child of `node` is node + 1, if that is before yaml_end(node); what follows a
 * child is yaml_end(child).
 */
static inline const struct yaml_node *yaml_end(const struct yaml_node *node)
{
	return node + (node->kind == YAML_ALIAS ? 1 : node->size);
}

/* The node that an alias stands for, or the node itself. */
static inline const struct yaml_node *yaml_target(const struct yaml_node *node)
{
	return node->kind == YAML_ALIAS ? node - node->back : node;
}

/* The content of the first document; NULL for a text without a document. */
const struct yaml_node *yaml_root(const struct yaml *yaml);

/* The number of items of a sequence, or of entries of a mapping. */
size_t yaml_count(const struct yaml_node *node);

/* Whether a node, or the target of an alias, is null: nothing, ~ or null. */
bool yaml_is_null(const struct yaml_node *node);

/* The target of the value under a key, which may be merged in with "<<"; NULL if there is none. */
const struct yaml_node *yaml_member(const struct yaml_node *mapping, const char *key);

/* The merged value of a mapping: what follows the key <<, or NULL. */
const struct yaml_node *yaml_merged(const struct yaml_node *mapping);

/* The first key of a mapping that repeats an earlier one, or NULL. */
int yaml_key_repeated(const struct yaml_node *mapping, const struct yaml_node **key,
		      struct error *err);

/* The checks that go-yaml does: no key is repeated, and << merges mappings. */
int yaml_mapping_check(const struct yaml *yaml, const struct yaml_node *mapping, struct error *err);

/* Scalars: YAML 1.1 types as go-yaml knows them. */

enum yaml_type {
	YAML_STRING,
	YAML_INT,
	YAML_FLOAT,
	YAML_BOOL,
	YAML_NULL,
	YAML_TIME
};

/* "2006-01-02T15:04:05.999999999+07:00" */
#define YAML_TIME_SIZE_MAX 35

/* The caller wipes it. */
struct yaml_scalar {
	enum yaml_type type;
	bool negative, too_large; /* an integer: more than 64 bits with its sign */
	bool truth;
	uint64_t integer; /* without its sign */
	double number;
	char time[YAML_TIME_SIZE_MAX + 1]; /* as Go prints it (RFC 3339) */
};

/* Resolves a plain scalar, or one with the tag NONE, INT, FLOAT, BOOL, NULL or TIMESTAMP. Returns
 * 1, or 0 if it does not have the type of its tag. */
int yaml_resolve(enum yaml_tag tag, struct span text, struct yaml_scalar *scalar,
		 struct error *err);

/*
 * The emitter. White space and comments depend on what was written before, so it tracks the column,
 * whether the line has anything but indentation and dashes, whether the last character was white
 * space, and comments that are announced and not yet written.
 */
struct yaml_emitter {
	struct secret *out;
	struct error *err;
	int failed; /* the first error's code; nothing is written after it */
	size_t best_indent;
	int64_t indent;      /* -1 outside of everything */
	int64_t foot_indent; /* an empty line comes before what is written there next; -1: none */
	int64_t column;
	bool whitespace, indention;
	/* Comments, each line with its '#'. */
	struct secret head, line, foot, tail, key_line;
};

void yaml_emitter_begin(struct yaml_emitter *emitter, size_t indent, struct secret *out,
			struct error *err);
void yaml_emitter_destroy(struct yaml_emitter *emitter);

void yaml_emit_break(struct yaml_emitter *e);
/* Starts a new line, unless this one is still empty, and indents it. */
void yaml_emit_indent(struct yaml_emitter *e);

struct yaml_indicator {
	const char *text;
	bool need_whitespace, is_whitespace, is_indention;
};
void yaml_emit_indicator(struct yaml_emitter *e, struct yaml_indicator indicator);

/* Adds a line to an announced comment. */
void yaml_emit_comment_add(struct yaml_emitter *e, struct secret *comment, struct span text);

/* Write announced comments: tail and head; the line's; foot. */
void yaml_emit_head(struct yaml_emitter *e);
void yaml_emit_line_comment(struct yaml_emitter *e);
void yaml_emit_foot(struct yaml_emitter *e);

/* The position of a node. */
enum yaml_place {
	YAML_AT_ROOT,
	YAML_AS_KEY,      /* before ':' */
	YAML_AS_LONG_KEY, /* after '?' */
	YAML_AS_VALUE,
	YAML_AS_ITEM,
};

/* Indents one level deeper; the caller restores e->indent. */
void yaml_emit_deeper(struct yaml_emitter *e, bool flow, enum yaml_place place);

enum yaml_style {
	YAML_PLAIN,
	YAML_SINGLE_QUOTED,
	YAML_DOUBLE_QUOTED,
	YAML_LITERAL
};

/* A scalar with its style. */
struct yaml_written {
	struct span text;
	const char *tag; /* without the "!!", or NULL */
	enum yaml_style style;
	bool multiline;
	struct secret base64; /* replaces a string that is not UTF-8 */
};

/* Chooses the style of a string. */
int yaml_written_string(struct yaml_written *written, struct span text, struct error *err);
/* Whether a key can be written without '?'. */
bool yaml_written_is_simple(const struct yaml_written *written);
void yaml_written_destroy(struct yaml_written *written);

void yaml_emit_scalar(struct yaml_emitter *e, const struct yaml_written *written,
		      enum yaml_place place);

#endif

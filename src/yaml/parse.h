/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens to nodes: the documents of a stream as they are written, with aliases that point to what
 * they stand for, tags, and the comments of each node. Nodes lie in the order of the text, each
 * container before what is in it; a map's children are key, value, key, value …
 */
#ifndef VMCRED_YAML_PARSE_H
#define VMCRED_YAML_PARSE_H

#include "yaml/scan.h"

enum yaml_kind {
	YAML_DOCUMENT,
	YAML_SEQUENCE,
	YAML_MAPPING,
	YAML_SCALAR,
	YAML_ALIAS
};

/* The tags that make a difference; a map or a list may have any, and it means nothing. */
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

/* Each with its '#', lines joined by '\n'. */
struct yaml_comments {
	struct span head, line, foot;
};

struct yaml_node {
	struct span value; /* of a scalar; an alias's name */
	uint32_t line;
	uint32_t end;      /* index behind the subtree */
	uint32_t target;   /* an alias's; always a node before it */
	uint32_t comments; /* 1 + index, or 0 */
	uint8_t kind, tag;
	bool quoted;
	bool flow;
	bool open;    /* while the tree is built: it is inside itself */
	bool checked; /* while the tree is built: its keys are known to differ */
};

/* Starts as {0}. */
struct yaml_nodes {
	struct yaml_node *items; /* owned */
	size_t count, capacity;
	struct yaml_comments *comments; /* owned */
	size_t comment_count, comment_capacity;
};

/* Reads all documents: each is a node of its own kind with one child. */
int yaml_parse(struct yaml_scanner *scanner, struct yaml_nodes *nodes, struct error *err);
void yaml_nodes_destroy(struct yaml_nodes *nodes);

/* A set of names, each with a number; the names stay where they are. Starts as {0}. */
struct yaml_names {
	struct yaml_name {
		struct span name;
		size_t number; /* 1 + what was given, 0: nothing here */
	} * items;             /* owned */
	size_t count, capacity;
	uint64_t seed;
};

/* The number under which a name is there already, or `number`, under which it is put there. */
int yaml_names_add(struct yaml_names *names, struct span name, size_t number, size_t **stored,
		   struct error *err);
/* Finds a name's number; NULL if it is not there. */
const size_t *yaml_names_find(const struct yaml_names *names, struct span name);
void yaml_names_destroy(struct yaml_names *names);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens to nodes: the grammar (parse.c) and what it builds (build.c). Inside yaml/ only. */
#ifndef VMCRED_YAML_PARSE_H
#define VMCRED_YAML_PARSE_H

#include "yaml/scan.h"

/* A set of names, each with a number. The names are not copied. Starts as {0}. */
struct yaml_names {
	struct yaml_name {
		struct span name;
		size_t number; /* 1 + the given number, 0: a free place */
	} * items;             /* owned */
	size_t count, capacity;
	uint64_t seed;
};

/* Makes room for so many names in an empty set. */
int yaml_names_reserve(struct yaml_names *names, size_t count, struct error *err);
/* Adds a name with `number`, unless it is in the set. `*stored` is 1 + its number. */
int yaml_names_add(struct yaml_names *names, struct span name, size_t number, size_t **stored,
		   struct error *err);
/* 1 + the name's number, or NULL. */
const size_t *yaml_names_find(const struct yaml_names *names, struct span name);
void yaml_names_destroy(struct yaml_names *names);

/* Anchor and tag of a node. */
struct yaml_properties {
	int64_t line;
	struct span anchor; /* size 0: none */
	enum yaml_tag tag;
	bool tagged;
	bool no_comments; /* a collection without a token of its own takes none */
};

/* A collection that is being read. */
struct yaml_frame {
	uint32_t node;
	uint32_t key; /* the last one that was read, 0: none */
	bool in_value;
};

/* %TAG */
struct yaml_directive {
	struct span handle, prefix;
};

/* Builds nodes, and gives each its comments. */
struct yaml_builder {
	struct yaml_scanner scanner;
	struct yaml *yaml;
	struct yaml_frame *frames; /* owned */
	size_t depth, frame_capacity;
	struct yaml_names anchors; /* of all documents: an alias may refer to an earlier one */
	struct yaml_directive *directives; /* owned */
	size_t directive_count, directive_capacity;
	struct yaml_gathered head, line, foot; /* of the next node */
	struct span stem; /* from before a `-`: for the collection that begins after it */
};

void yaml_builder_destroy(struct yaml_builder *builder);

/* Takes what belongs to a token, or came before it, from the scanner's queue. */
int yaml_builder_comments_gather(struct yaml_builder *builder, const struct yaml_token *token,
				 struct error *err);
/* After a `-`: the first `head` bytes of the gathered head comments were before it. */
int yaml_builder_stem_split(struct yaml_builder *builder, const struct yaml_token *token,
			    size_t head, struct error *err);

int yaml_builder_tag(struct yaml_builder *builder, const struct yaml_token *token,
		     struct yaml_properties *properties, struct error *err);
int yaml_builder_directive(struct yaml_builder *builder, const struct yaml_token *token,
			   struct error *err);

int yaml_builder_document_start(struct yaml_builder *builder, const struct yaml_token *token,
				bool implicit, struct error *err);
int yaml_builder_document_end(struct yaml_builder *builder, struct error *err);
int yaml_builder_start(struct yaml_builder *builder, enum yaml_kind kind, bool flow,
		       const struct yaml_properties *properties, struct error *err);
int yaml_builder_end(struct yaml_builder *builder, bool comments, struct error *err);
int yaml_builder_scalar(struct yaml_builder *builder, const struct yaml_token *token,
			const struct yaml_properties *properties, struct error *err);
int yaml_builder_empty(struct yaml_builder *builder, const struct yaml_properties *properties,
		       struct error *err);
int yaml_builder_alias(struct yaml_builder *builder, const struct yaml_token *token,
		       struct error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMCRED_YAML_BUILD_H
#define VMCRED_YAML_BUILD_H

#include <stdlib.h>

#include "yaml/parse.h"

/* What stands before a node. */
struct yaml_properties {
	int64_t line;
	struct span anchor; /* size 0: none */
	enum yaml_tag tag;
	bool tagged;
	bool no_comments; /* a collection that has no token of its own takes none */
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

/* Makes nodes of what the parser finds, and gives each its comments. */
struct yaml_builder {
	struct yaml_scanner *scanner;
	struct yaml_nodes *nodes;
	struct yaml_frame *frames; /* owned */
	size_t depth, frame_capacity;
	struct yaml_names anchors; /* of all documents: an alias may point to an earlier one */
	struct yaml_directive *directives; /* owned */
	size_t directive_count, directive_capacity;
	struct yaml_gathered head, line, foot; /* of the node that follows */
	struct span stem; /* before a `-`: of the collection that begins behind it */
};

void yaml_builder_destroy(struct yaml_builder *builder);

/* Takes what belongs to a token, or stood before it, out of the scanner's queue. */
int yaml_builder_comments_gather(struct yaml_builder *builder, const struct yaml_token *token,
				 struct error *err);
/* Behind a `-`: the first `head` bytes of what was gathered stood before it. */
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

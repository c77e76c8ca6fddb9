/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML nodes to the tree of SOPS, as sops makes it: aliases become copies of their targets,
 * comments become entries before or after what they belong to, styles and tags are dropped.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/base64.h"
#include "sops/stores/yaml.h"
#include "sops/tree/number.h"
#include "sops/tree/timestamp.h"

/*
 * The part of a document that may come from aliases: nearly all of a small one, a tenth of a large
 * one. These are go-yaml's numbers (allowedAliasRatio), so that what sops opens is opened.
 */
#define ALIAS_VISITS_MIN 100
#define VISITS_MIN       1000
#define VISITS_LOW       400000
#define VISITS_HIGH      4000000
#define ALIAS_RATIO_LOW  0.99
#define ALIAS_RATIO_HIGH 0.10

/* Encrypted texts that aliases repeat are copied, because each is decrypted in place. */
#define COPIED_MAX(text) (4 * (text) + (size_t)1024 * 1024)

#define ALIASES_TOO_MANY "excessive aliasing"

/* What was done with a node. */
enum {
	OPEN = 1,    /* its copy is not complete */
	CHECKED = 2, /* its keys are checked */
};

/* A map or a list that is being copied. */
struct frame {
	const struct yaml_node *node, *child; /* the source and its next child */
	size_t container;
	size_t aliases;      /* the number of aliases around it */
	bool own_comments;   /* its own comments go inside */
	struct span feet[2]; /* comments that follow it */
};

struct copier {
	const struct yaml *yaml;
	struct sops_tree *tree;
	uint8_t *flags;       /* owned; of each node */
	struct frame *frames; /* owned */
	size_t depth, capacity;
	bool first_document; /* sops checks only this one */
	size_t visits, alias_visits, copied;
};

static int fail(const struct copier *c, const struct yaml_node *node, const char *problem,
		struct error *err)
{
	return yaml_fail(c->yaml, node->line, problem, err);
}

/* For valid YAML that sops cannot encrypt. */
static int refuse(const struct copier *c, const struct yaml_node *node, const char *problem,
		  struct error *err)
{
	fail(c, node, problem, err);
	err->code = VMCRED_USAGE;
	return -VMCRED_USAGE;
}

static uint8_t *flags_of(const struct copier *c, const struct yaml_node *node)
{
	return &c->flags[node - c->yaml->nodes];
}

static const struct yaml_comments *comments_of(const struct copier *c, const struct yaml_node *node)
{
	static const struct yaml_comments none;

	return node->comments ? &c->yaml->comments[node->comments - 1] : &none;
}

/* Adds each line of a comment as an entry; empty lines are lost. */
static int comment_add(struct copier *c, size_t container, struct span text, bool is_inline,
		       struct error *err)
{
	struct span line;

	while (span_take_line(&text, &line)) {
		struct sops_node node = {
			.kind = SOPS_COMMENT,
			.inline_comment = is_inline,
			.parent = container,
		};
		size_t index;

		if (line.size == 0)
			continue;
		node.text = span_skip(line, 1);
		if (sops_tree_add(c->tree, node, &index, err) < 0)
			return -(int)err->code;
	}
	return 0;
}

/* Adds the head and the line of a node's comments. */
static int comments_add(struct copier *c, size_t container, const struct yaml_comments *comments,
			bool line_is_inline, struct error *err)
{
	int r = comment_add(c, container, comments->head, false, err);

	return r < 0 ? r : comment_add(c, container, comments->line, line_is_inline, err);
}

static int visit(struct copier *c, const struct yaml_node *node, size_t aliases, size_t count,
		 struct error *err)
{
	double ratio = ALIAS_RATIO_LOW;

	c->visits += count;
	if (aliases == 0)
		return 0;
	c->alias_visits += count;
	if (c->alias_visits <= ALIAS_VISITS_MIN || c->visits <= VISITS_MIN)
		return 0;
	if (c->visits >= VISITS_HIGH)
		ratio = ALIAS_RATIO_HIGH;
	else if (c->visits > VISITS_LOW)
		ratio -= (ALIAS_RATIO_LOW - ALIAS_RATIO_HIGH) * (double)(c->visits - VISITS_LOW) /
			 (VISITS_HIGH - VISITS_LOW);
	if ((double)c->alias_visits <= (double)c->visits * ratio)
		return 0;
	return fail(c, node, ALIASES_TOO_MANY, err);
}

/* go-yaml allows line breaks inside Base64. */
static int binary_read(struct copier *c, const struct yaml_node *scalar, struct span *text,
		       struct error *err)
{
	uint8_t *room, *bytes;
	size_t size = 0;
	_cleanup_error_ struct error ignored = {0};
	int r = sops_tree_text_reserve(c->tree, scalar->value.size * 2 + 2, &room, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < scalar->value.size; i++) {
		uint8_t byte = scalar->value.data[i];

		if (byte != '\n' && byte != '\r')
			room[size++] = byte;
	}
	bytes = room + size;
	if (base64_decode(span_of(room, size), BASE64_PADDED, bytes, &size, &ignored) < 0)
		return fail(c, scalar, "a !!binary value is not Base64", err);
	*text = span_of(bytes, size);
	return 0;
}

/* Gives the tree's node the kind of a scalar, and its text as sops encrypts it. */
static int scalar_read(struct copier *c, const struct yaml_node *scalar, struct sops_node *node,
		       struct error *err)
{
	enum yaml_tag tag = (enum yaml_tag)scalar->tag;
	struct yaml_scalar value;
	char text[SOPS_NUMBER_SIZE_MAX] = "";
	size_t size = 0;
	int r;

	node->kind = SOPS_STRING;
	node->text = scalar->value;
	if (tag == YAML_TAG_BINARY)
		return binary_read(c, scalar, &node->text, err);
	if (tag == YAML_TAG_STRING || tag == YAML_TAG_OTHER || tag == YAML_TAG_MERGE ||
	    (tag == YAML_TAG_NONE && scalar->quoted))
		return 0;
	r = yaml_resolve(tag, scalar->value, &value, err);
	if (r == 0)
		r = fail(c, scalar, "a value does not have the type of its tag", err);
	else if (value.type == YAML_INT && value.too_large)
		r = refuse(c, scalar, "an integer does not fit into 64 bits", err);
	else if (value.type == YAML_TIME && sops_time_check(span_of_text(value.time)) < 0)
		r = refuse(c, scalar, "a time zone must be less than 24 hours", err);
	if (r < 0)
		return r;
	switch (value.type) {
	case YAML_STRING:
		return 0;
	case YAML_NULL:
		node->kind = SOPS_NULL;
		node->text = (struct span){0};
		return 0;
	case YAML_BOOL:
		node->kind = SOPS_BOOL;
		node->text = span_of_text(value.truth ? "True" : "False");
		return 0;
	case YAML_INT:
		node->kind = SOPS_INT;
		size = (size_t)snprintf(text, sizeof(text), "%s%llu", value.negative ? "-" : "",
					(unsigned long long)value.integer);
		break;
	case YAML_FLOAT:
		node->kind = SOPS_FLOAT;
		size = sops_double_print(value.number, SOPS_NUMBER_PLAIN, text);
		break;
	case YAML_TIME:
		node->kind = SOPS_TIME;
		size = strlen(value.time);
		memcpy(text, value.time, size);
		break;
	}
	r = sops_tree_text(c->tree, span_of(text, size), &node->text, err);
	memory_wipe(text, size);
	memory_wipe(&value, sizeof(value));
	return r;
}

/* The text of a string, which aliases may share. */
static int text_keep(struct copier *c, const struct yaml_node *node, struct span *text,
		     size_t aliases, struct error *err)
{
	if (aliases == 0 || !span_starts_with(*text, span_of_text("ENC[")))
		return 0;
	c->copied += text->size;
	if (c->copied > COPIED_MAX(c->yaml->text_size))
		return fail(c, node, ALIASES_TOO_MANY, err);
	return sops_tree_text(c->tree, *text, text, err);
}

/* Maps outside of the first document are not checked, as in sops. */
static int map_check(struct copier *c, const struct yaml_node *map, size_t aliases,
		     struct error *err)
{
	/* To merge, go-yaml reads all keys again. */
	int r = yaml_merged(map) ? visit(c, map, aliases, yaml_count(map), err) : 0;

	if (r < 0 || (*flags_of(c, map) & CHECKED) || !c->first_document)
		return r;
	*flags_of(c, map) |= CHECKED;
	return yaml_mapping_check(c->yaml, map, err);
}

static int key_read(struct copier *c, const struct yaml_node *key, struct span *text,
		    struct error *err)
{
	const struct yaml_node *node = yaml_target(key);
	struct sops_node value;
	int r;

	if (node->kind != YAML_SCALAR)
		return fail(c, key, "a key must not be a map or a list", err);
	r = scalar_read(c, node, &value, err);
	if (r == 0 && value.kind != SOPS_STRING) {
		r = refuse(c, key, "a key must be a string: write it in quotes", err);
	}
	*text = value.text;
	/* An empty key is not NULL. */
	if (!text->data)
		*text = span_of_text("");
	return r;
}

static int frame_push(struct copier *c, struct frame frame, struct error *err)
{
	int r;

	_Static_assert(SOPS_DEPTH_MAX == 10000, "the text says so");
	if (c->depth > SOPS_DEPTH_MAX)
		return fail(c, frame.node, "nested more than 10000 levels deep", err);
	r = array_grow(&c->frames, c->depth, &c->capacity, sizeof(*c->frames), err);
	if (r < 0)
		return r;
	*flags_of(c, frame.node) |= OPEN;
	c->frames[c->depth++] = frame;
	return 0;
}

/* Adds a value; a map or a list becomes the innermost frame. */
static int value_add(struct copier *c, const struct frame *parent, const struct yaml_node *value,
		     struct span key, bool own_comments, const struct span feet[2],
		     struct error *err)
{
	struct frame frame = {
		.aliases = parent->aliases,
		.own_comments = own_comments,
		.feet = {feet[0], feet[1]},
	};
	struct sops_node node = {.key = key, .parent = parent->container};
	int r = visit(c, value, frame.aliases, 1, err);

	if (r == 0 && value->kind == YAML_ALIAS) {
		value = yaml_target(value);
		frame.aliases++;
		frame.own_comments = true;
		r = visit(c, value, frame.aliases, 1, err);
	}
	frame.node = value;
	frame.child = value + 1;
	if (r == 0 && value->kind == YAML_SCALAR) {
		r = scalar_read(c, value, &node, err);
		if (r == 0 && node.kind == SOPS_STRING)
			r = text_keep(c, value, &node.text, frame.aliases, err);
	} else if (r == 0) {
		if (*flags_of(c, value) & OPEN)
			return fail(c, value, "an anchor contains itself", err);
		node.kind = value->kind == YAML_MAPPING ? SOPS_MAP : SOPS_LIST;
		if (node.kind == SOPS_MAP)
			r = map_check(c, value, frame.aliases, err);
	}
	if (r == 0)
		r = sops_tree_add(c->tree, node, &frame.container, err);
	if (r == 0 && value->kind != YAML_SCALAR) {
		r = frame_push(c, frame, err);
		if (r < 0 || !frame.own_comments)
			return r;
		return comments_add(c, frame.container, comments_of(c, value), false, err);
	}
	for (size_t i = 0; r == 0 && i < 2; i++)
		r = comment_add(c, parent->container, feet[i], false, err);
	return r;
}

static int entry_add(struct copier *c, struct frame *frame, struct error *err)
{
	const struct yaml_node *key = frame->child, *value = yaml_end(key);
	const struct yaml_comments *of_key = comments_of(c, key), *of_value = comments_of(c, value);
	bool leaf = value->kind == YAML_SCALAR || value->kind == YAML_ALIAS;
	struct span text = {0}, feet[2] = {leaf ? of_value->foot : (struct span){0}, of_key->foot};
	struct frame parent = *frame;
	int r = visit(c, key, frame->aliases, 1, err);

	frame->child = yaml_end(value);
	if (r == 0)
		r = comments_add(c, parent.container, of_key, false, err);
	if (r == 0 && leaf)
		r = comments_add(c, parent.container, of_value, true, err);
	if (r == 0)
		r = key_read(c, key, &text, err);
	return r < 0 ? r : value_add(c, &parent, value, text, !leaf, feet, err);
}

static int item_add(struct copier *c, struct frame *frame, struct error *err)
{
	const struct yaml_node *item = frame->child;
	const struct yaml_comments *comments = comments_of(c, item);
	struct span feet[2] = {comments->foot};
	struct frame parent = *frame;
	int r = comments_add(c, parent.container, comments, true, err);

	frame->child = yaml_end(item);
	return r < 0 ? r : value_add(c, &parent, item, (struct span){0}, false, feet, err);
}

/* The innermost frame is complete: comments at its end, and after it. */
static int frame_pop(struct copier *c, struct error *err)
{
	struct frame frame = c->frames[--c->depth];
	size_t parent = c->tree->nodes[frame.container].parent;
	int r = 0;

	*flags_of(c, frame.node) &= (uint8_t)~OPEN;
	if (frame.own_comments)
		r = comment_add(c, frame.container, comments_of(c, frame.node)->foot, false, err);
	c->tree->nodes[frame.container].end = c->tree->count;
	for (size_t i = 0; r == 0 && i < 2; i++)
		r = comment_add(c, parent, frame.feet[i], false, err);
	return r;
}

/* A document's map is not a node: its comments and those of the document are entries together. */
static int map_copy(struct copier *c, const struct yaml_node *map, size_t container,
		    struct error *err)
{
	const struct yaml_comments *comments = comments_of(c, map);
	struct frame root = {.node = map, .child = map + 1, .container = container};
	int r = comments_add(c, container, comments, false, err);

	if (r == 0)
		r = map_check(c, map, 0, err);
	if (r == 0)
		r = frame_push(c, root, err);
	while (r == 0 && c->depth > 0) {
		struct frame *frame = &c->frames[c->depth - 1];

		if (frame->child >= yaml_end(frame->node))
			r = frame_pop(c, err);
		else if (frame->node->kind == YAML_MAPPING)
			r = entry_add(c, frame, err);
		else
			r = item_add(c, frame, err);
	}
	return r < 0 ? r : comment_add(c, container, comments->foot, false, err);
}

static int document_copy(struct copier *c, const struct yaml_node *document, struct error *err)
{
	const struct yaml_node *content = document + 1;
	struct sops_node node = {.kind = SOPS_LIST};
	size_t index;
	int r = sops_tree_add(c->tree, (struct sops_node){.kind = SOPS_MAP}, &index, err);

	if (r == 0)
		r = comment_add(c, index, comments_of(c, document)->head, false, err);
	if (r < 0)
		return r;
	if (content->kind == YAML_MAPPING) {
		r = map_copy(c, content, index, err);
	} else {
		if (content->kind == YAML_SCALAR)
			r = scalar_read(c, content, &node, err);
		if (r == 0 && node.kind != SOPS_NULL)
			r = fail(c, content, "the document must be a map", err);
		if (r == 0)
			r = comments_add(c, index, comments_of(c, content), false, err);
	}
	if (r == 0)
		r = comment_add(c, index, comments_of(c, document)->foot, false, err);
	c->tree->nodes[index].end = c->tree->count;
	return r;
}

int sops_yaml_tree_fill(const struct yaml *yaml, struct sops_tree *tree, struct error *err)
{
	struct copier c = {
		.yaml = yaml,
		.tree = tree,
		.flags = calloc(yaml->count + 1, 1),
		.first_document = true,
	};
	size_t root;
	int r = c.flags ? sops_tree_add(tree, (struct sops_node){.kind = SOPS_LIST}, &root, err)
			: error_no_memory(err);

	for (size_t i = 0; r == 0 && i < yaml->count;
	     i = (size_t)(yaml_end(&yaml->nodes[i]) - yaml->nodes)) {
		r = document_copy(&c, &yaml->nodes[i], err);
		c.first_document = false;
	}
	if (r == 0)
		tree->nodes[0].end = tree->count;
	free(c.frames);
	free(c.flags);
	return r;
}

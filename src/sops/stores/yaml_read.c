/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes of YAML to the tree of SOPS, as sops makes it: aliases become copies of what they stand
 * for, comments become entries before or behind what they belong to, styles and tags are gone.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "yaml/yaml.h"

/*
 * How much of a document may come from aliases: nearly all of a small one, a tenth of a large one.
 * These are go-yaml's numbers (allowedAliasRatio), so that what sops opens is opened.
 */
#define ALIAS_VISITS_MIN 100
#define VISITS_MIN       1000
#define VISITS_LOW       400000
#define VISITS_HIGH      4000000
#define ALIAS_RATIO_LOW  0.99
#define ALIAS_RATIO_HIGH 0.10

/* Encrypted texts that aliases repeat are copied, since each is decrypted where it lies. */
#define COPIED_MAX(text) (4 * (text) + (size_t)1024 * 1024)

/* A map or a list that is being copied. */
struct frame {
	uint32_t node;  /* what it is copied from */
	uint32_t child; /* the next one */
	size_t container;
	size_t aliases;      /* how many there are around it */
	bool own_comments;   /* its own comments go inside */
	struct span feet[2]; /* comments that stand behind it */
};

struct copier {
	const struct yaml_scanner *scanner; /* for errors */
	struct yaml_nodes *nodes;
	struct sops_tree *tree;
	struct frame *frames; /* owned */
	size_t depth, capacity;
	bool first_document; /* only this one does sops check */
	size_t visits, alias_visits, copied;
};

static int fail(const struct copier *c, const struct yaml_node *node, const char *problem,
		struct error *err)
{
	return yaml_node_fail(c->scanner, node, problem, err);
}

static const struct yaml_comments *comments_of(const struct copier *c, uint32_t node)
{
	static const struct yaml_comments none;
	uint32_t comments = c->nodes->items[node].comments;

	return comments ? &c->nodes->comments[comments - 1] : &none;
}

/* Adds each line of a comment as an entry of its own; empty lines are lost. */
static int comment_add(struct copier *c, size_t container, struct span text, bool is_inline,
		       struct error *err)
{
	const uint8_t *at = text.data, *end;

	if (text.size == 0)
		return 0;
	end = at + text.size;
	while (at < end) {
		const uint8_t *line_end = memchr(at, '\n', (size_t)(end - at));
		struct sops_node node = {
			.kind = SOPS_COMMENT,
			.inline_comment = is_inline,
			.parent = container,
		};
		size_t index;

		if (!line_end)
			line_end = end;
		node.text = span_of(at + 1, (size_t)(line_end - at - 1));
		if (line_end > at && sops_tree_add(c->tree, node, &index, err) < 0)
			return -(int)err->code;
		at = line_end + 1;
	}
	return 0;
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
	return fail(c, node, "aliases make far too much of it", err);
}

/* Text of a scalar, which may be shared by aliases. */
static int text_keep(struct copier *c, struct span *text, size_t aliases, struct error *err)
{
	if (aliases == 0 || !span_starts_with(*text, span_of_text("ENC[")))
		return 0;
	c->copied += text->size;
	if (c->copied > COPIED_MAX((size_t)(c->scanner->end - c->scanner->start)))
		return error_set(err, VMCRED_FAILED, "%s: aliases make far too much of it",
				 c->scanner->what);
	return sops_tree_text(c->tree, *text, text, err);
}

/* What sops checks it checks in the first document alone. */
static int map_check(struct copier *c, uint32_t map, size_t aliases, struct error *err)
{
	struct yaml_keys keys = yaml_keys_of(c->nodes, map);
	struct yaml_node *node = &c->nodes->items[map];
	/* To merge, go-yaml looks at all keys once more. */
	int r = visit(c, node, aliases, keys.merged ? keys.count : 0, err);

	if (r < 0 || node->checked || !c->first_document)
		return r;
	node->checked = true;
	return yaml_keys_check(c->scanner, c->nodes, map, keys, err);
}

static int key_read(struct copier *c, uint32_t key, struct span *text, struct error *err)
{
	const struct yaml_node *node = &c->nodes->items[yaml_target_of(c->nodes, key)];
	struct sops_node value;
	int r;

	if (node->kind != YAML_SCALAR)
		return fail(c, &c->nodes->items[key], "a key is a map or a list", err);
	r = yaml_scalar_read(c->scanner, c->tree, node, &value, err);
	if (r == 0 && value.kind != SOPS_STRING)
		r = fail(c, &c->nodes->items[key],
			 "a key is no string: SOPS needs strings, write it in quotes", err);
	*text = value.text;
	/* An empty key is one, too. */
	if (!text->data)
		*text = span_of_text("");
	return r;
}

static int frame_push(struct copier *c, struct frame frame, struct error *err)
{
	int r = yaml_array_grow(&c->frames, c->depth, &c->capacity, sizeof(*c->frames), err);

	if (r == 0 && c->depth > SOPS_DEPTH_MAX)
		return error_set(err, VMCRED_FAILED, "%s is nested more than %d levels deep",
				 c->scanner->what, SOPS_DEPTH_MAX);
	if (r == 0)
		c->frames[c->depth++] = frame;
	return r;
}

/* Adds a value; a map or a list becomes the innermost frame. */
static int value_add(struct copier *c, const struct frame *parent, uint32_t value, struct span key,
		     bool own_comments, const struct span feet[2], struct error *err)
{
	struct frame frame = {.aliases = parent->aliases, .own_comments = own_comments};
	struct sops_node node = {.key = key, .parent = parent->container};
	struct yaml_node *yaml = &c->nodes->items[value];
	int r = visit(c, yaml, frame.aliases, 1, err);

	if (r == 0 && yaml->kind == YAML_ALIAS) {
		value = yaml->target;
		yaml = &c->nodes->items[value];
		frame.aliases++;
		frame.own_comments = true;
		r = visit(c, yaml, frame.aliases, 1, err);
	}
	frame.node = value;
	frame.child = value + 1;
	if (r == 0 && yaml->kind == YAML_SCALAR) {
		r = yaml_scalar_read(c->scanner, c->tree, yaml, &node, err);
		if (r == 0 && node.kind == SOPS_STRING)
			r = text_keep(c, &node.text, frame.aliases, err);
	} else if (r == 0) {
		if (yaml->open)
			return fail(c, yaml, "an anchor stands inside what it names", err);
		node.kind = yaml->kind == YAML_MAPPING ? SOPS_MAP : SOPS_LIST;
		yaml->open = true;
		if (node.kind == SOPS_MAP)
			r = map_check(c, value, frame.aliases, err);
	}
	if (r == 0)
		r = sops_tree_add(c->tree, node, &frame.container, err);
	if (r == 0 && yaml->kind != YAML_SCALAR) {
		frame.feet[0] = feet[0];
		frame.feet[1] = feet[1];
		r = frame_push(c, frame, err);
		if (r == 0 && frame.own_comments) {
			const struct yaml_comments *own = comments_of(c, value);

			r = comment_add(c, frame.container, own->head, false, err);
			if (r == 0)
				r = comment_add(c, frame.container, own->line, false, err);
		}
		return r;
	}
	for (size_t i = 0; r == 0 && i < 2; i++)
		r = comment_add(c, parent->container, feet[i], false, err);
	return r;
}

static int entry_add(struct copier *c, struct frame *frame, struct error *err)
{
	uint32_t key = frame->child, value = c->nodes->items[key].end;
	uint8_t kind = c->nodes->items[value].kind;
	const struct yaml_comments *of_key = comments_of(c, key), *of_value = comments_of(c, value);
	bool leaf = kind == YAML_SCALAR || kind == YAML_ALIAS;
	struct span text = {0}, feet[2] = {leaf ? of_value->foot : (struct span){0}, of_key->foot};
	struct frame parent = *frame;
	int r = visit(c, &c->nodes->items[key], frame->aliases, 1, err);

	frame->child = c->nodes->items[value].end;
	if (r == 0)
		r = comment_add(c, parent.container, of_key->head, false, err);
	if (r == 0)
		r = comment_add(c, parent.container, of_key->line, false, err);
	if (r == 0 && leaf)
		r = comment_add(c, parent.container, of_value->head, false, err);
	if (r == 0 && leaf)
		r = comment_add(c, parent.container, of_value->line, true, err);
	if (r == 0)
		r = key_read(c, key, &text, err);
	return r < 0 ? r : value_add(c, &parent, value, text, !leaf, feet, err);
}

static int item_add(struct copier *c, struct frame *frame, struct error *err)
{
	uint32_t item = frame->child;
	const struct yaml_comments *comments = comments_of(c, item);
	struct span feet[2] = {comments->foot};
	struct frame parent = *frame;
	int r = comment_add(c, parent.container, comments->head, false, err);

	frame->child = c->nodes->items[item].end;
	if (r == 0)
		r = comment_add(c, parent.container, comments->line, true, err);
	return r < 0 ? r : value_add(c, &parent, item, (struct span){0}, false, feet, err);
}

/* The innermost frame is complete: comments that stand at its end, and behind it. */
static int frame_pop(struct copier *c, struct error *err)
{
	struct frame frame = c->frames[--c->depth];
	size_t parent = c->tree->nodes[frame.container].parent;
	int r = 0;

	c->nodes->items[frame.node].open = false;
	if (frame.own_comments)
		r = comment_add(c, frame.container, comments_of(c, frame.node)->foot, false, err);
	c->tree->nodes[frame.container].end = c->tree->count;
	for (size_t i = 0; r == 0 && i < 2; i++)
		r = comment_add(c, parent, frame.feet[i], false, err);
	return r;
}

static int frames_copy(struct copier *c, struct error *err)
{
	int r = 0;

	while (r == 0 && c->depth > 0) {
		struct frame *frame = &c->frames[c->depth - 1];
		const struct yaml_node *node = &c->nodes->items[frame->node];

		if (frame->child >= node->end)
			r = frame_pop(c, err);
		else if (node->kind == YAML_MAPPING)
			r = entry_add(c, frame, err);
		else
			r = item_add(c, frame, err);
	}
	return r;
}

/* A document's map is not a node in it: its comments and those of the document stand together. */
static int map_copy(struct copier *c, uint32_t map, size_t container, struct error *err)
{
	const struct yaml_comments *comments = comments_of(c, map);
	struct frame frame = {.node = map, .child = map + 1, .container = container};
	int r = comment_add(c, container, comments->head, false, err);

	if (r == 0)
		r = comment_add(c, container, comments->line, false, err);
	if (r == 0)
		r = map_check(c, map, 0, err);
	if (r == 0)
		r = frame_push(c, frame, err);
	if (r < 0)
		return r;
	c->nodes->items[map].open = true;
	r = frames_copy(c, err);
	return r < 0 ? r : comment_add(c, container, comments->foot, false, err);
}

static int document_copy(struct copier *c, uint32_t document, struct error *err)
{
	const struct yaml_node *content = &c->nodes->items[document + 1];
	size_t index;
	int r = sops_tree_add(c->tree, (struct sops_node){.kind = SOPS_MAP}, &index, err);

	if (r == 0)
		r = comment_add(c, index, comments_of(c, document)->head, false, err);
	if (r < 0)
		return r;
	if (content->kind == YAML_MAPPING) {
		r = map_copy(c, document + 1, index, err);
	} else if (content->kind == YAML_SCALAR) {
		struct sops_node node;

		r = yaml_scalar_read(c->scanner, c->tree, content, &node, err);
		if (r == 0 && node.kind != SOPS_NULL)
			r = fail(c, content, "a document is a value, where SOPS needs a map", err);
		if (r == 0)
			r = comment_add(c, index, comments_of(c, document + 1)->head, false, err);
		if (r == 0)
			r = comment_add(c, index, comments_of(c, document + 1)->line, false, err);
	} else {
		r = fail(c, content, "a document is a list or an alias, where SOPS needs a map",
			 err);
	}
	if (r == 0)
		r = comment_add(c, index, comments_of(c, document)->foot, false, err);
	c->tree->nodes[index].end = c->tree->count;
	return r;
}

int yaml_tree_copy(const struct yaml_scanner *scanner, struct yaml_nodes *nodes,
		   struct sops_tree *tree, struct error *err)
{
	struct copier c = {
		.scanner = scanner, .nodes = nodes, .tree = tree, .first_document = true};
	size_t root;
	int r = sops_tree_add(tree, (struct sops_node){.kind = SOPS_LIST}, &root, err);

	for (uint32_t i = 0; r == 0 && i < nodes->count; i = nodes->items[i].end) {
		r = document_copy(&c, i, err);
		c.first_document = false;
	}
	tree->nodes[0].end = tree->count;
	free(c.frames);
	return r;
}

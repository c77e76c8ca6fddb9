/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes of YAML to the tree of SOPS, as sops makes it: aliases become copies of what they stand
 * for, comments become entries before or behind what they belong to, styles and tags are gone.
 */
#include <stdlib.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "sops/yaml.h"

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
#define COPIED_MAX(text) (4 * (text) + 1024 * 1024)

/* Keys of a map are compared with each other up to this number of them. */
#define FEW_KEYS 8

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
	return yaml_scanner_fail(c->scanner, (struct yaml_mark){.line = node->line}, problem, err);
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

/* go-yaml takes line breaks inside Base64. */
static int binary_read(struct copier *c, const struct yaml_node *scalar, struct span *text,
		       struct error *err)
{
	uint8_t *room, *bytes;
	size_t size = 0;
	struct error ignored = {0};
	int r = sops_tree_text_reserve(c->tree, scalar->value.size * 2 + 2, &room, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < scalar->value.size; i++) {
		uint8_t byte = scalar->value.data[i];

		if (byte != '\n' && byte != '\r')
			room[size++] = byte;
	}
	bytes = room + size;
	r = base64_decode(span_of(room, size), BASE64_PADDED, bytes, &size, &ignored);
	error_clear(&ignored);
	if (r < 0)
		return fail(c, scalar, "a !!binary value is not Base64", err);
	*text = span_of(bytes, size);
	return 0;
}

static int scalar_read(struct copier *c, const struct yaml_node *scalar, struct sops_node *node,
		       struct error *err)
{
	enum yaml_tag tag = (enum yaml_tag)scalar->tag;
	struct yaml_scalar value;
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
		r = fail(c, scalar, "a value is not of the type that its tag tells", err);
	else if (r > 0 && value.too_large)
		r = fail(c, scalar, "an integer has more than 64 bits with its sign", err);
	if (r < 0)
		return r;
	node->kind = value.kind;
	r = 0;
	if (value.kind == SOPS_BOOL)
		node->text = span_of_text(value.text[0] == 'T' ? "True" : "False");
	else if (value.kind == SOPS_NULL)
		node->text = (struct span){0};
	else if (value.kind != SOPS_STRING)
		r = sops_tree_text(c->tree, span_of(value.text, value.size), &node->text, err);
	if (value.kind != SOPS_STRING)
		memory_wipe(value.text, value.size);
	return r;
}

static bool is_merge(const struct yaml_node *key)
{
	return key->kind == YAML_SCALAR && span_equal(key->value, span_of_text("<<")) &&
	       (key->tag == YAML_TAG_MERGE || (key->tag == YAML_TAG_NONE && !key->quoted));
}

static uint32_t target_of(const struct copier *c, uint32_t node)
{
	const struct yaml_node *items = c->nodes->items;

	return items[node].kind == YAML_ALIAS ? items[node].target : node;
}

/* What is merged must be a map or a list of maps, although sops does not merge it. */
static int merge_check(const struct copier *c, uint32_t value, struct error *err)
{
	const struct yaml_node *items = c->nodes->items;
	bool good = items[target_of(c, value)].kind == YAML_MAPPING;

	if (items[value].kind == YAML_SEQUENCE) {
		good = true;
		for (uint32_t i = value + 1; i < items[value].end; i = items[i].end)
			good = good && items[target_of(c, i)].kind == YAML_MAPPING;
	}
	return good ? 0 : fail(c, &items[value], "what << merges is no map", err);
}

static int key_twice(const struct copier *c, uint32_t key, struct error *err)
{
	return fail(c, &c->nodes->items[key], "a key stands twice in one map", err);
}

static int keys_differ(const struct copier *c, uint32_t map, struct error *err)
{
	const struct yaml_node *items = c->nodes->items;
	__attribute__((cleanup(yaml_names_destroy))) struct yaml_names names = {0};
	__attribute__((cleanup(yaml_names_destroy))) struct yaml_names aliases = {0};

	for (uint32_t key = map + 1; key < items[map].end; key = items[items[key].end].end) {
		bool alias = items[key].kind == YAML_ALIAS;
		size_t *number;

		if (yaml_names_add(alias ? &aliases : &names, items[key].value, key, &number, err) <
		    0)
			return -(int)err->code;
		if (*number != (size_t)key + 1)
			return key_twice(c, key, err);
	}
	return 0;
}

static int few_keys_differ(const struct copier *c, uint32_t map, struct error *err)
{
	const struct yaml_node *items = c->nodes->items;

	for (uint32_t a = map + 1; a < items[map].end; a = items[items[a].end].end) {
		for (uint32_t b = map + 1; b < a; b = items[items[b].end].end) {
			if (items[a].kind == items[b].kind &&
			    span_equal(items[a].value, items[b].value))
				return key_twice(c, a, err);
		}
	}
	return 0;
}

/* Checks that sops makes for the first document. */
static int map_check(struct copier *c, uint32_t map, size_t aliases, struct error *err)
{
	const struct yaml_node *items = c->nodes->items;
	uint32_t merged = 0;
	size_t count = 0;
	int r;

	for (uint32_t key = map + 1; key < items[map].end; key = items[items[key].end].end) {
		count++;
		if (is_merge(&items[key]))
			merged = items[key].end;
	}
	/* To merge, go-yaml looks at all keys once more. */
	r = visit(c, &items[map], aliases, merged ? count : 0, err);
	if (r < 0 || items[map].checked || !c->first_document)
		return r;
	c->nodes->items[map].checked = true;
	if (merged)
		r = merge_check(c, merged, err);
	if (r == 0)
		r = count > FEW_KEYS ? keys_differ(c, map, err) : few_keys_differ(c, map, err);
	return r;
}

static int key_read(struct copier *c, uint32_t key, struct span *text, struct error *err)
{
	const struct yaml_node *node = &c->nodes->items[target_of(c, key)];
	struct sops_node value;
	int r;

	if (node->kind != YAML_SCALAR)
		return fail(c, &c->nodes->items[key], "a key is a map or a list", err);
	r = scalar_read(c, node, &value, err);
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
		r = scalar_read(c, yaml, &node, err);
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
	struct span text, feet[2] = {leaf ? of_value->foot : (struct span){0}, of_key->foot};
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

		r = scalar_read(c, content, &node, err);
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

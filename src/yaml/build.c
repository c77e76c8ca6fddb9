/* SPDX-License-Identifier: Apache-2.0 */
#include "yaml/parse.h"

#include <stdlib.h>
#include <sys/mman.h>

void yaml_builder_destroy(struct yaml_builder *b)
{
	yaml_scanner_destroy(&b->scanner);
	free(b->frames);
	free(b->directives);
	yaml_names_destroy(&b->anchors);
	secret_destroy(&b->head.joined);
	secret_destroy(&b->line.joined);
	secret_destroy(&b->foot.joined);
}

static int gather(struct yaml_gathered *to, struct span text, struct error *err)
{
	int r = 0;

	if (text.size > 0 && to->text.size > 0)
		r = yaml_gathered_add(to, span_of_text("\n"), err);
	return text.size > 0 && r == 0 ? yaml_gathered_add(to, text, err) : r;
}

int yaml_builder_comments_gather(struct yaml_builder *b, const struct yaml_token *token,
				 struct error *err)
{
	struct yaml_scanner *s = &b->scanner;
	int r = 0;

	for (; r == 0 && s->comment_head < s->comment_count; s->comment_head++) {
		const struct yaml_comment *comment = &s->comments[s->comment_head];

		/* A head before the end of a block waits for what follows the block. */
		if (token->mark.index < comment->token ||
		    (comment->head.size > 0 && token->type == YAML_BLOCK_END))
			break;
		r = gather(&b->head, comment->head, err);
		if (r == 0)
			r = gather(&b->foot, comment->foot, err);
		if (r == 0)
			r = gather(&b->line, comment->line, err);
	}
	return r;
}

static int take(struct yaml_builder *b, struct yaml_gathered *from, struct span *text,
		struct error *err)
{
	*text = (struct span){0};
	if (from->text.size == 0)
		return 0;
	return yaml_gathered_take(from, from->text.size, 0, &b->yaml->texts, text, err);
}

/* Most nodes have none. */
static bool has_comments(const struct yaml_builder *b)
{
	return b->head.text.size + b->line.text.size + b->foot.text.size + b->stem.size > 0;
}

static int comments_take(struct yaml_builder *b, struct yaml_comments *comments, struct error *err)
{
	int r;

	if (!has_comments(b))
		return 0;
	r = take(b, &b->head, &comments->head, err);
	if (r == 0)
		r = take(b, &b->line, &comments->line, err);
	if (r == 0)
		r = take(b, &b->foot, &comments->foot, err);
	b->stem = (struct span){0};
	return r;
}

int yaml_builder_stem_split(struct yaml_builder *b, const struct yaml_token *token, size_t head,
			    struct error *err)
{
	size_t separator = b->head.text.size > head ? 1 : 0;

	if (head == 0 ||
	    (token->type != YAML_BLOCK_SEQUENCE_START && token->type != YAML_BLOCK_MAPPING_START))
		return 0;
	return yaml_gathered_take(&b->head, head, separator, &b->yaml->texts, &b->stem, err);
}

/* The node's comments, which are created on demand. */
static int comments_of(struct yaml_builder *b, uint32_t node, struct yaml_comments **comments,
		       struct error *err)
{
	struct yaml *yaml = b->yaml;

	if (yaml->nodes[node].comments == 0) {
		int r = array_grow(&yaml->comments, yaml->comment_count, &yaml->comment_capacity,
				   sizeof(*yaml->comments), err);

		if (r < 0)
			return r;
		yaml->comments[yaml->comment_count++] = (struct yaml_comments){0};
		yaml->nodes[node].comments = (uint32_t)yaml->comment_count;
	}
	*comments = &yaml->comments[yaml->nodes[node].comments - 1];
	return 0;
}

/* NULL: it has none. */
static struct span *foot_of(struct yaml_builder *b, uint32_t node)
{
	uint32_t comments = b->yaml->nodes[node].comments;
	struct span *foot = comments ? &b->yaml->comments[comments - 1].foot : NULL;

	return foot && foot->size > 0 ? foot : NULL;
}

static int foot_set(struct yaml_builder *b, uint32_t node, struct span *from, struct error *err)
{
	struct span foot = *from;
	struct yaml_comments *comments;
	int r;

	*from = (struct span){0};
	r = comments_of(b, node, &comments, err);
	if (r == 0)
		comments->foot = foot;
	return r;
}

/* A child of the innermost collection is complete. Feet of values belong to their keys, and the
 * foot of a key in a block belongs to the entry before it. */
static inline int child_end(struct yaml_builder *b, uint32_t child, struct error *err)
{
	struct yaml_frame *frame = &b->frames[b->depth - 1];
	const struct yaml_node *parent = &b->yaml->nodes[frame->node];
	const uint32_t key = frame->key;
	const bool in_value = frame->in_value;
	struct span *foot;

	if (parent->kind != YAML_MAPPING)
		return 0;
	frame->in_value = !in_value;
	if (!in_value)
		frame->key = child;
	foot = foot_of(b, child);
	if (!foot || (in_value ? foot_of(b, key) != NULL : parent->flow || key == 0))
		return 0;
	return foot_set(b, key, foot, err);
}

#define NODES_SIZE_MIN ((size_t)65536)
#define HUGE_PAGE_SIZE ((size_t)2 * 1024 * 1024)
#define NODES_PER_BYTE 4 /* bytes of nodes for a byte of text: more than most have */

/* The size that is enough for most texts, a power of two: Linux aligns whole huge pages. */
static size_t nodes_size_first(const struct yaml *yaml)
{
	size_t size = NODES_SIZE_MIN;

	while (size / NODES_PER_BYTE < yaml->text_size)
		size *= 2;
	return size;
}

/* Pages of their own: they grow without being copied, and take no memory before they are used. A
 * node has spans of texts, but no text. */
static int nodes_grow(struct yaml *yaml, struct error *err)
{
	size_t size = yaml->capacity * sizeof(*yaml->nodes);
	size_t more = size ? 2 * size : nodes_size_first(yaml);
	void *nodes =
		size ? mremap(yaml->nodes, size, more, MREMAP_MAYMOVE)
		     : mmap(NULL, more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (nodes == MAP_FAILED)
		return error_no_memory(err);
	/* Faults for small pages would take longer than reading the nodes. */
	if (more >= HUGE_PAGE_SIZE)
		(void)madvise(nodes, more, MADV_HUGEPAGE);
	yaml->nodes = nodes;
	yaml->capacity = more / sizeof(*yaml->nodes);
	return 0;
}

/* Adds a node; NULL without memory. It may move when another one is added. */
static inline struct yaml_node *node_add(struct yaml_builder *b, enum yaml_kind kind,
					 const struct yaml_properties *properties,
					 struct error *err)
{
	struct yaml *yaml = b->yaml;
	struct yaml_node *node;

	if (yaml->count >= yaml->capacity && nodes_grow(yaml, err) < 0)
		return NULL;
	node = &yaml->nodes[yaml->count++];
	*node = (struct yaml_node){
		.line = (uint32_t)properties->line + 1,
		.size = 1,
		.kind = (uint8_t)kind,
		.tag = (uint8_t)properties->tag,
	};
	return node;
}

static uint32_t last_node(const struct yaml_builder *b)
{
	return (uint32_t)b->yaml->count - 1;
}

static int anchor_add(struct yaml_builder *b, const struct yaml_properties *properties,
		      uint32_t node, struct error *err)
{
	size_t *number;

	if (yaml_names_add(&b->anchors, properties->anchor, node, &number, err) < 0)
		return -(int)err->code;
	*number = (size_t)node + 1;
	return 0;
}

/* The last node, which has no children, is complete. */
static inline int leaf_end(struct yaml_builder *b, const struct yaml_properties *properties,
			   bool comments, struct error *err)
{
	const uint32_t index = last_node(b);
	struct yaml_comments *kept;
	int r = 0;

	if (comments && has_comments(b)) {
		r = comments_of(b, index, &kept, err);
		if (r == 0)
			r = comments_take(b, kept, err);
	}
	if (r == 0 && properties->anchor.size > 0)
		r = anchor_add(b, properties, index, err);
	return r < 0 ? r : child_end(b, index, err);
}

static int frame_push(struct yaml_builder *b, uint32_t node, struct error *err)
{
	int r = array_grow(&b->frames, b->depth, &b->frame_capacity, sizeof(*b->frames), err);

	if (r == 0)
		b->frames[b->depth++] = (struct yaml_frame){.node = node};
	return r;
}

/* Comments before an empty line belong to the document, not to its first node. */
static size_t document_head(struct span head, size_t *separator)
{
	for (size_t i = head.size; i-- > 1;) {
		if (head.data[i] != '\n')
			continue;
		*separator = 1;
		if (i == head.size - 1)
			return i;
		if (head.data[i - 1] == '\n') {
			*separator = 2;
			return i - 1;
		}
	}
	return 0;
}

int yaml_builder_document_start(struct yaml_builder *b, const struct yaml_token *token,
				bool implicit, struct error *err)
{
	const struct yaml_properties properties = {.line = token->mark.line};
	size_t separator = 0, head = implicit ? document_head(b->head.text, &separator) : 0;
	struct yaml_comments *comments;
	int r = node_add(b, YAML_DOCUMENT, &properties, err) ? 0 : -(int)err->code;

	if (r == 0 && head > 0) {
		r = comments_of(b, last_node(b), &comments, err);
		if (r == 0)
			r = yaml_gathered_take(&b->head, head, separator, &b->yaml->texts,
					       &comments->head, err);
	}
	return r < 0 ? r : frame_push(b, last_node(b), err);
}

int yaml_builder_document_end(struct yaml_builder *b, struct error *err)
{
	uint32_t node = b->frames[--b->depth].node;
	struct yaml_comments taken = {0}, *comments;
	int r = comments_take(b, &taken, err);

	b->directive_count = 0;
	b->yaml->nodes[node].size = (uint32_t)b->yaml->count - node;
	if (taken.foot.size == 0)
		taken.foot = taken.head;
	if (r < 0 || taken.foot.size == 0)
		return r;
	r = comments_of(b, node, &comments, err);
	if (r == 0)
		comments->foot = taken.foot;
	return r;
}

/* The head of a collection that begins. Other comments of a flow are dropped; those of its closing
 * bracket are used. */
static int head_take(struct yaml_builder *b, bool flow, struct error *err)
{
	struct yaml_comments taken = {.head = b->stem}, *comments;
	int r = flow ? comments_take(b, &taken, err) : 0;

	b->stem = (struct span){0};
	if (r < 0 || taken.head.size == 0)
		return r;
	r = comments_of(b, last_node(b), &comments, err);
	if (r == 0)
		comments->head = taken.head;
	return r;
}

int yaml_builder_start(struct yaml_builder *b, enum yaml_kind kind, bool flow,
		       const struct yaml_properties *properties, struct error *err)
{
	struct yaml_node *node = node_add(b, kind, properties, err);
	int r = node ? 0 : -(int)err->code;

	if (r < 0)
		return r;
	node->flow = flow;
	if (!properties->no_comments && has_comments(b))
		r = head_take(b, flow, err);
	if (r == 0 && properties->anchor.size > 0)
		r = anchor_add(b, properties, last_node(b), err);
	return r < 0 ? r : frame_push(b, last_node(b), err);
}

int yaml_builder_end(struct yaml_builder *b, bool comments, struct error *err)
{
	struct yaml_frame frame = b->frames[--b->depth];
	struct yaml_node *node = &b->yaml->nodes[frame.node];
	struct yaml_comments taken = {0}, *kept;
	int r = comments ? comments_take(b, &taken, err) : 0;

	node->size = (uint32_t)b->yaml->count - frame.node;
	/* In a block the last key has the foot. */
	if (r == 0 && taken.foot.size > 0 && node->kind == YAML_MAPPING && !node->flow && frame.key)
		r = foot_set(b, frame.key, &taken.foot, err);
	if (r == 0 && (taken.line.size > 0 || taken.foot.size > 0)) {
		r = comments_of(b, frame.node, &kept, err);
		if (r == 0) {
			kept->line = taken.line;
			kept->foot = taken.foot;
		}
	}
	return r < 0 ? r : child_end(b, frame.node, err);
}

int yaml_builder_scalar(struct yaml_builder *b, const struct yaml_token *token,
			const struct yaml_properties *properties, struct error *err)
{
	struct yaml_node *node = node_add(b, YAML_SCALAR, properties, err);

	if (!node)
		return -(int)err->code;
	node->value = token->value;
	node->quoted = token->quoted;
	return leaf_end(b, properties, true, err);
}

int yaml_builder_empty(struct yaml_builder *b, const struct yaml_properties *properties,
		       struct error *err)
{
	struct yaml_node *node = node_add(b, YAML_SCALAR, properties, err);

	if (!node)
		return -(int)err->code;
	node->value = span_of_text("");
	return leaf_end(b, properties, false, err);
}

int yaml_builder_alias(struct yaml_builder *b, const struct yaml_token *token, struct error *err)
{
	const struct yaml_properties properties = {.line = token->mark.line};
	const size_t *target = yaml_names_find(&b->anchors, token->value);
	struct yaml_node *node;

	if (!target)
		return yaml_fail(b->yaml, token->mark.line + 1, "undefined alias", err);
	node = node_add(b, YAML_ALIAS, &properties, err);
	if (!node)
		return -(int)err->code;
	node->value = token->value;
	node->back = last_node(b) - (uint32_t)(*target - 1);
	return leaf_end(b, &properties, true, err);
}

/* %TAG directives of one document; each one is compared with all. */
#define DIRECTIVES_MAX 64

#define STANDARD_PREFIX "tag:yaml.org,2002:"

static const struct {
	const char *name;
	enum yaml_tag tag;
} tags[] = {
	{"!", YAML_TAG_NONE},
	{STANDARD_PREFIX "str", YAML_TAG_STRING},
	{STANDARD_PREFIX "int", YAML_TAG_INT},
	{STANDARD_PREFIX "float", YAML_TAG_FLOAT},
	{STANDARD_PREFIX "bool", YAML_TAG_BOOL},
	{STANDARD_PREFIX "null", YAML_TAG_NULL},
	{STANDARD_PREFIX "timestamp", YAML_TAG_TIMESTAMP},
	{STANDARD_PREFIX "binary", YAML_TAG_BINARY},
	{STANDARD_PREFIX "merge", YAML_TAG_MERGE},
};

static bool joined_equal(struct span a, struct span b, struct span text)
{
	return a.size + b.size == text.size && span_starts_with(text, a) &&
	       span_equal(b, span_of(text.data + a.size, b.size));
}

int yaml_builder_tag(struct yaml_builder *b, const struct yaml_token *token,
		     struct yaml_properties *properties, struct error *err)
{
	struct span prefix = {0};
	bool known = token->value.size == 0;

	for (size_t i = 0; i < b->directive_count && !known; i++) {
		known = span_equal(b->directives[i].handle, token->value);
		prefix = b->directives[i].prefix;
	}
	if (!known && token->value.size == 1)
		prefix = span_of_text("!");
	else if (!known && span_equal(token->value, span_of_text("!!")))
		prefix = span_of_text(STANDARD_PREFIX);
	else if (!known)
		return yaml_fail(b->yaml, token->mark.line + 1, "undeclared tag handle", err);
	properties->tagged = true;
	properties->tag = YAML_TAG_OTHER;
	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		if (joined_equal(prefix, token->suffix, span_of_text(tags[i].name)))
			properties->tag = tags[i].tag;
	}
	return 0;
}

int yaml_builder_directive(struct yaml_builder *b, const struct yaml_token *token,
			   struct error *err)
{
	if (b->directive_count == DIRECTIVES_MAX)
		return yaml_fail(b->yaml, token->mark.line + 1, "too many %TAG directives", err);
	for (size_t i = 0; i < b->directive_count; i++) {
		if (span_equal(b->directives[i].handle, token->value))
			return yaml_fail(b->yaml, token->mark.line + 1, "duplicate %TAG directive",
					 err);
	}
	if (array_grow(&b->directives, b->directive_count, &b->directive_capacity,
		       sizeof(*b->directives), err) < 0)
		return -(int)err->code;
	b->directives[b->directive_count++] =
		(struct yaml_directive){.handle = token->value, .prefix = token->suffix};
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree as YAML. sops attaches each comment to a node for go-yaml to write: those before the first
 * entry of a map or a list to the map or list itself, those before another entry to that entry,
 * those after the last entry to its foot, and inline ones to the value that follows.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "sops/stores/yaml.h"
#include "sops/tree/number.h"

/* Adjacent comments in the tree. */
struct run {
	const struct sops_tree *tree;
	size_t begin, end;
};

/* A map or a list that is being written. */
struct frame {
	const struct sops_tree *tree;
	const struct sops_tree *metadata; /* to be written at its end */
	size_t node, next;
	size_t comments; /* the first comment of the next entry */
	int64_t indent;  /* around it */
	bool started;
	struct run line, foot; /* its own comments, announced at its end */
};

struct writer {
	struct yaml_emitter e;
	bool sealed;          /* writes an encrypted document, not plaintext */
	struct frame *frames; /* owned */
	size_t depth, capacity;
};

static void run_add(struct yaml_emitter *e, struct secret *comment, struct run run, bool is_inline)
{
	for (size_t i = run.begin; i < run.end; i++) {
		const struct sops_node *node = &run.tree->nodes[i];

		if (node->inline_comment == is_inline)
			yaml_emit_comment_add(e, comment, node->text);
	}
}

/* All comments, inline ones last. */
static void run_add_all(struct yaml_emitter *e, struct secret *comment, struct run run)
{
	run_add(e, comment, run, false);
	run_add(e, comment, run, true);
}

/* The comments from an index on, up to the end of the container. */
static struct run run_from(const struct sops_tree *tree, size_t begin, size_t container_end)
{
	struct run run = {.tree = tree, .begin = begin, .end = begin};

	while (run.end < container_end && tree->nodes[run.end].kind == SOPS_COMMENT)
		run.end++;
	return run;
}

static struct yaml_indicator indicator(const char *text, bool need_whitespace, bool is_whitespace,
				       bool is_indention)
{
	return (struct yaml_indicator){text, need_whitespace, is_whitespace, is_indention};
}

/* Writes a map or a list without entries. */
static void empty_emit(struct yaml_emitter *e, bool is_map, enum yaml_place place)
{
	int64_t before = e->indent;

	yaml_emit_indicator(e, indicator(is_map ? "{" : "[", true, true, false));
	if (is_map) {
		yaml_emit_deeper(e, true, place);
		yaml_emit_head(e);
		e->indent = before;
	} else if (e->column == 0) {
		yaml_emit_indent(e);
	}
	yaml_emit_indicator(e, indicator(is_map ? "}" : "]", false, false, false));
	yaml_emit_line_comment(e);
	yaml_emit_foot(e);
}

static void frame_push(struct writer *w, struct frame frame)
{
	if (w->e.failed == 0)
		w->e.failed = array_grow(&w->frames, w->depth, &w->capacity, sizeof(*w->frames),
					 w->e.err);
	if (w->e.failed == 0)
		w->frames[w->depth++] = frame;
}

/* The position and the comments of a node. */
struct surroundings {
	enum yaml_place place;
	struct run head, line, foot;
};

static void lines_swap(struct yaml_emitter *e)
{
	const struct secret line = e->line;

	e->line = e->key_line;
	e->key_line = line;
}

/* The comment of a key goes after the key if its value is a map or a list. */
static void key_line_emit(struct yaml_emitter *e, bool is_scalar)
{
	if (e->key_line.size == 0 || (is_scalar && e->line.size > 0))
		return;
	lines_swap(e);
	if (is_scalar)
		return;
	yaml_emit_line_comment(e);
	lines_swap(e);
}

/* Writes what comes before a node; its head comments are announced. An empty map or list is like a
 * scalar: after a line break, its brackets would not be indented. */
static void place_emit(struct yaml_emitter *e, enum yaml_place place, bool is_scalar)
{
	if (place == YAML_AT_ROOT || place == YAML_AS_ITEM)
		yaml_emit_head(e);
	if (place == YAML_AS_ITEM) {
		yaml_emit_indent(e);
		yaml_emit_indicator(e, indicator("-", true, false, true));
	}
	if (place == YAML_AS_VALUE)
		key_line_emit(e, is_scalar);
}

static void container_emit(struct writer *w, const struct sops_tree *tree, size_t index,
			   const struct sops_tree *metadata, const struct surroundings *around)
{
	struct yaml_emitter *e = &w->e;
	const struct sops_node *node = &tree->nodes[index];
	struct run own = run_from(tree, index + 1, node->end);
	bool is_empty = own.end == node->end && !metadata;
	/* Between the braces of {}, where sops writes them, comments would be lost. */
	bool is_braces = is_empty && node->kind == SOPS_MAP && around->place == YAML_AS_VALUE;
	struct frame frame = {
		.tree = tree,
		.metadata = metadata,
		.node = index,
		.next = own.end,
		.comments = own.begin,
		.line = around->line,
		.foot = around->foot,
	};

	run_add(e, &e->head, around->head, false);
	if (!is_braces)
		run_add(e, &e->head, own, false);
	if (!is_braces && is_empty)
		run_add(e, &e->head, own, true);
	place_emit(e, around->place, is_empty);
	if (is_empty) {
		if (is_braces)
			run_add_all(e, &e->line, own);
		run_add(e, &e->line, around->line, true);
		run_add_all(e, &e->foot, around->foot);
		empty_emit(e, node->kind == SOPS_MAP, around->place);
		return;
	}
	yaml_emit_line_comment(e);
	yaml_emit_foot(e);
	frame.indent = e->indent;
	yaml_emit_deeper(e, false, around->place);
	frame_push(w, frame);
}

/* After the header of a block scalar, a second line would be text. */
static void line_comment_cut(struct yaml_emitter *e)
{
	const uint8_t *end = e->line.size > 0 ? memchr(e->line.data, '\n', e->line.size) : NULL;
	size_t size = end ? (size_t)(end - e->line.data) : e->line.size;

	if (!end || e->failed < 0)
		return;
	if (e->foot.size > 0)
		e->failed = secret_append_text(&e->foot, "\n", e->err);
	if (e->failed == 0)
		e->failed =
			secret_append(&e->foot, span_of(end + 1, e->line.size - size - 1), e->err);
	e->line.size = size;
}

static void scalar_emit(struct writer *w, const struct yaml_written *written,
			const struct surroundings *around)
{
	struct yaml_emitter *e = &w->e;

	run_add(e, &e->head, around->head, false);
	run_add(e, &e->line, around->line, true);
	run_add_all(e, &e->foot, around->foot);
	place_emit(e, around->place, true);
	if (written->style == YAML_LITERAL)
		line_comment_cut(e);
	yaml_emit_scalar(e, written, around->place);
	yaml_emit_line_comment(e);
	yaml_emit_foot(e);
}

/* Bytes are a list of numbers in Go, and so in sops. */
static void bytes_emit(struct writer *w, struct span bytes, const struct surroundings *around)
{
	struct yaml_emitter *e = &w->e;
	const struct surroundings item = {.place = YAML_AS_ITEM};
	int64_t before = e->indent;

	run_add(e, &e->head, around->head, false);
	place_emit(e, around->place, bytes.size == 0);
	if (bytes.size > 0) {
		yaml_emit_line_comment(e);
		yaml_emit_foot(e);
		yaml_emit_deeper(e, false, around->place);
	}
	for (size_t i = 0; i < bytes.size; i++) {
		char text[4];
		int size = snprintf(text, sizeof(text), "%u", bytes.data[i]);
		struct yaml_written written = {.text = span_of(text, (size_t)size)};

		scalar_emit(w, &written, &item);
		memory_wipe(text, sizeof(text));
	}
	run_add(e, &e->line, around->line, true);
	run_add_all(e, &e->foot, around->foot);
	if (bytes.size == 0)
		empty_emit(e, false, around->place);
	e->indent = before;
}

/* Go's 'g' form, in which a float may look like an integer. In an encrypted document, minus zero
 * must not: as an integer it has another MAC. */
static struct span float_print(struct span number, bool sealed, char buffer[SOPS_NUMBER_SIZE_MAX])
{
	size_t size = sops_float_print(number, SOPS_NUMBER_FLAT, buffer);
	char *exponent = memchr(buffer, 'E', size);

	if (sealed && span_equal(span_of(buffer, size), span_of_text("-0.0")))
		return span_of(buffer, size);
	if (buffer[size - 1] == 'f')
		return span_of_text(buffer[0] == '-' ? "-.inf" : ".inf");
	if (buffer[0] == 'N')
		return span_of_text(".nan");
	if (exponent)
		*exponent = 'e';
	if (size > 2 && buffer[size - 2] == '.' && buffer[size - 1] == '0')
		size -= 2;
	return span_of(buffer, size);
}

/* How a node that is neither map nor list is written; `buffer` holds a number's text. */
static int written_node(struct yaml_written *written, const struct sops_node *node, bool sealed,
			char buffer[SOPS_NUMBER_SIZE_MAX], struct error *err)
{
	*written = (struct yaml_written){.text = node->text};
	switch (node->kind) {
	case SOPS_BOOL:
		written->text = span_of_text(node->text.size == 4 ? "true" : "false");
		return 0;
	case SOPS_NULL:
		written->text = span_of_text("null");
		return 0;
	case SOPS_FLOAT:
		written->text = float_print(node->text, sealed, buffer);
		return 0;
	case SOPS_INT:
	case SOPS_TIME:
		return 0;
	default:
		return yaml_written_string(written, node->text, err);
	}
}

static void node_emit(struct writer *w, const struct sops_tree *tree, size_t index,
		      const struct surroundings *around)
{
	__attribute__((cleanup(yaml_written_destroy))) struct yaml_written written = {0};
	const struct sops_node *node = &tree->nodes[index];
	char buffer[SOPS_NUMBER_SIZE_MAX];

	if (node->kind == SOPS_MAP || node->kind == SOPS_LIST) {
		container_emit(w, tree, index, NULL, around);
		return;
	}
	if (node->kind == SOPS_BYTES) {
		bytes_emit(w, node->text, around);
		return;
	}
	if (w->e.failed == 0)
		w->e.failed = written_node(&written, node, w->sealed, buffer, w->e.err);
	if (w->e.failed == 0)
		scalar_emit(w, &written, around);
	if (node->kind == SOPS_FLOAT)
		memory_wipe(buffer, sizeof(buffer));
}

/* Whether the value can follow the key <<, which merges maps. */
static bool can_merge(const struct sops_tree *tree, size_t index)
{
	const struct sops_node *nodes = tree->nodes;

	if (nodes[index].kind != SOPS_LIST)
		return nodes[index].kind == SOPS_MAP;
	for (size_t i = index + 1; i < nodes[index].end; i = nodes[i].end) {
		if (nodes[i].kind != SOPS_MAP && nodes[i].kind != SOPS_COMMENT)
			return false;
	}
	return true;
}

/* The key and its colon. */
static void key_emit(struct writer *w, struct span key, bool merges, struct run head)
{
	__attribute__((cleanup(yaml_written_destroy))) struct yaml_written written = {0};
	struct yaml_emitter *e = &w->e;
	bool simple;

	run_add(e, &e->head, head, false);
	if (e->failed == 0)
		e->failed = yaml_written_string(&written, key, e->err);
	if (e->failed < 0)
		return;
	/* sops writes any value after <<, and then cannot read the document. */
	if (!merges && span_equal(key, span_of_text("<<"))) {
		written.tag = NULL;
		written.style = YAML_DOUBLE_QUOTED;
	}
	yaml_emit_head(e);
	yaml_emit_indent(e);
	/* A comment of a map or a list that ended. */
	if (e->line.size > 0) {
		lines_swap(e);
		e->line.size = 0;
	}
	simple = yaml_written_is_simple(&written);
	if (!simple)
		yaml_emit_indicator(e, indicator("?", true, false, true));
	yaml_emit_scalar(e, &written, simple ? YAML_AS_KEY : YAML_AS_LONG_KEY);
	if (!simple)
		yaml_emit_indent(e);
	yaml_emit_indicator(e, indicator(":", !simple, false, !simple));
}

/* The next entry of the innermost frame. */
static void entry_emit(struct writer *w)
{
	struct frame *frame = &w->frames[w->depth - 1];
	const struct sops_tree *tree = frame->tree;
	size_t index = frame->next, end = tree->nodes[frame->node].end;
	bool is_map = tree->nodes[frame->node].kind == SOPS_MAP;
	struct run before = {.tree = tree, .begin = frame->comments, .end = index};
	struct run after = run_from(tree, tree->nodes[index].end, end);
	struct surroundings around = {
		.place = is_map ? YAML_AS_VALUE : YAML_AS_ITEM,
		.line = before,
	};

	/* Comments before the first entry were announced with the map or list. */
	if (!is_map && frame->started)
		around.head = before;
	if (!is_map && after.end == end)
		around.foot = after;
	if (is_map)
		key_emit(w, tree->nodes[index].key, can_merge(tree, index),
			 frame->started ? before : (struct run){0});
	frame->started = true;
	frame->comments = after.begin;
	frame->next = after.end;
	node_emit(w, tree, index, &around);
}

/* The metadata come last; comments before them belong to them. */
static void metadata_emit(struct writer *w)
{
	struct frame *frame = &w->frames[w->depth - 1];
	const struct sops_tree *metadata = frame->metadata;
	struct run before = {.tree = frame->tree, .begin = frame->comments, .end = frame->next};
	struct surroundings around = {.place = YAML_AS_VALUE, .line = before};

	/* Not yet written comments would be lost in the metadata. */
	yaml_emit_line_comment(&w->e);
	yaml_emit_foot(&w->e);
	key_emit(w, span_of_text(SOPS_METADATA_KEY), true,
		 frame->started ? before : (struct run){0});
	frame->started = true;
	frame->metadata = NULL;
	frame->comments = frame->next;
	container_emit(w, metadata, 0, NULL, &around);
}

/* The innermost frame ends: comments after the last entry of a map are written, its own are
 * announced. */
static void frame_end(struct writer *w)
{
	struct yaml_emitter *e = &w->e;
	struct frame frame = w->frames[--w->depth];

	run_add(e, &e->line, frame.line, true);
	run_add_all(e, &e->foot, frame.foot);
	if (frame.tree->nodes[frame.node].kind == SOPS_MAP) {
		/* Comments of an empty list that ends the map come first. */
		if (frame.comments < frame.next && e->head.size > 0 && e->tail.size == 0) {
			secret_destroy(&e->tail);
			secret_move(&e->tail, &e->head);
		}
		run_add_all(e, &e->tail, (struct run){frame.tree, frame.comments, frame.next});
		yaml_emit_head(e);
	}
	e->indent = frame.indent;
}

static void frames_emit(struct writer *w)
{
	while (w->depth > 0 && w->e.failed == 0) {
		const struct frame *frame = &w->frames[w->depth - 1];

		if (frame->next < frame->tree->nodes[frame->node].end)
			entry_emit(w);
		else if (frame->metadata)
			metadata_emit(w);
		else
			frame_end(w);
	}
}

static void document_begin(struct yaml_emitter *e, bool first)
{
	if (!first) {
		yaml_emit_indent(e);
		yaml_emit_indicator(e, indicator("---", true, false, false));
		yaml_emit_indent(e);
	}
	if (e->head.size > 0) {
		yaml_emit_head(e);
		yaml_emit_break(e);
	}
}

static void document_end(struct yaml_emitter *e)
{
	e->foot_indent = 0;
	yaml_emit_foot(e);
	e->foot_indent = -1;
	yaml_emit_indent(e);
}

static int writer_finish(struct writer *w)
{
	yaml_emitter_destroy(&w->e);
	free(w->frames);
	return w->e.failed;
}

int sops_yaml_documents_emit(const struct sops_tree *tree, const struct sops_tree *metadata,
			     size_t indent, struct secret *out, struct error *err)
{
	const struct surroundings around = {.place = YAML_AT_ROOT};
	struct writer w = {.sealed = metadata != NULL};

	yaml_emitter_begin(&w.e, indent, out, err);
	for (size_t i = SOPS_FIRST_DOCUMENT; i < tree->nodes[0].end; i = tree->nodes[i].end) {
		document_begin(&w.e, i == SOPS_FIRST_DOCUMENT);
		container_emit(&w, tree, i, metadata, &around);
		frames_emit(&w);
		document_end(&w.e);
	}
	return writer_finish(&w);
}

int sops_yaml_node_emit(const struct sops_tree *tree, size_t node, size_t indent,
			struct secret *out, struct error *err)
{
	const struct surroundings around = {.place = YAML_AT_ROOT};
	struct writer w = {0};

	yaml_emitter_begin(&w.e, indent, out, err);
	document_begin(&w.e, true);
	node_emit(&w, tree, node, &around);
	frames_emit(&w);
	document_end(&w.e);
	return writer_finish(&w);
}

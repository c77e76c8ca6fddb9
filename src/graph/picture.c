/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures: a box for each zone, and in it the containers with their nodes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "graph/model.h"

/* Colors that black text is readable on, and whose marks differ without color too: the state is
 * written. */
static const char *const fills[GRAPH_STATES] = {
	[GRAPH_DECLARED] = "#f6f6f6",   [GRAPH_CURRENT] = "#d9f2e0",  [GRAPH_UNKNOWN] = "#eeeeee",
	[GRAPH_STALE] = "#ffe9a8",      [GRAPH_ORPHANED] = "#e3d9f7", [GRAPH_MISSING] = "#ffd0cc",
	[GRAPH_UNREADABLE] = "#ffb3c7",
};

/* The language of a picture: what is around the name and the label of a box, and so on. */
struct syntax {
	const char *box_name, *box_label, *box_label_end, *box_end;
	void (*text)(FILE *file, const char *text); /* in quotes */
	void (*node)(FILE *file, const struct graph_node *node, size_t index);
	void (*edge)(FILE *file, const struct graph_edge *edge);
};

static void indent(FILE *file, int depth)
{
	fprintf(file, "%*s", depth * 2, "");
}

static void box_begin(const struct syntax *syntax, FILE *file, int depth, const char *id,
		      size_t number, const char *label)
{
	indent(file, depth);
	fprintf(file, "%s%s%zu%s", syntax->box_name, id, number, syntax->box_label);
	syntax->text(file, label);
	fprintf(file, "%s\n", syntax->box_label_end);
}

static void box_end(const struct syntax *syntax, FILE *file, int depth)
{
	indent(file, depth);
	fprintf(file, "%s\n", syntax->box_end);
}

static bool has_children(const struct graph *graph, size_t index)
{
	for (size_t i = 0; graph_is_container(graph->nodes[index].kind) && i < graph->node_count;
	     i++) {
		if (graph->nodes[i].parent == index)
			return true;
	}
	return false;
}

static bool has_edges(const struct graph *graph, size_t index)
{
	for (size_t i = 0; i < graph->edge_count; i++) {
		if (graph->edges[i].from == index || graph->edges[i].to == index)
			return true;
	}
	return false;
}

static void node_write(const struct graph *graph, const struct syntax *syntax, size_t index,
		       int depth, FILE *file)
{
	indent(file, depth);
	syntax->node(file, &graph->nodes[index], index);
}

static void container_write(const struct graph *graph, const struct syntax *syntax, size_t index,
			    FILE *file)
{
	const bool is_box = has_children(graph, index);

	if (is_box)
		box_begin(syntax, file, 2, "c", index, graph->nodes[index].label);
	/* A box has neither a mark nor edges. */
	if (!is_box || graph_is_marked(graph->nodes[index].state) || has_edges(graph, index))
		node_write(graph, syntax, index, is_box ? 3 : 2, file);
	/* Most nodes of a large store are none. */
	if (!is_box)
		return;
	for (size_t i = 0; i < graph->node_count; i++) {
		if (graph->nodes[i].parent == index)
			node_write(graph, syntax, i, 3, file);
	}
	box_end(syntax, file, 2);
}

static bool is_reader(const struct graph_edge *edge)
{
	return edge->relation == GRAPH_READS || edge->relation == GRAPH_HAS_MEMBER;
}

/* From left to right. Readers come before what they read: after it, they would widen their zone,
 * and push the next one below it. */
static void edge_write(const struct syntax *syntax, struct graph_edge edge, FILE *file)
{
	if (is_reader(&edge)) {
		const size_t from = edge.from;

		edge.from = edge.to;
		edge.to = from;
	}
	syntax->edge(file, &edge);
}

static void zones_write(const struct graph *graph, const struct syntax *syntax, FILE *file)
{
	for (int zone = 0; zone < GRAPH_ZONES; zone++) {
		bool is_empty = true;

		for (size_t i = 0; i < graph->node_count; i++) {
			if ((int)graph_zone_of(graph->nodes[i].kind) != zone ||
			    graph->nodes[i].parent != GRAPH_NONE)
				continue;
			if (is_empty)
				box_begin(syntax, file, 1, "z", (size_t)zone,
					  graph_zones[zone].title);
			is_empty = false;
			container_write(graph, syntax, i, file);
		}
		if (!is_empty)
			box_end(syntax, file, 1);
	}
	for (size_t i = 0; i < graph->edge_count; i++)
		edge_write(syntax, graph->edges[i], file);
}

/* The name of an edge, which only marked and unusual ones have. */
static const char *edge_text(const struct graph_edge *edge)
{
	if (graph_is_marked(edge->state))
		return graph_state_names[edge->state];
	return edge->relation == GRAPH_DEPENDS || edge->relation == GRAPH_RESTARTS ||
			       edge->relation == GRAPH_RELOADS
		       ? graph_relation_names[edge->relation]
		       : NULL;
}

static bool is_dashed(const struct graph_edge *edge)
{
	return is_reader(edge) || edge->relation == GRAPH_RESTARTS ||
	       edge->relation == GRAPH_RELOADS;
}

/* Of a secret, which is in no machine's box. */
static const char *machine_of(const struct graph_node *node)
{
	return node->kind == GRAPH_SECRET || node->kind == GRAPH_PUBLIC ? node->machine : NULL;
}

/* In an aggregate, how many are marked; else the state. */
static const char *mark_of(const struct graph_node *node)
{
	if (!graph_is_marked(node->state))
		return NULL;
	for (int state = 0; state < GRAPH_STATES; state++) {
		if (node->counts[state] > 0)
			return node->problem;
	}
	return graph_state_names[node->state];
}

/* The label, the machine and the mark, each in a line. */
static void lines_write(FILE *file, const struct graph_node *node, const char *line_break,
			void (*text)(FILE *file, const char *text))
{
	const char *const more[] = {machine_of(node), mark_of(node)};

	text(file, node->label);
	for (size_t i = 0; i < 2; i++) {
		if (!more[i])
			continue;
		fputs(line_break, file);
		text(file, more[i]);
	}
}

/* "#35;" is the character 35: what is not a letter, a digit or harmless might be
 * Mermaid's syntax, Markdown or HTML. */
static void mermaid_text(FILE *file, const char *text)
{
	for (const char *c = text; *c; c++) {
		const bool is_harmless = (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') ||
					 (*c >= 'A' && *c <= 'Z') || (unsigned char)*c >= 0x80 ||
					 strchr(" /.-:@=,", *c);

		if (is_harmless)
			fputc(*c, file);
		else
			fprintf(file, "#%d;", *c);
	}
}

static void mermaid_node(FILE *file, const struct graph_node *node, size_t index)
{
	static const char *const shapes[GRAPH_KINDS][2] = {
		[GRAPH_GENERATOR] = {"[[", "]]"}, [GRAPH_SECRET] = {"[(", ")]"},
		[GRAPH_USER] = {"([", "])"},      [GRAPH_GROUP] = {"([", "])"},
		[GRAPH_MACHINE] = {"([", "])"},   [GRAPH_KEY] = {"([", "])"},
	};
	const char *const *shape = shapes[node->kind];

	fprintf(file, "n%zu%s\"", index, shape[0] ? shape[0] : "[");
	lines_write(file, node, "<br/>", mermaid_text);
	fprintf(file, "\"%s", shape[0] ? shape[1] : "]");
	if (mark_of(node))
		fprintf(file, ":::%s", graph_state_names[node->state]);
	fprintf(file, "\n");
}

static void mermaid_edge(FILE *file, const struct graph_edge *edge)
{
	const char *text = edge_text(edge);
	const char *arrow = is_reader(edge) ? "-.-" : is_dashed(edge) ? "-.->" : "-->";

	fprintf(file, "  n%zu %s%s%s%s n%zu\n", edge->from, arrow, text ? "|" : "",
		text ? text : "", text ? "|" : "", edge->to);
}

void graph_write_mermaid(const struct graph *graph, FILE *file)
{
	static const struct syntax syntax = {"subgraph ",  " [\"",       "\"]",       "end",
					     mermaid_text, mermaid_node, mermaid_edge};

	fprintf(file, "flowchart LR\n");
	zones_write(graph, &syntax, file);
	for (int state = GRAPH_STALE; state < GRAPH_STATES; state++)
		fprintf(file, "  classDef %s fill:%s,stroke:#333,color:#000\n",
			graph_state_names[state], fills[state]);
}

/* Labels may have escapes such as \N, and entities of HTML. */
static void dot_text(FILE *file, const char *text)
{
	for (const char *c = text; *c; c++) {
		if (*c == '&')
			fprintf(file, "&amp;");
		else
			fprintf(file, "%s%c", *c == '"' || *c == '\\' ? "\\" : "", *c);
	}
}

static void dot_node(FILE *file, const struct graph_node *node, size_t index)
{
	static const char *const shapes[GRAPH_KINDS] = {
		[GRAPH_GENERATOR] = "component", [GRAPH_SECRET] = "cylinder",
		[GRAPH_USER] = "ellipse",        [GRAPH_GROUP] = "ellipse",
		[GRAPH_MACHINE] = "ellipse",     [GRAPH_KEY] = "ellipse",
	};
	const char *shape = shapes[node->kind];

	fprintf(file, "n%zu [label=\"", index);
	lines_write(file, node, "\\n", dot_text);
	fprintf(file, "\" shape=%s fillcolor=\"%s\"]\n", shape ? shape : "box", fills[node->state]);
}

static void dot_edge(FILE *file, const struct graph_edge *edge)
{
	const char *text = edge_text(edge);

	fprintf(file, "  n%zu -> n%zu [label=\"%s\" style=%s%s]\n", edge->from, edge->to,
		text ? text : "", is_dashed(edge) ? "dashed" : "solid",
		is_reader(edge) ? " dir=none" : "");
}

void graph_write_dot(const struct graph *graph, FILE *file)
{
	static const struct syntax syntax = {
		"subgraph cluster_", " { label=\"", "\"", "}", dot_text, dot_node, dot_edge};

	fprintf(file, "digraph vmcred {\n"
		      "  rankdir=LR\n"
		      "  graph [fontname=\"sans-serif\" style=rounded color=\"#888888\"]\n"
		      "  node [fontname=\"sans-serif\" style=filled]\n"
		      "  edge [fontname=\"sans-serif\" fontsize=10]\n");
	zones_write(graph, &syntax, file);
	fprintf(file, "}\n");
}

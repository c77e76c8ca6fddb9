/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures: a box for each zone, and in it the containers with their nodes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "graph/model.h"

/* Colors that black text is readable on, and whose marks differ without color too: the state is
 * written. */
static const char *const fills[GRAPH_STATES] = {
	[GRAPH_DECLARED] = "#f6f6f6",   [GRAPH_CURRENT] = "#d9f2e0",  [GRAPH_UNKNOWN] = "#eeeeee",
	[GRAPH_STALE] = "#ffe9a8",      [GRAPH_ORPHANED] = "#e3d9f7", [GRAPH_MISSING] = "#ffd0cc",
	[GRAPH_UNREADABLE] = "#ffb3c7",
};

/* A syntax; `inner` is the container of a node or GRAPH_NONE. */
struct syntax {
	void (*box_begin)(FILE *file, int depth, const char *id, size_t number, const char *label);
	void (*box_end)(FILE *file, int depth);
	void (*node)(FILE *file, int depth, const struct graph *graph, size_t index);
	void (*edge)(FILE *file, const struct graph *graph, const struct graph_edge *edge);
};

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

static void container_write(const struct graph *graph, const struct syntax *syntax, size_t index,
			    FILE *file)
{
	const bool is_box = has_children(graph, index);

	if (is_box)
		syntax->box_begin(file, 2, "c", index, graph->nodes[index].label);
	/* A box has neither a mark nor edges. */
	if (!is_box || graph_is_marked(graph->nodes[index].state) || has_edges(graph, index))
		syntax->node(file, is_box ? 3 : 2, graph, index);
	for (size_t i = 0; i < graph->node_count; i++) {
		if (graph->nodes[i].parent == index)
			syntax->node(file, 3, graph, i);
	}
	if (is_box)
		syntax->box_end(file, 2);
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
				syntax->box_begin(file, 1, "z", (size_t)zone,
						  graph_zones[zone].title);
			is_empty = false;
			container_write(graph, syntax, i, file);
		}
		if (!is_empty)
			syntax->box_end(file, 1);
	}
	for (size_t i = 0; i < graph->edge_count; i++)
		syntax->edge(file, graph, &graph->edges[i]);
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
	return edge->relation == GRAPH_READS || edge->relation == GRAPH_HAS_MEMBER ||
	       edge->relation == GRAPH_RESTARTS || edge->relation == GRAPH_RELOADS;
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

static void indent(FILE *file, int depth)
{
	fprintf(file, "%*s", depth * 2, "");
}

/* In quotes. "#35;" is the character 35: what is not a letter, a digit or harmless might be
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

static void mermaid_box_begin(FILE *file, int depth, const char *id, size_t number,
			      const char *label)
{
	indent(file, depth);
	fprintf(file, "subgraph %s%zu [\"", id, number);
	mermaid_text(file, label);
	fprintf(file, "\"]\n");
}

static void mermaid_box_end(FILE *file, int depth)
{
	indent(file, depth);
	fprintf(file, "end\n");
}

static void mermaid_node(FILE *file, int depth, const struct graph *graph, size_t index)
{
	static const char *const shapes[GRAPH_KINDS][2] = {
		[GRAPH_GENERATOR] = {"[[", "]]"}, [GRAPH_SECRET] = {"[(", ")]"},
		[GRAPH_USER] = {"([", "])"},      [GRAPH_GROUP] = {"([", "])"},
		[GRAPH_MACHINE] = {"([", "])"},   [GRAPH_KEY] = {"([", "])"},
	};
	const struct graph_node *node = &graph->nodes[index];
	const char *const *shape = shapes[node->kind];
	const char *mark = mark_of(node);

	indent(file, depth);
	fprintf(file, "n%zu%s\"", index, shape[0] ? shape[0] : "[");
	mermaid_text(file, node->label);
	if (machine_of(node)) {
		fprintf(file, "<br/>");
		mermaid_text(file, machine_of(node));
	}
	if (mark) {
		fprintf(file, "<br/>");
		mermaid_text(file, mark);
	}
	fprintf(file, "\"%s", shape[0] ? shape[1] : "]");
	if (mark)
		fprintf(file, ":::%s", graph_state_names[node->state]);
	fprintf(file, "\n");
}

static void mermaid_edge(FILE *file, const struct graph *graph, const struct graph_edge *edge)
{
	const char *text = edge_text(edge);

	(void)graph;
	fprintf(file, "  n%zu %s%s%s%s n%zu\n", edge->from, is_dashed(edge) ? "-.->" : "-->",
		text ? "|" : "", text ? text : "", text ? "|" : "", edge->to);
}

void graph_write_mermaid(const struct graph *graph, FILE *file)
{
	static const struct syntax syntax = {mermaid_box_begin, mermaid_box_end, mermaid_node,
					     mermaid_edge};

	fprintf(file, "flowchart LR\n");
	zones_write(graph, &syntax, file);
	for (int state = GRAPH_STALE; state < GRAPH_STATES; state++)
		fprintf(file, "  classDef %s fill:%s,stroke:#333,color:#000\n",
			graph_state_names[state], fills[state]);
}

/* In quotes. Labels may have escapes such as \N, and entities of HTML. */
static void dot_text(FILE *file, const char *text)
{
	for (const char *c = text; *c; c++) {
		if (*c == '&')
			fprintf(file, "&amp;");
		else
			fprintf(file, "%s%c", *c == '"' || *c == '\\' ? "\\" : "", *c);
	}
}

static void dot_box_begin(FILE *file, int depth, const char *id, size_t number, const char *label)
{
	indent(file, depth);
	fprintf(file, "subgraph cluster_%s%zu { label=\"", id, number);
	dot_text(file, label);
	fprintf(file, "\"\n");
}

static void dot_box_end(FILE *file, int depth)
{
	indent(file, depth);
	fprintf(file, "}\n");
}

static void dot_node(FILE *file, int depth, const struct graph *graph, size_t index)
{
	static const char *const shapes[GRAPH_KINDS] = {
		[GRAPH_GENERATOR] = "component", [GRAPH_SECRET] = "cylinder",
		[GRAPH_USER] = "ellipse",        [GRAPH_GROUP] = "ellipse",
		[GRAPH_MACHINE] = "ellipse",     [GRAPH_KEY] = "ellipse",
	};
	const struct graph_node *node = &graph->nodes[index];
	const char *shape = shapes[node->kind], *mark = mark_of(node);

	indent(file, depth);
	fprintf(file, "n%zu [label=\"", index);
	dot_text(file, node->label);
	if (machine_of(node)) {
		fprintf(file, "\\n");
		dot_text(file, machine_of(node));
	}
	if (mark) {
		fprintf(file, "\\n");
		dot_text(file, mark);
	}
	fprintf(file, "\" shape=%s fillcolor=\"%s\"]\n", shape ? shape : "box", fills[node->state]);
}

static void dot_edge(FILE *file, const struct graph *graph, const struct graph_edge *edge)
{
	const char *text = edge_text(edge);

	(void)graph;
	fprintf(file, "  n%zu -> n%zu [label=\"%s\" style=%s]\n", edge->from, edge->to,
		text ? text : "", is_dashed(edge) ? "dashed" : "solid");
}

void graph_write_dot(const struct graph *graph, FILE *file)
{
	static const struct syntax syntax = {dot_box_begin, dot_box_end, dot_node, dot_edge};

	fprintf(file, "digraph vmcred {\n"
		      "  rankdir=LR\n"
		      "  graph [fontname=\"sans-serif\" style=rounded color=\"#888888\"]\n"
		      "  node [fontname=\"sans-serif\" style=filled]\n"
		      "  edge [fontname=\"sans-serif\" fontsize=10]\n");
	zones_write(graph, &syntax, file);
	fprintf(file, "}\n");
}

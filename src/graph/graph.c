/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/name.h"
#include "graph/model.h"

int graph_create(const struct config *config, int store_dirfd, const struct graph_options *options,
		 struct graph **graph, struct error *err)
{
	int r;

	*graph = graph_new();
	if (!*graph)
		return error_no_memory(err);
	r = graph_declare(*graph, config, err);
	if (r == 0 && graph_store(*graph, config, store_dirfd, options, err) < 0) {
		_cleanup_free_ char *line = error_line(err);

		report_message(options->report, REPORT_WARNING,
			       "the store is shown only in part: %s", line ? line : "");
		error_clear(err);
	}
	if (r == 0)
		r = graph_host(*graph, config, options, err);
	return r == 0 && (*graph)->no_memory ? error_no_memory(err) : r;
}

/* Whether a name chooses a node. */
static bool is_named(const struct graph_node *node, const char *name)
{
	return (node->vm && strcmp(node->vm, name) == 0) ||
	       (node->machine && strcmp(node->machine, name) == 0) ||
	       (node->kind == GRAPH_GENERATOR && strcmp(node->label, name) == 0);
}

static int name_unknown(const struct graph *graph, const char *name, struct error *err)
{
	_cleanup_free_ const char **known = calloc(graph->node_count + 1, sizeof(*known));
	size_t count = 0;

	if (!known)
		return error_no_memory(err);
	for (size_t i = 0; i < graph->node_count; i++) {
		const enum graph_kind kind = graph->nodes[i].kind;

		if (kind == GRAPH_VM || kind == GRAPH_MACHINE || kind == GRAPH_GENERATOR)
			known[count++] = graph->nodes[i].label;
	}
	error_set(err, VMCRED_USAGE, "no VM, machine or generator is called \"%s\"", name);
	return name_hint(name, known, err);
}

/* Whether the chosen flow follows a relation. What reads a secret is not what it flows to. */
static bool is_flow(enum graph_relation relation)
{
	return relation != GRAPH_READS && relation != GRAPH_HAS_MEMBER;
}

enum {
	CHOSEN = 1,
	BEFORE = 2,
	AFTER = 4
};

/* Follows edges until nothing is new. The edges are mostly in the direction of the flow, so few
 * rounds are needed. */
static void reach(const struct graph *graph, unsigned char *chosen)
{
	for (bool is_new = true; is_new;) {
		is_new = false;
		for (size_t i = 0; i < graph->edge_count; i++) {
			const struct graph_edge *edge = &graph->edges[i];
			const unsigned char from = chosen[edge->from], to = chosen[edge->to];

			if (!is_flow(edge->relation))
				continue;
			if (to & (CHOSEN | BEFORE))
				chosen[edge->from] |= BEFORE;
			if (from & (CHOSEN | AFTER) && edge->relation != GRAPH_DEPENDS)
				chosen[edge->to] |= AFTER;
			is_new |= from != chosen[edge->from] || to != chosen[edge->to];
		}
	}
	/* Readers, the members of groups among them, and containers. */
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < graph->edge_count; i++) {
			const struct graph_edge *edge = &graph->edges[i];

			if (!is_flow(edge->relation) && chosen[edge->from])
				chosen[edge->to] |= CHOSEN;
		}
	}
	for (size_t i = 0; i < graph->node_count; i++) {
		if (chosen[i] && graph->nodes[i].parent != GRAPH_NONE)
			chosen[graph->nodes[i].parent] |= CHOSEN;
	}
}

/* Removes the nodes that were not chosen. */
static int keep(struct graph *graph, const unsigned char *chosen, struct error *err)
{
	_cleanup_free_ size_t *places = calloc(graph->node_count + 1, sizeof(*places));
	size_t count = 0, edges = 0;

	if (!places)
		return error_no_memory(err);
	for (size_t i = 0; i < graph->node_count; i++) {
		places[i] = count;
		if (chosen[i])
			graph->nodes[count++] = graph->nodes[i];
		else
			graph_node_release(&graph->nodes[i]);
	}
	graph->node_count = count;
	for (size_t i = 0; i < count; i++) {
		if (graph->nodes[i].parent != GRAPH_NONE)
			graph->nodes[i].parent = places[graph->nodes[i].parent];
	}
	for (size_t i = 0; i < graph->edge_count; i++) {
		const struct graph_edge *edge = &graph->edges[i];

		if (chosen[edge->from] && chosen[edge->to])
			graph->edges[edges++] = (struct graph_edge){
				places[edge->from], places[edge->to], edge->relation, edge->state};
	}
	graph->edge_count = edges;
	/* Nothing is added any more. */
	json_object_clear(graph->ids);
	return 0;
}

int graph_choose(struct graph *graph, char *const *names, struct error *err)
{
	_cleanup_free_ unsigned char *chosen = calloc(graph->node_count + 1, 1);

	if (!chosen)
		return error_no_memory(err);
	for (; *names; names++) {
		bool is_known = false;

		for (size_t i = 0; i < graph->node_count; i++) {
			if (is_named(&graph->nodes[i], *names)) {
				chosen[i] |= CHOSEN;
				is_known = true;
			}
		}
		if (!is_known)
			return name_unknown(graph, *names, err);
	}
	reach(graph, chosen);
	return keep(graph, chosen, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* One picture of many machines. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/text.h"
#include "graph/model.h"

/* Whether all nodes of the kind become one; otherwise those of the same label. */
static bool is_one(enum graph_kind kind)
{
	return kind == GRAPH_MACHINE || kind == GRAPH_KEY || kind == GRAPH_ORPHAN ||
	       graph_is_container(kind);
}

static const char *const plurals[GRAPH_KINDS] = {
	[GRAPH_MACHINE] = "machines", [GRAPH_KEY] = "keys",   [GRAPH_ORPHAN] = "paths",
	[GRAPH_RUNTIME] = "machines", [GRAPH_UNIT] = "units", [GRAPH_VM] = "VMs",
	[GRAPH_SYSTEM] = "guests",
};

static size_t count_of(const struct graph_node *node)
{
	size_t count = 0;

	for (int state = 0; state < GRAPH_STATES; state++)
		count += node->counts[state];
	return count;
}

/* "3 missing, 1 stale", or NULL if nothing is wrong. */
static char *problem_of(const struct graph_node *node)
{
	char *text = NULL;

	for (int state = GRAPH_STATES - 1; graph_is_marked((enum graph_state)state); state--) {
		_cleanup_free_ char *before = text;

		if (node->counts[state] == 0) {
			(void)pointer_release(&before);
			continue;
		}
		text = text_format("%s%s%zu %s", before ? before : "", before ? ", " : "",
				   node->counts[state], graph_state_names[state]);
	}
	return text;
}

static void nodes_add(struct graph *small, const struct graph *graph, size_t *places)
{
	for (size_t i = 0; i < graph->node_count; i++) {
		const struct graph_node *node = &graph->nodes[i];
		const char *label = is_one(node->kind) ? plurals[node->kind] : node->label;
		const size_t place = graph_add(small, node->kind, strdup(label), node->label);

		places[i] = place;
		if (place != GRAPH_NONE)
			small->nodes[place].counts[node->state]++;
	}
	for (size_t i = 0; i < graph->node_count; i++) {
		if (places[i] != GRAPH_NONE && graph->nodes[i].parent != GRAPH_NONE)
			small->nodes[places[i]].parent = places[graph->nodes[i].parent];
	}
}

static void nodes_name(struct graph *small)
{
	for (size_t i = 0; i < small->node_count; i++) {
		struct graph_node *node = &small->nodes[i];
		const size_t count = count_of(node);
		char *label = NULL;

		for (int state = 0; state < GRAPH_STATES; state++) {
			if (node->counts[state] > 0)
				node->state = (enum graph_state)state;
		}
		node->problem = problem_of(node);
		if (count > 1 && is_one(node->kind))
			label = text_format("%zu %s", count, plurals[node->kind]);
		else if (count > 1)
			label = text_format("%s ×%zu", node->label, count);
		if (count > 1) {
			free(node->label);
			node->label = label;
			small->no_memory |= !label;
		}
	}
}

static void edges_add(struct graph *small, const struct graph *graph, const size_t *places)
{
	_cleanup_json_ json_t *known = json_object();

	for (size_t i = 0; known && i < graph->edge_count; i++) {
		const struct graph_edge *edge = &graph->edges[i];
		_cleanup_free_ char *key = text_format("%zu %zu %d", places[edge->from],
						       places[edge->to], edge->relation);
		const json_t *index = key ? json_object_get(known, key) : NULL;

		if (index) {
			struct graph_edge *same = &small->edges[json_integer_value(index)];

			same->state = edge->state > same->state ? edge->state : same->state;
			continue;
		}
		if (!key || json_object_set_new(known, key,
						json_integer((json_int_t)small->edge_count)) < 0)
			small->no_memory = true;
		graph_relate(small, places[edge->from], places[edge->to], edge->relation,
			     edge->state);
	}
	small->no_memory |= !known;
}

struct graph *graph_aggregate(const struct graph *graph)
{
	_cleanup_free_ size_t *places = calloc(graph->node_count + 1, sizeof(*places));
	_cleanup_graph_ struct graph *small = graph_new();

	if (!places || !small)
		return NULL;
	nodes_add(small, graph, places);
	edges_add(small, graph, places);
	nodes_name(small);
	return small->no_memory ? NULL : pointer_release(&small);
}

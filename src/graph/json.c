/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/model.h"

static json_t *zones_json(void)
{
	json_t *zones = json_array();

	for (int zone = 0; zone < GRAPH_ZONES; zone++)
		json_array_append_new(zones, json_pack("{s:s, s:s}", "zone", graph_zones[zone].name,
						       "title", graph_zones[zone].title));
	return zones;
}

static json_t *node_json(const struct graph *graph, const struct graph_node *node)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s?, s:s?, s:s?, s:s, s:s?, s:s?, s:o}", "id",
			 node->id, "kind", graph_kind_names[node->kind], "zone",
			 graph_zones[graph_zone_of(node->kind)].name, "label", node->label,
			 "machine", node->machine, "vm", node->vm, "parent",
			 node->parent == GRAPH_NONE ? NULL : graph->nodes[node->parent].id, "state",
			 graph_state_names[node->state], "problem", node->problem, "fix", node->fix,
			 "facts", node->facts ? json_incref(node->facts) : json_object());
}

json_t *graph_json(const struct graph *graph)
{
	json_t *nodes = json_array(), *edges = json_array(), *states = json_object();
	size_t counts[GRAPH_STATES] = {0};

	for (size_t i = 0; i < graph->node_count; i++) {
		json_array_append_new(nodes, node_json(graph, &graph->nodes[i]));
		counts[graph->nodes[i].state]++;
	}
	for (size_t i = 0; i < graph->edge_count; i++) {
		const struct graph_edge *edge = &graph->edges[i];

		json_array_append_new(edges, json_pack("{s:s, s:s, s:s, s:s}", "from",
						       graph->nodes[edge->from].id, "to",
						       graph->nodes[edge->to].id, "relation",
						       graph_relation_names[edge->relation],
						       "state", graph_state_names[edge->state]));
	}
	for (int state = 0; state < GRAPH_STATES; state++)
		json_object_set_new(states, graph_state_names[state],
				    json_integer((json_int_t)counts[state]));
	return json_pack("{s:s?, s:o, s:o, s:o, s:o}", "machine", graph->machine, "zones",
			 zones_json(), "states", states, "nodes", nodes, "edges", edges);
}
